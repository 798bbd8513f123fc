//! The request to stop a generation, passed from any task to the one that runs it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// Why a generation is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// A client requested the cancel.
    Client = 1,
    /// The last reader has disconnected.
    Disconnect = 2,
    /// This instance is shutting down.
    Shutdown = 3,
}

impl Cause {
    const fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::Client),
            2 => Some(Self::Disconnect),
            3 => Some(Self::Shutdown),
            _ => None,
        }
    }
}

/// A flag that is set once; later causes do not replace the first.
#[derive(Debug, Default)]
pub(super) struct CancelFlag {
    cause: AtomicU8,
    waker: AtomicWaker,
}

impl CancelFlag {
    pub(super) fn set(&self, cause: Cause) {
        // A later cause must not replace the first: it decides how the stream ends.
        if self
            .cause
            .compare_exchange(0, cause as u8, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            self.waker.wake();
        }
    }

    pub(super) fn get(&self) -> Option<Cause> {
        Cause::from_u8(self.cause.load(Ordering::Acquire))
    }

    /// Ready once the flag is set. Only one task at a time may wait.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Cause> {
        if let Some(cause) = self.get() {
            return Poll::Ready(cause);
        }
        self.waker.register(cx.waker());
        // The flag may have been set between the first look and the registration of the waker.
        self.get().map_or(Poll::Pending, Poll::Ready)
    }
}
