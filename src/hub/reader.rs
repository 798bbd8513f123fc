//! A cursor over a log. Replay and live are the same loop: what is there is read, then the next is
//! waited for.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::OnDisconnect;
use super::cancel::Cause;
use super::coalesce::Coalesce;
use super::stream::Stream;
use crate::model::entry::Entry;
use crate::model::event::Event;
use crate::model::fault::{Code, Fault};
use crate::model::ids::{Position, Seq};
use crate::model::plural::counted;

/// A reader this many entries behind is slow: neighbouring deltas are merged for it.
const SLOW: Seq = 128;
/// Entries read under one hold of the lock: a long replay must not keep the writer waiting.
const BATCH: usize = 64;

/// One reader's place in a stream.
#[derive(Debug)]
pub struct Reader {
    stream: Arc<Stream>,
    key: usize,
    /// The next entry to read.
    next: Seq,
    /// Events of that entry which the reader already has.
    seen: u32,
    /// Entries before this one were there when it came: a replay is not merged.
    live_from: Seq,
    /// Its going is not a client's going.
    unnoticed: bool,
}

/// What came before a reader's place.
#[derive(Debug, Clone, Copy)]
pub enum Past<'a> {
    /// What is remembered of entries that were let go, without their text. It comes first, and
    /// maybe holds nothing.
    Summary(&'a Entry),
    /// An entry that is kept.
    Entry(&'a Entry),
}

/// The entry that is shown, by its number; of entries merged into one, the first and the last of
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The first: an event inside the merged one stands in it, as it begins like it.
    pub first: Seq,
    /// The last.
    pub last: Seq,
    /// Events of the first which the reader already has.
    pub seen: u32,
}

impl Shown {
    /// One entry, of which the reader has `seen` events.
    pub(super) const fn one(seq: Seq, seen: u32) -> Self {
        Self {
            first: seq,
            last: seq,
            seen,
        }
    }
}

/// What a look at the log gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Entries were read.
    Read,
    /// The next entry to read is no longer kept.
    Overtaken,
    /// All is read, and nothing more comes.
    Ended,
}

impl Reader {
    /// The reader that a stream begins with.
    pub(super) fn first(stream: Arc<Stream>) -> Self {
        let key = stream.log().attach();
        Self {
            stream,
            key,
            next: 0,
            seen: 0,
            live_from: 0,
            unnoticed: false,
        }
    }

    /// Another reader, right after `after`, or from the beginning.
    ///
    /// # Errors
    /// 429 when the stream has all the readers it may have; 410 when the position is behind what is
    /// kept; 400 when it is still to come.
    pub fn attach(stream: &Arc<Stream>, after: Option<Position>) -> Result<Self, Fault> {
        let mut log = stream.log();
        let (next, seen) = match after {
            None => (0, 0),
            Some(Position { seq, part: None }) => (seq + 1, 0),
            Some(Position {
                seq,
                part: Some(part),
            }) => (seq, part + 1),
        };
        if next > log.next_seq() || (next == log.next_seq() && seen > 0) {
            return Err(Fault::new(
                Code::BadEventId,
                "the event id is ahead of the stream: send the last id that was received",
            ));
        }
        if next < log.base() {
            return Err(expired());
        }
        if log.readers() >= stream.spec().max_readers {
            let message = format!(
                "the stream has {}, the most it may have: try again when one has left",
                counted(log.readers(), "reader")
            );
            return Err(Fault::new(Code::RateLimited, message)
                .with_limit("readers")
                .with_retry_after(std::time::Duration::from_secs(1)));
        }
        let live_from = log.next_seq();
        let key = log.attach();
        drop(log);
        Ok(Self {
            stream: stream.clone(),
            key,
            next,
            seen,
            live_from,
            unnoticed: false,
        })
    }

    /// The stream it reads.
    #[must_use]
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Goes without being missed: nobody has read with it, so the stream's policy for its last
    /// reader does not count.
    pub fn leave(mut self) {
        self.unnoticed = true;
    }

    /// Shows all of it, so far as it has come. The lock is let go between batches.
    ///
    /// # Errors
    /// 410 where the beginning is no longer kept.
    pub fn show_all(stream: &Stream, mut show: impl FnMut(Seq, &Entry)) -> Result<(), Fault> {
        let mut at = 0;
        loop {
            let log = stream.log();
            if log.base() > at {
                return Err(expired());
            }
            if at >= log.next_seq() {
                return Ok(());
            }
            for (seq, entry) in log.from(at).take(BATCH) {
                show(seq, entry);
                at = seq + 1;
            }
        }
    }

    /// The number of the next entry to read.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.next
    }

    /// Shows everything before the reader's place, so that an encoder can learn where it stands.
    /// The lock is let go between batches: a long past must not keep the writer waiting.
    pub fn show_past(&self, mut show: impl FnMut(Past<'_>)) {
        if self.next == 0 {
            return;
        }
        let (summary, mut at) = {
            let log = self.stream.log();
            (
                Entry::of(log.summary().events().iter().cloned().collect()),
                log.base(),
            )
        };
        show(Past::Summary(&summary));
        while at < self.next {
            let log = self.stream.log();
            for (seq, entry) in log
                .from(at)
                .take_while(|(seq, _)| *seq < self.next)
                .take(BATCH)
            {
                show(Past::Entry(entry));
                at = seq + 1;
            }
            // Should entries be let go meanwhile, this reader is overtaken, and told so when it
            // reads.
            at = at.max(log.base());
        }
    }

    /// Shows what has come since, entry by entry, with its number and how many of its events the
    /// reader has seen; `show` says how many bytes it holds by now, and is shown no more past
    /// `enough`. With `merge`, a reader that has fallen behind is shown neighbouring deltas as one.
    pub fn poll_read(
        &mut self,
        cx: &Context<'_>,
        enough: usize,
        merge: bool,
        mut show: impl FnMut(Shown, &Entry) -> usize,
    ) -> Poll<Step> {
        let mut log = self.stream.log();
        if self.next < log.base() {
            return Poll::Ready(Step::Overtaken);
        }
        let behind = log.next_seq() - self.next;
        if behind == 0 {
            if log.ended_at().is_some() {
                return Poll::Ready(Step::Ended);
            }
            log.wait(self.key, cx);
            return Poll::Pending;
        }
        if merge && behind > SLOW && self.next >= self.live_from && self.seen == 0 {
            self.next = Coalesce::over(log.from(self.next), enough, show);
            return Poll::Ready(Step::Read);
        }
        for (seq, entry) in log.from(self.next).take(BATCH) {
            let held = show(Shown::one(seq, self.seen), entry);
            self.seen = 0;
            self.next = seq + 1;
            if held >= enough {
                break;
            }
        }
        Poll::Ready(Step::Read)
    }

    /// Shows what has come since without moving, and without waiting.
    pub fn peek(&self, mut show: impl FnMut(u32, &Entry) -> bool) {
        let log = self.stream.log();
        let mut seen = self.seen;
        for (_, entry) in log.from(self.next) {
            if !show(std::mem::take(&mut seen), entry) {
                break;
            }
        }
    }

    /// Ready with what `look` finds among the entries behind the start, as soon as it finds
    /// something.
    pub fn poll_found<T>(
        &self,
        cx: &Context<'_>,
        look: impl Fn(&Event) -> Option<T>,
    ) -> Poll<Option<T>> {
        let mut log = self.stream.log();
        let found = log
            .from(1)
            .flat_map(|(_, entry)| &entry.events)
            .find_map(look);
        if found.is_some() || log.ended_at().is_some() {
            return Poll::Ready(found);
        }
        log.wait(self.key, cx);
        Poll::Pending
    }
}

/// The place asked for is no longer kept.
#[must_use]
pub fn expired() -> Fault {
    Fault::new(
        Code::ReplayExpired,
        "what follows this position is no longer kept: read the stream's status, or begin a new one",
    )
}

impl Drop for Reader {
    fn drop(&mut self) {
        let (left, attached) = self.stream.log().detach(self.key);
        if left == 0 && self.stream.spec().is_fleeting() && self.stream.end_read() {
            self.stream.hub.maps.lock().remove(self.stream.id());
        }
        if left > 0 || self.unnoticed || !self.stream.is_running() {
            return;
        }
        match self.stream.spec().on_disconnect {
            OnDisconnect::Cancel => self.stream.cancel(Cause::Disconnect),
            OnDisconnect::Continue => {}
            OnDisconnect::Grace(grace) => wait_for_return(self.stream.clone(), attached, grace),
        }
    }
}

/// Cancels the stream when nobody has come back in time.
fn wait_for_return(stream: Arc<Stream>, attached: u64, grace: std::time::Duration) {
    let waiting = async move {
        let back = tokio::time::timeout(grace, stream.ended()).await.is_ok()
            || stream.log().attached() != attached;
        if !back {
            stream.cancel(Cause::Disconnect);
        }
    };
    // Without a runtime everything is being taken down anyway.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(waiting);
    }
}
