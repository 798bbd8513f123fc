//! What was used: the tokens themselves, not those that are billed (which leave out what Cohere
//! adds to a prompt). Cached tokens are among them.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::usage::Usage;

/// The counts, where there is any.
pub(super) fn read(usage: &RawValue) -> Option<Usage> {
    let usage: Value = serde_json::from_str(usage.get()).ok()?;
    let tokens = |name: &str| usage.get("tokens")?.get(name).and_then(count);
    let billed = |name: &str| usage.get("billed_units")?.get(name).and_then(count);
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

/// A whole number, which the API declares to be a float.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked"
)]
fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        value
            .as_f64()
            .filter(|number| (0.0..9e15).contains(number))
            .map(|number| number as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Option<Usage> {
        read(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_tokens_themselves_are_counted() {
        let usage = of(
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
    fn billed_tokens_stand_in_where_nothing_else_is_said() {
        let usage = of(r#"{"billed_units":{"input_tokens":7.0,"output_tokens":8},"tokens":{"input_tokens":9}}"#).unwrap();
        assert_eq!(
            (usage.input, usage.output, usage.cached_input),
            (Some(9), Some(8), None)
        );
        assert_eq!(
            of(r#"{"billed_units":{"input_tokens":7.0}}"#)
                .unwrap()
                .input,
            Some(7)
        );
        for nothing in [
            "null",
            "{}",
            "[]",
            "7",
            r#"{"tokens":null}"#,
            r#"{"tokens":{"input_tokens":-1,"output_tokens":"x"}}"#,
        ] {
            assert_eq!(of(nothing), None, "{nothing}");
        }
    }
}
