//! A row of the ledger: one generation, its caller and its cost. It contains no prompt and no
//! completion.
//!
//! Invariants: a row is one line of JSON. It is written when its stream begins, with the reserved
//! amount as its cost; again each time that amount has doubled; and in full when it is settled. The
//! latest line counts. Texts that clients choose are cut to a bound.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::period::{Day, Month};
use crate::model::money::Money;

/// Maximum length of a text that clients choose, bytes.
const MAX_TEXT_BYTES: usize = 256;

/// One generation.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row<'a> {
    /// Id of the stream.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// Time at which it began, milliseconds since 1970.
    pub began: u64,
    /// Time at which it ended, milliseconds since 1970; `None` while it runs.
    #[serde(default)]
    pub ended: Option<u64>,
    /// The virtual key.
    #[serde(borrow, default)]
    pub key: Option<Cow<'a, str>>,
    /// The team of the key.
    #[serde(borrow, default)]
    pub team: Option<Cow<'a, str>>,
    /// The end user.
    #[serde(borrow, default)]
    pub user: Option<Cow<'a, str>>,
    /// The dialect of the request.
    #[serde(borrow)]
    pub dialect: Cow<'a, str>,
    /// The model name that the client asked for.
    #[serde(borrow)]
    pub model: Cow<'a, str>,
    /// The provider that answered, or the last one asked.
    #[serde(borrow, default)]
    pub provider: Option<Cow<'a, str>>,
    /// The model name sent to the provider.
    #[serde(borrow, default)]
    pub target: Option<Cow<'a, str>>,
    /// `running`, `completed`, `cancelled`, `failed`.
    #[serde(borrow)]
    pub status: Cow<'a, str>,
    /// The reason of its end.
    #[serde(borrow, default)]
    pub reason: Option<Cow<'a, str>>,
    /// The error code, if it failed.
    #[serde(borrow, default)]
    pub code: Option<Cow<'a, str>>,
    /// Input tokens, cached and cache-write tokens included.
    #[serde(default)]
    pub input_tokens: Option<u64>,
    /// Input tokens read from a prompt cache.
    #[serde(default)]
    pub cached_input_tokens: Option<u64>,
    /// Input tokens written to a prompt cache.
    #[serde(default)]
    pub cache_write_tokens: Option<u64>,
    /// Output tokens, reasoning included.
    #[serde(default)]
    pub output_tokens: Option<u64>,
    /// Output tokens spent on reasoning.
    #[serde(default)]
    pub reasoning_tokens: Option<u64>,
    /// The figures rest on an estimate.
    #[serde(default)]
    pub estimated: bool,
    /// Its cost; `None` if its target has no price.
    #[serde(default)]
    pub cost: Option<Money>,
    /// Number of requests sent upstream.
    #[serde(default)]
    pub attempts: u32,
    /// Time until the first content, milliseconds.
    #[serde(default)]
    pub first_content_ms: Option<u64>,
    /// Time until the end, milliseconds.
    #[serde(default)]
    pub duration_ms: Option<u64>,
}

impl Row<'_> {
    /// Parses a line.
    ///
    /// # Errors
    /// When the line is not a row: cut short, or written by something else.
    pub fn parse(line: &[u8]) -> Result<Row<'_>, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// Returns the row as a line of JSON, with its line break.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("strings and numbers are always JSON");
        // JSON escapes the line breaks of texts, so that this is the only one.
        line.push(b'\n');
        line
    }

    /// Returns the day it counts for: the one on which it began.
    #[must_use]
    pub fn day(&self) -> Day {
        Day::from_ms(self.began)
    }

    /// Returns the month it counts for.
    #[must_use]
    pub fn month(&self) -> Month {
        Month::from_ms(self.began)
    }

    /// Returns the same row with owned texts.
    #[must_use]
    pub fn into_owned(self) -> Row<'static> {
        fn own(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        let numbers = self.numbers();
        Row {
            id: own(self.id),
            key: self.key.map(own),
            team: self.team.map(own),
            user: self.user.map(own),
            dialect: own(self.dialect),
            model: own(self.model),
            provider: self.provider.map(own),
            target: self.target.map(own),
            status: own(self.status),
            reason: self.reason.map(own),
            code: self.code.map(own),
            ..numbers
        }
    }

    /// Returns a row with its numbers only.
    fn numbers(&self) -> Row<'static> {
        Row {
            began: self.began,
            ended: self.ended,
            input_tokens: self.input_tokens,
            cached_input_tokens: self.cached_input_tokens,
            cache_write_tokens: self.cache_write_tokens,
            output_tokens: self.output_tokens,
            reasoning_tokens: self.reasoning_tokens,
            estimated: self.estimated,
            cost: self.cost,
            attempts: self.attempts,
            first_content_ms: self.first_content_ms,
            duration_ms: self.duration_ms,
            ..Row::default()
        }
    }
}

/// Cuts a text that a client chose to the length that a row may hold, between characters.
pub(super) fn truncate(text: &str) -> Cow<'static, str> {
    let end = (0..=text.len().min(MAX_TEXT_BYTES))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    Cow::Owned(text.get(..end).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_round_trips() {
        let row = Row {
            id: "abc".into(),
            began: 1,
            user: Some("a \"b\"\n\u{2028}é".into()),
            dialect: "events".into(),
            model: "m".into(),
            status: "running".into(),
            cost: Some("0.000000001".parse().unwrap()),
            ..Row::default()
        };
        let line = row.to_line();
        assert_eq!(
            line.iter().filter(|b| **b == b'\n').count(),
            1,
            "a row is one line whatever names clients use"
        );
        assert_eq!(Row::parse(&line).unwrap(), row);
        assert_eq!(row.clone().into_owned(), row);
    }

    #[test]
    fn client_texts_are_cut_between_characters() {
        assert_eq!(truncate("m"), "m");
        assert_eq!(truncate(&"é".repeat(200)), "é".repeat(128));
        assert_eq!(truncate(&format!("x{}", "é".repeat(200))).len(), 255);
    }
}
