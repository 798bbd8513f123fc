//! A folder of recordings: creates it and measures its size.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

/// File extension of a complete recording.
pub(super) const COMPLETE: &str = "rec";
/// File extension of a recording in progress, or one that a crash left incomplete.
pub(super) const PARTIAL: &str = "rec.part";

/// Creates the folder if it does not exist, accessible to this user only. Returns the reason when
/// it cannot be used.
pub(super) fn create(dir: &Path) -> Result<(), String> {
    let path = dir.display();
    DirBuilder::new()
        .recursive(true)
        // Recordings contain completions.
        .mode(0o700)
        .create(dir)
        .map_err(|error| format!("cannot create its `record` folder {path}: {error}"))?;
    // Checked now, so that a wrong permission is found at startup.
    access(
        dir,
        AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK,
    )
    .map_err(|error| format!("cannot write recordings into {path}: {}", error.desc()))
}

/// Returns the size of all recordings in the folder, bytes, except those for which `skip` is true.
pub(super) fn size(dir: &Path, skip: impl Fn(&str) -> bool) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let recording = [COMPLETE, PARTIAL].iter().any(|end| {
            name.strip_suffix(end)
                .is_some_and(|rest| rest.ends_with('.'))
        });
        if recording && !skip(&name) {
            // A file removed in the meantime takes no room.
            sum += entry
                .metadata()
                .map_or(0, |it| if it.is_file() { it.len() } else { 0 });
        }
    }
    Ok(sum)
}
