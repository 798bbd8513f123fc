//! Records the answers of providers for `replay` to play. One thread of the process writes the
//! files.
//!
//! Invariants:
//! - No stream waits for the disk. Received bytes are queued, at most [`MAX_QUEUED_BYTES`] of them;
//!   beyond that a recording is given up, never a stream.
//! - Only response bodies are recorded, without the secrets of the provider, and never a prompt.
//! - A file gets its final name when it is complete. No file of the operator is touched.

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

/// Maximum number of bytes queued for writing, all recordings together: a few seconds of work for a
/// slow disk.
const MAX_QUEUED_BYTES: usize = 16 * 1024 * 1024;
/// Approximate memory of a queued chunk besides its bytes.
const CHUNK_OVERHEAD: usize = 96;
/// Approximate memory of a queued new recording besides its head: names, secrets, and its end
/// message.
const NEW_RECORDING_OVERHEAD: usize = 4096;

/// Records answers. Clones share one thread, which starts with the first recorded provider.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<RecorderState>);

#[derive(Debug, Default)]
struct RecorderState {
    writer: Mutex<Option<Sender<WriterMessage>>>,
    queued: Arc<AtomicUsize>,
    started: AtomicU64,
    /// The last answer was not recorded because the queue was full.
    overloaded: AtomicBool,
}

/// The reason why a provider cannot be recorded.
#[derive(Debug, thiserror::Error)]
#[error("provider `{provider}`: {message}")]
pub struct RecorderProblem {
    /// The name of the provider.
    pub provider: String,
    /// The reason, and what to do.
    pub message: String,
}

/// A message to the writer thread.
enum WriterMessage {
    /// Measure the size of a folder.
    Folder(PathBuf),
    Begin(u64, NewRecording),
    Chunk(u64, Duration, Bytes),
    /// End a recording. `false`: it is incomplete and is removed.
    End(u64, bool),
    /// Write everything received so far to disk, then answer.
    Flush(SyncSender<()>),
}

/// A recording to start.
struct NewRecording {
    record: Record,
    /// Name of the file, without its extension.
    name: String,
    head: Vec<u8>,
    secrets: Secrets,
    stopped: Arc<AtomicBool>,
}

impl Recorder {
    /// Creates the folders of the recorded providers and logs that they are recorded. The size of
    /// each folder is measured again.
    ///
    /// # Errors
    /// Returns an error that names the provider when a folder cannot be created or is not writable.
    pub fn open<'a>(
        &self,
        providers: impl Iterator<Item = &'a Arc<Provider>>,
    ) -> Result<(), RecorderProblem> {
        for provider in providers {
            let Some(Record { dir, max }) = &provider.record else {
                continue;
            };
            let problem = |message| RecorderProblem {
                provider: provider.name.to_string(),
                message,
            };
            folder::create(dir).map_err(problem)?;
            let writer = self
                .writer()
                .map_err(|error| problem(format!("cannot start the recording thread: {error}")))?;
            // If the thread has ended, its end has been reported.
            let _gone = writer.send(WriterMessage::Folder(dir.clone()));
            let (provider, dir) = (&*provider.name, dir.display());
            tracing::warn!(
                provider,
                %dir,
                max_bytes = max,
                "recording: every completion of this provider is written to disk"
            );
        }
        Ok(())
    }

    fn writer(&self) -> std::io::Result<Sender<WriterMessage>> {
        let mut slot = self.0.writer.lock();
        if let Some(writer) = &*slot {
            return Ok(writer.clone());
        }
        // The channel is unbounded; the byte count limits what waits in it.
        let (sender, messages) = mpsc::channel();
        let writer = writer::Writer::new(self.0.queued.clone());
        // Log to the subscriber of the caller.
        let log = tracing::dispatcher::get_default(Clone::clone);
        let work = move || tracing::dispatcher::with_default(&log, || writer.run(&messages));
        thread::Builder::new().name("recorder".into()).spawn(work)?;
        Ok(slot.insert(sender).clone())
    }

    /// Starts a recording; its timestamps count from now. Returns `None` when no recorder thread
    /// runs or the disk is too slow.
    pub(super) fn start(
        &self,
        record: &Record,
        name: String,
        head: Vec<u8>,
        secrets: Secrets,
    ) -> Option<ActiveRecording> {
        let writer = self.0.writer.lock().clone()?;
        if !reserve(&self.0.queued, new_recording_cost(&head)) {
            // Log only the first of a series.
            if !self.0.overloaded.swap(true, Ordering::Relaxed) {
                tracing::error!(
                    dir = %record.dir.display(),
                    "the disk is too slow: answers are not recorded until it has caught up"
                );
            }
            return None;
        }
        self.0.overloaded.store(false, Ordering::Relaxed);
        let number = self.0.started.fetch_add(1, Ordering::Relaxed);
        let stopped = Arc::new(AtomicBool::new(false));
        writer
            .send(WriterMessage::Begin(
                number,
                NewRecording {
                    record: record.clone(),
                    name,
                    head,
                    secrets,
                    stopped: stopped.clone(),
                },
            ))
            .ok()?;
        Some(ActiveRecording {
            number,
            began: Instant::now(),
            writer,
            queued: self.0.queued.clone(),
            stopped,
            complete: true,
        })
    }

    /// Waits until everything recorded so far is on disk, at most `at_most`. Call it at the end of
    /// the process.
    pub fn flush(&self, at_most: Duration) {
        let Some(writer) = self.0.writer.lock().clone() else {
            return;
        };
        let (done, flushed) = mpsc::sync_channel(1);
        let started = writer.send(WriterMessage::Flush(done)).is_ok();
        if !started || flushed.recv_timeout(at_most).is_err() {
            tracing::warn!("the last recordings may not be on the disk: writing took too long");
        }
    }
}

/// Reserves room in the queue; returns false when there is none.
fn reserve(queued: &AtomicUsize, cost: usize) -> bool {
    // Add first, then check: two threads cannot both take the last room.
    let fits = queued.fetch_add(cost, Ordering::Relaxed) + cost <= MAX_QUEUED_BYTES;
    if !fits {
        queued.fetch_sub(cost, Ordering::Relaxed);
    }
    fits
}

/// Returns the queue size of a new recording until it is written. It includes its end message:
/// every recording has exactly one.
fn new_recording_cost(head: &[u8]) -> usize {
    head.len() + NEW_RECORDING_OVERHEAD
}

/// One recording in progress. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct ActiveRecording {
    number: u64,
    began: Instant,
    writer: Sender<WriterMessage>,
    queued: Arc<AtomicUsize>,
    /// Set when nothing more is to be recorded.
    stopped: Arc<AtomicBool>,
    complete: bool,
}

impl ActiveRecording {
    /// Records received bytes.
    pub(super) fn record(&mut self, bytes: &Bytes) {
        if self.stopped.load(Ordering::Relaxed) {
            return;
        }
        if !reserve(&self.queued, bytes.len() + CHUNK_OVERHEAD) {
            self.stopped.store(true, Ordering::Relaxed);
            // A gap cannot be replayed: give up this recording.
            self.complete = false;
            return;
        }
        // Copy the bytes: they are part of a larger buffer that the connection reuses once all its
        // parts are dropped.
        let chunk = WriterMessage::Chunk(
            self.number,
            self.began.elapsed(),
            Bytes::copy_from_slice(bytes),
        );
        if self.writer.send(chunk).is_err() {
            self.stopped.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for ActiveRecording {
    fn drop(&mut self) {
        // If the thread has ended, there is nothing to end.
        let _gone = self
            .writer
            .send(WriterMessage::End(self.number, self.complete));
    }
}
