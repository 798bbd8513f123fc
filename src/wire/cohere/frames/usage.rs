//! Usage as this wire counts it: the tokens themselves, cached ones included, not the billed ones,
//! which leave out the tokens that Cohere adds to a prompt.

use serde_json::value::RawValue;

use super::super::shape;
use crate::codec::lenient::Json;
use crate::model::usage::Usage;
use crate::wire::kit::usage;

/// Reads the counts of a `usage` object; `None` if it contains none.
pub(super) fn read_usage(json: &RawValue) -> Option<Usage> {
    let shape::Usage {
        tokens,
        billed,
        cached,
        ..
    } = Json::new(json).read();
    usage::known(Usage {
        // Billed tokens are the closest substitute where the tokens themselves are missing.
        input: tokens.input.0.or(billed.input.0),
        output: tokens.output.0.or(billed.output.0),
        cached_input: cached.0,
        reasoning: tokens.reasoning.0,
        ..Usage::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Option<Usage> {
        read_usage(serde_json::from_str(json).unwrap())
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
