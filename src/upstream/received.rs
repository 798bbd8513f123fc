//! Classifies an answer by its head: a stream, one body, or a refusal.

use super::answer::Answer;
use super::closing::Accounting;
use super::live::LiveAnswer;
use super::whole::WholeAnswer;

/// The kind of an answer.
pub(super) enum Received {
    Stream(Box<LiveAnswer>),
    Whole(Box<WholeAnswer>),
    Refused(Box<Answer>),
}

impl Answer {
    /// Classifies the answer by its head, and starts a recording if the provider is recorded.
    pub(super) fn receive(self, accounting: &mut Accounting) -> Received {
        let answer = self.start_recording(accounting);
        if !answer.status.is_success() {
            Received::Refused(Box::new(answer))
        } else if answer.whole {
            Received::Whole(Box::new(WholeAnswer::new(answer)))
        } else {
            Received::Stream(Box::new(LiveAnswer::new(answer)))
        }
    }
}
