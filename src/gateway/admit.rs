//! Checks everything that can reject a new generation, before an upstream is asked.

use std::time::Duration;

use super::call::Call;
use super::lifecycle::Phase;
use super::{affinity, history};
use crate::ledger::Bill;
use crate::limits::{Need, Pass, Refusal, Subject};
use crate::model::ask::Ask;
use crate::model::fault::{Code, Fault};
use crate::model::printable::printable_name;
use crate::model::target::Via;
use crate::route::Plan;
use crate::upstream::Admission;

/// Admits a new generation and takes it from all limits.
///
/// `reserve` runs before the limits take anything. Its reservation is released on drop if the
/// limits reject the request.
pub(super) fn admit(
    call: &Call<'_>,
    ask: &Ask,
    need: Need,
    reserve: impl FnOnce(&Plan) -> Result<Option<Bill>, Fault>,
) -> Result<(Plan, Admission), Box<Refusal>> {
    check_phase(call)?;
    let plan = call.snapshot.routes.plan(
        &ask.head.model,
        |model| call.caller.may_use(model),
        || affinity::key(&call.caller.id, ask),
    )?;
    if let Some(other) = ask.models.iter().find(|it| !call.caller.may_use(it)) {
        return Err(model_not_allowed(other).into());
    }
    history::check_references(call, ask)?;
    // A target on another wire needs a translation of the body.
    let foreign = |via: &Via| matches!(via, Via::Http { wire, .. } if Some(*wire) != ask.shape);
    if plan.targets().all(|target| foreign(&target.provider.via)) {
        // Report an untranslatable request now, while it can still be a status. If some targets
        // take the body unchanged, the others are skipped later.
        ask.chat()?;
    }
    let bill = reserve(&plan)?;
    let pass = take_limits(call, ask, &plan, need)?;
    Ok((plan, Admission::new(pass, bill)))
}

/// Rejects new generations while the process ends. Requests may still join and resume streams.
fn check_phase(call: &Call<'_>) -> Result<(), Fault> {
    if call.gateway.lifecycle.phase() == Phase::Serving {
        return Ok(());
    }
    let fault = Fault::new(
        Code::ShuttingDown,
        "this instance is shutting down: send the request again",
    );
    Err(fault.with_retry_after(Duration::from_secs(1)))
}

/// Takes the request from all limits in one step.
///
/// # Errors
/// The limit that rejects the request.
fn take_limits(call: &Call<'_>, ask: &Ask, plan: &Plan, need: Need) -> Result<Pass, Box<Refusal>> {
    let caller = &call.caller;
    let subject = Subject {
        client: call.context.client,
        caller: &caller.id,
        key: caller.key(),
        team: caller.team(),
        // The verified user of a JWT takes precedence over the one that the body names.
        user: caller.user().or(ask.head.user.as_ref()).map(|user| &**user),
        model: &ask.head.model,
        own: caller.limits(),
    };
    let providers = plan.targets().map(|target| &target.provider.name);
    call.snapshot.limits.admit(&subject, providers, need)
}

/// Returns the error for a fallback model in the body that the key may not use: the upstream could
/// pick it instead of `model`.
fn model_not_allowed(model: &str) -> Fault {
    // The name is repeated in the error: no control characters, and a bounded length.
    let printable = printable_name(model);
    Fault::new(
        Code::ModelNotAllowed,
        format!("this key may not use the model `{printable}`"),
    )
    .with_param("models")
}
