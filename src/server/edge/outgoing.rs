//! The body of a response on its way out.
//!
//! Invariants: a panic while it is polled ends this response alone, and visibly (the body breaks
//! off); the request counts as in hand until the last byte is taken or the client is gone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use bytestring::ByteString;
use http_body::{Body, Frame, SizeHint};

use crate::gateway::lifecycle::Work;
use crate::gateway::reply::Reply;
use crate::server::activity::InHand;

/// A reply, with what is given back when it ends.
#[derive(Debug)]
pub struct Outgoing {
    reply: Option<Reply>,
    request_id: ByteString,
    _in_hand: InHand,
    _work: Option<Work>,
}

/// A body that cannot be brought to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off")]
pub struct BrokenOff;

impl Outgoing {
    pub(super) const fn new(
        reply: Option<Reply>,
        request_id: ByteString,
        in_hand: InHand,
        work: Option<Work>,
    ) -> Self {
        Self {
            reply,
            request_id,
            _in_hand: in_hand,
            _work: work,
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let Some(reply) = &mut self.reply else {
            return Poll::Ready(None);
        };
        match catch_unwind(AssertUnwindSafe(|| Pin::new(reply).poll_frame(cx))) {
            Ok(frame) => {
                frame.map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
            Err(_) => {
                tracing::error!(request_id = %self.request_id, "an answer ended in a panic; this is a bug");
                self.reply = None;
                Poll::Ready(Some(Err(BrokenOff)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.reply.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.reply
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
