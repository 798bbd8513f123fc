//! Faults for requests that a limit refuses: which limit, its figures, and when to retry.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Scope;
use super::account::{Need, Shortage, State};
use super::limit_state::Kind;
use crate::model::fault::{Code, Fault, Side};
use crate::model::plural::pluralize;

/// The error `type` by which OpenAI's clients recognise an exhausted token limit.
const TOKENS: &str = "tokens";

/// Returns the fault for a request that an account refuses.
pub(super) fn refused(scope: Scope, short: Shortage, need: Need, state: &State) -> Fault {
    let name = scope.name();
    let fault = match short {
        Shortage::NeverFits(holds) => {
            let message = format!(
                "the prompt has about {} tokens, more than the {name} limit of {} per minute can ever admit: send a shorter prompt",
                need.input,
                pluralize(holds, "token")
            );
            return Fault::new(Code::InvalidRequest, message).with_limit(name);
        }
        Shortage::Exhausted(Kind::Requests, wait) => {
            let figure = pluralize(
                state.limit.requests_per_minute.map_or(0, NonZeroU32::get),
                "request",
            );
            Fault::new(
                Code::RateLimited,
                format!(
                    "the {name} limit of {figure} per minute is used up: {}",
                    try_again_in(wait)
                ),
            )
        }
        Shortage::Exhausted(Kind::Tokens, wait) => tokens(name, wait, need, state),
        Shortage::NoSlot(most) => {
            let most = pluralize(most, "stream");
            let message = format!(
                "the {name} limit of {most} at a time is reached: try again after one has ended"
            );
            Fault::new(Code::RateLimited, message)
        }
    };
    let fault = fault.with_limit(name).with_retry_after(short.wait());
    // A provider without room is treated like one that failed: the next target is asked.
    Fault {
        retryable: scope == Scope::Provider,
        ..fault
    }
}

fn tokens(name: &str, wait: Duration, need: Need, state: &State) -> Fault {
    let holds = state.limit.tokens_per_minute.unwrap_or(NonZeroU32::MIN);
    let (left, reserve) = (
        state.tokens.remaining(holds),
        state.reserve(need).unwrap_or_default(),
    );
    let message = format!(
        "the {name} limit of {} per minute has {left} left, and this request needs about {reserve} ({} for the prompt, the rest reserved for the answer): {}",
        pluralize(holds, "token"),
        need.input,
        try_again_in(wait)
    );
    Fault {
        native_type: Some(TOKENS.to_owned()),
        ..Fault::new(Code::RateLimited, message)
    }
}

/// Returns the fault for a caller that reads too often.
pub(super) fn reads(wait: Duration, state: &State) -> Fault {
    let figure = state.limit.requests_per_minute.map_or(0, NonZeroU32::get);
    let message = format!(
        "this key exceeds its limit of {figure} reads per minute: {}",
        try_again_in(wait)
    );
    Fault::new(Code::RateLimited, message)
        .with_limit(Scope::Key.name())
        .with_retry_after(wait)
}

/// Returns the fault that ends a running stream because an account is exhausted.
pub(super) fn exhausted(scope: Scope, holds: NonZeroU32, wait: Duration) -> Fault {
    let name = scope.name();
    let holds = pluralize(holds, "token");
    let message = format!(
        "the {name} limit of {holds} per minute ran out during this stream, which was ended: {}",
        try_again_in(wait)
    );
    let fault = Fault::new(Code::RateLimited, message)
        .with_limit(name)
        .with_retry_after(wait);
    // Neither the request nor the upstream was at fault: breakers and health must not count it.
    Fault {
        native_type: Some(TOKENS.to_owned()),
        retryable: true,
        side: Side::Ours,
        ..fault
    }
}

fn try_again_in(wait: Duration) -> String {
    // Rounded up: a client that waits that long is never too early.
    format!(
        "try again in {:.1} s",
        (wait.as_secs_f64() * 10.0).ceil() / 10.0
    )
}
