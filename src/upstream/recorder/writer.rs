//! The thread that writes recordings.
//!
//! Invariants: whatever fails gives one recording up, and no more; a file is only removed if it was
//! made here and is not whole; the recordings of a folder never have more bytes together than its
//! account allows.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::folder::{PARTIAL, WHOLE};
use super::secrets::Mask;
use super::{Beginning, Message, PIECE, beginning_cost, folder};
use crate::wire::recording::{self, Chunk, chunk_line};

/// Writes what it is told until nobody can tell it anything any more.
pub(super) struct Writer {
    waiting: Arc<AtomicUsize>,
    folders: HashMap<PathBuf, Folder>,
    files: HashMap<u64, Open>,
}

/// What is known of a folder.
#[derive(Default)]
struct Folder {
    /// Bytes of its recordings, those being written included.
    used: u64,
    /// The bound that was reached: no account with this one or a smaller one is recorded any more.
    full: u64,
}

/// A recording being written.
struct Open {
    dir: PathBuf,
    name: String,
    max: u64,
    file: BufWriter<File>,
    written: u64,
    mask: Mask,
    last: Duration,
    over: Arc<AtomicBool>,
}

/// Why a recording is given up.
#[derive(Debug, thiserror::Error)]
enum GivenUp {
    /// Told once for the folder.
    #[error("its folder is full")]
    Full,
    #[error("the disk is too slow for what is to be recorded")]
    Behind,
    #[error(
        "it is larger than the {} bytes that can be played",
        recording::SIZE_BOUND
    )]
    TooLarge,
    #[error("it cannot be written: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Folder(String),
}

impl Writer {
    pub(super) fn new(waiting: Arc<AtomicUsize>) -> Self {
        Self {
            waiting,
            folders: HashMap::new(),
            files: HashMap::new(),
        }
    }

    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            self.take(message);
        }
    }

    pub(super) fn take(&mut self, message: Message) {
        match message {
            Message::Folder(dir) => self.count(&dir),
            Message::Begin(number, beginning) => {
                self.waiting
                    .fetch_sub(beginning_cost(&beginning.head), Ordering::Relaxed);
                self.begin(number, beginning);
            }
            Message::Read(number, at, bytes) => {
                self.waiting
                    .fetch_sub(bytes.len() + PIECE, Ordering::Relaxed);
                self.read(number, at, &bytes);
            }
            Message::End(number, whole) => self.end(number, whole),
            Message::Flush(done) => {
                for open in self.files.values_mut() {
                    if let Err(error) = open.file.flush() {
                        tracing::error!(recording = open.name, %error, "a recording cannot be written");
                    }
                }
                // Whoever has not waited for it does not need to know.
                let _gone = done.send(());
            }
        }
    }

    /// Looks how much is in a folder, which the operator may have made room in.
    fn count(&mut self, dir: &Path) {
        let dir = canonical(dir);
        let open: Vec<&Open> = self.files.values().filter(|open| open.dir == dir).collect();
        let partial = |name: &str| open.iter().any(|open| open.partial_name() == name);
        match folder::size(&dir, partial) {
            Ok(size) => {
                let used = size + open.iter().map(|open| open.written).sum::<u64>();
                self.folders.insert(dir, Folder { used, full: 0 });
            }
            Err(error) => {
                tracing::error!(dir = %dir.display(), %error, "the recordings of a folder cannot be counted");
            }
        }
    }

    fn begin(&mut self, number: u64, beginning: Beginning) {
        let (name, over) = (beginning.name.clone(), beginning.over.clone());
        match self.open(beginning) {
            Ok(open) => {
                self.files.insert(number, open);
            }
            Err(why) => {
                over.store(true, Ordering::Relaxed);
                tell(&name, &why);
            }
        }
    }

    fn open(&mut self, beginning: Beginning) -> Result<Open, GivenUp> {
        let Beginning {
            record,
            name,
            head,
            secrets,
            over,
        } = beginning;
        folder::make(&record.dir).map_err(GivenUp::Folder)?;
        let dir = canonical(&record.dir);
        if !self.folders.contains_key(&dir) {
            self.count(&dir);
        }
        self.make_sure(&dir, record.max, head.len() as u64)?;
        let path = dir.join(format!("{name}.{PARTIAL}"));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let file = BufWriter::new(file);
        let mut open = Open {
            dir,
            name,
            max: record.max,
            file,
            written: 0,
            mask: Mask::new(secrets),
            last: Duration::ZERO,
            over,
        };
        match self.write(&mut open, &head) {
            Ok(()) => Ok(open),
            Err(why) => {
                self.remove(&open);
                Err(why)
            }
        }
    }

    /// That many bytes more have room.
    fn make_sure(&mut self, dir: &Path, max: u64, more: u64) -> Result<(), GivenUp> {
        if self.folder(dir).full >= max {
            return Err(GivenUp::Full);
        }
        if self.folder(dir).used.saturating_add(more) > max {
            // Perhaps room was made since it was counted.
            self.count(dir);
        }
        let folder = self.folder(dir);
        if folder.used.saturating_add(more) <= max {
            return Ok(());
        }
        folder.full = max;
        let help = "move recordings away and reload, or raise `record_max`";
        tracing::warn!(dir = %dir.display(), record_max = max, "recording has stopped, as the folder is full: {help}");
        Err(GivenUp::Full)
    }

    fn folder(&mut self, dir: &Path) -> &mut Folder {
        self.folders.entry(dir.to_owned()).or_default()
    }

    fn read(&mut self, number: u64, at: Duration, bytes: &[u8]) {
        let Some(mut open) = self.files.remove(&number) else {
            return;
        };
        open.last = at.min(recording::LATEST);
        let bytes = open.mask.mask(bytes);
        match self.chunk(&mut open, bytes) {
            Ok(()) => {
                self.files.insert(number, open);
            }
            Err(why) => self.give_up(&open, &why),
        }
    }

    fn chunk(&mut self, open: &mut Open, bytes: Vec<u8>) -> Result<(), GivenUp> {
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

    fn write(&mut self, open: &mut Open, line: &[u8]) -> Result<(), GivenUp> {
        let length = line.len() as u64;
        if open.written + length > recording::SIZE_BOUND as u64 {
            return Err(GivenUp::TooLarge);
        }
        if self.folder(&open.dir).used.saturating_add(length) > open.max {
            // The folder will be counted, and this file is in nobody's hands but ours.
            open.file.flush()?;
        }
        self.make_sure(&open.dir, open.max, length)?;
        open.file.write_all(line)?;
        open.written += length;
        self.folder(&open.dir).used += length;
        Ok(())
    }

    fn end(&mut self, number: u64, whole: bool) {
        let Some(mut open) = self.files.remove(&number) else {
            return;
        };
        let rest = open.mask.rest();
        let ended = if whole {
            self.chunk(&mut open, rest).and_then(|()| Ok(open.keep()?))
        } else {
            Err(GivenUp::Behind)
        };
        if let Err(why) = ended {
            self.give_up(&open, &why);
        }
    }

    fn give_up(&mut self, open: &Open, why: &GivenUp) {
        tell(&open.name, why);
        self.remove(open);
    }

    /// Removes a file that is not whole.
    fn remove(&mut self, open: &Open) {
        open.over.store(true, Ordering::Relaxed);
        let path = open.dir.join(open.partial_name());
        if let Err(error) = fs::remove_file(&path) {
            tracing::error!(path = %path.display(), %error, "a recording that is not whole cannot be removed");
        } else {
            let folder = self.folder(&open.dir);
            folder.used = folder.used.saturating_sub(open.written);
        }
    }
}

impl Open {
    fn partial_name(&self) -> String {
        format!("{}.{PARTIAL}", self.name)
    }

    /// It is whole: it gets its name.
    fn keep(&mut self) -> io::Result<()> {
        self.file.flush()?;
        fs::rename(
            self.dir.join(self.partial_name()),
            self.dir.join(format!("{}.{WHOLE}", self.name)),
        )
    }
}

/// A folder by its one name, where it has one.
fn canonical(dir: &Path) -> PathBuf {
    dir.canonicalize().unwrap_or_else(|_| dir.to_owned())
}

fn tell(recording: &str, why: &GivenUp) {
    if !matches!(why, GivenUp::Full) {
        tracing::error!(recording, %why, "a recording was given up; its stream was not");
    }
}
