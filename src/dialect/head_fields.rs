//! What every dialect reads of a request at the door.

use bytestring::ByteString;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::object::Object;
use crate::model::fault::Fault;

/// The longest model name, bytes: names stand in journals, metrics and error messages.
pub(super) const MAX_MODEL: usize = 256;

/// The longest name of an end user that is kept as it is, bytes: it is held as long as the request.
const MAX_USER: usize = 256;

/// The model, as bytes of its own: a slice would keep the prompt alive as long as the journal.
///
/// # Errors
/// A 400 when there is none, or its name is too long.
pub(super) fn model(top: &Object<'_>) -> Result<ByteString, Fault> {
    let model = top.filled("model")?;
    if model.len() > MAX_MODEL {
        return Err(top.refuse("model", "at most 256 bytes long"));
    }
    Ok(model.into())
}

/// The end user that a request names, as limits know it: by the digest of a name that is too long
/// to be kept.
pub(super) fn user(name: &str) -> Option<ByteString> {
    match name.len() {
        0 => None,
        1..=MAX_USER => Some(name.into()),
        _ => Some(
            Sha256::digest(name)
                .iter()
                .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
                .into(),
        ),
    }
}

/// The models that a body's tools name: some ask one of their own.
///
/// # Errors
/// A 400 when `tools` is no array of objects, or names a model by something else than a string.
pub(super) fn models_of_tools(top: &Object<'_>) -> Result<Vec<ByteString>, Fault> {
    models_in(&top.objects("tools")?)
}

/// The models that these objects name. Where one says several, which of them counts is the
/// upstream's to say: all do.
pub(super) fn models_in(objects: &[Object<'_>]) -> Result<Vec<ByteString>, Fault> {
    let said = |object: &Object<'_>, value: &RawValue| {
        serde_json::from_str::<String>(value.get())
            .map(Into::into)
            .map_err(|_| object.refuse("model", "a string"))
    };
    let members = objects.iter().flat_map(|object| {
        object
            .fields
            .list
            .iter()
            .map(move |(name, value)| (object, name, *value))
    });
    members
        .filter(|(_, name, value)| *name == "model" && value.get() != "null")
        .map(|(object, _, value)| said(object, value))
        .collect()
}

/// The headers that go along to an upstream: a dialect's `own`, for its own wire, and
/// `traceparent`.
pub(super) fn passed_headers(
    headers: &HeaderMap,
    own: &[HeaderName],
) -> Vec<(HeaderName, HeaderValue)> {
    const TRACE: HeaderName = HeaderName::from_static("traceparent");
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

/// True for a W3C `traceparent` of the version in force: `00-<trace>-<parent>-<flags>` in
/// lower-case hex, ids not zero.
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
    fn users_are_told_apart_by_names_of_any_length() {
        let long = "u".repeat(MAX_USER + 1);
        assert_eq!((user(""), user("ann").as_deref()), (None, Some("ann")));
        assert_eq!(user(&long).unwrap().len(), 64);
        assert_ne!(user(&long), user(&format!("{long}u")));
    }

    #[test]
    fn only_valid_headers_of_a_dialects_own_go_along() {
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
            passed_headers(&headers, &[HeaderName::from_static("openai-beta")])
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
