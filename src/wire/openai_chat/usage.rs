//! Counts of tokens in the one meaning they have here: input includes cached tokens, output
//! includes reasoning.

use super::shape;
use crate::model::usage::Usage;

/// The counts, where there is any.
pub(super) fn normalized(wire: &shape::Usage<'_>) -> Option<Usage> {
    let reasoning = wire.output_details.reasoning.0.or(wire.reasoning.0);
    // Beside the details stands another count in some servers: more than all input is no part of
    // it.
    let cached = wire
        .cached
        .0
        .filter(|cached| wire.input.0.is_none_or(|input| *cached <= input));
    let usage = Usage {
        input: wire.input.0,
        output: wire
            .output
            .0
            .map(|output| with_reasoning(output, reasoning, wire)),
        cached_input: wire.input_details.cached.0.or(cached),
        // Gateways send this one as zero for every provider, whether it has such a cache or not.
        cache_write: wire
            .input_details
            .cache_write
            .0
            .or(wire.cache_write.0.filter(|tokens| *tokens > 0)),
        reasoning,
        estimated: false,
        cost: None,
    };
    (usage != Usage::default()).then_some(usage)
}

/// xAI counts reasoning beside the output: it shows in the total. Perplexity does too, and leaves
/// it out of the total: what shows are its searches.
fn with_reasoning(output: u64, reasoning: Option<u64>, wire: &shape::Usage<'_>) -> u64 {
    let Some(reasoning) = reasoning.filter(|tokens| *tokens > 0) else {
        return output;
    };
    let both = output.saturating_add(reasoning);
    let total = wire.input.0.map(|input| input.saturating_add(both));
    let in_total = total.is_some() && total == wire.total.0;
    let searched = wire.reasoning.0.is_some() && wire.searched.0.is_some();
    if in_total || searched { both } else { output }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Option<Usage> {
        normalized(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn every_spelling_of_cached_input_is_known() {
        for member in [
            r#""prompt_tokens_details":{"cached_tokens":7}"#,
            r#""prompt_token_details":{"cached_tokens":7}"#,
            r#""prompt_cache_hit_tokens":7,"prompt_tokens_details":null"#,
            r#""num_cached_tokens":7"#,
            r#""cached_tokens":7"#,
            r#""cache_read_input_tokens":7"#,
        ] {
            let usage = of(&format!(
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
            of(r#"{"prompt_tokens":9,"prompt_tokens_details":{"cache_write_tokens":3}}"#).unwrap();
        assert_eq!(written.cache_write, Some(3));
    }

    #[test]
    fn reasoning_beside_the_output_is_added_in() {
        let beside = r#"{"prompt_tokens":12,"completion_tokens":2,"total_tokens":354,"completion_tokens_details":{"reasoning_tokens":340}}"#;
        assert_eq!(of(beside).unwrap().output, Some(342));
        let inside = r#"{"prompt_tokens":12,"completion_tokens":342,"total_tokens":354,"completion_tokens_details":{"reasoning_tokens":340}}"#;
        assert_eq!(of(inside).unwrap().output, Some(342));
        let untold = r#"{"prompt_tokens":12,"completion_tokens":2,"total_tokens":14,"reasoning_tokens":340}"#;
        assert_eq!(
            of(untold).unwrap(),
            Usage {
                input: Some(12),
                output: Some(2),
                reasoning: Some(340),
                ..Usage::default()
            }
        );
    }

    #[test]
    fn perplexity_counts_reasoning_beside_output_and_total() {
        let searched = r#"{"prompt_tokens":7,"completion_tokens":20,"total_tokens":27,"reasoning_tokens":9,"citation_tokens":5,"num_search_queries":3}"#;
        let usage = of(searched).unwrap();
        assert_eq!((usage.output, usage.reasoning), (Some(29), Some(9)));
    }

    #[test]
    fn what_is_not_said_is_not_zero() {
        assert_eq!(of("null"), None);
        assert_eq!(of("{}"), None);
        assert_eq!(of(r#""none""#), None);
        assert_eq!(
            of(r#"{"prompt_tokens":10,"num_cached_tokens":64}"#)
                .unwrap()
                .cached_input,
            None
        );
        assert_eq!(
            of(r#"{"prompt_tokens":10,"cache_creation_input_tokens":0}"#)
                .unwrap()
                .cache_write,
            None
        );
        assert_eq!(
            of(r#"{"prompt_tokens":10,"cache_creation_input_tokens":4}"#)
                .unwrap()
                .cache_write,
            Some(4)
        );
        assert_eq!(
            of(r#"{"prompt_tokens":0}"#),
            Some(Usage {
                input: Some(0),
                ..Usage::default()
            })
        );
        assert_eq!(
            of(r#"{"prompt_tokens":-1,"completion_tokens":2.0}"#),
            Some(Usage {
                output: Some(2),
                ..Usage::default()
            })
        );
    }
}
