//! A folder of recordings that is removed after its test.

use std::fs;
use std::path::{Path, PathBuf};

use sluicegate::model::ids::StreamId;
use sluicegate::wire::recording::Recording;

use super::within;

/// A folder for recordings. It does not exist at first and is removed on drop.
#[derive(Debug)]
pub struct RecordingFolder(PathBuf);

impl RecordingFolder {
    /// Chooses an unused path.
    pub fn new() -> Self {
        Self(std::env::temp_dir().join(format!("sluicegate-{}", StreamId::random())))
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the sorted names of its files.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.0)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Waits for a file and returns its content.
    pub async fn file(&self, name: &str) -> Vec<u8> {
        let path = self.0.join(name);
        let waiting = async {
            while !path.exists() {
                tokio::task::yield_now().await;
            }
        };
        within(&format!("the recording {name}"), waiting).await;
        fs::read(path).unwrap()
    }

    /// Waits for a recording and parses it.
    pub async fn recording(&self, name: &str) -> Recording {
        Recording::parse(&self.file(name).await).unwrap()
    }

    /// Waits until no recording is being written.
    pub async fn settled(&self) {
        let waiting = async {
            while self.names().iter().any(|name| name.ends_with(".part")) {
                tokio::task::yield_now().await;
            }
        };
        within("the recordings to be complete", waiting).await;
    }

    /// Writes a file.
    pub fn write(&self, name: &str, recording: impl AsRef<[u8]>) {
        fs::create_dir_all(&self.0).unwrap();
        fs::write(self.0.join(name), recording).unwrap();
    }
}

impl Drop for RecordingFolder {
    fn drop(&mut self) {
        // A folder that is left in the system's temporary folder does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}
