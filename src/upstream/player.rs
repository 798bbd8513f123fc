//! Plays the chunks of a recording at their recorded times, or at a configured pace.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::coop::poll_proceed;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::wire::recording;

/// A recording in playback.
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
    pub(super) fn new(chunks: Vec<recording::Chunk>, pace: Option<Duration>) -> Self {
        let began = Instant::now();
        let mut chunks = chunks.into_iter();
        let next = chunks.next();
        let mut player = Self {
            chunks,
            next,
            pace,
            began,
            played: 0,
            alarm: Box::pin(sleep_until(began)),
        };
        player.set_alarm();
        player
    }

    fn set_alarm(&mut self) {
        if let Some(next) = &self.next {
            // A configured pace replaces the recorded times.
            let after = self.pace.map_or(next.at, |pace| pace * self.played);
            self.alarm.as_mut().reset(self.began + after);
        }
    }

    /// Returns ready when the next chunk is due. A chunk that is already due does not wait for the
    /// next timer tick.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.alarm.deadline() > Instant::now() {
            return self.alarm.as_mut().poll(cx);
        }
        // Yield to other tasks however many chunks are due.
        poll_proceed(cx).map(|turn| turn.made_progress())
    }

    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.next.is_none() {
            return Poll::Ready(None);
        }
        std::task::ready!(self.poll_due(cx));
        let chunk = self.next.take();
        self.next = self.chunks.next();
        self.played += 1;
        self.set_alarm();
        Poll::Ready(chunk.map(|chunk| chunk.bytes))
    }
}
