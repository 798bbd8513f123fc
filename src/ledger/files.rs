//! The ledger's folder: a file of JSON lines for each month, and who may write it.
//!
//! Invariants: one process writes (a lock that ends with it); folders are for this user alone
//! (0700), files as well (0600); a line is whole once its line break is there, and what is behind
//! the last one is no line.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::period::Month;
use super::row::Row;

/// The folder of the months, below `data_dir`.
const FOLDER: &str = "ledger";
/// The file that a process holds locked as long as it writes.
const LOCK: &str = "lock";
/// How the name of a month's file ends.
const ENDING: &str = ".jsonl";
/// The longest line that is read: more than any row.
const LONGEST: u64 = 64 * 1024;

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// Something went wrong with a file or folder.
    #[error("data_dir: {what} {path}: {error}", path = path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// Another process writes here.
    #[error("data_dir: another sluicegate uses {path}: stop it, or give each process a folder of its own", path = .0.display())]
    InUse(PathBuf),
}

impl FileProblem {
    pub(super) fn new(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io {
            what,
            path: path.to_owned(),
            error,
        }
    }
}

/// The folder, held for writing.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    _lock: File,
}

impl Files {
    /// Makes the folder ready and takes it for this process.
    ///
    /// # Errors
    /// When it cannot be made or used, or another process has it.
    pub fn open(data_dir: &Path) -> Result<Self, FileProblem> {
        let folder = data_dir.join(FOLDER);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(FileProblem::new("cannot make", &folder))?;
        let path = data_dir.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path);
        let lock = lock.map_err(FileProblem::new("cannot open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                folder,
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(FileProblem::InUse(data_dir.to_owned())),
            Err(TryLockError::Error(error)) => Err(FileProblem::new("cannot lock", &path)(error)),
        }
    }

    /// The months that there are, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn months(&self) -> Result<Vec<(Month, PathBuf)>, FileProblem> {
        list(&self.folder)
    }

    /// Opens a month's file to be written on, without a last line that was cut short; how long it
    /// is then, in bytes.
    pub(super) fn append(&self, month: Month) -> io::Result<(File, u64)> {
        let path = self.folder.join(format!("{month}{ENDING}"));
        let fresh = !path.exists();
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .mode(0o600)
            .open(&path)?;
        if fresh {
            // Its name is to be there after a crash as well.
            File::open(&self.folder)?.sync_all()?;
        }
        let length = whole(&file)?;
        file.set_len(length)?;
        Ok((file, length))
    }
}

/// The months that are below a `data_dir`, oldest first; none where there is no ledger.
///
/// # Errors
/// When the folder cannot be read.
pub fn months(data_dir: &Path) -> Result<Vec<(Month, PathBuf)>, FileProblem> {
    list(&data_dir.join(FOLDER))
}

fn list(folder: &Path) -> Result<Vec<(Month, PathBuf)>, FileProblem> {
    let unreadable = || FileProblem::new("cannot read", folder);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable())?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable())?.path();
        let month = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(ENDING)?.parse::<Month>().ok());
        found.extend(month.map(|month| (month, path)));
    }
    found.sort();
    Ok(found)
}

/// The length of a file up to its last line break.
fn whole(file: &File) -> io::Result<u64> {
    const BLOCK: usize = 4096;
    let mut block = [0; BLOCK];
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

/// Gives every row of a file to `visit`, in order, as far as it was whole when the reading began;
/// says how many lines were no rows.
///
/// # Errors
/// When the file cannot be read.
pub fn read<E: From<FileProblem>>(
    path: &Path,
    mut context: impl FnMut(Row<'_>) -> Result<(), E>,
) -> Result<usize, E> {
    let unreadable = || FileProblem::new("cannot read", path);
    let mut file = File::open(path).map_err(unreadable())?;
    let length = whole(&file).map_err(unreadable())?;
    file.seek(SeekFrom::Start(0)).map_err(unreadable())?;
    let mut reader = BufReader::with_capacity(1 << 18, file.take(length));
    let (mut line, mut damaged, mut skipping) = (Vec::new(), 0, false);
    loop {
        line.clear();
        if (&mut reader)
            .take(LONGEST)
            .read_until(b'\n', &mut line)
            .map_err(unreadable())?
            == 0
        {
            return Ok(damaged);
        }
        // What is longer than any row is passed over, up to its end.
        let cut = line.last() != Some(&b'\n');
        match Row::parse(&line) {
            Ok(row) if !cut && !skipping => context(row)?,
            _ if skipping => {}
            _ => damaged += 1,
        }
        skipping = cut;
    }
}
