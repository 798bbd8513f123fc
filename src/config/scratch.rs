//! A folder of its own for a test, removed with it.

use std::path::{Path, PathBuf};

use crate::model::ids::StreamId;

/// An empty folder that nothing else uses.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new one.
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("sluicegate-{}", StreamId::random()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file in it, and the folders on the way.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder left behind in the system's temporary one harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
