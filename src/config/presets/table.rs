//! The known providers, a row each, in the order of the documentation.

use super::{Abort, Kind, Preset, Speaks, Way};
use crate::model::quirks::{Formats, Hints, PastReasonings, Quirks, Spelling, ToolChoices};
use crate::model::target::Auth;
use crate::model::wire::WireId;

const fn http(wire: WireId, address: &'static str, quirks: Quirks) -> Way {
    Way {
        speaks: Speaks::Http(wire),
        address,
        auth: None,
        quirks,
    }
}

const fn chat(address: &'static str, quirks: Quirks) -> Way {
    http(WireId::OpenaiChat, address, quirks)
}

const fn responses(address: &'static str) -> Way {
    http(WireId::OpenaiResponses, address, Quirks::NONE)
}

/// Anthropic's API by somebody else, who takes a key as OpenAI does.
const fn messages(address: &'static str) -> Way {
    Way {
        auth: Some(Auth::Bearer),
        ..http(WireId::Anthropic, address, Quirks::NONE)
    }
}

/// A key in Azure's own header.
const fn azure(way: Way) -> Way {
    Way {
        auth: Some(Auth::Header("api-key")),
        ..way
    }
}

const fn keyed(
    name: &'static str,
    ways: &'static [Way],
    variable: &'static str,
    abort: Abort,
    note: &'static str,
) -> Preset {
    Preset {
        name,
        kind: Kind::Keyed,
        ways,
        variable,
        abort,
        note,
    }
}

/// What only OpenAI itself is sure to take.
const RARE: Hints = Hints::LOGIT_BIAS
    .and(Hints::USER)
    .and(Hints::NAMES)
    .and(Hints::METADATA)
    .and(Hints::SERVICE_TIER)
    .and(Hints::CACHE_KEY)
    .and(Hints::VERBOSITY);

/// Other servers: the older name of the output maximum, one tool by its name, no rare hints.
const LIKE: Quirks = Quirks {
    max_tokens: true,
    no_refusals: true,
    tool_choice: ToolChoices::Named,
    lacks: RARE,
    ..Quirks::NONE
};

/// The same, with the fields that every such server takes, and no other.
const BARE: Quirks = Quirks {
    lacks: RARE
        .and(Hints::LOGPROBS)
        .and(Hints::EFFORT)
        .and(Hints::PARALLEL),
    ..LIKE
};

const GEMINI_CHAT: Quirks = Quirks {
    lacks: RARE
        .and(Hints::SEED)
        .and(Hints::PENALTIES)
        .and(Hints::LOGPROBS)
        .and(Hints::PARALLEL),
    ..LIKE
};
const OLLAMA_CHAT: Quirks = Quirks {
    one_choice: true,
    tool_choice: ToolChoices::Ignored,
    lacks: RARE.and(Hints::PARALLEL),
    ..LIKE
};
const MISTRAL: Quirks = Quirks {
    no_stream_options: true,
    top_k: true,
    spelling: Spelling::Mistral,
    lacks: Hints::LOGPROBS
        .and(Hints::LOGIT_BIAS)
        .and(Hints::USER)
        .and(Hints::NAMES)
        .and(Hints::METADATA)
        .and(Hints::SERVICE_TIER)
        .and(Hints::VERBOSITY),
    ..LIKE
};
const GROQ: Quirks = Quirks {
    max_tokens: false,
    one_choice: true,
    lacks: Hints::LOGPROBS
        .and(Hints::LOGIT_BIAS)
        .and(Hints::NAMES)
        .and(Hints::METADATA)
        .and(Hints::SERVICE_TIER)
        .and(Hints::CACHE_KEY)
        .and(Hints::VERBOSITY),
    ..LIKE
};
const DEEPSEEK: Quirks = Quirks {
    one_choice: true,
    formats: Formats::Json,
    reasoning: PastReasonings::ContentWithTools,
    spelling: Spelling::Deepseek,
    lacks: Hints::SEED
        .and(Hints::LOGIT_BIAS)
        .and(Hints::USER)
        .and(Hints::METADATA)
        .and(Hints::SERVICE_TIER)
        .and(Hints::CACHE_KEY)
        .and(Hints::VERBOSITY),
    ..LIKE
};
const XAI: Quirks = Quirks {
    max_tokens: false,
    lacks: Hints::PENALTIES
        .and(Hints::LOGIT_BIAS)
        .and(Hints::METADATA)
        .and(Hints::SERVICE_TIER)
        .and(Hints::CACHE_KEY)
        .and(Hints::VERBOSITY),
    ..LIKE
};
const OPENROUTER: Quirks = Quirks {
    max_tokens: true,
    top_k: true,
    cache_marks: true,
    tool_choice: ToolChoices::Named,
    reasoning: PastReasonings::Details,
    spelling: Spelling::Openrouter,
    ..Quirks::NONE
};
/// Together's `logprobs` is a number.
const TOGETHER: Quirks = Quirks {
    top_k: true,
    lacks: RARE.and(Hints::LOGPROBS),
    ..LIKE
};
const FIREWORKS: Quirks = Quirks {
    no_stream_options: true,
    top_k: true,
    lacks: RARE.and(Hints::PARALLEL),
    ..LIKE
};
const PERPLEXITY: Quirks = Quirks {
    one_choice: true,
    no_tools: true,
    top_k: true,
    formats: Formats::Schema,
    lacks: RARE
        .and(Hints::SEED)
        .and(Hints::PENALTIES)
        .and(Hints::LOGPROBS)
        .and(Hints::EFFORT)
        .and(Hints::DETAIL),
    ..LIKE
};
const VLLM: Quirks = Quirks {
    top_k: true,
    reasoning: PastReasonings::Reasoning,
    lacks: Hints::METADATA
        .and(Hints::SERVICE_TIER)
        .and(Hints::CACHE_KEY)
        .and(Hints::VERBOSITY),
    ..LIKE
};
const LLAMACPP: Quirks = Quirks {
    top_k: true,
    tool_choice: ToolChoices::Words,
    reasoning: PastReasonings::Content,
    ..LIKE
};
const HUGGINGFACE: Quirks = Quirks {
    one_choice: true,
    ..BARE
};
const CEREBRAS: Quirks = Quirks {
    no_stream_options: true,
    max_tokens: false,
    one_choice: true,
    lacks: RARE.and(Hints::PENALTIES).and(Hints::PARALLEL),
    ..LIKE
};
const SAMBANOVA: Quirks = Quirks {
    one_choice: true,
    lacks: RARE
        .and(Hints::SEED)
        .and(Hints::PENALTIES)
        .and(Hints::LOGPROBS)
        .and(Hints::EFFORT)
        .and(Hints::PARALLEL),
    ..LIKE
};

/// All of them.
pub(super) static PRESETS: [Preset; 23] = [
    keyed(
        "openai",
        &[
            chat("https://api.openai.com/v1", Quirks::NONE),
            responses("https://api.openai.com/v1"),
        ],
        "OPENAI_API_KEY",
        Abort::Stops,
        "",
    ),
    Preset {
        name: "azure",
        kind: Kind::Azure,
        ways: &[
            azure(chat(
                "https://<resource>.openai.azure.com/openai/v1",
                Quirks::NONE,
            )),
            azure(responses("https://<resource>.openai.azure.com/openai/v1")),
        ],
        variable: "AZURE_OPENAI_API_KEY",
        abort: Abort::Stops,
        note: "`resource`, `api_version`, `deployments`; or Entra: `tenant_id`, `client_id`, `client_secret`",
    },
    keyed(
        "anthropic",
        &[http(
            WireId::Anthropic,
            "https://api.anthropic.com/v1",
            Quirks::NONE,
        )],
        "ANTHROPIC_API_KEY",
        Abort::Stops,
        "",
    ),
    keyed(
        "gemini",
        &[
            http(
                WireId::Gemini,
                "https://generativelanguage.googleapis.com/v1beta",
                Quirks::NONE,
            ),
            chat(
                "https://generativelanguage.googleapis.com/v1beta/openai",
                GEMINI_CHAT,
            ),
        ],
        "GEMINI_API_KEY",
        Abort::GoesOn,
        "Google AI Studio",
    ),
    Preset {
        name: "vertex",
        kind: Kind::Vertex,
        ways: &[http(
            WireId::Gemini,
            "https://<location>-aiplatform.googleapis.com/v1/projects/<project>/locations/<location>/publishers/google",
            Quirks::NONE,
        )],
        variable: "GOOGLE_API_KEY",
        abort: Abort::GoesOn,
        note: "`project`, `location`, `credentials`; a key alone is express mode",
    },
    Preset {
        name: "bedrock",
        kind: Kind::Bedrock,
        ways: &[
            http(
                WireId::Bedrock,
                "https://bedrock-runtime.<region>.amazonaws.com",
                Quirks::NONE,
            ),
            chat("https://bedrock-mantle.<region>.api.aws/openai/v1", BARE),
            responses("https://bedrock-mantle.<region>.api.aws/openai/v1"),
            messages("https://bedrock-mantle.<region>.api.aws/anthropic/v1"),
        ],
        variable: "AWS_BEARER_TOKEN_BEDROCK",
        abort: Abort::GoesOn,
        note: "`region`; a key, `access_key_id` and `secret_access_key`, `profile`, or where AWS's own tools look; its other wires take a key alone",
    },
    Preset {
        name: "ollama",
        kind: Kind::Local,
        ways: &[
            http(WireId::Ollama, "http://127.0.0.1:11434", Quirks::NONE),
            chat("http://127.0.0.1:11434/v1", OLLAMA_CHAT),
            responses("http://127.0.0.1:11434/v1"),
            messages("http://127.0.0.1:11434/v1"),
        ],
        variable: "OLLAMA_API_KEY",
        abort: Abort::Stops,
        note: "its cloud: `base_url = \"https://ollama.com\"` and a key",
    },
    keyed(
        "cohere",
        &[http(
            WireId::Cohere,
            "https://api.cohere.com/v2",
            Quirks::NONE,
        )],
        "COHERE_API_KEY",
        Abort::Stops,
        "",
    ),
    keyed(
        "mistral",
        &[chat("https://api.mistral.ai/v1", MISTRAL)],
        "MISTRAL_API_KEY",
        Abort::GoesOn,
        "regional: `base_url = \"https://api.eu.mistral.ai/v1\"`",
    ),
    keyed(
        "groq",
        &[
            chat("https://api.groq.com/openai/v1", GROQ),
            responses("https://api.groq.com/openai/v1"),
        ],
        "GROQ_API_KEY",
        Abort::GoesOn,
        "one choice",
    ),
    keyed(
        "deepseek",
        &[
            chat("https://api.deepseek.com/v1", DEEPSEEK),
            http(
                WireId::Anthropic,
                "https://api.deepseek.com/anthropic/v1",
                Quirks::NONE,
            ),
        ],
        "DEEPSEEK_API_KEY",
        Abort::Stops,
        "one choice, no JSON schema",
    ),
    keyed(
        "xai",
        &[
            chat("https://api.x.ai/v1", XAI),
            responses("https://api.x.ai/v1"),
        ],
        "XAI_API_KEY",
        Abort::Stops,
        "",
    ),
    keyed(
        "openrouter",
        &[
            chat("https://openrouter.ai/api/v1", OPENROUTER),
            responses("https://openrouter.ai/api/v1"),
            messages("https://openrouter.ai/api/v1"),
        ],
        "OPENROUTER_API_KEY",
        Abort::Depends,
        "the bill stops where the provider behind it stops",
    ),
    keyed(
        "together",
        &[chat("https://api.together.xyz/v1", TOGETHER)],
        "TOGETHER_API_KEY",
        Abort::Stops,
        "",
    ),
    keyed(
        "fireworks",
        &[chat("https://api.fireworks.ai/inference/v1", FIREWORKS)],
        "FIREWORKS_API_KEY",
        Abort::Stops,
        "",
    ),
    keyed(
        "perplexity",
        &[chat("https://api.perplexity.ai", PERPLEXITY)],
        "PERPLEXITY_API_KEY",
        Abort::GoesOn,
        "one choice, no tools; JSON by a schema alone",
    ),
    Preset {
        name: "vllm",
        kind: Kind::Local,
        ways: &[chat("http://127.0.0.1:8000/v1", VLLM)],
        variable: "VLLM_API_KEY",
        abort: Abort::Stops,
        note: "reasoning needs its `--reasoning-parser`",
    },
    Preset {
        name: "llamacpp",
        kind: Kind::Local,
        ways: &[
            chat("http://127.0.0.1:8080/v1", LLAMACPP),
            responses("http://127.0.0.1:8080/v1"),
            messages("http://127.0.0.1:8080/v1"),
        ],
        variable: "LLAMA_API_KEY",
        abort: Abort::Depends,
        note: "some builds generate on after an abort",
    },
    keyed(
        "huggingface",
        &[chat("https://router.huggingface.co/v1", HUGGINGFACE)],
        "HF_TOKEN",
        Abort::GoesOn,
        "one choice",
    ),
    keyed(
        "nvidia",
        &[chat("https://integrate.api.nvidia.com/v1", BARE)],
        "NVIDIA_API_KEY",
        Abort::Unknown,
        "",
    ),
    keyed(
        "cerebras",
        &[chat("https://api.cerebras.ai/v1", CEREBRAS)],
        "CEREBRAS_API_KEY",
        Abort::Unknown,
        "one choice",
    ),
    keyed(
        "sambanova",
        &[chat("https://api.sambanova.ai/v1", SAMBANOVA)],
        "SAMBANOVA_API_KEY",
        Abort::GoesOn,
        "one choice",
    ),
    Preset {
        name: "replay",
        kind: Kind::Replay,
        ways: &[Way {
            speaks: Speaks::Replay,
            address: "",
            auth: None,
            quirks: Quirks::NONE,
        }],
        variable: "",
        abort: Abort::Free,
        note: "plays the recordings of a folder: `dir`, `pace`",
    },
];
