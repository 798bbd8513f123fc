//! The quirks of servers that speak OpenAI's chat API.

use crate::model::quirks::{
    FormatSupport, Hints, Quirks, ReasoningReplay, ToolChoiceSupport, Vocabulary,
};

/// Hints that only OpenAI itself is known to accept.
const RARE_HINTS: Hints = Hints::LOGIT_BIAS
    .and(Hints::USER)
    .and(Hints::NAMES)
    .and(Hints::METADATA)
    .and(Hints::SERVICE_TIER)
    .and(Hints::CACHE_KEY)
    .and(Hints::VERBOSITY);

/// Servers compatible with OpenAI: the older name of the output maximum, `tool_choice` as a keyword
/// or one tool's name, no rare hints.
const COMPATIBLE: Quirks = Quirks {
    max_tokens: true,
    no_refusals: true,
    tool_choice: ToolChoiceSupport::Named,
    lacks: RARE_HINTS,
    ..Quirks::NONE
};

/// The same, restricted to the fields that every such server accepts.
pub(super) const MINIMAL: Quirks = Quirks {
    lacks: RARE_HINTS
        .and(Hints::LOGPROBS)
        .and(Hints::EFFORT)
        .and(Hints::PARALLEL),
    ..COMPATIBLE
};

pub(super) const GEMINI_CHAT: Quirks = Quirks {
    lacks: RARE_HINTS
        .and(Hints::SEED)
        .and(Hints::PENALTIES)
        .and(Hints::LOGPROBS)
        .and(Hints::PARALLEL),
    ..COMPATIBLE
};
pub(super) const OLLAMA_CHAT: Quirks = Quirks {
    one_choice: true,
    tool_choice: ToolChoiceSupport::Ignored,
    lacks: RARE_HINTS.and(Hints::PARALLEL),
    ..COMPATIBLE
};
/// Mistral rejects unknown fields with 422, sends usage without `stream_options`, and calls the
/// seed `random_seed`.
pub(super) const MISTRAL: Quirks = Quirks {
    no_stream_options: true,
    top_k: true,
    vocabulary: Vocabulary::Mistral,
    lacks: Hints::LOGPROBS
        .and(Hints::LOGIT_BIAS)
        .and(Hints::USER)
        .and(Hints::NAMES)
        .and(Hints::METADATA)
        .and(Hints::SERVICE_TIER)
        .and(Hints::VERBOSITY),
    ..COMPATIBLE
};
/// Groq rejects unknown fields by name, among them `logprobs`, `logit_bias` and `prompt_cache_key`.
pub(super) const GROQ: Quirks = Quirks {
    max_tokens: false,
    one_choice: true,
    lacks: Hints::LOGPROBS
        .and(Hints::LOGIT_BIAS)
        .and(Hints::NAMES)
        .and(Hints::METADATA)
        .and(Hints::SERVICE_TIER)
        .and(Hints::CACHE_KEY)
        .and(Hints::VERBOSITY),
    ..COMPATIBLE
};
/// DeepSeek requires `reasoning_content` in assistant turns with tool calls while thinking, and
/// does not support `json_schema`.
pub(super) const DEEPSEEK: Quirks = Quirks {
    one_choice: true,
    formats: FormatSupport::Json,
    reasoning: ReasoningReplay::ContentWithTools,
    vocabulary: Vocabulary::Deepseek,
    lacks: Hints::SEED
        .and(Hints::LOGIT_BIAS)
        .and(Hints::USER)
        .and(Hints::METADATA)
        .and(Hints::SERVICE_TIER)
        .and(Hints::CACHE_KEY)
        .and(Hints::VERBOSITY),
    ..COMPATIBLE
};
pub(super) const XAI: Quirks = Quirks {
    max_tokens: false,
    lacks: Hints::PENALTIES
        .and(Hints::LOGIT_BIAS)
        .and(Hints::METADATA)
        .and(Hints::SERVICE_TIER)
        .and(Hints::CACHE_KEY)
        .and(Hints::VERBOSITY),
    ..COMPATIBLE
};
pub(super) const OPENROUTER: Quirks = Quirks {
    max_tokens: true,
    top_k: true,
    cache_marks: true,
    tool_choice: ToolChoiceSupport::Named,
    reasoning: ReasoningReplay::Details,
    vocabulary: Vocabulary::Openrouter,
    ..Quirks::NONE
};
/// Together's `logprobs` is a number, not a boolean, so the hint is not sent.
pub(super) const TOGETHER: Quirks = Quirks {
    top_k: true,
    lacks: RARE_HINTS.and(Hints::LOGPROBS),
    ..COMPATIBLE
};
pub(super) const FIREWORKS: Quirks = Quirks {
    no_stream_options: true,
    top_k: true,
    lacks: RARE_HINTS.and(Hints::PARALLEL),
    ..COMPATIBLE
};
pub(super) const PERPLEXITY: Quirks = Quirks {
    one_choice: true,
    no_tools: true,
    top_k: true,
    formats: FormatSupport::Schema,
    lacks: RARE_HINTS
        .and(Hints::SEED)
        .and(Hints::PENALTIES)
        .and(Hints::LOGPROBS)
        .and(Hints::EFFORT)
        .and(Hints::DETAIL),
    ..COMPATIBLE
};
pub(super) const VLLM: Quirks = Quirks {
    top_k: true,
    reasoning: ReasoningReplay::Reasoning,
    lacks: Hints::METADATA
        .and(Hints::SERVICE_TIER)
        .and(Hints::CACHE_KEY)
        .and(Hints::VERBOSITY),
    ..COMPATIBLE
};
pub(super) const LLAMACPP: Quirks = Quirks {
    top_k: true,
    tool_choice: ToolChoiceSupport::Words,
    reasoning: ReasoningReplay::Content,
    ..COMPATIBLE
};
pub(super) const HUGGINGFACE: Quirks = Quirks {
    one_choice: true,
    ..MINIMAL
};
pub(super) const CEREBRAS: Quirks = Quirks {
    no_stream_options: true,
    max_tokens: false,
    one_choice: true,
    lacks: RARE_HINTS.and(Hints::PENALTIES).and(Hints::PARALLEL),
    ..COMPATIBLE
};
pub(super) const SAMBANOVA: Quirks = Quirks {
    one_choice: true,
    lacks: RARE_HINTS
        .and(Hints::SEED)
        .and(Hints::PENALTIES)
        .and(Hints::LOGPROBS)
        .and(Hints::EFFORT)
        .and(Hints::PARALLEL),
    ..COMPATIBLE
};
