//! The `Finish` of a choice.
//!
//! Invariant: where the provider's reason leaves it open why a choice ended, its content decides.
//! Many servers report an ordinary end, or nothing, for an answer that calls tools.

use bytestring::ByteString;

use crate::model::event::{Event, Finish, Reason};

/// Returns the `Finish` of a choice. `reason` is `None` if the provider sent none, or one that does
/// not exclude tool calls; `native` is the provider's own name of it.
pub(in crate::wire) fn finish(
    choice: u16,
    reason: Option<Reason>,
    native: Option<ByteString>,
    has_calls: bool,
) -> Event {
    let by_content = if has_calls {
        Reason::ToolCalls
    } else {
        Reason::Stop
    };
    Event::Finish(Box::new(Finish {
        choice,
        reason: reason.unwrap_or(by_content),
        native,
    }))
}
