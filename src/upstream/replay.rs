//! The built-in upstream: plays a recording from a file.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::model::fault::{Code, Fault};
use crate::model::target::Replay;
use crate::model::wire::Wire;
use crate::provider::recording::{self, Recording};

/// A recording being played.
#[derive(Debug)]
pub(super) struct Player {
    chunks: std::vec::IntoIter<recording::Chunk>,
    next: Option<recording::Chunk>,
    pace: Option<Duration>,
    began: Instant,
    played: u32,
    alarm: Pin<Box<Sleep>>,
}

impl Player {
    /// Opens the recording that the model names.
    ///
    /// # Errors
    /// 404 `model_not_found` where there is no such file, or the name is none; 502 where it cannot be read.
    pub(super) async fn open(replay: &Replay, model: &str) -> Result<(Wire, Self), Fault> {
        let unknown =
            || Fault::new(Code::ModelNotFound, format!("no recording `{model}`: name a file of the replay folder")).with_param("model");
        let name = recording::file_name(model).ok_or_else(unknown)?;
        let text = tokio::fs::read(replay.dir.join(name)).await.map_err(|_| unknown())?;
        let Recording { wire, chunks, .. } =
            Recording::parse(&text).map_err(|error| Fault::new(Code::UpstreamError, format!("recording `{name}`: {error}")))?;
        let began = Instant::now();
        let mut chunks = chunks.into_iter();
        let next = chunks.next();
        let mut player = Self { chunks, next, pace: replay.pace, began, played: 0, alarm: Box::pin(sleep_until(began)) };
        player.set_alarm();
        Ok((wire, player))
    }

    fn set_alarm(&mut self) {
        if let Some(next) = &self.next {
            let after = self.pace.map_or(next.at, |pace| pace * self.played);
            self.alarm.as_mut().reset(self.began + after);
        }
    }

    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.next.is_none() {
            return Poll::Ready(None);
        }
        std::task::ready!(self.alarm.as_mut().poll(cx));
        let chunk = self.next.take();
        self.next = self.chunks.next();
        self.played += 1;
        self.set_alarm();
        Poll::Ready(chunk.map(|chunk| chunk.bytes))
    }
}
