//! Tool calls of earlier turns: their ids and their arguments in the form that the target takes.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::refusals::Position;
use super::schema::literal;
use crate::model::accepts::{CallIds, TextRule};
use crate::model::chat::PastCall;
use crate::model::fault::Fault;

/// Returns the id of a call as the target takes it. The mapping is deterministic, so that a call
/// and its result keep the same id in every later turn.
pub(in crate::wire) fn call_id(id: &str, ids: CallIds) -> Cow<'_, str> {
    match ids {
        CallIds::Ruled(rule) if rule.fits(id) => Cow::Borrowed(id),
        CallIds::Ruled(rule) => Cow::Owned(ruled_id(id, rule)),
        CallIds::Exactly(len)
            if id.len() == len && id.bytes().all(|b| b.is_ascii_alphanumeric()) =>
        {
            Cow::Borrowed(id)
        }
        // The digest is written in 32 of the 36 digits and letters.
        CallIds::Exactly(len) => Sha256::digest(id)
            .iter()
            .take(len)
            .map(|byte| char::from_digit(u32::from(byte % 32), 36).unwrap_or('0'))
            .collect::<String>()
            .into(),
    }
}

/// Replaces every other character of an id by its code (`functions.f:0` by `functions_2ef_3a0`), or
/// the whole id by its digest if the result does not fit.
fn ruled_id(id: &str, rule: TextRule) -> String {
    let mut escaped = String::with_capacity(id.len());
    for c in id.chars() {
        if rule.allows(c) {
            escaped.push(c);
        } else {
            let written = write!(escaped, "_{:x}", u32::from(c));
            debug_assert!(written.is_ok(), "writing to a string cannot fail");
        }
    }
    if rule.fits(&escaped) {
        return escaped;
    }
    let mut short = String::from("call_");
    for byte in Sha256::digest(id).iter().take(16) {
        let written = write!(short, "{byte:02x}");
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
    }
    short
}

/// Returns the arguments of a past call as a JSON object. Free text of a custom tool is wrapped in
/// one.
///
/// # Errors
/// A 400 if the arguments are not a JSON object.
pub(in crate::wire) fn arguments(
    call: &PastCall,
    position: Position,
) -> Result<Cow<'_, RawValue>, Fault> {
    #[derive(Serialize)]
    struct Free<'a> {
        input: &'a str,
    }
    let input = &call.arguments;
    match input.trim() {
        _ if call.custom => serde_json::value::to_raw_value(&Free { input })
            .map(Cow::Owned)
            .map_err(|_| position.arguments()),
        // Models leave the arguments of a function without parameters empty.
        "" => Ok(Cow::Borrowed(literal("{}"))),
        object if object.starts_with('{') => serde_json::from_str(object)
            .map(Cow::Borrowed)
            .map_err(|_| position.arguments()),
        _ => Err(position.arguments()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::chat::Role;

    #[test]
    fn arguments_are_an_object() {
        let position = Position {
            message: 3,
            content: None,
            role: Role::Assistant,
        };
        let json = |arguments: &str, custom| {
            let call = PastCall {
                id: "1".into(),
                name: "f".into(),
                arguments: arguments.into(),
                signature: None,
                wire: None,
                custom,
            };
            super::arguments(&call, position).map(|json| json.get().to_owned())
        };
        assert_eq!(json(" {\"a\": 1} ", false).unwrap(), "{\"a\": 1}");
        assert_eq!(json(" ", false).unwrap(), "{}");
        assert_eq!(json("a \"b\"", true).unwrap(), r#"{"input":"a \"b\""}"#);
        for broken in ["{\"a\":", "[1]", "x", "{} {}"] {
            let fault = json(broken, false).unwrap_err();
            assert_eq!(fault.param.as_deref(), Some("messages[3]"));
        }
    }

    #[test]
    fn ids_are_mapped_to_what_the_target_takes() {
        let plain = |max| CallIds::Ruled(TextRule::plain(max));
        let long = "x".repeat(65);
        for (id, ids, expected) in [
            (
                "functions.f:0",
                CallIds::Ruled(TextRule::ANY),
                "functions.f:0",
            ),
            ("", CallIds::Ruled(TextRule::ANY), ""),
            ("toolu_1-a", plain(64), "toolu_1-a"),
            ("functions.f:0", plain(64), "functions_2ef_3a0"),
            (&long, plain(usize::MAX), &long),
            (&long, plain(64), "call_9537c5fdf120482f7d58d25e9ed583f5"),
            ("", plain(64), "call_e3b0c44298fc1c149afbf4c8996fb924"),
            ("abcDEF123", CallIds::Exactly(9), "abcDEF123"),
            ("call_1", CallIds::Exactly(9), "kpf7ecsjs"),
        ] {
            assert_eq!(call_id(id, ids), expected, "{id}");
        }
    }
}
