//! The body of an upstream answer, from HTTP or from a recording.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;

use super::player::Player;
use super::recorder::ActiveRecording;
use crate::model::fault::{Code, Fault};

/// The body of an upstream answer. Dropping it closes the connection (HTTP/1.1) or resets the
/// stream (HTTP/2).
#[derive(Debug)]
pub(super) enum Body {
    Http(reqwest::Body),
    Replay(Player),
    /// A body that is recorded while it is read.
    Recorded(Box<(Body, ActiveRecording)>),
}

impl Body {
    /// Returns the next bytes; `None` at a proper end.
    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Fault>>> {
        match self {
            Self::Replay(player) => player.poll_chunk(cx).map(|chunk| chunk.map(Ok)),
            Self::Recorded(recorded) => poll_recorded(recorded, cx),
            Self::Http(body) => loop {
                match std::task::ready!(Pin::new(&mut *body).poll_frame(cx)) {
                    None => return Poll::Ready(None),
                    Some(Err(_)) => return Poll::Ready(Some(Err(broken()))),
                    Some(Ok(frame)) => {
                        // Trailer frames carry no content.
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                }
            },
        }
    }

    /// Waits for the next bytes; `None` at a proper end.
    pub(super) async fn chunk(&mut self) -> Option<Result<Bytes, Fault>> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Appends the body to `into` until its end, up to `most` bytes. It can be cancelled and called
    /// again: no bytes are lost.
    pub(super) async fn collect(&mut self, into: &mut BytesMut, most: usize) -> Result<(), Fault> {
        while let Some(chunk) = self.chunk().await {
            let chunk = chunk?;
            if into.len() + chunk.len() > most {
                return Err(Fault::new(
                    Code::UpstreamError,
                    format!("the upstream's answer is larger than {most} bytes"),
                ));
            }
            into.extend_from_slice(&chunk);
        }
        Ok(())
    }

    /// Returns true when the body uses a connection that can be reused once the body is read to its
    /// end.
    pub(super) fn has_connection(&self) -> bool {
        match self {
            Self::Http(_) => true,
            Self::Replay(_) => false,
            Self::Recorded(recorded) => recorded.0.has_connection(),
        }
    }
}

fn poll_recorded(
    (body, recording): &mut (Body, ActiveRecording),
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, Fault>>> {
    let chunk = std::task::ready!(body.poll_chunk(cx));
    if let Some(Ok(bytes)) = &chunk {
        recording.record(bytes);
    }
    Poll::Ready(chunk)
}

fn broken() -> Fault {
    Fault::new(
        Code::UpstreamError,
        "the connection to the upstream broke in the middle of its answer",
    )
}
