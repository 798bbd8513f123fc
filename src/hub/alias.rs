//! The id that a provider gave a response: clients that receive its payloads unchanged know no
//! other id.

use std::borrow::Cow;

use bytestring::ByteString;
use serde::Deserialize;

use crate::model::entry::Entry;

/// Maximum length of an id, bytes.
const MAX_ID_BYTES: usize = 128;
/// Maximum number of payloads searched for the id: it is in the first, and a server that has not
/// sent it by then never will.
pub(super) const MAX_PAYLOADS: u8 = 8;

/// Returns the id in the payload of an entry: that of a whole response, or of the response in an
/// event.
pub(super) fn response_id(entry: &Entry) -> Option<ByteString> {
    #[derive(Deserialize)]
    struct Payload<'a> {
        #[serde(borrow, default)]
        id: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        response: Option<CancelMatch<'a>>,
    }
    #[derive(Deserialize)]
    struct CancelMatch<'a> {
        #[serde(borrow, default)]
        id: Option<Cow<'a, str>>,
    }
    let payload: Payload<'_> = serde_json::from_str(&entry.raw.as_ref()?.data).ok()?;
    // An event contains the response; a whole body is the response itself.
    let id = payload
        .response
        .and_then(|response| response.id)
        .or(payload.id)?;
    // Bounded, as every id is a key in the hub's maps.
    let valid = (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    valid.then(|| (&*id).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::Payload;

    #[test]
    fn the_id_is_found_in_an_event_and_in_a_whole_body() {
        let entry = |data: &'static str| Entry {
            raw: Some(Payload {
                name: "".into(),
                data: data.into(),
            }),
            events: Default::default(),
        };
        for data in [
            r#"{"type":"response.created","response":{"id":"resp_1"}}"#,
            r#"{"id":"resp_1","output":[]}"#,
        ] {
            assert_eq!(response_id(&entry(data)).as_deref(), Some("resp_1"));
        }
        for data in [r#"{"type":"x"}"#, "{", r#"{"id":""}"#, r#"{"id":"a b"}"#] {
            assert_eq!(response_id(&entry(data)), None, "{data}");
        }
    }
}
