//! What a client is told that a budget refuses, or cuts off: whose, and until when.

use std::time::Duration;

use super::accounts::{Exceeded, Outgrown};
use crate::model::fault::{Code, Fault, Side};

/// A request is refused.
pub(super) fn refused(exceeded: &Exceeded) -> Fault {
    match exceeded {
        Exceeded::Spent(scope, period, left) => {
            let message = format!(
                "the {scope} budget for this {period} does not cover this request any more: the next {period} (UTC) begins anew"
            );
            let mut fault = Fault::new(Code::BudgetExceeded, message)
                .with_limit(scope)
                .with_retry_after(*left);
            // Nothing comes back to it within any time that an SDK would wait.
            fault.final_here = true;
            fault
        }
        Exceeded::Reserved(scope, period) => {
            let message = format!(
                "what is left of the {scope} budget for this {period} is reserved for streams that run: try again when one has ended"
            );
            // Nobody knows when a stream ends; a second is what clients wait anyway.
            Fault::new(Code::BudgetExceeded, message)
                .with_limit(scope)
                .with_retry_after(Duration::from_secs(1))
        }
        Exceeded::TooDear(scope, period) => {
            let message = format!(
                "the prompt alone costs more than the {scope} budget for a whole {period}: send less"
            );
            Fault::new(Code::InvalidRequest, message).with_limit(scope)
        }
    }
}

/// A running stream is cut, as a budget does not hold it any more.
pub(super) fn cut(
    Outgrown {
        scope,
        period,
        left,
    }: Outgrown,
) -> Fault {
    let message = if left.is_some() {
        format!(
            "the {scope} budget for this {period} ran out while this was streamed, and it was cut: the next {period} (UTC) begins anew"
        )
    } else {
        format!(
            "what was left of the {scope} budget for this {period} ran out while this was streamed, and it was cut, as the rest is reserved for other streams: try again when one has ended"
        )
    };
    let fault = Fault::new(Code::BudgetExceeded, message)
        .with_limit(scope)
        .with_retry_after(left.unwrap_or(Duration::from_secs(1)));
    // Neither the request nor the upstream was at fault: nothing is to be concluded of them.
    Fault {
        retryable: left.is_none(),
        final_here: left.is_some(),
        side: Side::Ours,
        ..fault
    }
}
