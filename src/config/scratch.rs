//! A temporary folder for one test, removed when dropped.

use std::path::{Path, PathBuf};

use crate::model::ids::StreamId;

/// A temporary folder that no other test uses.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Creates an empty folder.
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("sluicegate-{}", StreamId::random()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The folder's path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into the folder, and creates the folders of its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A failure only leaves a folder in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
