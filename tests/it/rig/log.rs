//! Captures the proxy's log on the test's own thread.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};

use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber, set_default};

/// A second subscriber that records nothing. With a single subscriber, `tracing` caches an event
/// that is first logged on a thread without one as disabled everywhere.
static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));

/// The captured log. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Captures this thread's log until the guard is dropped.
    pub fn listen(&self) -> DefaultGuard {
        LazyLock::force(&SECOND);
        set_default(
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(self.clone())
                .finish(),
        )
    }

    /// Returns the whole log.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Returns the number of lines that contain `what`.
    pub fn count(&self, what: &str) -> usize {
        self.text()
            .lines()
            .filter(|line| line.contains(what))
            .count()
    }

    /// Returns the access log lines of a stream.
    pub fn access_lines(&self, id: &str) -> Vec<String> {
        self.text()
            .lines()
            .filter(|line| line.contains("sluicegate::access") && line.contains(id))
            .map(str::to_owned)
            .collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
