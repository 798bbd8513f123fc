//! The lessons of one target's refusals. All requests to the target share them.
//!
//! Invariant: they are plain flags, one set for each target of the registry, so the bound of the
//! registry bounds them too.

use parking_lot::Mutex;

use crate::model::learned::{Learned, Lesson};

/// The lessons of one target.
#[derive(Debug, Default)]
pub struct Lessons {
    learned: Mutex<Learned>,
}

impl Lessons {
    /// Adds a lesson. Later requests to the target are written with it.
    pub fn add(&self, lesson: Lesson) {
        self.learned.lock().add(lesson);
    }

    /// Forgets all lessons: the operator may have changed what the target accepts.
    pub(super) fn forget(&self) {
        *self.learned.lock() = Learned::default();
    }

    /// Returns what has been learned so far.
    #[must_use]
    pub fn learned(&self) -> Learned {
        self.learned.lock().clone()
    }
}
