//! A folder of recordings, gone when its test is over.

use std::fs;
use std::path::{Path, PathBuf};

use sluicegate::model::ids::StreamId;
use sluicegate::wire::recording::Recording;

use super::within;

/// A folder for recordings, which is not there yet, and which is removed in the end.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// One that nobody has.
    pub fn new() -> Self {
        Self(std::env::temp_dir().join(format!("sluicegate-{}", StreamId::random())))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The names in it.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.0)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Waits for a file.
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

    /// Waits for a recording.
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
        within("the recordings to be whole", waiting).await;
    }

    /// Puts a file there.
    pub fn write(&self, name: &str, recording: impl AsRef<[u8]>) {
        fs::create_dir_all(&self.0).unwrap();
        fs::write(self.0.join(name), recording).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left behind in the system's temporary one harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}
