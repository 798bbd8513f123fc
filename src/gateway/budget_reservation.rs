//! Reserves the expected cost of a generation in the budgets that pay for it.

use http::{HeaderValue, Response};

use super::Snapshot;
use super::call::Call;
use super::reply::Reply;
use crate::ledger::{Bill, Customer, Estimate, warning_header};
use crate::model::ask::Ask;
use crate::model::fault::Fault;
use crate::route::Plan;
use crate::upstream::Admission;

/// Response header that names the budgets which are nearly spent.
const BUDGET_WARNING: &str = "x-budget-warning";

/// Reserves the maximum cost of a generation.
///
/// # Errors
/// 429 `budget_exceeded` if a budget does not have enough left.
pub(super) fn reserve_budget(call: &Call<'_>, ask: &Ask, plan: &Plan) -> Result<Bill, Fault> {
    let caller = &call.caller;
    let customer = Customer {
        key: caller.key().cloned(),
        team: caller.team().cloned(),
        // The verified user of a JWT takes precedence over the one that the body names.
        user: caller.user().or(ask.head.user.as_ref()).cloned(),
    };
    let estimate = estimate_cost(call.snapshot, ask, plan);
    let budgets = &call.snapshot.budgets;
    call.gateway.ledger.reserve(budgets, customer, estimate)
}

/// Estimates the cost by the most expensive target of the plan, because it is not known yet which
/// target will answer.
fn estimate_cost(snapshot: &Snapshot, ask: &Ask, plan: &Plan) -> Estimate {
    let input = ask.head.input_estimate;
    let output = ask.head.expected_output(snapshot.limits.reserve_output());
    plan.targets()
        // Targets without a price do not count; without any price, `priced` stays false.
        .filter_map(|target| target.price())
        .fold(Estimate::default(), |so_far, price| Estimate {
            prompt: so_far.prompt.max(price.max_cost(input, 0)),
            cost: so_far.cost.max(price.max_cost(input, output)),
            priced: true,
        })
}

/// Returns the value of the warning header for budgets that are nearly spent.
pub(super) fn budget_warning(admission: &Admission) -> Option<HeaderValue> {
    warning_header(admission.warnings()).and_then(|text| HeaderValue::try_from(text).ok())
}

/// Adds the warning header.
pub(super) fn add_budget_warning(warning: Option<HeaderValue>, response: &mut Response<Reply>) {
    if let Some(value) = warning {
        response.headers_mut().insert(BUDGET_WARNING, value);
    }
}
