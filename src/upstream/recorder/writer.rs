//! The thread that writes recordings.
//!
//! Invariants:
//! - A failure gives up one recording and nothing else.
//! - A file is removed only if it was created here and is incomplete.
//! - The recordings of a folder never exceed the `record_max` of their provider, all together.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::folder::{COMPLETE, PARTIAL};
use super::secrets::Mask;
use super::{CHUNK_OVERHEAD, NewRecording, WriterMessage, folder, new_recording_cost};
use crate::wire::recording::{self, Chunk, chunk_line};

/// Writes recordings until all senders of messages are dropped.
pub(super) struct Writer {
    queued: Arc<AtomicUsize>,
    folders: HashMap<PathBuf, Folder>,
    files: HashMap<u64, OpenRecording>,
}

/// The state of a folder.
#[derive(Default)]
struct Folder {
    /// Size of its recordings, bytes, including those in progress.
    used: u64,
    /// The limit that was reached: no provider with this limit or a smaller one is recorded any
    /// more.
    full: u64,
}

/// A recording in progress.
struct OpenRecording {
    dir: PathBuf,
    name: String,
    max: u64,
    file: BufWriter<File>,
    written: u64,
    mask: Mask,
    last: Duration,
    stopped: Arc<AtomicBool>,
}

/// The reason why a recording is given up.
#[derive(Debug, thiserror::Error)]
enum DropReason {
    /// Logged once per folder.
    #[error("its folder is full")]
    Full,
    #[error("the disk is too slow")]
    Overloaded,
    #[error(
        "it exceeds the {} bytes that `replay` can play",
        recording::SIZE_BOUND
    )]
    TooLarge,
    #[error("cannot write it: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Folder(String),
}

impl Writer {
    pub(super) fn new(queued: Arc<AtomicUsize>) -> Self {
        Self {
            queued,
            folders: HashMap::new(),
            files: HashMap::new(),
        }
    }

    pub(super) fn run(mut self, messages: &Receiver<WriterMessage>) {
        while let Ok(message) = messages.recv() {
            self.handle(message);
        }
    }

    pub(super) fn handle(&mut self, message: WriterMessage) {
        match message {
            WriterMessage::Folder(dir) => self.measure(&dir),
            WriterMessage::Begin(number, new_recording) => {
                self.queued
                    // From here on it no longer waits, whatever becomes of it.
                    .fetch_sub(new_recording_cost(&new_recording.head), Ordering::Relaxed);
                self.begin(number, new_recording);
            }
            WriterMessage::Chunk(number, at, bytes) => {
                self.queued
                    .fetch_sub(bytes.len() + CHUNK_OVERHEAD, Ordering::Relaxed);
                self.append(number, at, &bytes);
            }
            WriterMessage::End(number, complete) => self.end(number, complete),
            WriterMessage::Flush(done) => {
                for open in self.files.values_mut() {
                    if let Err(error) = open.file.flush() {
                        tracing::error!(
                            recording = open.name,
                            %error,
                            "cannot write a recording to disk"
                        );
                    }
                }
                // The caller may have stopped waiting.
                let _gone = done.send(());
            }
        }
    }

    /// Measures a folder, in which the operator may have made room.
    fn measure(&mut self, dir: &Path) {
        let dir = canonical(dir);
        let open: Vec<&OpenRecording> =
            self.files.values().filter(|open| open.dir == dir).collect();
        let partial = |name: &str| open.iter().any(|open| open.partial_name() == name);
        match folder::size(&dir, partial) {
            Ok(size) => {
                let used = size + open.iter().map(|open| open.written).sum::<u64>();
                self.folders.insert(dir, Folder { used, full: 0 });
            }
            Err(error) => {
                tracing::error!(
                    dir = %dir.display(),
                    %error,
                    "cannot measure the size of a recordings folder"
                );
            }
        }
    }

    fn begin(&mut self, number: u64, new_recording: NewRecording) {
        let (name, stopped) = (new_recording.name.clone(), new_recording.stopped.clone());
        match self.open(new_recording) {
            Ok(open) => {
                self.files.insert(number, open);
            }
            Err(reason) => {
                stopped.store(true, Ordering::Relaxed);
                log_discarded(&name, &reason);
            }
        }
    }

    fn open(&mut self, new_recording: NewRecording) -> Result<OpenRecording, DropReason> {
        let NewRecording {
            record,
            name,
            head,
            secrets,
            stopped,
        } = new_recording;
        folder::create(&record.dir).map_err(DropReason::Folder)?;
        let dir = canonical(&record.dir);
        if !self.folders.contains_key(&dir) {
            self.measure(&dir);
        }
        self.ensure_room(&dir, record.max, head.len() as u64)?;
        let path = dir.join(format!("{name}.{PARTIAL}"));
        let file = OpenOptions::new()
            .write(true)
            // Never open an existing file: it may belong to the operator.
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let file = BufWriter::new(file);
        let mut open = OpenRecording {
            dir,
            name,
            max: record.max,
            file,
            written: 0,
            mask: Mask::new(secrets),
            last: Duration::ZERO,
            stopped,
        };
        match self.write(&mut open, &head) {
            Ok(()) => Ok(open),
            Err(reason) => {
                self.remove(&open);
                Err(reason)
            }
        }
    }

    /// Checks that `more` bytes fit into the folder.
    fn ensure_room(&mut self, dir: &Path, max: u64, more: u64) -> Result<(), DropReason> {
        // Stays set until the folder is measured again, so that the warning is logged once.
        if self.folder(dir).full >= max {
            return Err(DropReason::Full);
        }
        if self.folder(dir).used.saturating_add(more) > max {
            // The operator may have made room since the last measurement.
            self.measure(dir);
        }
        let folder = self.folder(dir);
        if folder.used.saturating_add(more) <= max {
            return Ok(());
        }
        folder.full = max;
        let help = "move recordings away and reload the configuration, or raise `record_max`";
        tracing::warn!(
            dir = %dir.display(),
            record_max = max,
            "recording has stopped because the folder is full: {help}"
        );
        Err(DropReason::Full)
    }

    fn folder(&mut self, dir: &Path) -> &mut Folder {
        self.folders.entry(dir.to_owned()).or_default()
    }

    fn append(&mut self, number: u64, at: Duration, bytes: &[u8]) {
        let Some(mut open) = self.files.remove(&number) else {
            return;
        };
        open.last = at.min(recording::MAX_CHUNK_TIME);
        let bytes = open.mask.mask(bytes);
        match self.write_chunk(&mut open, bytes) {
            Ok(()) => {
                self.files.insert(number, open);
            }
            Err(reason) => self.discard(&open, &reason),
        }
    }

    fn write_chunk(&mut self, open: &mut OpenRecording, bytes: Vec<u8>) -> Result<(), DropReason> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.write(
            open,
            &chunk_line(&Chunk {
                at: open.last,
                bytes: bytes.into(),
            }),
        )
    }

    fn write(&mut self, open: &mut OpenRecording, line: &[u8]) -> Result<(), DropReason> {
        let length = line.len() as u64;
        if open.written + length > recording::SIZE_BOUND as u64 {
            return Err(DropReason::TooLarge);
        }
        if self.folder(&open.dir).used.saturating_add(length) > open.max {
            // `ensure_room` may measure the folder. This recording is not in `self.files` now, so
            // its size is read from the file: flush it first.
            open.file.flush()?;
        }
        self.ensure_room(&open.dir, open.max, length)?;
        open.file.write_all(line)?;
        open.written += length;
        self.folder(&open.dir).used += length;
        Ok(())
    }

    fn end(&mut self, number: u64, complete: bool) {
        let Some(mut open) = self.files.remove(&number) else {
            return;
        };
        let tail = open.mask.finish();
        let ended = if complete {
            self.write_chunk(&mut open, tail)
                .and_then(|()| Ok(open.finish()?))
        } else {
            Err(DropReason::Overloaded)
        };
        if let Err(reason) = ended {
            self.discard(&open, &reason);
        }
    }

    fn discard(&mut self, open: &OpenRecording, reason: &DropReason) {
        log_discarded(&open.name, reason);
        self.remove(open);
    }

    /// Removes an incomplete file.
    fn remove(&mut self, open: &OpenRecording) {
        open.stopped.store(true, Ordering::Relaxed);
        let path = open.dir.join(open.partial_name());
        if let Err(error) = fs::remove_file(&path) {
            tracing::error!(
                path = %path.display(),
                %error,
                "cannot remove an incomplete recording"
            );
        } else {
            let folder = self.folder(&open.dir);
            folder.used = folder.used.saturating_sub(open.written);
        }
    }
}

impl OpenRecording {
    fn partial_name(&self) -> String {
        format!("{}.{PARTIAL}", self.name)
    }

    /// Gives a complete recording its final name.
    fn finish(&mut self) -> io::Result<()> {
        self.file.flush()?;
        // Atomic: a file with the final name is always complete.
        fs::rename(
            self.dir.join(self.partial_name()),
            self.dir.join(format!("{}.{COMPLETE}", self.name)),
        )
    }
}

/// Returns the canonical path of a folder, or the path itself if it has none.
fn canonical(dir: &Path) -> PathBuf {
    dir.canonicalize().unwrap_or_else(|_| dir.to_owned())
}

fn log_discarded(recording: &str, reason: &DropReason) {
    if !matches!(reason, DropReason::Full) {
        tracing::error!(recording, %reason, "a recording was given up; its stream continues");
    }
}
