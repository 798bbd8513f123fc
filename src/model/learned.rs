//! Lessons of the refusals of a target: optional fields that it does not support.
//!
//! Invariant: plain data. `route` keeps it with the health of the target until the
//! configuration is reloaded; a wire reads it when it writes a request.

/// A lesson from one refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lesson {
    /// The target rejects requests for reasoning summaries.
    NoSummaries,
}

/// All lessons of one target. The default knows none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned {
    /// True once the target has rejected a request for reasoning summaries.
    pub no_summaries: bool,
}

impl Learned {
    /// Adds a lesson.
    pub fn add(&mut self, lesson: Lesson) {
        match lesson {
            Lesson::NoSummaries => self.no_summaries = true,
        }
    }
}
