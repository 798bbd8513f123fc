//! The body of an upstream's answer, whether it comes over HTTP or from a recording.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body as _;

use super::replay::Player;
use crate::model::fault::{Code, Fault};

/// An upstream's body. Dropping it closes the connection (HTTP/1.1) or resets the stream (HTTP/2).
#[derive(Debug)]
pub(super) enum Body {
    Http(reqwest::Body),
    Replay(Player),
}

impl Body {
    /// The next bytes; `None` at a proper end.
    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        match self {
            Self::Replay(player) => player.poll_chunk(cx).map(|chunk| chunk.map(Ok)),
            Self::Http(body) => loop {
                match std::task::ready!(Pin::new(&mut *body).poll_frame(cx)) {
                    None => return Poll::Ready(None),
                    Some(Err(_)) => return Poll::Ready(Some(Err(broken()))),
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                }
            },
        }
    }

    pub(super) async fn chunk(&mut self) -> Option<Result<Bytes, Fault>> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }
}

fn broken() -> Fault {
    Fault::new(Code::UpstreamError, "the upstream's connection broke in the middle of its answer")
}
