//! What providers do their own way where they speak a wire that another one made.
//!
//! The default is that of the wire's maker. Most of it concerns requests that are written anew, for
//! a client of another dialect: a request of the wire's own shape goes out as it came.

/// What an account does its own way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quirks {
    /// Refuses `stream_options`, or needs none (it sends usage unasked).
    pub no_stream_options: bool,
    /// Takes `max_tokens` where OpenAI has `max_completion_tokens`.
    pub max_tokens: bool,
    /// Bills the whole answer after an abort.
    pub bills_whole: bool,
    /// Gives one choice, whatever `n` says.
    pub one_choice: bool,
    /// Calls no tools.
    pub no_tools: bool,
    /// Has no `refusal` of its own in a turn: it is brought back as text.
    pub no_refusals: bool,
    /// Takes `top_k`.
    pub top_k: bool,
    /// Takes `cache_control` beside the parts of a turn, and beside tools.
    pub cache_marks: bool,
    /// How a choice of tools is said.
    pub tool_choice: ToolChoices,
    /// The forms of answers it can be held to.
    pub formats: Formats,
    /// How it wants its own reasoning back.
    pub reasoning: PastReasonings,
    /// Whose words it takes where OpenAI's are not its own.
    pub spelling: Spelling,
    /// The hints of OpenAI's API that it does not take.
    pub lacks: Hints,
}

impl Quirks {
    /// None: the way of the wire's maker.
    pub const NONE: Self = Self {
        no_stream_options: false,
        max_tokens: false,
        bills_whole: false,
        one_choice: false,
        no_tools: false,
        no_refusals: false,
        top_k: false,
        cache_marks: false,
        tool_choice: ToolChoices::All,
        formats: Formats::All,
        reasoning: PastReasonings::LeftOut,
        spelling: Spelling::Openai,
        lacks: Hints(0),
    };
}

/// The choices of tools that can be said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ToolChoices {
    /// All of OpenAI's.
    #[default]
    All,
    /// A word, or one tool by its name.
    Named,
    /// A word: `none`, `auto`, `required`.
    Words,
    /// None: the choice is ignored.
    Ignored,
}

/// The forms of answers that can be asked for, text aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Formats {
    /// Any JSON object, or JSON by a schema.
    #[default]
    All,
    /// Any JSON object alone.
    Json,
    /// JSON by a schema alone.
    Schema,
}

/// How reasoning is brought back to the provider that made it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PastReasonings {
    /// Not at all.
    #[default]
    LeftOut,
    /// As `reasoning_content`.
    Content,
    /// As `reasoning_content` in every turn of a conversation with tools, be it empty.
    ContentWithTools,
    /// As `reasoning`.
    Reasoning,
    /// As `reasoning_details`, item for item.
    Details,
}

/// Whose words are taken where OpenAI's are not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Spelling {
    /// OpenAI's.
    #[default]
    Openai,
    /// Mistral's: `random_seed`, `any`, `document_url`, ids of nine characters, nothing unknown.
    Mistral,
    /// `DeepSeek`'s: `thinking`, three efforts.
    Deepseek,
    /// `OpenRouter`'s: `reasoning`, files by link.
    Openrouter,
}

/// A set of hints: wishes whose absence changes no meaning.
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
    /// How closely to look at an image.
    pub const DETAIL: Self = Self(1 << 12);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True where all of `other` are among them.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The value of a hint, unless it is among these.
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
