//! What a generation is expected to cost, and who pays for it.

use http::{HeaderValue, Response};

use super::reply::Reply;
use super::{Gateway, Snapshot};
use crate::auth::Caller;
use crate::ledger::{BudgetReservation, Customer, Estimate, Warning, warning_header};
use crate::model::ask::Ask;
use crate::model::fault::Fault;
use crate::route::Plan;

/// The header that says which budgets are nearly spent.
const WARNING: &str = "x-budget-warning";

impl Gateway {
    /// Reserves what a generation may cost.
    pub(super) fn afford(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        ask: &Ask,
        plan: &Plan,
    ) -> Result<BudgetReservation, Fault> {
        let customer = Customer {
            key: caller.key().cloned(),
            team: caller.team().cloned(),
            user: caller.user().or(ask.user.as_ref()).cloned(),
        };
        self.ledger
            .hold(&snapshot.budgets, customer, estimate(snapshot, ask, plan))
    }
}

/// By the dearest target that may answer: which one will is not known yet.
fn estimate(snapshot: &Snapshot, ask: &Ask, plan: &Plan) -> Estimate {
    let input = ask.input_estimate;
    let output = ask.expected_output(snapshot.limits.reserve_output());
    plan.targets()
        .filter_map(|target| target.price())
        .fold(Estimate::default(), |so_far, price| Estimate {
            prompt: so_far.prompt.max(price.at_most(input, 0)),
            cost: so_far.cost.max(price.at_most(input, output)),
            priced: true,
        })
}

/// Tells the client of budgets that are nearly spent.
pub(super) fn warn(warnings: &[Warning], response: &mut Response<Reply>) {
    if let Some(value) = warning_header(warnings).and_then(|text| HeaderValue::try_from(text).ok())
    {
        response.headers_mut().insert(WARNING, value);
    }
}
