//! A cancelled upstream answer that can still be read to its end.

use tokio::time::timeout_at;

use super::Ending;
use super::closing::Accounting;
use super::live::LiveAnswer;
use super::received::Received;
use super::sent::SentRequest;
use super::whole::WholeAnswer;
use crate::hub::Cause;
use crate::model::target::OnCancel;

/// The state of an upstream answer when it was cancelled.
pub(super) enum Unfinished {
    /// The response head has not arrived.
    Sent(Box<SentRequest>),
    /// The answer is a stream.
    Stream(Box<LiveAnswer>),
    /// The answer is one body.
    Whole(Box<WholeAnswer>),
}

impl LiveAnswer {
    /// Ends the answer. A cancelled answer is kept to be read on when the provider is configured
    /// so.
    pub(super) fn stopped(self: Box<Self>, ending: Ending) -> Ending {
        match ending {
            Ending::Cancelled(cause, _) if self.on_cancel == OnCancel::Finish => {
                Ending::Cancelled(cause, Some(Unfinished::Stream(self)))
            }
            other => other,
        }
    }
}

impl WholeAnswer {
    /// Ends the answer after a cancel. It is kept to be read on when the provider is configured so.
    pub(super) fn stopped(self: Box<Self>, cause: Cause) -> Ending {
        let finishes = self.context.target.provider.on_cancel == OnCancel::Finish;
        Ending::Cancelled(cause, finishes.then_some(Unfinished::Whole(self)))
    }
}

impl Unfinished {
    /// Reads the answer and returns true when it is complete.
    pub(super) async fn read(self, accounting: &mut Accounting) -> bool {
        match self {
            Self::Sent(mut sent) => match sent.head().await {
                Ok(answer) => match answer.receive(accounting) {
                    Received::Stream(live) => read_stream(live, accounting).await,
                    Received::Whole(whole) => read_whole(whole, accounting).await,
                    // An error response reports no usage.
                    Received::Refused(_) => false,
                },
                Err(_) => false,
            },
            Self::Stream(live) => read_stream(live, accounting).await,
            Self::Whole(whole) => read_whole(whole, accounting).await,
        }
    }
}

async fn read_stream(mut live: Box<LiveAnswer>, accounting: &mut Accounting) -> bool {
    while !live.done {
        let received = match timeout_at(live.running.next_expiry().0, live.body.chunk()).await {
            Ok(Some(Ok(chunk))) => live.receive(&chunk, accounting),
            Ok(None) => live.end(accounting),
            Ok(Some(Err(_))) | Err(_) => return false,
        };
        // Only the usage is of interest; the journal has ended.
        live.entries.clear();
        if received.is_err() {
            return false;
        }
    }
    live.retire();
    true
}

async fn read_whole(mut whole: Box<WholeAnswer>, accounting: &mut Accounting) -> bool {
    whole.read().await.is_ok() && whole.decode(accounting).is_ok()
}
