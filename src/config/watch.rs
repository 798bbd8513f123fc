//! Watches the configuration file and reports changes of its content.
//!
//! Invariants: the folder is watched, not the file, because editors and orchestrators replace the
//! old file with a new one. A change is reported once the folder has been quiet for a moment, and
//! only if the file's content differs. A file that is temporarily absent is not a change. Changes
//! do not queue: all changes that the receiver has not read yet are one message.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// Time without file events after which the file is read. Editors write in several steps.
const QUIET: Duration = Duration::from_millis(200);

/// Maximum wait for quiet, for folders in which files are written all the time.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// A guard that keeps the watch alive; dropping it ends the watch.
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

/// Watches the file at `path`. The receiver gets a message after each change of the file's content;
/// it closes when the guard is dropped.
///
/// # Errors
/// Returns an error if the folder cannot be watched.
///
/// # Panics
/// Panics outside of a tokio runtime.
pub fn watch(path: PathBuf) -> notify::Result<(Watch, mpsc::Receiver<()>)> {
    // A bare file name has an empty parent, which cannot be watched.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
        .to_path_buf();
    let (event_sender, events) = mpsc::channel(1);
    let (change_sender, changes) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // A full queue already holds a message that will cause the same check. A watcher error may
        // have lost an event, so it counts as one.
        if event.map_or(true, |event| may_change_content(&event)) {
            let _ = event_sender.try_send(());
        }
    })?;
    watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    let known = digest(&path);
    let task = tokio::spawn(debounce(events, change_sender, known, move || {
        digest(&path)
    }));
    Ok((
        Watch {
            _watcher: watcher,
            task,
        },
        changes,
    ))
}

/// False for events of mere reading, which our own reads cause as well.
fn may_change_content(event: &Event) -> bool {
    !matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
}

/// Returns the SHA-256 of the file's content; `None` while it cannot be read.
fn digest(path: &Path) -> Option<[u8; 32]> {
    std::fs::read(path)
        .ok()
        .map(|content| Sha256::digest(content).into())
}

/// Waits for quiet after each file event, and reports a change if `read_content` then returns other
/// content than the known one.
async fn debounce<D: PartialEq>(
    mut events: mpsc::Receiver<()>,
    change_sender: mpsc::Sender<()>,
    mut known: Option<D>,
    read_content: impl Fn() -> Option<D>,
) {
    while events.recv().await.is_some() {
        // Without this bound a folder that is written to all the time would hide every change.
        let latest = Instant::now() + LONGEST_WAIT;
        while let Ok(Some(())) = timeout_at(latest.min(Instant::now() + QUIET), events.recv()).await
        {
        }
        let seen = read_content();
        if seen.is_some() && seen != known {
            known = seen;
            // A full channel already reports a change; only a dropped receiver ends the watch.
            if let Err(mpsc::error::TrySendError::Closed(())) = change_sender.try_send(()) {
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

    /// A simulated watched file whose content is a number.
    struct Rig {
        event_sender: mpsc::Sender<()>,
        changes: mpsc::Receiver<()>,
        content: Arc<AtomicU32>,
        reads: mpsc::UnboundedReceiver<Instant>,
    }

    const GONE: u32 = 0;

    fn rig() -> Rig {
        let (event_sender, events) = mpsc::channel(1);
        let (change_sender, changes) = mpsc::channel(1);
        let (read_content, reads) = mpsc::unbounded_channel();
        let content = Arc::new(AtomicU32::new(1));
        let seen = content.clone();
        tokio::spawn(debounce(events, change_sender, Some(1), move || {
            read_content.send(Instant::now()).unwrap();
            Some(seen.load(Ordering::Relaxed)).filter(|content| *content != GONE)
        }));
        Rig {
            event_sender,
            changes,
            content,
            reads,
        }
    }

    impl Rig {
        /// Changes the content and sends a file event that the task has received.
        async fn write(&mut self, content: u32) {
            self.content.store(content, Ordering::Relaxed);
            self.event_sender.send(()).await.unwrap();
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_events_are_one_change_reported_after_the_last() {
        let mut rig = rig();
        let begun = Instant::now();
        for content in 2..7 {
            rig.write(content).await;
            tokio::time::advance(QUIET / 2).await;
        }
        rig.changes.recv().await.unwrap();
        let read_at = rig.reads.recv().await.unwrap();
        assert!(
            read_at - begun >= QUIET * 3 && read_at - begun < QUIET * 4,
            "read after {:?}",
            read_at - begun
        );
        assert!(rig.changes.try_recv().is_err() && rig.reads.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn unchanged_content_and_a_missing_file_are_no_change() {
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
            rig.reads.recv().await.unwrap();
            tokio::task::yield_now().await;
            assert_eq!(rig.changes.try_recv().is_ok(), change, "{content}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn constant_events_do_not_hide_a_change() {
        let mut rig = rig();
        let begun = Instant::now();
        while rig.changes.try_recv().is_err() {
            rig.write(2).await;
            tokio::time::advance(QUIET / 4).await;
            assert!(begun.elapsed() < LONGEST_WAIT * 2, "no change was reported");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn unreceived_changes_are_merged() {
        let mut rig = rig();
        for content in [2, 3, 4] {
            rig.write(content).await;
            rig.reads.recv().await.unwrap();
        }
        drop(rig.event_sender);
        assert_eq!(rig.changes.recv().await, Some(()));
        assert_eq!(rig.changes.recv().await, None);
    }

    #[tokio::test]
    async fn replacing_the_file_is_a_change() {
        const DEADLINE: Duration = Duration::from_secs(10);
        let scratch = Scratch::new();
        let path = scratch.write("config.toml", "a = 1");
        let (watch, mut changes) = watch(path.clone()).unwrap();
        std::fs::rename(scratch.write("config.toml.new", "a = 2"), &path).unwrap();
        tokio::time::timeout(DEADLINE, changes.recv())
            .await
            .unwrap()
            .unwrap();
        scratch.write("config.toml", "a = 3");
        tokio::time::timeout(DEADLINE, changes.recv())
            .await
            .unwrap()
            .unwrap();
        drop(watch);
        assert_eq!(
            tokio::time::timeout(DEADLINE, changes.recv())
                .await
                .unwrap(),
            None
        );
    }
}
