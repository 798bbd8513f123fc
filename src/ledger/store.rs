//! The one hand that writes the ledger: a thread with a bounded backlog.
//!
//! Invariants: whoever has a row to write never waits for the disk; what came within [`GATHER`] is
//! written and synced together; a row that cannot be written stays in memory and is tried again,
//! and while more than [`MOST`] bytes wait, nothing new begins (rows of streams that already run
//! are taken all the same: there are only so many).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::files::{FileProblem, Files};
use super::period::Month;

/// How long rows are gathered before they are written and synced together: what a crash may lose.
const GATHER: Duration = Duration::from_millis(100);
/// Bytes that are worth a write of their own.
const ENOUGH: usize = 1 << 20;
/// Bytes that may wait before nothing new begins: about 20 000 rows, a minute of a busy instance
/// whose disk hangs.
const MOST: usize = 8 << 20;
/// After a write that failed.
const RETRY: Duration = Duration::from_secs(1);
/// Files that are kept open: this month's, and that of streams which began before it.
const OPEN: usize = 2;
/// How long dropping the store waits for its last rows.
const LAST_WRITE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Store {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    backlog: Mutex<Backlog>,
    /// There is something to do.
    work: Condvar,
    /// Everything was written, or given up.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct Backlog {
    /// Lines by the month they belong to, in the order they came.
    lines: VecDeque<(Month, Vec<u8>)>,
    bytes: usize,
    /// Bytes that are being written.
    writing: usize,
    /// Somebody waits: nothing is gathered.
    hurried: bool,
    stop: bool,
    gone: bool,
}

impl Store {
    /// Begins to write.
    pub(super) fn begin(files: Files) -> Result<Self, FileProblem> {
        let shared = Arc::new(Shared::default());
        let writer = Writer {
            shared: shared.clone(),
            files,
            open: VecDeque::with_capacity(OPEN),
            failing: false,
        };
        // It logs where whoever began it does.
        let log = tracing::dispatcher::get_default(Clone::clone);
        let work = move || tracing::dispatcher::with_default(&log, || writer.run());
        let thread = thread::Builder::new().name("ledger".into()).spawn(work);
        let thread = thread.map_err(FileProblem::new(
            "cannot begin the thread that writes",
            std::path::Path::new("the ledger"),
        ))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Takes a line, which is written soon.
    pub(super) fn push(&self, month: Month, line: &[u8]) {
        let mut backlog = self.shared.backlog.lock();
        let idle = backlog.bytes == 0;
        match backlog.lines.iter_mut().find(|(of, _)| *of == month) {
            Some((_, lines)) => lines.extend_from_slice(line),
            None => backlog.lines.push_back((month, line.to_vec())),
        }
        backlog.bytes += line.len();
        if idle || backlog.bytes >= ENOUGH {
            self.shared.work.notify_one();
        }
    }

    /// True while too much waits.
    pub(super) fn is_full(&self) -> bool {
        let backlog = self.shared.backlog.lock();
        backlog.bytes + backlog.writing > MOST
    }

    /// Waits until all that came is on the disk, or for that long.
    pub(super) fn flush(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        let mut backlog = self.shared.backlog.lock();
        backlog.hurried = true;
        self.shared.work.notify_one();
        while backlog.bytes + backlog.writing > 0 && !backlog.gone {
            if self.shared.idle.wait_until(&mut backlog, until).timed_out() {
                tracing::error!(
                    bytes = backlog.bytes + backlog.writing,
                    "the last rows of the ledger are not on the disk"
                );
                break;
            }
        }
        backlog.hurried = false;
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let until = Instant::now() + LAST_WRITE;
        let mut backlog = self.shared.backlog.lock();
        backlog.stop = true;
        self.shared.work.notify_one();
        while !backlog.gone {
            if self.shared.idle.wait_until(&mut backlog, until).timed_out() {
                // A disk that hangs: the thread is left to itself.
                return;
            }
        }
        drop(backlog);
        if let Some(thread) = self.thread.take() {
            // A panic in it has been logged.
            let _over = thread.join();
        }
    }
}

struct Writer {
    shared: Arc<Shared>,
    files: Files,
    open: VecDeque<Open>,
    /// The last write failed, and the log knows.
    failing: bool,
}

/// A file that is written on.
struct Open {
    month: Month,
    file: File,
    /// Its length, whole lines alone.
    length: u64,
    /// Behind them stands what a failed write has left.
    dirty: bool,
}

impl Writer {
    fn run(mut self) {
        let shared = self.shared.clone();
        let _gone = Gone(&shared);
        while let Some(lines) = next(&shared) {
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
                    "rows of the ledger are lost: they cannot be written, and the process ends"
                );
                return;
            }
            backlog.bytes += lost;
            // In front of what has come since.
            left.into_iter()
                .rev()
                .for_each(|it| backlog.lines.push_front(it));
            shared.work.wait_for(&mut backlog, RETRY);
        }
    }

    /// Writes what it can; gives back the rest.
    fn write_all(&mut self, mut lines: VecDeque<(Month, Vec<u8>)>) -> VecDeque<(Month, Vec<u8>)> {
        while let Some((month, bytes)) = lines.front() {
            if let Err(error) = self.write(*month, bytes) {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, %month, "the ledger cannot be written: it is tried again every second");
                }
                return lines;
            }
            lines.pop_front();
        }
        if std::mem::replace(&mut self.failing, false) {
            tracing::warn!("the ledger is written again");
        }
        lines
    }

    fn write(&mut self, month: Month, bytes: &[u8]) -> io::Result<()> {
        let open = self.open(month)?;
        if open.dirty {
            open.file.set_len(open.length)?;
        }
        open.dirty = true;
        open.file.write_all(bytes)?;
        open.file.sync_data()?;
        open.dirty = false;
        open.length += bytes.len() as u64;
        Ok(())
    }

    fn open(&mut self, month: Month) -> io::Result<&mut Open> {
        if let Some(at) = self.open.iter().position(|it| it.month == month) {
            self.open.swap(0, at);
        } else {
            let (file, length) = self.files.append(month)?;
            self.open.truncate(OPEN - 1);
            self.open.push_front(Open {
                month,
                file,
                length,
                dirty: false,
            });
        }
        Ok(self.open.front_mut().expect("one was put in front"))
    }
}

/// The thread is over, however that came.
struct Gone<'a>(&'a Shared);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.backlog.lock().gone = true;
        self.0.idle.notify_all();
    }
}

/// What is to be written next; `None` once there is nothing more.
fn next(shared: &Shared) -> Option<VecDeque<(Month, Vec<u8>)>> {
    let mut backlog = shared.backlog.lock();
    while backlog.bytes == 0 {
        if backlog.stop {
            return None;
        }
        shared.work.wait(&mut backlog);
    }
    let until = Instant::now() + GATHER;
    while !backlog.stop && !backlog.hurried && backlog.bytes < ENOUGH {
        if shared.work.wait_until(&mut backlog, until).timed_out() {
            break;
        }
    }
    backlog.writing = std::mem::take(&mut backlog.bytes);
    Some(std::mem::take(&mut backlog.lines))
}
