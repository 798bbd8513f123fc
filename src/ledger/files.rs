//! The ledger's folder: one file of JSON lines for each month, and the lock for writing.
//!
//! Invariants: one process writes (the lock ends with it); folders are readable by this user only
//! (0700), files as well (0600); a line is complete once its line break is written, and bytes after
//! the last line break are ignored.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::period::Month;
use super::row::Row;

/// Folder of the months' files, below `data_dir`.
const FOLDER: &str = "ledger";
/// File that a process keeps locked while it writes.
const LOCK: &str = "lock";
/// Extension of the months' files.
const EXTENSION: &str = ".jsonl";
/// Maximum length of a line that is read, bytes: more than any row.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// An operation on a file or folder failed.
    #[error("data_dir: {action} {path}: {error}", path = path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// Another process writes to this folder.
    #[error("data_dir: another sluicegate uses {path}: stop it, or give each process its own folder", path = .0.display())]
    InUse(PathBuf),
}

impl FileProblem {
    pub(super) fn new(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io {
            action,
            path: path.to_owned(),
            error,
        }
    }
}

/// The folder, locked for writing.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    _lock: File,
}

impl Files {
    /// Creates the folder if needed and locks it for this process.
    ///
    /// # Errors
    /// When it cannot be created or used, or another process holds the lock.
    pub fn open(data_dir: &Path) -> Result<Self, FileProblem> {
        let folder = data_dir.join(FOLDER);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(FileProblem::new("cannot make", &folder))?;
        let path = data_dir.join(LOCK);
        // Opened without truncating: another process may hold the lock.
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path);
        let lock = lock.map_err(FileProblem::new("cannot open", &path))?;
        // The system releases this lock when the process ends, even by a crash.
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                folder,
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(FileProblem::InUse(data_dir.to_owned())),
            Err(TryLockError::Error(error)) => Err(FileProblem::new("cannot lock", &path)(error)),
        }
    }

    /// Returns the months that have a file, with its path, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn months(&self) -> Result<Vec<(Month, PathBuf)>, FileProblem> {
        list_months(&self.folder)
    }

    /// Opens a month's file for appending and removes an incomplete last line. Returns the file and
    /// its length, bytes.
    pub(super) fn open_for_append(&self, month: Month) -> io::Result<(File, u64)> {
        let path = self.folder.join(format!("{month}{EXTENSION}"));
        let fresh = !path.exists();
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .mode(0o600)
            .open(&path)?;
        if fresh {
            // The directory entry must survive a crash too.
            File::open(&self.folder)?.sync_all()?;
        }
        let length = complete_len(&file)?;
        // A crash may have cut the last line short: the next row must begin a line of its own.
        file.set_len(length)?;
        Ok((file, length))
    }
}

/// Returns the months that have a file below a `data_dir`, oldest first; empty if there is no
/// ledger.
///
/// # Errors
/// When the folder cannot be read.
pub fn months(data_dir: &Path) -> Result<Vec<(Month, PathBuf)>, FileProblem> {
    list_months(&data_dir.join(FOLDER))
}

fn list_months(folder: &Path) -> Result<Vec<(Month, PathBuf)>, FileProblem> {
    let unreadable = || FileProblem::new("cannot read", folder);
    let entries = match fs::read_dir(folder) {
        // No ledger has been written yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable())?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable())?.path();
        let month = path.file_name().and_then(|name| {
            name.to_str()?
                .strip_suffix(EXTENSION)?
                .parse::<Month>()
                .ok()
        });
        // Other files in the folder are ignored.
        found.extend(month.map(|month| (month, path)));
    }
    found.sort();
    Ok(found)
}

/// Returns the length of a file up to and including its last line break, bytes.
fn complete_len(file: &File) -> io::Result<u64> {
    const BLOCK: usize = 4096;
    let mut block = [0; BLOCK];
    // Backwards: the last line break is nearly always in the last block.
    let mut end = file.metadata()?.len();
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let piece = block
            .get_mut(..usize::try_from(end - start).unwrap_or(BLOCK))
            .unwrap_or_default();
        file.read_exact_at(piece, start)?;
        if let Some(at) = memchr::memrchr(b'\n', piece) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Calls `on_row` with every row of a file, in order, up to the last line that was complete when
/// the reading began. Returns the number of lines that are not rows.
///
/// # Errors
/// When the file cannot be read.
pub fn read_rows<E: From<FileProblem>>(
    path: &Path,
    mut on_row: impl FnMut(Row<'_>) -> Result<(), E>,
) -> Result<usize, E> {
    let unreadable = || FileProblem::new("cannot read", path);
    let mut file = File::open(path).map_err(unreadable())?;
    let length = complete_len(&file).map_err(unreadable())?;
    file.seek(SeekFrom::Start(0)).map_err(unreadable())?;
    // Bounded by the length: another process may append in the meantime.
    let mut reader = BufReader::with_capacity(1 << 18, file.take(length));
    let (mut line, mut damaged, mut skipping) = (Vec::new(), 0, false);
    loop {
        line.clear();
        if (&mut reader)
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)
            .map_err(unreadable())?
            == 0
        {
            return Ok(damaged);
        }
        // A line longer than any row is skipped up to its end.
        let cut = line.last() != Some(&b'\n');
        match Row::parse(&line) {
            Ok(row) if !cut && !skipping => on_row(row)?,
            _ if skipping => {}
            _ => damaged += 1,
        }
        skipping = cut;
    }
}
