//! The id under which a provider knows a response: clients that are passed its payloads are told no
//! other.

use std::borrow::Cow;

use bytestring::ByteString;
use serde::Deserialize;

use crate::model::entry::Entry;

/// The longest such id, bytes.
const LONGEST: usize = 128;
/// Payloads that are looked at for it: it stands in the first, and a server that has not told it by
/// then never will.
pub(super) const LOOKS: u8 = 8;

/// The id in the payload of an entry: that of a response, or of the response in an event.
pub(super) fn of(entry: &Entry) -> Option<ByteString> {
    #[derive(Deserialize)]
    struct Told<'a> {
        #[serde(borrow, default)]
        id: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        response: Option<Named<'a>>,
    }
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow, default)]
        id: Option<Cow<'a, str>>,
    }
    let told: Told<'_> = serde_json::from_str(&entry.raw.as_ref()?.data).ok()?;
    let id = told.response.and_then(|response| response.id).or(told.id)?;
    let good = (1..=LONGEST).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    good.then(|| (&*id).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::Payload;

    #[test]
    fn it_stands_in_an_event_or_in_the_whole() {
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
            assert_eq!(of(&entry(data)).as_deref(), Some("resp_1"));
        }
        for data in [r#"{"type":"x"}"#, "{", r#"{"id":""}"#, r#"{"id":"a b"}"#] {
            assert_eq!(of(&entry(data)), None, "{data}");
        }
    }
}
