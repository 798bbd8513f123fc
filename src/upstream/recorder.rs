//! Recordings of what providers answer, for `replay` to play: one thread of the process writes
//! them.
//!
//! Invariants: no stream waits for the disk — what is read is handed over and at most [`WAITING`]
//! bytes of it lie there, past which a recording is given up, never a stream; only bodies are
//! recorded, without the account's own secrets, never a prompt; a file has its name once it is
//! whole, and no file of the operator's is touched.

mod folder;
mod secrets;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender, SyncSender};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

pub(super) use secrets::Secrets;

use crate::model::target::{Provider, Record};

/// Bytes that may wait to be written, of all recordings together: seconds of what a slow disk
/// takes.
const WAITING: usize = 16 * 1024 * 1024;
/// What a piece that waits costs beside its bytes, about.
const PIECE: usize = 96;
/// What a recording that waits to begin costs beside its head, about: its names, its secrets, and
/// its end.
const BEGINNING: usize = 4096;

/// Has answers recorded. Clones share one thread, which begins with the first account that records.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Desk>);

#[derive(Debug, Default)]
struct Desk {
    writer: Mutex<Option<Sender<Message>>>,
    waiting: Arc<AtomicUsize>,
    begun: AtomicU64,
    /// The last answer went unrecorded, as too much waits.
    behind: AtomicBool,
}

/// Why a provider cannot be recorded.
#[derive(Debug, thiserror::Error)]
#[error("provider `{provider}`: {what}")]
pub struct RecorderProblem {
    /// The account.
    pub provider: String,
    /// What is wrong.
    pub what: String,
}

/// What the thread is told.
enum Message {
    /// A folder is to be looked at: how much is in it.
    Folder(PathBuf),
    Begin(u64, Beginning),
    Read(u64, Duration, Bytes),
    /// A recording ends; false: it lacks something, and is not kept.
    End(u64, bool),
    /// All that came before is to be on the disk.
    Flush(SyncSender<()>),
}

/// How a recording begins.
struct Beginning {
    record: Record,
    /// The file's name, without its ending.
    name: String,
    head: Vec<u8>,
    secrets: Secrets,
    over: Arc<AtomicBool>,
}

impl Recorder {
    /// Makes the folders of those accounts ready that are recorded, and says so in the log. What is
    /// in a folder is counted anew.
    ///
    /// # Errors
    /// When a folder cannot be made, or nothing can be written into it: names the account.
    pub fn open<'a>(
        &self,
        providers: impl Iterator<Item = &'a Arc<Provider>>,
    ) -> Result<(), RecorderProblem> {
        for provider in providers {
            let Some(Record { dir, max }) = &provider.record else {
                continue;
            };
            let problem = |what| RecorderProblem {
                provider: provider.name.to_string(),
                what,
            };
            folder::make(dir).map_err(problem)?;
            let writer = self.writer().map_err(|error| {
                problem(format!("the thread that records cannot begin: {error}"))
            })?;
            // A thread that has gone was told of when it went.
            let _gone = writer.send(Message::Folder(dir.clone()));
            let (provider, dir) = (&*provider.name, dir.display());
            tracing::warn!(provider, %dir, max_bytes = max, "recording: every completion of this provider is written to disk");
        }
        Ok(())
    }

    fn writer(&self) -> std::io::Result<Sender<Message>> {
        let mut place = self.0.writer.lock();
        if let Some(writer) = &*place {
            return Ok(writer.clone());
        }
        let (sender, messages) = mpsc::channel();
        let writer = writer::Writer::new(self.0.waiting.clone());
        // It logs where whoever began it does.
        let log = tracing::dispatcher::get_default(Clone::clone);
        let work = move || tracing::dispatcher::with_default(&log, || writer.run(&messages));
        thread::Builder::new().name("recorder".into()).spawn(work)?;
        Ok(place.insert(sender).clone())
    }

    /// Begins a recording whose clock runs from now; `None` where nothing records, or the disk is
    /// too far behind.
    pub(super) fn tape(
        &self,
        record: &Record,
        name: String,
        head: Vec<u8>,
        secrets: Secrets,
    ) -> Option<Tape> {
        let writer = self.0.writer.lock().clone()?;
        if !charge(&self.0.waiting, beginning_cost(&head)) {
            if !self.0.behind.swap(true, Ordering::Relaxed) {
                tracing::error!(dir = %record.dir.display(), "the disk is too slow: answers go unrecorded until it has caught up");
            }
            return None;
        }
        self.0.behind.store(false, Ordering::Relaxed);
        let number = self.0.begun.fetch_add(1, Ordering::Relaxed);
        let over = Arc::new(AtomicBool::new(false));
        writer
            .send(Message::Begin(
                number,
                Beginning {
                    record: record.clone(),
                    name,
                    head,
                    secrets,
                    over: over.clone(),
                },
            ))
            .ok()?;
        Some(Tape {
            number,
            began: Instant::now(),
            writer,
            waiting: self.0.waiting.clone(),
            over,
            whole: true,
        })
    }

    /// Waits until all that was read is on the disk, or for that long; for the end of the process.
    pub fn flush(&self, at_most: Duration) {
        let Some(writer) = self.0.writer.lock().clone() else {
            return;
        };
        let (done, flushed) = mpsc::sync_channel(1);
        let begun = writer.send(Message::Flush(done)).is_ok();
        if !begun || flushed.recv_timeout(at_most).is_err() {
            tracing::warn!("the last of what was recorded may not be on the disk");
        }
    }
}

/// Takes room for what is to wait; false where there is none.
fn charge(waiting: &AtomicUsize, cost: usize) -> bool {
    let fits = waiting.fetch_add(cost, Ordering::Relaxed) + cost <= WAITING;
    if !fits {
        waiting.fetch_sub(cost, Ordering::Relaxed);
    }
    fits
}

/// What a recording's beginning costs until it is written. Its end is paid with it: there is one
/// for each.
fn beginning_cost(head: &[u8]) -> usize {
    head.len() + BEGINNING
}

/// One recording. It ends where this is dropped.
#[derive(Debug)]
pub(super) struct Tape {
    number: u64,
    began: Instant,
    writer: Sender<Message>,
    waiting: Arc<AtomicUsize>,
    /// Nothing more is to be recorded.
    over: Arc<AtomicBool>,
    whole: bool,
}

impl Tape {
    /// Bytes have come.
    pub(super) fn read(&mut self, bytes: &Bytes) {
        if self.over.load(Ordering::Relaxed) {
            return;
        }
        if !charge(&self.waiting, bytes.len() + PIECE) {
            self.over.store(true, Ordering::Relaxed);
            self.whole = false;
            return;
        }
        // A copy: what was read is a piece of a larger buffer, which the connection wants back.
        let piece = Message::Read(
            self.number,
            self.began.elapsed(),
            Bytes::copy_from_slice(bytes),
        );
        if self.writer.send(piece).is_err() {
            self.over.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        // Without its thread there is nothing to end.
        let _gone = self.writer.send(Message::End(self.number, self.whole));
    }
}
