//! The body of a response.
//!
//! Invariants: a panic while it is polled ends this response only, visibly for the client (the body
//! is cut off); the request counts as in progress until the last byte is taken or the client is
//! gone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use bytestring::ByteString;
use http_body::{Body, Frame, SizeHint};

use crate::gateway::lifecycle::Work;
use crate::gateway::reply::Reply;
use crate::server::activity::ActiveRequest;

/// A reply, with the guards that are released when it ends.
#[derive(Debug)]
pub struct Outgoing {
    reply: Option<Reply>,
    request_id: ByteString,
    _active_request: ActiveRequest,
    _work: Option<Work>,
}

/// The error of a body that ended in a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the response body was aborted by an internal error")]
pub struct BodyAborted;

impl Outgoing {
    pub(super) const fn new(
        reply: Option<Reply>,
        request_id: ByteString,
        active_request: ActiveRequest,
        work: Option<Work>,
    ) -> Self {
        Self {
            reply,
            request_id,
            _active_request: active_request,
            _work: work,
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BodyAborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyAborted>>> {
        let Some(reply) = &mut self.reply else {
            return Poll::Ready(None);
        };
        match catch_unwind(AssertUnwindSafe(|| Pin::new(reply).poll_frame(cx))) {
            Ok(frame) => {
                frame.map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
            Err(_) => {
                tracing::error!(
                    request_id = %self.request_id,
                    "a response body ended in a panic: please report this bug"
                );
                // A body that panicked is never polled again.
                self.reply = None;
                Poll::Ready(Some(Err(BodyAborted)))
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
