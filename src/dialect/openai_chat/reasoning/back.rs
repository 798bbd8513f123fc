//! Reasoning that a client brings back: words and items become blocks again.

use super::super::turns::google_signature;
use super::wire_of;
use crate::dialect::object::Object;
use crate::model::chat::{Part, PastReasoning};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// The parts of a turn of the model, calls excepted: its reasoning, then `said` with the signatures
/// of its text.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(in super::super) fn brought_back(
    message: &Object<'_>,
    said: Vec<Part>,
) -> Result<Vec<Part>, Fault> {
    let words = message
        .string("reasoning_content")?
        .or(message.string("reasoning")?)
        .unwrap_or_default();
    let items = message
        .objects("reasoning_details")?
        .iter()
        .map(Item::read)
        .collect::<Result<Vec<_>, _>>()?;
    let (on_text, on_reasoning): (Vec<Item>, Vec<Item>) =
        items.into_iter().partition(|item| item.on_text);
    let mut parts = reasoning(&words, on_reasoning);
    let bare = google_signature(message)?;
    if on_text.is_empty() && bare.is_none() {
        parts.extend(said);
        return Ok(parts);
    }
    parts.extend(bare.map(|signature| past_text(Some(signature), WireId::Gemini)));
    parts.extend(signed_text(said, on_text));
    Ok(parts)
}

/// One item as it came back.
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

    /// What the item signs of `words`, and where that begins and ends; `None` where it does not
    /// fit.
    fn slice<'w>(&self, words: &'w str, from: usize) -> Option<(&'w str, usize, usize)> {
        let (start, end) = self.range.unwrap_or((from, words.len()));
        let fits = (start >= from)
            .then(|| words.get(start..end))
            .flatten()
            .map(|slice| (slice, start, end));
        // An encrypted block holds its own words.
        if self.data.is_some() {
            fits.filter(|_| self.range.is_some())
                .or(Some(("", from, from)))
        } else {
            fits
        }
    }

    /// Signatures of nobody known are left out, and so is what then says nothing.
    fn past(self, text: String) -> Option<Part> {
        let (signature, redacted) = if self.wire.is_some() {
            (self.signature, self.data)
        } else {
            (None, None)
        };
        let said = !text.is_empty() || signature.is_some() || redacted.is_some();
        let past = PastReasoning {
            text,
            signature,
            redacted,
            wire: self.wire,
            on_text: false,
        };
        said.then_some(Part::Reasoning(past))
    }
}

/// Reasoning in blocks, each with its signature.
fn reasoning(words: &str, items: Vec<Item>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut at = 0;
    // Words that stand in the items stand in `reasoning_content` a second time.
    let doubled = items.iter().any(|item| item.text.is_some());
    let words = if doubled { "" } else { words };
    for mut item in items {
        if let Some(text) = item.text.take() {
            parts.extend(item.past(text));
        } else if let Some((signed, start, end)) = item.slice(words, at) {
            unsigned(words.get(at..start), &mut parts);
            parts.extend(item.past(signed.to_owned()));
            at = end;
        }
    }
    unsigned(words.get(at..), &mut parts);
    parts
}

fn unsigned(words: Option<&str>, parts: &mut Vec<Part>) {
    if let Some(text) = words.filter(|text| !text.is_empty()) {
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

/// The text in pieces, each behind its signature, then whatever else was said.
fn signed_text(said: Vec<Part>, items: Vec<Item>) -> Vec<Part> {
    let words: String = said
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
        if let Some((signed, start, end)) = item.slice(&words, at) {
            piece(words.get(at..start), &mut parts);
            parts.extend(item.wire.map(|wire| past_text(item.signature, wire)));
            piece(Some(signed), &mut parts);
            at = end;
        }
    }
    piece(words.get(at..), &mut parts);
    parts.extend(
        said.into_iter()
            .filter(|part| !matches!(part, Part::Text(_))),
    );
    parts
}

fn piece(words: Option<&str>, parts: &mut Vec<Part>) {
    parts.extend(
        words
            .filter(|text| !text.is_empty())
            .map(|text| Part::Text(text.to_owned())),
    );
}

/// The signature of the text after it.
fn past_text(signature: Option<String>, wire: WireId) -> Part {
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

    /// Each part in short: what it is, its words, its signature or data.
    fn back(fields: &str, said: &str) -> Vec<(&'static str, String, Option<String>)> {
        let body = format!("{{{fields}}}");
        let said = if said.is_empty() {
            Vec::new()
        } else {
            vec![Part::Text(said.to_owned())]
        };
        let short = |part| match part {
            Part::Reasoning(it) if it.on_text => ("on_text", it.text, it.signature),
            Part::Reasoning(it) if it.redacted.is_some() => ("redacted", it.text, it.redacted),
            Part::Reasoning(it) => ("reasoning", it.text, it.signature),
            Part::Text(text) => ("text", text, None),
            part => panic!("{part:?}"),
        };
        brought_back(&Object::body(body.as_bytes()).unwrap(), said)
            .unwrap()
            .into_iter()
            .map(short)
            .collect()
    }

    fn item(kind: &'static str, words: &str, mark: &str) -> (&'static str, String, Option<String>) {
        (
            kind,
            words.to_owned(),
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
        assert_eq!(back(&fields, "hi"), expected);
    }

    #[test]
    fn text_stands_behind_its_signature() {
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
        assert_eq!(back(&fields, "abcd"), expected);
        let google = r#""extra_content":{"google":{"thought_signature":"g"}}"#;
        assert_eq!(
            back(google, "abcd"),
            [item("on_text", "", "g"), item("text", "abcd", "")]
        );
    }

    #[test]
    fn bare_words_come_back_unsigned() {
        assert_eq!(
            back(r#""reasoning":"hm""#, ""),
            [item("reasoning", "hm", "")]
        );
        assert_eq!(
            back(r#""reasoning_content":"hm","reasoning":"hm""#, ""),
            [item("reasoning", "hm", "")]
        );
    }

    #[test]
    fn items_with_words_of_their_own_are_not_doubled() {
        let fields = format!(
            r#""reasoning":"hm","reasoning_details":[{{"type":"reasoning.text","text":"hm","signature":"s",{CLAUDE}}}]"#
        );
        assert_eq!(back(&fields, ""), [item("reasoning", "hm", "s")]);
        let summary = r#""reasoning":"hm","reasoning_details":[{"type":"reasoning.summary","summary":"hm","format":"openai-responses-v1"}]"#;
        assert_eq!(back(summary, ""), [item("reasoning", "hm", "")]);
    }

    #[test]
    fn a_signature_without_a_range_signs_all_words() {
        let fields = format!(
            r#""reasoning_content":"hm","reasoning_details":[{{"type":"reasoning.text","signature":"s",{CLAUDE}}}]"#
        );
        assert_eq!(back(&fields, ""), [item("reasoning", "hm", "s")]);
    }

    #[test]
    fn a_range_that_does_not_fit_voids_the_signature_but_no_encrypted_block() {
        for range in ["[0,9]", "[2,1]", "[0,1]"] {
            let fields = format!(
                r#""reasoning_content":"é!","reasoning_details":[{{"signature":"s",{CLAUDE},"range":{range}}},{{"data":"d",{CLAUDE},"range":[9,9]}}]"#
            );
            assert_eq!(
                back(&fields, ""),
                [item("redacted", "", "d"), item("reasoning", "é!", "")],
                "{range}"
            );
        }
    }

    #[test]
    fn what_nobody_known_has_signed_is_left_out() {
        let fields = r#""reasoning_content":"hm","reasoning_details":[{"type":"reasoning.encrypted","data":"d","format":"somebody-v1"}]"#;
        assert_eq!(back(fields, ""), [item("reasoning", "hm", "")]);
    }

    #[test]
    fn items_of_the_wrong_form_are_refused() {
        for fields in [
            r#""reasoning_details":{}"#,
            r#""reasoning_details":[{"range":[-1,2]}]"#,
            r#""reasoning_content":7"#,
        ] {
            let body = format!("{{{fields}}}");
            assert_eq!(
                brought_back(&Object::body(body.as_bytes()).unwrap(), Vec::new())
                    .unwrap_err()
                    .status,
                400
            );
        }
    }
}
