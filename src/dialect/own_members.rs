//! Members of ours, which no vendor's API defines.

use bytes::BytesMut;

use crate::codec::members::Members;
use crate::model::money::Money;

/// Writes the member `cost`: an amount with all its digits, or `null` where it is unknown.
pub(super) fn put_cost(usage: &mut Members<'_>, cost: Option<Money>) {
    match cost {
        // The decimal text is a JSON number; a float would lose digits.
        Some(cost) => usage.json("cost", &cost.to_string()),
        None => usage.null("cost"),
    }
}

/// Writes the member `sluicegate` of an answer; nothing if it would be empty.
pub(super) fn put_sluicegate(answer: &mut Members<'_>, reason: Option<&str>, estimated: bool) {
    if reason.is_some() || estimated {
        put_own(answer.value("sluicegate"), reason, estimated);
    }
}

/// Writes the value of the member `sluicegate`.
pub(super) fn put_own(buf: &mut BytesMut, reason: Option<&str>, estimated: bool) {
    let mut own = Members::new(buf);
    own.text_if_some("reason", reason);
    if estimated {
        own.flag("estimated", true);
    }
    own.end();
}
