//! The quirks of servers that speak OpenAI's chat API.

use crate::model::accepts::{Accepts, CallIds, FormatSupport, MediaSupport, ToolChoiceSupport};
use crate::model::quirks::{Hints, Quirks, ReasoningReplay, Vocabulary};

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
    lacks: RARE_HINTS,
    accepts: Accepts {
        tool_choice: ToolChoiceSupport::Named,
        ..Quirks::NONE.accepts
    },
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
    lacks: RARE_HINTS.and(Hints::PARALLEL),
    accepts: Accepts {
        choices: false,
        tool_choice: ToolChoiceSupport::Ignored,
        ..COMPATIBLE.accepts
    },
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
    accepts: Accepts {
        call_ids: CallIds::Exactly(9),
        media: MediaSupport {
            file_links: true,
            file_ids: false,
            ..COMPATIBLE.accepts.media
        },
        ..COMPATIBLE.accepts
    },
    ..COMPATIBLE
};
/// Groq rejects unknown fields by name, among them `logprobs`, `logit_bias` and `prompt_cache_key`.
pub(super) const GROQ: Quirks = Quirks {
    max_tokens: false,
    lacks: Hints::LOGPROBS
        .and(Hints::LOGIT_BIAS)
        .and(Hints::NAMES)
        .and(Hints::METADATA)
        .and(Hints::SERVICE_TIER)
        .and(Hints::CACHE_KEY)
        .and(Hints::VERBOSITY),
    accepts: Accepts {
        choices: false,
        ..COMPATIBLE.accepts
    },
    ..COMPATIBLE
};
/// DeepSeek requires `reasoning_content` in assistant turns with tool calls while thinking, and
/// does not support `json_schema`.
pub(super) const DEEPSEEK: Quirks = Quirks {
    reasoning: ReasoningReplay::ContentWithTools,
    vocabulary: Vocabulary::Deepseek,
    lacks: Hints::SEED
        .and(Hints::LOGIT_BIAS)
        .and(Hints::USER)
        .and(Hints::METADATA)
        .and(Hints::SERVICE_TIER)
        .and(Hints::CACHE_KEY)
        .and(Hints::VERBOSITY),
    accepts: Accepts {
        choices: false,
        formats: FormatSupport::Json,
        ..COMPATIBLE.accepts
    },
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
    reasoning: ReasoningReplay::Details,
    vocabulary: Vocabulary::Openrouter,
    accepts: Accepts {
        tool_choice: ToolChoiceSupport::Named,
        media: MediaSupport {
            file_links: true,
            ..Quirks::NONE.accepts.media
        },
        ..Quirks::NONE.accepts
    },
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
    top_k: true,
    lacks: RARE_HINTS
        .and(Hints::SEED)
        .and(Hints::PENALTIES)
        .and(Hints::LOGPROBS)
        .and(Hints::EFFORT)
        .and(Hints::DETAIL),
    accepts: Accepts {
        choices: false,
        tools: false,
        formats: FormatSupport::Schema,
        ..COMPATIBLE.accepts
    },
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
    reasoning: ReasoningReplay::Content,
    accepts: Accepts {
        tool_choice: ToolChoiceSupport::Words,
        ..COMPATIBLE.accepts
    },
    ..COMPATIBLE
};
pub(super) const HUGGINGFACE: Quirks = Quirks {
    accepts: Accepts {
        choices: false,
        ..MINIMAL.accepts
    },
    ..MINIMAL
};
pub(super) const CEREBRAS: Quirks = Quirks {
    no_stream_options: true,
    max_tokens: false,
    lacks: RARE_HINTS.and(Hints::PENALTIES).and(Hints::PARALLEL),
    accepts: Accepts {
        choices: false,
        ..COMPATIBLE.accepts
    },
    ..COMPATIBLE
};
pub(super) const SAMBANOVA: Quirks = Quirks {
    lacks: RARE_HINTS
        .and(Hints::SEED)
        .and(Hints::PENALTIES)
        .and(Hints::LOGPROBS)
        .and(Hints::EFFORT)
        .and(Hints::PARALLEL),
    accepts: Accepts {
        choices: false,
        ..COMPATIBLE.accepts
    },
    ..COMPATIBLE
};
