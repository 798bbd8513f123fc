//! Reads token counts. This wire's meaning is the normalized one: input includes cached tokens, and
//! output includes reasoning.

use serde::Deserialize;

use super::super::shape::Json;
use crate::model::usage::Usage;

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Counts<'a> {
    input_tokens: Json<'a>,
    input_tokens_details: Json<'a>,
    output_tokens: Json<'a>,
    output_tokens_details: Json<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Details<'a> {
    cached_tokens: Json<'a>,
    cache_write_tokens: Json<'a>,
    reasoning_tokens: Json<'a>,
}

/// Returns the normalized usage, or `None` if there is no count.
pub(super) fn read_usage(usage: Json<'_>) -> Option<Usage> {
    let counts: Counts<'_> = usage.read();
    let (input, output): (Details<'_>, Details<'_>) = (
        counts.input_tokens_details.read(),
        counts.output_tokens_details.read(),
    );
    let usage = Usage {
        input: counts.input_tokens.number(),
        output: counts.output_tokens.number(),
        cached_input: input.cached_tokens.number(),
        cache_write: input.cache_write_tokens.number(),
        reasoning: output.reasoning_tokens.number(),
        estimated: false,
        cost: None,
    };
    (usage != Usage::default()).then_some(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Option<Usage> {
        read_usage(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn every_count_is_read() {
        let usage = of(
            r#"{"input_tokens":9,"input_tokens_details":{"cached_tokens":7,"cache_write_tokens":1},"output_tokens":5,
            "output_tokens_details":{"reasoning_tokens":4},"total_tokens":14}"#,
        );
        let all = Usage {
            input: Some(9),
            output: Some(5),
            cached_input: Some(7),
            cache_write: Some(1),
            reasoning: Some(4),
            ..Usage::default()
        };
        assert_eq!(usage, Some(all));
    }

    #[test]
    fn missing_counts_are_not_zero() {
        for json in [
            "null",
            "{}",
            "[]",
            "3",
            r#"{"input_tokens":null,"output_tokens":-1,"input_tokens_details":3}"#,
        ] {
            assert_eq!(of(json), None, "{json}");
        }
        let odd = of(r#"{"input_tokens":0,"output_tokens":"5","output_tokens_details":null}"#);
        assert_eq!(
            odd,
            Some(Usage {
                input: Some(0),
                output: Some(5),
                ..Usage::default()
            })
        );
    }
}
