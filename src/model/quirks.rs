//! Quirks: differences between a provider and the vendor that defined its wire.
//!
//! The default is the behaviour of that vendor. Most quirks concern requests that are written for
//! clients of another dialect: a request with the shape of the wire is sent unchanged.

use super::accepts::Accepts;
use super::wire::WireId;

/// The quirks of a provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quirks {
    /// Rejects `stream_options`, or does not need it because it always sends usage.
    pub no_stream_options: bool,
    /// Uses `max_tokens` instead of OpenAI's `max_completion_tokens`.
    pub max_tokens: bool,
    /// Bills the whole answer even if the request is aborted.
    pub bills_whole: bool,
    /// Has no field `refusal` in messages: past refusals are sent as text.
    pub no_refusals: bool,
    /// Supports `top_k`.
    pub top_k: bool,
    /// Supports `cache_control` in parts of messages and in tools.
    pub cache_marks: bool,
    /// The form in which its own reasoning is sent back.
    pub reasoning: ReasoningReplay,
    /// The vendor whose field names and values it uses.
    pub vocabulary: Vocabulary,
    /// The hints of OpenAI's API that it does not support.
    pub lacks: Hints,
    /// The features and limits of its models.
    pub accepts: Accepts,
}

impl Quirks {
    /// No quirks: the behaviour of OpenAI's Chat Completions.
    pub const NONE: Self = Self::of(WireId::OpenaiChat);

    /// No quirks: the behaviour of the vendor that defined the wire.
    #[must_use]
    pub const fn of(wire: WireId) -> Self {
        Self {
            no_stream_options: false,
            max_tokens: false,
            bills_whole: false,
            no_refusals: false,
            top_k: false,
            cache_marks: false,
            reasoning: ReasoningReplay::Omitted,
            vocabulary: Vocabulary::Openai,
            lacks: Hints(0),
            accepts: Accepts::of(wire),
        }
    }
}

/// The form in which reasoning is sent back to the provider that made it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReasoningReplay {
    /// Not at all.
    #[default]
    Omitted,
    /// As `reasoning_content`.
    Content,
    /// As `reasoning_content` in every turn of a conversation with tools, even if it is empty.
    ContentWithTools,
    /// As `reasoning`.
    Reasoning,
    /// As `reasoning_details`, with all items.
    Details,
}

/// The vendor whose field names and values are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Vocabulary {
    /// OpenAI's.
    #[default]
    Openai,
    /// Mistral's: `random_seed`, `any`, `document_url`, ids of nine characters, no unknown fields.
    Mistral,
    /// `DeepSeek`'s: `thinking`, three effort levels.
    Deepseek,
    /// `OpenRouter`'s: `reasoning`, files by URL.
    Openrouter,
}

/// A set of hints: optional fields whose absence changes no meaning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hints(u16);

impl Hints {
    /// `seed`.
    pub const SEED: Self = Self(1);
    /// `presence_penalty`, `frequency_penalty`.
    pub const PENALTIES: Self = Self(1 << 1);
    /// `logprobs`, `top_logprobs`.
    pub const LOGPROBS: Self = Self(1 << 2);
    /// `logit_bias`.
    pub const LOGIT_BIAS: Self = Self(1 << 3);
    /// `user`.
    pub const USER: Self = Self(1 << 4);
    /// The names of participants.
    pub const NAMES: Self = Self(1 << 5);
    /// `metadata`.
    pub const METADATA: Self = Self(1 << 6);
    /// `service_tier`.
    pub const SERVICE_TIER: Self = Self(1 << 7);
    /// `prompt_cache_key`.
    pub const CACHE_KEY: Self = Self(1 << 8);
    /// `verbosity`.
    pub const VERBOSITY: Self = Self(1 << 9);
    /// `reasoning_effort`.
    pub const EFFORT: Self = Self(1 << 10);
    /// `parallel_tool_calls: true`, the default everywhere.
    pub const PARALLEL: Self = Self(1 << 11);
    /// The `detail` of an image.
    pub const DETAIL: Self = Self(1 << 12);

    /// Returns the union of both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns true if the set contains all of `other`.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the value of a hint, unless the set contains it.
    #[must_use]
    pub fn unless<T>(self, hint: Self, value: Option<T>) -> Option<T> {
        value.filter(|_| !self.has(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_the_default() {
        assert_eq!(Quirks::NONE, Quirks::default());
    }

    #[test]
    fn hints_are_a_set() {
        let lacks = Hints::SEED.and(Hints::PENALTIES);
        assert!(
            lacks.has(Hints::SEED)
                && lacks.has(lacks)
                && !lacks.has(Hints::USER)
                && !Hints::default().has(Hints::SEED)
        );
        assert_eq!(
            (
                lacks.unless(Hints::SEED, Some(1)),
                lacks.unless(Hints::USER, Some(1))
            ),
            (None, Some(1))
        );
    }
}
