//! The writer of the ledger: a thread with a bounded backlog.
//!
//! Invariants: adding a row never waits for the disk; rows that arrive within [`GATHER_TIME`] are
//! written and synced together; a row that cannot be written stays in memory and is tried again,
//! and while more than [`MAX_BACKLOG_BYTES`] bytes wait, no generation begins (rows of running
//! streams are accepted: their number is bounded).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::files::{FileProblem, Files};
use super::period::Month;

/// Time for which rows are gathered before they are written and synced together: a crash may lose
/// them.
const GATHER_TIME: Duration = Duration::from_millis(100);
/// Backlog that is written at once, without gathering more, bytes.
const WRITE_AT_BYTES: usize = 1 << 20;
/// Backlog above which no generation begins, bytes: about 20 000 rows, a minute of a busy instance
/// whose disk hangs.
const MAX_BACKLOG_BYTES: usize = 8 << 20;
/// Time between a failed write and the next attempt.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Number of files kept open: the current month's, and that of streams that began in the month
/// before.
const MAX_OPEN_FILES: usize = 2;
/// Maximum time for which dropping the store waits for its last rows.
const MAX_DROP_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Store {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    backlog: Mutex<Backlog>,
    /// Notifies the thread of work.
    work: Condvar,
    /// Notifies waiting callers that everything is written or given up.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct Backlog {
    /// Lines by the month they belong to, in the order of their arrival.
    lines: VecDeque<(Month, Vec<u8>)>,
    bytes: usize,
    /// Bytes being written.
    writing: usize,
    /// A caller waits for the disk: rows are written without gathering.
    flushing: bool,
    stop: bool,
    thread_ended: bool,
}

impl Store {
    /// Starts the thread that writes.
    pub(super) fn start(files: Files) -> Result<Self, FileProblem> {
        let shared = Arc::new(Shared::default());
        let writer = Writer {
            shared: shared.clone(),
            files,
            open: VecDeque::with_capacity(MAX_OPEN_FILES),
            failing: false,
        };
        // The thread logs to the subscriber of the thread that starts it: tests have one each.
        let log = tracing::dispatcher::get_default(Clone::clone);
        let work = move || tracing::dispatcher::with_default(&log, || writer.run());
        let thread = thread::Builder::new().name("ledger".into()).spawn(work);
        let thread = thread.map_err(FileProblem::new(
            "cannot start the thread that writes",
            std::path::Path::new("the ledger"),
        ))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Adds a line to the backlog. It is written soon.
    pub(super) fn push(&self, month: Month, line: &[u8]) {
        let mut backlog = self.shared.backlog.lock();
        let idle = backlog.bytes == 0;
        match backlog.lines.iter_mut().find(|(of, _)| *of == month) {
            Some((_, lines)) => lines.extend_from_slice(line),
            None => backlog.lines.push_back((month, line.to_vec())),
        }
        backlog.bytes += line.len();
        // Otherwise the thread has been notified already, and gathers or writes.
        if idle || backlog.bytes >= WRITE_AT_BYTES {
            self.shared.work.notify_one();
        }
    }

    /// Returns true while the backlog is above its bound.
    pub(super) fn is_full(&self) -> bool {
        let backlog = self.shared.backlog.lock();
        backlog.bytes + backlog.writing > MAX_BACKLOG_BYTES
    }

    /// Waits until all added lines are on the disk, at most for that long.
    pub(super) fn flush(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        let mut backlog = self.shared.backlog.lock();
        backlog.flushing = true;
        self.shared.work.notify_one();
        while backlog.bytes + backlog.writing > 0 && !backlog.thread_ended {
            if self.shared.idle.wait_until(&mut backlog, until).timed_out() {
                tracing::error!(
                    bytes = backlog.bytes + backlog.writing,
                    "the last rows of the ledger could not be written to the disk in time"
                );
                break;
            }
        }
        backlog.flushing = false;
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let until = Instant::now() + MAX_DROP_WAIT;
        let mut backlog = self.shared.backlog.lock();
        backlog.stop = true;
        self.shared.work.notify_one();
        while !backlog.thread_ended {
            if self.shared.idle.wait_until(&mut backlog, until).timed_out() {
                // The disk hangs: the thread is not joined.
                return;
            }
        }
        drop(backlog);
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has been logged.
            let _over = thread.join();
        }
    }
}

struct Writer {
    shared: Arc<Shared>,
    files: Files,
    open: VecDeque<OpenFile>,
    /// The last write failed and the failure is logged.
    failing: bool,
}

/// A file open for appending.
struct OpenFile {
    month: Month,
    file: File,
    /// Its length in complete lines, bytes.
    length: u64,
    /// A failed write may have left bytes after the complete lines.
    dirty: bool,
}

impl Writer {
    fn run(mut self) {
        let shared = self.shared.clone();
        let _end_signal = EndSignal(&shared);
        while let Some(lines) = next_batch(&shared) {
            let left = self.write_all(lines);
            let mut backlog = shared.backlog.lock();
            backlog.writing = 0;
            if left.is_empty() {
                shared.idle.notify_all();
                continue;
            }
            let lost: usize = left.iter().map(|(_, lines)| lines.len()).sum();
            if backlog.stop {
                tracing::error!(
                    bytes = lost + backlog.bytes,
                    "rows of the ledger are lost: they cannot be written and the process is ending"
                );
                return;
            }
            backlog.bytes += lost;
            // Before the lines that arrived in the meantime, to keep the order.
            left.into_iter()
                .rev()
                .for_each(|it| backlog.lines.push_front(it));
            shared.work.wait_for(&mut backlog, RETRY_AFTER);
        }
    }

    /// Writes as many lines as it can and returns the rest.
    fn write_all(&mut self, mut lines: VecDeque<(Month, Vec<u8>)>) -> VecDeque<(Month, Vec<u8>)> {
        while let Some((month, bytes)) = lines.front() {
            if let Err(error) = self.write(*month, bytes) {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, %month, "the ledger cannot be written: the write is retried every second");
                }
                return lines;
            }
            lines.pop_front();
        }
        if std::mem::replace(&mut self.failing, false) {
            tracing::warn!("the ledger can be written again");
        }
        lines
    }

    fn write(&mut self, month: Month, bytes: &[u8]) -> io::Result<()> {
        let open = self.open(month)?;
        // Rows must not follow the fragment of a failed write: it would damage the first of them.
        if open.dirty {
            open.file.set_len(open.length)?;
        }
        // Set before the write and cleared after the sync, so that an error in between leaves it
        // set.
        open.dirty = true;
        open.file.write_all(bytes)?;
        open.file.sync_data()?;
        open.dirty = false;
        open.length += bytes.len() as u64;
        Ok(())
    }

    fn open(&mut self, month: Month) -> io::Result<&mut OpenFile> {
        if let Some(at) = self.open.iter().position(|it| it.month == month) {
            // The file in use comes first: the last one is closed when another is needed.
            self.open.swap(0, at);
        } else {
            let (file, length) = self.files.open_for_append(month)?;
            self.open.truncate(MAX_OPEN_FILES - 1);
            self.open.push_front(OpenFile {
                month,
                file,
                length,
                dirty: false,
            });
        }
        Ok(self.open.front_mut().expect("one was put in front"))
    }
}

/// Records the end of the thread on every way out, a panic included.
struct EndSignal<'a>(&'a Shared);

impl Drop for EndSignal<'_> {
    fn drop(&mut self) {
        self.0.backlog.lock().thread_ended = true;
        self.0.idle.notify_all();
    }
}

/// Waits for work and returns the lines to write next; `None` once the store is dropped and nothing
/// is left.
fn next_batch(shared: &Shared) -> Option<VecDeque<(Month, Vec<u8>)>> {
    let mut backlog = shared.backlog.lock();
    while backlog.bytes == 0 {
        if backlog.stop {
            return None;
        }
        shared.work.wait(&mut backlog);
    }
    let until = Instant::now() + GATHER_TIME;
    while !backlog.stop && !backlog.flushing && backlog.bytes < WRITE_AT_BYTES {
        if shared.work.wait_until(&mut backlog, until).timed_out() {
            break;
        }
    }
    backlog.writing = std::mem::take(&mut backlog.bytes);
    Some(std::mem::take(&mut backlog.lines))
}
