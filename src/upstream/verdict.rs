//! What the failures of a route's targets come to.

use crate::model::fault::{Code, Fault};

/// What has come of the targets so far, none of which has answered.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Of those that were asked, and of those that stand for a failure of before: the latest.
    failure: Option<Box<Fault>>,
    /// Some of those were asked.
    asked: bool,
    /// The request cannot be said to some.
    unfit: Option<Box<Fault>>,
    over: bool,
}

impl Verdict {
    /// The request itself is wrong: nobody else is to be asked.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// A target was asked and has failed.
    pub(super) fn failed(&mut self, fault: Box<Fault>) {
        if self.over {
            return;
        }
        self.over = fault.ends_route();
        self.asked = true;
        self.failure = Some(later(self.failure.take(), fault));
    }

    /// A target is not asked now, and counts as failed. Where none is asked, the one to come back
    /// first is told of.
    pub(super) fn skipped(&mut self, fault: Box<Fault>) {
        self.failure = match self.failure.take() {
            Some(before) if !self.asked => Some(if fault.retry_after < before.retry_after {
                fault
            } else {
                before
            }),
            before => Some(later(before, fault)),
        };
    }

    /// The request cannot be said in a target's words; others may have them.
    pub(super) fn unfit(&mut self, fault: Box<Fault>) {
        self.unfit = Some(fault);
    }

    /// How the generation has failed.
    pub(super) fn fault(self) -> Box<Fault> {
        self.failure
            .or(self.unfit)
            .unwrap_or_else(|| Box::new(Fault::new(Code::InternalError, "the route has no target")))
    }
}

/// Of two failures the later one, with the longer of their waits.
fn later(before: Option<Box<Fault>>, mut now: Box<Fault>) -> Box<Fault> {
    if now.retryable {
        now.retry_after = now
            .retry_after
            .max(before.and_then(|fault| fault.retry_after));
    }
    now
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn fault(code: Code, after: Option<u64>) -> Box<Fault> {
        Box::new(Fault {
            retryable: code.status() != http::StatusCode::BAD_REQUEST,
            ..Fault::new(code, "x")
        })
        .after(after)
    }

    trait After {
        fn after(self, seconds: Option<u64>) -> Self;
    }

    impl After for Box<Fault> {
        fn after(mut self, seconds: Option<u64>) -> Self {
            self.retry_after = seconds.map(Duration::from_secs);
            self
        }
    }

    fn told(verdict: Verdict) -> (Code, Option<u64>) {
        let fault = verdict.fault();
        (fault.code, fault.retry_after.map(|after| after.as_secs()))
    }

    #[test]
    fn the_last_failure_is_told_with_the_longest_wait() {
        let mut verdict = Verdict::default();
        verdict.failed(fault(Code::RateLimited, Some(7)));
        verdict.failed(fault(Code::UpstreamError, Some(3)));
        assert_eq!(told(verdict), (Code::UpstreamError, Some(7)));
    }

    #[test]
    fn where_nobody_is_asked_the_first_to_come_back_is_told_of() {
        for order in [[20, 5, 9], [5, 20, 9], [9, 20, 5]] {
            let mut verdict = Verdict::default();
            order
                .iter()
                .for_each(|after| verdict.skipped(fault(Code::RateLimited, Some(*after))));
            assert_eq!(told(verdict), (Code::RateLimited, Some(5)));
        }
    }

    #[test]
    fn a_skipped_target_counts_as_failed() {
        let mut verdict = Verdict::default();
        verdict.failed(fault(Code::UpstreamError, None));
        verdict.skipped(fault(Code::RateLimited, Some(5)));
        assert_eq!(told(verdict), (Code::RateLimited, Some(5)));
    }

    #[test]
    fn a_wrong_request_is_the_end() {
        let mut verdict = Verdict::default();
        verdict.failed(fault(Code::InvalidRequest, None));
        assert!(verdict.is_over());
        verdict.failed(fault(Code::UpstreamError, None));
        assert_eq!(
            told(verdict).0,
            Code::InvalidRequest,
            "whoever was still asked then changes nothing"
        );
    }

    #[test]
    fn what_cannot_be_said_to_one_matters_where_nobody_else_counts() {
        let mut verdict = Verdict::default();
        verdict.unfit(fault(Code::InvalidRequest, None));
        assert!(!verdict.is_over());
        verdict.failed(fault(Code::UpstreamError, None));
        assert_eq!(told(verdict).0, Code::UpstreamError);
        let mut verdict = Verdict::default();
        verdict.unfit(fault(Code::InvalidRequest, None));
        assert_eq!(told(verdict).0, Code::InvalidRequest);
        assert_eq!(told(Verdict::default()).0, Code::InternalError);
    }
}
