//! The body of an upstream's answer, whether it comes over HTTP or from a recording.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body as _;

use super::recorder::Tape;
use super::replay::Player;
use crate::model::fault::{Code, Fault};

/// An upstream's body. Dropping it closes the connection (HTTP/1.1) or resets the stream (HTTP/2).
#[derive(Debug)]
pub(super) enum Body {
    Http(reqwest::Body),
    Replay(Player),
    /// Another one, which is recorded as it is read.
    Taped(Box<(Body, Tape)>),
}

impl Body {
    /// The next bytes; `None` at a proper end.
    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Fault>>> {
        match self {
            Self::Replay(player) => player.poll_chunk(cx).map(|chunk| chunk.map(Ok)),
            Self::Taped(taped) => poll_taped(taped, cx),
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

    /// It came over a connection, which can serve again once the body is read to its end.
    pub(super) fn has_connection(&self) -> bool {
        match self {
            Self::Http(_) => true,
            Self::Replay(_) => false,
            Self::Taped(taped) => taped.0.has_connection(),
        }
    }
}

fn poll_taped(
    (body, tape): &mut (Body, Tape),
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, Fault>>> {
    let chunk = std::task::ready!(body.poll_chunk(cx));
    if let Some(Ok(bytes)) = &chunk {
        tape.read(bytes);
    }
    Poll::Ready(chunk)
}

fn broken() -> Fault {
    Fault::new(
        Code::UpstreamError,
        "the upstream's connection broke in the middle of its answer",
    )
}
