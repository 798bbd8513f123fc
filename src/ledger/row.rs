//! A row of the ledger: one generation, who asked for it, and what it came to. No prompt, no
//! completion.
//!
//! Invariants: a row is one line of JSON. It is written when its stream begins, with what is
//! reserved for it as its cost, again when that has doubled, and in full when it is settled; the
//! later line counts. Texts that clients choose are cut to a bound.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::period::{Day, Month};
use crate::model::money::Money;

/// The bytes of a text that clients choose, at the most.
const LONGEST: usize = 256;

/// One generation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row<'a> {
    /// The stream.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// When it began, in milliseconds since 1970.
    pub began: u64,
    /// When it ended; `None` while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    /// The virtual key.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Cow<'a, str>>,
    /// Its team.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Cow<'a, str>>,
    /// The end user.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Cow<'a, str>>,
    /// The dialect it was asked in.
    #[serde(borrow)]
    pub dialect: Cow<'a, str>,
    /// The model by the name that was asked for.
    #[serde(borrow)]
    pub model: Cow<'a, str>,
    /// The provider that answered, or was asked last.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Cow<'a, str>>,
    /// The model it was asked for.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Cow<'a, str>>,
    /// `running`, `completed`, `cancelled`, `failed`.
    #[serde(borrow)]
    pub status: Cow<'a, str>,
    /// Why it ended.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// How it failed.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Cow<'a, str>>,
    /// Input tokens, those below included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Of these read from a prompt cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_tokens: Option<u64>,
    /// Of these written to a prompt cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u64>,
    /// Output tokens, reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Of these spent on reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    /// Figures rest on an estimate.
    #[serde(default)]
    pub estimated: bool,
    /// What it cost; `None` where its target has no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
    /// Requests that went upstream.
    #[serde(default)]
    pub attempts: u32,
    /// Until the first content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_content_ms: Option<u64>,
    /// Until the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

impl Row<'_> {
    /// The row of a line.
    ///
    /// # Errors
    /// When it is none: a line that was cut short, or that something else wrote.
    pub fn parse(line: &[u8]) -> Result<Row<'_>, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// As a line.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("strings and numbers are always JSON");
        line.push(b'\n');
        line
    }

    /// The day it counts for: that on which it began.
    #[must_use]
    pub fn day(&self) -> Day {
        Day::of(self.began)
    }

    /// The month it counts for.
    #[must_use]
    pub fn month(&self) -> Month {
        Month::of(self.began)
    }

    /// The same, its texts its own.
    #[must_use]
    pub fn into_owned(self) -> Row<'static> {
        fn own(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        let figures = self.figures();
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
            ..figures
        }
    }

    /// Its figures alone.
    fn figures(&self) -> Row<'static> {
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

/// A text that a client chose, cut to what a row holds of it.
pub(super) fn cut(text: &str) -> Cow<'static, str> {
    let end = (0..=text.len().min(LONGEST))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    Cow::Owned(text.get(..end).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_being_written() {
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
        let line = row.line();
        assert_eq!(
            line.iter().filter(|b| **b == b'\n').count(),
            1,
            "a row is one line whatever a client calls itself"
        );
        assert_eq!(Row::parse(&line).unwrap(), row);
        assert_eq!(row.clone().into_owned(), row);
    }

    #[test]
    fn what_clients_choose_is_cut_between_characters() {
        assert_eq!(cut("m"), "m");
        assert_eq!(cut(&"é".repeat(200)), "é".repeat(128));
        assert_eq!(cut(&format!("x{}", "é".repeat(200))).len(), 255);
    }
}
