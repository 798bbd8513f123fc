//! What a client is told that a limit refuses: which one, its figures, and when to come back.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Scope;
use super::account::{Need, Short, State};
use super::limit_state::Kind;
use crate::model::fault::{Code, Fault, Side};
use crate::model::plural::counted;

/// The type by which clients of OpenAI know what they have used up.
const TOKENS: &str = "tokens";

/// A request is refused by an account.
pub(super) fn refused(scope: Scope, short: Short, need: Need, state: &State) -> Fault {
    let name = scope.name();
    let fault = match short {
        Short::Never(holds) => {
            let message = format!(
                "the prompt is about {} tokens, and the {name} limit is {} per minute: no wait makes it fit; send a shorter one",
                need.input,
                counted(holds, "token")
            );
            return Fault::new(Code::InvalidRequest, message).with_limit(name);
        }
        Short::Out(Kind::Requests, wait) => {
            let figure = counted(
                state.limit.requests_per_minute.map_or(0, NonZeroU32::get),
                "request",
            );
            Fault::new(
                Code::RateLimited,
                format!(
                    "the {name} limit of {figure} per minute is used up: {}",
                    again(wait)
                ),
            )
        }
        Short::Out(Kind::Tokens, wait) => tokens(name, wait, need, state),
        Short::Slots(most) => {
            let most = counted(most, "stream");
            let message = format!(
                "the {name} limit of {most} at a time is reached: try again when one has ended"
            );
            Fault::new(Code::RateLimited, message)
        }
    };
    let fault = fault.with_limit(name).with_retry_after(short.wait());
    // A provider that has no room counts as one that has failed.
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
        "the {name} limit of {} per minute has {left} left, and this request needs about {reserve} (its prompt {}, the rest reserved for the answer): {}",
        counted(holds, "token"),
        need.input,
        again(wait)
    );
    Fault {
        native_type: Some(TOKENS.to_owned()),
        ..Fault::new(Code::RateLimited, message)
    }
}

/// A caller reads too often.
pub(super) fn reads(wait: Duration, state: &State) -> Fault {
    let figure = state.limit.requests_per_minute.map_or(0, NonZeroU32::get);
    let message = format!(
        "this key reads more than {figure} times a minute: {}",
        again(wait)
    );
    Fault::new(Code::RateLimited, message)
        .with_limit(Scope::Key.name())
        .with_retry_after(wait)
}

/// A running stream is cut, as an account has run dry.
pub(super) fn dry(scope: Scope, holds: NonZeroU32, wait: Duration) -> Fault {
    let name = scope.name();
    let holds = counted(holds, "token");
    let message = format!(
        "the {name} limit of {holds} per minute ran out while this was streamed, and it was cut: {}",
        again(wait)
    );
    let fault = Fault::new(Code::RateLimited, message)
        .with_limit(name)
        .with_retry_after(wait);
    // Neither the request nor the upstream was at fault: nothing is to be concluded of them.
    Fault {
        native_type: Some(TOKENS.to_owned()),
        retryable: true,
        side: Side::Ours,
        ..fault
    }
}

fn again(wait: Duration) -> String {
    // Rounded up: who waits that long is not too early.
    format!(
        "try again in {:.1} s",
        (wait.as_secs_f64() * 10.0).ceil() / 10.0
    )
}
