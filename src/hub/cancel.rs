//! The wish to stop, from anybody to the one task that runs a generation.

use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// Why a generation is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// Somebody asked for it.
    Client = 1,
    /// The last reader has gone.
    Disconnect = 2,
    /// This instance stops.
    Shutdown = 3,
}

impl Cause {
    const fn of(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::Client),
            2 => Some(Self::Disconnect),
            3 => Some(Self::Shutdown),
            _ => None,
        }
    }
}

/// Set once; the first cause stands.
#[derive(Debug, Default)]
pub(super) struct CancelFlag {
    cause: AtomicU8,
    waker: AtomicWaker,
}

impl CancelFlag {
    pub(super) fn set(&self, cause: Cause) {
        if self
            .cause
            .compare_exchange(0, cause as u8, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            self.waker.wake();
        }
    }

    pub(super) fn get(&self) -> Option<Cause> {
        Cause::of(self.cause.load(Ordering::Acquire))
    }

    /// Ready once it is set. One task at a time may wait.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Cause> {
        if let Some(cause) = self.get() {
            return Poll::Ready(cause);
        }
        self.waker.register(cx.waker());
        // It may have been set between the look and the registration.
        self.get().map_or(Poll::Pending, Poll::Ready)
    }
}
