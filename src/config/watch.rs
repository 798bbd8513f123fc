//! Tells when the configuration's file has changed.
//!
//! Invariants: the folder is watched, not the file, as editors and orchestrators put a new file in
//! the old one's place. A change is told once the folder has been quiet for a moment, and only when
//! the file's content is another one. A file that is gone for now is no change. Nothing queues:
//! what has not been looked at yet is one change.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// How long the folder must be quiet: editors write in several steps.
const QUIET: Duration = Duration::from_millis(200);

/// The longest wait for quiet, in a folder where something is always written.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Keeps the watch; dropped, it ends.
#[derive(Debug)]
pub struct Watch {
    _watcher: RecommendedWatcher,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Watches the file at `path`. The receiver gets a message after each change of its content; it
/// ends with the guard.
///
/// # Errors
/// When the folder cannot be watched.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn watch(path: PathBuf) -> notify::Result<(Watch, mpsc::Receiver<()>)> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
        .to_path_buf();
    let (stir, stirred) = mpsc::channel(1);
    let (tell, told) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // Where the queue is full, the news it holds is this one.
        if event.map_or(true, |event| is_news(&event)) {
            let _ = stir.try_send(());
        }
    })?;
    watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    let known = digest(&path);
    let task = tokio::spawn(settle(stirred, tell, known, move || digest(&path)));
    Ok((
        Watch {
            _watcher: watcher,
            task,
        },
        told,
    ))
}

/// Reading is no news, our own reading least of all.
fn is_news(event: &Event) -> bool {
    !matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
}

/// The file's digest; `None` while it cannot be read.
fn digest(path: &Path) -> Option<[u8; 32]> {
    std::fs::read(path)
        .ok()
        .map(|content| Sha256::digest(content).into())
}

/// Waits for quiet after each stir, and tells when `look` then sees another content than the one
/// known.
async fn settle<D: PartialEq>(
    mut stirred: mpsc::Receiver<()>,
    tell: mpsc::Sender<()>,
    mut known: Option<D>,
    look: impl Fn() -> Option<D>,
) {
    while stirred.recv().await.is_some() {
        let latest = Instant::now() + LONGEST_WAIT;
        while let Ok(Some(())) =
            timeout_at(latest.min(Instant::now() + QUIET), stirred.recv()).await
        {}
        let seen = look();
        if seen.is_some() && seen != known {
            known = seen;
            if let Err(mpsc::error::TrySendError::Closed(())) = tell.try_send(()) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::scratch::Scratch;
    use super::*;

    /// A watched file without a file system; its content is a number.
    struct Rig {
        stir: mpsc::Sender<()>,
        told: mpsc::Receiver<()>,
        content: Arc<AtomicU32>,
        looked: mpsc::UnboundedReceiver<Instant>,
    }

    const GONE: u32 = 0;

    fn rig() -> Rig {
        let (stir, stirred) = mpsc::channel(1);
        let (tell, told) = mpsc::channel(1);
        let (look, looked) = mpsc::unbounded_channel();
        let content = Arc::new(AtomicU32::new(1));
        let seen = content.clone();
        tokio::spawn(settle(stirred, tell, Some(1), move || {
            look.send(Instant::now()).unwrap();
            Some(seen.load(Ordering::Relaxed)).filter(|content| *content != GONE)
        }));
        Rig {
            stir,
            told,
            content,
            looked,
        }
    }

    impl Rig {
        /// Another content, and a stir that the task has taken note of.
        async fn write(&mut self, content: u32) {
            self.content.store(content, Ordering::Relaxed);
            self.stir.send(()).await.unwrap();
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_stirs_are_one_change_told_after_the_last() {
        let mut rig = rig();
        let begun = Instant::now();
        for content in 2..7 {
            rig.write(content).await;
            tokio::time::advance(QUIET / 2).await;
        }
        rig.told.recv().await.unwrap();
        let looked = rig.looked.recv().await.unwrap();
        assert!(
            looked - begun >= QUIET * 3 && looked - begun < QUIET * 4,
            "looked after {:?}",
            looked - begun
        );
        assert!(rig.told.try_recv().is_err() && rig.looked.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_content_and_a_missing_file_are_no_change() {
        let mut rig = rig();
        for (content, change) in [
            (1, false),
            (GONE, false),
            (1, false),
            (7, true),
            (GONE, false),
            (7, false),
            (8, true),
        ] {
            rig.write(content).await;
            rig.looked.recv().await.unwrap();
            tokio::task::yield_now().await;
            assert_eq!(rig.told.try_recv().is_ok(), change, "{content}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_that_is_never_quiet_does_not_hide_a_change() {
        let mut rig = rig();
        let begun = Instant::now();
        while rig.told.try_recv().is_err() {
            rig.write(2).await;
            tokio::time::advance(QUIET / 4).await;
            assert!(begun.elapsed() < LONGEST_WAIT * 2, "not told");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn changes_that_nobody_has_taken_are_one() {
        let mut rig = rig();
        for content in [2, 3, 4] {
            rig.write(content).await;
            rig.looked.recv().await.unwrap();
        }
        drop(rig.stir);
        assert_eq!(rig.told.recv().await, Some(()));
        assert_eq!(rig.told.recv().await, None);
    }

    #[tokio::test]
    async fn a_file_put_in_the_place_of_the_old_one_is_seen() {
        const DEADLINE: Duration = Duration::from_secs(10);
        let scratch = Scratch::new();
        let path = scratch.write("config.toml", "a = 1");
        let (watch, mut told) = watch(path.clone()).unwrap();
        std::fs::rename(scratch.write("config.toml.new", "a = 2"), &path).unwrap();
        tokio::time::timeout(DEADLINE, told.recv())
            .await
            .unwrap()
            .unwrap();
        scratch.write("config.toml", "a = 3");
        tokio::time::timeout(DEADLINE, told.recv())
            .await
            .unwrap()
            .unwrap();
        drop(watch);
        assert_eq!(
            tokio::time::timeout(DEADLINE, told.recv()).await.unwrap(),
            None
        );
    }
}
