//! A folder of recordings: made where it is missing, and how much is in it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

/// How the name of a recording ends.
pub(super) const WHOLE: &str = "rec";
/// How it ends while it is being written, and where the process ended before it was whole.
pub(super) const PARTIAL: &str = "rec.part";

/// Makes the folder where it is missing, for this user alone; says what is wrong with it.
pub(super) fn make(dir: &Path) -> Result<(), String> {
    let shown = dir.display();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| format!("its `record` folder {shown} cannot be made: {error}"))?;
    access(
        dir,
        AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK,
    )
    .map_err(|error| format!("nothing can be recorded in {shown}: {}", error.desc()))
}

/// The bytes of all recordings in the folder, but for those whose name `skip` knows.
pub(super) fn size(dir: &Path, skip: impl Fn(&str) -> bool) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let recording = [WHOLE, PARTIAL].iter().any(|end| {
            name.strip_suffix(end)
                .is_some_and(|rest| rest.ends_with('.'))
        });
        if recording && !skip(&name) {
            // One that went in the meantime takes no room.
            sum += entry
                .metadata()
                .map_or(0, |it| if it.is_file() { it.len() } else { 0 });
        }
    }
    Ok(sum)
}
