//! Faults for requests that a budget refuses and for streams that it ends: which budget, and when
//! to retry.

use std::time::Duration;

use super::accounts::{Exceeded, Overrun};
use crate::model::fault::{Code, Fault, Side};

/// Returns the fault for a refused request.
pub(super) fn refused(exceeded: &Exceeded) -> Fault {
    match exceeded {
        Exceeded::Spent(scope, period, left) => {
            let message = format!(
                "the {scope} budget for this {period} does not cover this request: try again in the next {period} (UTC)"
            );
            let mut fault = Fault::new(Code::BudgetExceeded, message)
                .with_limit(scope)
                .with_retry_after(*left);
            // The budget is renewed only in the next period, later than an SDK would wait.
            fault.no_client_retry = true;
            fault
        }
        Exceeded::Reserved(scope, period) => {
            let message = format!(
                "the rest of the {scope} budget for this {period} is reserved for running streams: try again after one has ended"
            );
            // The end of a stream is not known in advance; clients wait a second anyway.
            Fault::new(Code::BudgetExceeded, message)
                .with_limit(scope)
                .with_retry_after(Duration::from_secs(1))
        }
        Exceeded::TooExpensive(scope, period) => {
            let message = format!(
                "the prompt alone costs more than the {scope} budget for a whole {period}: send a shorter prompt"
            );
            Fault::new(Code::InvalidRequest, message).with_limit(scope)
        }
    }
}

/// Returns the fault that ends a running stream because a budget does not cover it any more.
pub(super) fn cut(
    Overrun {
        scope,
        period,
        left,
    }: Overrun,
) -> Fault {
    let message = if left.is_some() {
        format!(
            "the {scope} budget for this {period} ran out during this stream, which was ended: try again in the next {period} (UTC)"
        )
    } else {
        format!(
            "this stream was ended because the rest of the {scope} budget for this {period} is reserved for other streams: try again after one has ended"
        )
    };
    let fault = Fault::new(Code::BudgetExceeded, message)
        .with_limit(scope)
        .with_retry_after(left.unwrap_or(Duration::from_secs(1)));
    // Neither the request nor the upstream was at fault: breakers and health must not count it.
    Fault {
        retryable: left.is_none(),
        no_client_retry: left.is_some(),
        side: Side::Ours,
        ..fault
    }
}
