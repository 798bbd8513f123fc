//! Usage as this wire counts it: thoughts apart from the output, results of the provider's own tools
//! apart from the prompt.

use super::super::shape::UsageMetadata;
use crate::model::usage::Usage;
use crate::wire::kit::usage;

/// Reads the counts of a chunk; `None` if it contains none: some chunks contain only the traffic
/// type.
pub(super) fn read_usage(metadata: &UsageMetadata) -> Option<Usage> {
    let thoughts = metadata.thoughts_token_count.0;
    usage::known(Usage {
        input: usage::sum([
            metadata.prompt_token_count.0,
            metadata.tool_use_prompt_token_count.0,
        ]),
        output: usage::sum([metadata.candidates_token_count.0, thoughts]),
        cached_input: metadata.cached_content_token_count.0,
        reasoning: thoughts,
        ..Usage::default()
    })
}
