//! Reads reasoning that a client sends back: text and items become blocks again.

use super::{google_signature, wire_of};
use crate::dialect::object::Object;
use crate::model::chat::{Part, PastReasoning};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// Returns the parts of a model turn without its calls: its reasoning, then `content` with the
/// signatures of its text.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(in super::super) fn past_parts(
    message: &Object<'_>,
    content: Vec<Part>,
) -> Result<Vec<Part>, Fault> {
    let text = message
        .string("reasoning_content")?
        .or(message.string("reasoning")?)
        .unwrap_or_default();
    let items = message
        .objects("reasoning_details")?
        .iter()
        .map(Item::read)
        .collect::<Result<Vec<_>, _>>()?;
    // The ranges of the two kinds refer to different fields.
    let (on_text, on_reasoning): (Vec<Item>, Vec<Item>) =
        items.into_iter().partition(|item| item.on_text);
    let mut parts = reasoning(&text, on_reasoning);
    // Clients of Google's endpoint send one signature for the whole message, without a range.
    let bare = google_signature(message)?;
    if on_text.is_empty() && bare.is_none() {
        parts.extend(content);
        return Ok(parts);
    }
    parts.extend(bare.map(|signature| text_signature(Some(signature), WireId::Gemini)));
    parts.extend(signed_pieces(content, on_text));
    Ok(parts)
}

/// One item of `reasoning_details`.
struct Item {
    text: Option<String>,
    data: Option<String>,
    signature: Option<String>,
    wire: Option<WireId>,
    range: Option<(usize, usize)>,
    on_text: bool,
}

impl Item {
    fn read(item: &Object<'_>) -> Result<Self, Fault> {
        let format = item.text("format")?.unwrap_or_default();
        let text = item.string("text")?.or(item.string("summary")?);
        Ok(Self {
            text: text.filter(|text| !text.is_empty()),
            data: item.string("data")?,
            signature: item.string("signature")?,
            wire: wire_of(&format),
            range: item.read("range", "two non-negative integers")?,
            on_text: item.read("on_text", "true or false")?.unwrap_or(false),
        })
    }

    /// Returns the part of `text` that the item signs, with its start and end; `None` if the range
    /// does not fit. `from` is the end of the item before, and ranges may not overlap.
    fn slice<'w>(&self, text: &'w str, from: usize) -> Option<(&'w str, usize, usize)> {
        // Items of other gateways have no range: they sign all that is left.
        let (start, end) = self.range.unwrap_or((from, text.len()));
        let fits = (start >= from)
            .then(|| text.get(start..end))
            .flatten()
            .map(|slice| (slice, start, end));
        // An encrypted block contains its own text, so it is kept even if its range does not fit.
        if self.data.is_some() {
            fits.filter(|_| self.range.is_some())
                .or(Some(("", from, from)))
        } else {
            fits
        }
    }

    /// Converts the item to a part. Signatures of an unknown wire are dropped, and so is a part
    /// that is empty then.
    fn past(self, text: String) -> Option<Part> {
        let (signature, redacted) = if self.wire.is_some() {
            (self.signature, self.data)
        } else {
            (None, None)
        };
        let has_content = !text.is_empty() || signature.is_some() || redacted.is_some();
        let past = PastReasoning {
            text,
            signature,
            redacted,
            wire: self.wire,
            on_text: false,
        };
        has_content.then_some(Part::Reasoning(past))
    }
}

/// Splits reasoning into blocks, each with its signature.
fn reasoning(text: &str, items: Vec<Item>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut at = 0;
    // Clients that fill `text` in items repeat the same text in `reasoning_content`.
    let doubled = items.iter().any(|item| item.text.is_some());
    let text = if doubled { "" } else { text };
    for mut item in items {
        if let Some(text) = item.text.take() {
            parts.extend(item.past(text));
        } else if let Some((signed, start, end)) = item.slice(text, at) {
            unsigned(text.get(at..start), &mut parts);
            parts.extend(item.past(signed.to_owned()));
            at = end;
        }
    }
    unsigned(text.get(at..), &mut parts);
    parts
}

fn unsigned(text: Option<&str>, parts: &mut Vec<Part>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        let text = text.to_owned();
        parts.push(Part::Reasoning(PastReasoning {
            text,
            signature: None,
            redacted: None,
            wire: None,
            on_text: false,
        }));
    }
}

/// Splits the text into pieces, each after its signature, followed by the other content.
fn signed_pieces(content: Vec<Part>, items: Vec<Item>) -> Vec<Part> {
    let text: String = content
        .iter()
        .filter_map(|part| {
            if let Part::Text(text) = part {
                Some(text.as_str())
            } else {
                None
            }
        })
        .collect();
    let mut parts = Vec::new();
    let mut at = 0;
    for item in items {
        if let Some((signed, start, end)) = item.slice(&text, at) {
            piece(text.get(at..start), &mut parts);
            parts.extend(item.wire.map(|wire| text_signature(item.signature, wire)));
            piece(Some(signed), &mut parts);
            at = end;
        }
    }
    piece(text.get(at..), &mut parts);
    parts.extend(
        content
            .into_iter()
            .filter(|part| !matches!(part, Part::Text(_))),
    );
    parts
}

fn piece(text: Option<&str>, parts: &mut Vec<Part>) {
    parts.extend(
        text.filter(|text| !text.is_empty())
            .map(|text| Part::Text(text.to_owned())),
    );
}

/// Makes the signature of the text after it.
fn text_signature(signature: Option<String>, wire: WireId) -> Part {
    Part::Reasoning(PastReasoning {
        text: String::new(),
        signature,
        redacted: None,
        wire: Some(wire),
        on_text: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Describes each part: its kind, its text, its signature or data.
    fn past(fields: &str, content: &str) -> Vec<(&'static str, String, Option<String>)> {
        let body = format!("{{{fields}}}");
        let content = if content.is_empty() {
            Vec::new()
        } else {
            vec![Part::Text(content.to_owned())]
        };
        let short = |part| match part {
            Part::Reasoning(it) if it.on_text => ("on_text", it.text, it.signature),
            Part::Reasoning(it) if it.redacted.is_some() => ("redacted", it.text, it.redacted),
            Part::Reasoning(it) => ("reasoning", it.text, it.signature),
            Part::Text(text) => ("text", text, None),
            part => panic!("{part:?}"),
        };
        past_parts(&Object::from_body(body.as_bytes()).unwrap(), content)
            .unwrap()
            .into_iter()
            .map(short)
            .collect()
    }

    fn item(kind: &'static str, text: &str, mark: &str) -> (&'static str, String, Option<String>) {
        (
            kind,
            text.to_owned(),
            Some(mark.to_owned()).filter(|mark| !mark.is_empty()),
        )
    }

    const CLAUDE: &str = r#""format":"anthropic-claude-v1""#;

    #[test]
    fn every_block_gets_its_own_signature() {
        let fields = format!(
            r#""reasoning_content":"oneétwo","reasoning_details":[{{"type":"reasoning.text","signature":"s1",{CLAUDE},"index":0,"range":[0,3]}},
               {{"type":"reasoning.encrypted","data":"d",{CLAUDE},"index":1,"range":[5,5]}},{{"type":"reasoning.text","signature":"s2",{CLAUDE},"index":2,"range":[5,8]}}]"#
        );
        let expected = [
            item("reasoning", "one", "s1"),
            item("reasoning", "é", ""),
            item("redacted", "", "d"),
            item("reasoning", "two", "s2"),
            item("text", "hi", ""),
        ];
        assert_eq!(past(&fields, "hi"), expected);
    }

    #[test]
    fn text_follows_its_signature() {
        let google = r#""format":"google-gemini-v1","on_text":true"#;
        let fields = format!(
            r#""reasoning_details":[{{"type":"reasoning.text","signature":"a",{google},"range":[0,2]}},{{"type":"reasoning.text","signature":"b",{google},"range":[3,3]}}]"#
        );
        let expected = [
            item("on_text", "", "a"),
            item("text", "ab", ""),
            item("text", "c", ""),
            item("on_text", "", "b"),
            item("text", "d", ""),
        ];
        assert_eq!(past(&fields, "abcd"), expected);
        let google = r#""extra_content":{"google":{"thought_signature":"g"}}"#;
        assert_eq!(
            past(google, "abcd"),
            [item("on_text", "", "g"), item("text", "abcd", "")]
        );
    }

    #[test]
    fn plain_reasoning_is_unsigned() {
        assert_eq!(
            past(r#""reasoning":"hm""#, ""),
            [item("reasoning", "hm", "")]
        );
        assert_eq!(
            past(r#""reasoning_content":"hm","reasoning":"hm""#, ""),
            [item("reasoning", "hm", "")]
        );
    }

    #[test]
    fn items_with_their_own_text_are_not_repeated() {
        let fields = format!(
            r#""reasoning":"hm","reasoning_details":[{{"type":"reasoning.text","text":"hm","signature":"s",{CLAUDE}}}]"#
        );
        assert_eq!(past(&fields, ""), [item("reasoning", "hm", "s")]);
        let summary = r#""reasoning":"hm","reasoning_details":[{"type":"reasoning.summary","summary":"hm","format":"openai-responses-v1"}]"#;
        assert_eq!(past(summary, ""), [item("reasoning", "hm", "")]);
    }

    #[test]
    fn a_signature_without_a_range_signs_all_text() {
        let fields = format!(
            r#""reasoning_content":"hm","reasoning_details":[{{"type":"reasoning.text","signature":"s",{CLAUDE}}}]"#
        );
        assert_eq!(past(&fields, ""), [item("reasoning", "hm", "s")]);
    }

    #[test]
    fn a_wrong_range_drops_the_signature_but_not_an_encrypted_block() {
        for range in ["[0,9]", "[2,1]", "[0,1]"] {
            let fields = format!(
                r#""reasoning_content":"é!","reasoning_details":[{{"signature":"s",{CLAUDE},"range":{range}}},{{"data":"d",{CLAUDE},"range":[9,9]}}]"#
            );
            assert_eq!(
                past(&fields, ""),
                [item("redacted", "", "d"), item("reasoning", "é!", "")],
                "{range}"
            );
        }
    }

    #[test]
    fn signatures_of_unknown_formats_are_dropped() {
        let fields = r#""reasoning_content":"hm","reasoning_details":[{"type":"reasoning.encrypted","data":"d","format":"somebody-v1"}]"#;
        assert_eq!(past(fields, ""), [item("reasoning", "hm", "")]);
    }

    #[test]
    fn items_of_the_wrong_form_are_rejected() {
        for fields in [
            r#""reasoning_details":{}"#,
            r#""reasoning_details":[{"range":[-1,2]}]"#,
            r#""reasoning_content":7"#,
        ] {
            let body = format!("{{{fields}}}");
            assert_eq!(
                past_parts(&Object::from_body(body.as_bytes()).unwrap(), Vec::new())
                    .unwrap_err()
                    .status,
                400
            );
        }
    }
}
