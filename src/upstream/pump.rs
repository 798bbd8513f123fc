//! The loop of an opened answer: bytes → frames → events → journal. One wake for a read, none for a
//! clock.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Ending;
use super::clock::Clock;
use super::closing::Accounting;
use super::live::Live;
use crate::hub::{Cause, Stream, Writer};
use crate::ledger::Bill;
use crate::limits::Pass;
use crate::model::fault::Fault;

/// Chunks taken together at the most, before readers hear of them.
const GATHERED: usize = 64;

/// What the pump woke for.
enum Wake {
    Chunk(Option<Result<Bytes, Fault>>),
    Cancelled(Cause),
    RanOut(Clock),
}

/// Journals an opened answer until it ends. The upstream's body is dropped when this returns, or
/// comes with the ending of a cancel.
pub(super) async fn pump(
    mut live: Box<Live>,
    writer: &mut Writer,
    accounting: &mut Accounting,
    pass: &mut Pass,
    bill: &mut Option<Bill>,
) -> Ending {
    let mut entries = vec![live.route_entry()];
    entries.append(&mut live.entries);
    writer.append(&mut entries);
    if let Some(ending) = live.failed.take() {
        return ending;
    }
    let stream = writer.stream().clone();
    let mut alarm = pin!(sleep_until(live.running.next().0));
    let mut next = None;
    while !live.done {
        let woke = match next.take() {
            Some(woke) => woke,
            None => poll_fn(|cx| wake(&mut live, &stream, alarm.as_mut(), cx)).await,
        };
        let mut result = match woke {
            Wake::Chunk(Some(Ok(chunk))) => live.take(&chunk, accounting),
            Wake::Chunk(None) => live.end(accounting),
            Wake::Chunk(Some(Err(fault))) => Err(fault.into()),
            Wake::Cancelled(cause) => Err(cause.into()),
            Wake::RanOut(clock) => Err(clock.ran_out(&live.running.clocks).into()),
        };
        if result.is_ok() && live.running.is_hurried() {
            (result, next) = gather(&mut live, accounting).await;
        }
        if result.is_ok() && !live.done {
            result =
                owed(accounting, pass, bill.as_mut()).map_err(|spent| Ending::Failed(spent, None));
        }
        if accounting.first_content.is_none() && live.decided {
            accounting.first_content = Some(std::time::Instant::now());
        }
        writer.append(&mut live.entries);
        if let Err(ending) = result {
            return live.stopped(ending);
        }
    }
    live.retire();
    accounting
        .failed_finish()
        .map_or(Ending::Complete, Ending::from)
}

/// Tells limits and budgets how much there is: a comparison for each, nearly always.
fn owed(
    accounting: &Accounting,
    pass: &mut Pass,
    bill: Option<&mut Bill>,
) -> Result<(), Box<Fault>> {
    pass.streamed(accounting.output_bytes)?;
    bill.map_or(Ok(()), |bill| {
        bill.streamed(accounting.output_bytes, || accounting.cost())
    })
}

/// In a flood, takes what comes within the same turn of the event loop, so that one entry of the
/// lock and one write to each client carry many tokens. No clock is waited for: the first turn
/// without bytes ends it.
async fn gather(
    live: &mut Live,
    accounting: &mut Accounting,
) -> (Result<(), Ending>, Option<Wake>) {
    for _ in 0..GATHERED {
        if live.done {
            break;
        }
        turn().await;
        let chunk = match poll_fn(|cx| Poll::Ready(live.body.poll_chunk(cx))).await {
            Poll::Pending => break,
            Poll::Ready(Some(Ok(chunk))) => chunk,
            Poll::Ready(ended) => return (Ok(()), Some(Wake::Chunk(ended))),
        };
        if let Err(ending) = live.take(&chunk, accounting) {
            return (Err(ending), None);
        }
    }
    (Ok(()), None)
}

/// Lets every task that is ready have its turn.
async fn turn() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn wake(
    live: &mut Live,
    stream: &Stream,
    mut alarm: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<Wake> {
    if let Poll::Ready(cause) = stream.poll_cancelled(cx) {
        return Poll::Ready(Wake::Cancelled(cause));
    }
    if let Poll::Ready(chunk) = live.body.poll_chunk(cx) {
        return Poll::Ready(Wake::Chunk(chunk));
    }
    // The alarm is not moved for every token: when it rings, it is looked whether bytes have come
    // since.
    while alarm.as_mut().poll(cx).is_ready() {
        let (at, clock) = live.running.next();
        if at <= Instant::now() {
            return Poll::Ready(Wake::RanOut(clock));
        }
        alarm.as_mut().reset(at);
    }
    Poll::Pending
}
