//! The fields of a request that every dialect reads before a target is chosen.

use bytestring::ByteString;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::object::Object;
use crate::model::fault::Fault;

/// Maximum length of a model name, bytes: names are stored in journals, metrics and error messages.
pub(super) const MAX_MODEL: usize = 256;

/// Maximum length of a user name that is kept unchanged, bytes: the name is held as long as the
/// request.
const MAX_USER: usize = 256;

/// Returns the model name as a copy: a slice of the body would keep the prompt in memory as long as
/// the journal.
///
/// # Errors
/// A 400 when the name is missing, empty or too long.
pub(super) fn model(top: &Object<'_>) -> Result<ByteString, Fault> {
    let model = top.non_empty("model")?;
    if model.len() > MAX_MODEL {
        return Err(top.invalid("model", "at most 256 bytes long"));
    }
    Ok(model.into())
}

/// Returns the end user in the form that limits use; a name that is too long is replaced by its
/// digest.
pub(super) fn user(name: &str) -> Option<ByteString> {
    match name.len() {
        0 => None,
        1..=MAX_USER => Some(name.into()),
        // Limits count per user, so two long names must not become equal by truncation.
        _ => Some(
            Sha256::digest(name)
                .iter()
                .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
                .into(),
        ),
    }
}

/// Returns the models named in the tools of a body: some tools call a model of their own.
///
/// # Errors
/// A 400 when `tools` is not an array of objects, or a `model` in it is not a string.
pub(super) fn models_in_tools(top: &Object<'_>) -> Result<Vec<ByteString>, Fault> {
    models_in(&top.objects("tools")?)
}

/// Returns the models named in these objects. If an object repeats the field, all its values are
/// returned, because the upstream decides which of them counts.
///
/// # Errors
/// A 400 when a `model` is not a string.
pub(super) fn models_in(objects: &[Object<'_>]) -> Result<Vec<ByteString>, Fault> {
    let parse_name = |object: &Object<'_>, value: &RawValue| {
        serde_json::from_str::<String>(value.get())
            .map(Into::into)
            .map_err(|_| object.invalid("model", "a string"))
    };
    let members = objects.iter().flat_map(|object| {
        object
            .fields
            .list
            .iter()
            .map(move |(name, value)| (object, name, *value))
    });
    members
        // A null counts as absent.
        .filter(|(_, name, value)| *name == "model" && value.get() != "null")
        .map(|(object, _, value)| parse_name(object, value))
        .collect()
}

/// Returns the client's headers to forward to an upstream: those in `own`, which belong to the wire
/// of the same name, and a valid `traceparent`.
pub(super) fn forwarded_headers(
    headers: &HeaderMap,
    own: &[HeaderName],
) -> Vec<(HeaderName, HeaderValue)> {
    const TRACE: HeaderName = HeaderName::from_static("traceparent");
    // Only listed headers are forwarded: others may hold the credentials of the client for us.
    let named = own.iter().flat_map(|name| {
        headers
            .get_all(name)
            .iter()
            .map(move |value| (name.clone(), value.clone()))
    });
    let trace = headers
        .get(&TRACE)
        .filter(|value| is_traceparent(value.as_bytes()))
        .map(|value| (TRACE, value.clone()));
    named.chain(trace).collect()
}

/// Returns true for a W3C `traceparent` of version 00: `00-<trace>-<parent>-<flags>` in lower-case
/// hex, with ids that are not all zero.
fn is_traceparent(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else {
        return false;
    };
    let pieces: Vec<&str> = text.split('-').collect();
    let hex = |piece: &str, len| {
        piece.len() == len
            && piece
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let id = |piece: &str, len| hex(piece, len) && piece.bytes().any(|b| b != b'0');
    matches!(pieces[..], ["00", trace, parent, flags] if id(trace, 32) && id(parent, 16) && hex(flags, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_of_any_length_stay_distinct() {
        let long = "u".repeat(MAX_USER + 1);
        assert_eq!((user(""), user("ann").as_deref()), (None, Some("ann")));
        assert_eq!(user(&long).unwrap().len(), 64);
        assert_ne!(user(&long), user(&format!("{long}u")));
    }

    #[test]
    fn only_own_headers_and_a_valid_traceparent_are_forwarded() {
        const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("openai-beta", "a=v1"),
            ("authorization", "Bearer x"),
            ("traceparent", GOOD),
            ("cookie", "a"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let names: Vec<String> =
            forwarded_headers(&headers, &[HeaderName::from_static("openai-beta")])
                .iter()
                .map(|(name, _)| name.to_string())
                .collect();
        assert_eq!(names, ["openai-beta", "traceparent"]);
        assert!(is_traceparent(GOOD.as_bytes()));
        let zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        for bad in [
            "",
            "00",
            zero,
            &GOOD.to_uppercase(),
            &GOOD.replace("00-", "ff-"),
            &format!("{GOOD}-x"),
            &GOOD.replace('7', "g"),
        ] {
            assert!(!is_traceparent(bad.as_bytes()), "{bad}");
        }
    }
}
