//! Normalizes token counts: input includes cached tokens, output includes reasoning tokens.

use crate::model::usage::Usage;
use crate::wire::kit::usage;
use crate::wire::openai_chat::shape;

/// Reads the counts of a usage object; `None` if it contains none.
pub(super) fn read_usage(wire: &shape::Usage<'_>) -> Option<Usage> {
    let reasoning = wire.output_details.reasoning.0.or(wire.reasoning.0);
    // Some servers report another cached count beside the details. A count above the whole input
    // cannot be a part of it and is ignored.
    let cached = wire
        .cached
        .0
        .filter(|cached| wire.input.0.is_none_or(|input| *cached <= input));
    usage::known(Usage {
        input: wire.input.0,
        output: wire
            .output
            .0
            .map(|output| with_reasoning(output, reasoning, wire)),
        cached_input: wire.input_details.cached.0.or(cached),
        // Gateways send this field as 0 for every provider, even for those without such a cache.
        cache_write: wire
            .input_details
            .cache_write
            .0
            .or(wire.cache_write.0.filter(|tokens| *tokens > 0)),
        reasoning,
        estimated: false,
        cost: None,
    })
}

/// Adds reasoning tokens to the output if the server does not include them.
///
/// xAI excludes reasoning from the output and includes it in the total, so the total identifies it.
/// Perplexity excludes reasoning from both; its search counts identify it.
fn with_reasoning(output: u64, reasoning: Option<u64>, wire: &shape::Usage<'_>) -> u64 {
    let Some(reasoning) = reasoning.filter(|tokens| *tokens > 0) else {
        return output;
    };
    let both = output.saturating_add(reasoning);
    let total = wire.input.0.map(|input| input.saturating_add(both));
    let in_total = total.is_some() && total == wire.total.0;
    let is_perplexity = wire.reasoning.0.is_some() && wire.searched.0.is_some();
    if in_total || is_perplexity {
        both
    } else {
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(json: &str) -> Option<Usage> {
        read_usage(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn every_name_of_the_cached_count_is_read() {
        for member in [
            r#""prompt_tokens_details":{"cached_tokens":7}"#,
            r#""prompt_token_details":{"cached_tokens":7}"#,
            r#""prompt_cache_hit_tokens":7,"prompt_tokens_details":null"#,
            r#""num_cached_tokens":7"#,
            r#""cached_tokens":7"#,
            r#""cache_read_input_tokens":7"#,
        ] {
            let usage = usage(&format!(
                r#"{{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,{member}}}"#
            ))
            .unwrap();
            assert_eq!(
                (usage.input, usage.output, usage.cached_input),
                (Some(9), Some(2), Some(7)),
                "{member}"
            );
        }
        let written =
            usage(r#"{"prompt_tokens":9,"prompt_tokens_details":{"cache_write_tokens":3}}"#)
                .unwrap();
        assert_eq!(written.cache_write, Some(3));
    }

    #[test]
    fn reasoning_outside_the_output_is_added() {
        let beside = r#"{"prompt_tokens":12,"completion_tokens":2,"total_tokens":354,"completion_tokens_details":{"reasoning_tokens":340}}"#;
        assert_eq!(usage(beside).unwrap().output, Some(342));
        let inside = r#"{"prompt_tokens":12,"completion_tokens":342,"total_tokens":354,"completion_tokens_details":{"reasoning_tokens":340}}"#;
        assert_eq!(usage(inside).unwrap().output, Some(342));
        let untold = r#"{"prompt_tokens":12,"completion_tokens":2,"total_tokens":14,"reasoning_tokens":340}"#;
        assert_eq!(
            usage(untold).unwrap(),
            Usage {
                input: Some(12),
                output: Some(2),
                reasoning: Some(340),
                ..Usage::default()
            }
        );
    }

    #[test]
    fn perplexitys_reasoning_is_added_to_the_output() {
        let searched = r#"{"prompt_tokens":7,"completion_tokens":20,"total_tokens":27,"reasoning_tokens":9,"citation_tokens":5,"num_search_queries":3}"#;
        let usage = usage(searched).unwrap();
        assert_eq!((usage.output, usage.reasoning), (Some(29), Some(9)));
    }

    #[test]
    fn missing_counts_are_not_zero() {
        assert_eq!(usage("null"), None);
        assert_eq!(usage("{}"), None);
        assert_eq!(usage(r#""none""#), None);
        assert_eq!(
            usage(r#"{"prompt_tokens":10,"num_cached_tokens":64}"#)
                .unwrap()
                .cached_input,
            None
        );
        assert_eq!(
            usage(r#"{"prompt_tokens":10,"cache_creation_input_tokens":0}"#)
                .unwrap()
                .cache_write,
            None
        );
        assert_eq!(
            usage(r#"{"prompt_tokens":10,"cache_creation_input_tokens":4}"#)
                .unwrap()
                .cache_write,
            Some(4)
        );
        assert_eq!(
            usage(r#"{"prompt_tokens":0}"#),
            Some(Usage {
                input: Some(0),
                ..Usage::default()
            })
        );
        assert_eq!(
            usage(r#"{"prompt_tokens":-1,"completion_tokens":2.0}"#),
            Some(Usage {
                output: Some(2),
                ..Usage::default()
            })
        );
    }
}
