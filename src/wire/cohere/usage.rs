//! Usage as this wire counts it: the tokens themselves, cached ones included, not the billed ones,
//! which leave out the tokens that Cohere adds to a prompt.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::usage::Usage;

/// Reads the counts of a `usage` object; `None` if it contains none.
pub(super) fn read(usage: &RawValue) -> Option<Usage> {
    let usage: Value = serde_json::from_str(usage.get()).ok()?;
    let tokens = |name: &str| usage.get("tokens")?.get(name).and_then(count);
    let billed = |name: &str| usage.get("billed_units")?.get(name).and_then(count);
    // Billed tokens are the closest substitute where the tokens themselves are missing.
    let either = |name: &str| tokens(name).or_else(|| billed(name));
    let read = Usage {
        input: either("input_tokens"),
        output: either("output_tokens"),
        cached_input: usage.get("cached_tokens").and_then(count),
        cache_write: None,
        reasoning: tokens("reasoning_tokens"),
        estimated: false,
        cost: None,
    };
    (read != Usage::default()).then_some(read)
}

/// Reads a count. The API declares counts as floats, although they are whole numbers.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked"
)]
fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        value
            .as_f64()
            // Above about 9e15 a float cannot represent every whole number.
            .filter(|number| (0.0..9e15).contains(number))
            .map(|number| number as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Option<Usage> {
        read(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn tokens_are_counted_instead_of_billed_ones() {
        let usage = parse(
            r#"{"billed_units":{"input_tokens":84,"output_tokens":314},"cached_tokens":1008,
            "tokens":{"input_tokens":1501,"output_tokens":346,"reasoning_tokens":304}}"#,
        );
        let expected = Usage {
            input: Some(1501),
            output: Some(346),
            cached_input: Some(1008),
            reasoning: Some(304),
            ..Usage::default()
        };
        assert_eq!(usage, Some(expected));
    }

    #[test]
    fn billed_tokens_replace_missing_ones() {
        let usage = parse(r#"{"billed_units":{"input_tokens":7.0,"output_tokens":8},"tokens":{"input_tokens":9}}"#).unwrap();
        assert_eq!(
            (usage.input, usage.output, usage.cached_input),
            (Some(9), Some(8), None)
        );
        assert_eq!(
            parse(r#"{"billed_units":{"input_tokens":7.0}}"#)
                .unwrap()
                .input,
            Some(7)
        );
        for empty in [
            "null",
            "{}",
            "[]",
            "7",
            r#"{"tokens":null}"#,
            r#"{"tokens":{"input_tokens":-1,"output_tokens":"x"}}"#,
        ] {
            assert_eq!(parse(empty), None, "{empty}");
        }
    }
}
