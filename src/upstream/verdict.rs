//! Combines the failures of the targets of a route into one fault.

use crate::model::fault::{Code, Fault};

/// The failures so far; no target has answered.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// The latest failure of a target that was asked, or that was skipped because of an earlier
    /// failure.
    failure: Option<Box<Fault>>,
    /// At least one failed target was asked.
    asked: bool,
    /// The fault of a target whose wire cannot express the request.
    unfit: Option<Box<Fault>>,
    over: bool,
}

impl Verdict {
    /// Returns true when the request itself is wrong: no further target is asked.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Records the failure of a target that was asked.
    pub(super) fn failed(&mut self, fault: Box<Fault>) {
        // A request asked in parallel may fail later; the verdict stands.
        if self.over {
            return;
        }
        self.over = fault.ends_route();
        self.asked = true;
        self.failure = Some(latest(self.failure.take(), fault));
    }

    /// Records a target that must not be asked now; it counts as failed. If no target is asked at
    /// all, the fault of the one that is available first is kept.
    pub(super) fn skipped(&mut self, fault: Box<Fault>) {
        self.failure = match self.failure.take() {
            Some(before) if !self.asked => Some(if fault.retry_after < before.retry_after {
                fault
            } else {
                before
            }),
            before => Some(latest(before, fault)),
        };
    }

    /// Records a target whose wire cannot express the request. Others may be able to.
    pub(super) fn unfit(&mut self, fault: Box<Fault>) {
        self.unfit = Some(fault);
    }

    /// Returns the fault of the generation.
    pub(super) fn fault(self) -> Box<Fault> {
        self.failure
            .or(self.unfit)
            .unwrap_or_else(|| Box::new(Fault::new(Code::InternalError, "the route has no target")))
    }
}

/// Returns the later of two faults, with the longer of their waits.
fn latest(before: Option<Box<Fault>>, mut now: Box<Fault>) -> Box<Fault> {
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

    fn code_and_wait(verdict: Verdict) -> (Code, Option<u64>) {
        let fault = verdict.fault();
        (fault.code, fault.retry_after.map(|after| after.as_secs()))
    }

    #[test]
    fn the_last_failure_is_reported_with_the_longest_wait() {
        let mut verdict = Verdict::default();
        verdict.failed(fault(Code::RateLimited, Some(7)));
        verdict.failed(fault(Code::UpstreamError, Some(3)));
        assert_eq!(code_and_wait(verdict), (Code::UpstreamError, Some(7)));
    }

    #[test]
    fn when_no_target_is_asked_the_first_available_one_is_reported() {
        for order in [[20, 5, 9], [5, 20, 9], [9, 20, 5]] {
            let mut verdict = Verdict::default();
            order
                .iter()
                .for_each(|after| verdict.skipped(fault(Code::RateLimited, Some(*after))));
            assert_eq!(code_and_wait(verdict), (Code::RateLimited, Some(5)));
        }
    }

    #[test]
    fn a_skipped_target_counts_as_failed() {
        let mut verdict = Verdict::default();
        verdict.failed(fault(Code::UpstreamError, None));
        verdict.skipped(fault(Code::RateLimited, Some(5)));
        assert_eq!(code_and_wait(verdict), (Code::RateLimited, Some(5)));
    }

    #[test]
    fn a_wrong_request_ends_the_route() {
        let mut verdict = Verdict::default();
        verdict.failed(fault(Code::InvalidRequest, None));
        assert!(verdict.is_over());
        verdict.failed(fault(Code::UpstreamError, None));
        assert_eq!(
            code_and_wait(verdict).0,
            Code::InvalidRequest,
            "the failure of a target still being asked changes nothing"
        );
    }

    #[test]
    fn an_unfit_target_is_reported_only_when_no_other_failed() {
        let mut verdict = Verdict::default();
        verdict.unfit(fault(Code::InvalidRequest, None));
        assert!(!verdict.is_over());
        verdict.failed(fault(Code::UpstreamError, None));
        assert_eq!(code_and_wait(verdict).0, Code::UpstreamError);
        let mut verdict = Verdict::default();
        verdict.unfit(fault(Code::InvalidRequest, None));
        assert_eq!(code_and_wait(verdict).0, Code::InvalidRequest);
        assert_eq!(code_and_wait(Verdict::default()).0, Code::InternalError);
    }
}
