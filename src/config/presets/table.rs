//! The presets, one row each, in the order of the documentation.

use super::quirks::{
    CEREBRAS, DEEPSEEK, FIREWORKS, GEMINI_CHAT, GROQ, HUGGINGFACE, LLAMACPP, MINIMAL, MISTRAL,
    OLLAMA_CHAT, OPENROUTER, PERPLEXITY, SAMBANOVA, TOGETHER, VLLM, XAI,
};
use super::{AbortBilling, Endpoint, Kind, Preset, Protocol};
use crate::model::quirks::Quirks;
use crate::model::target::Auth;
use crate::model::wire::WireId;

const fn http(wire: WireId, address: &'static str) -> Endpoint {
    Endpoint {
        protocol: Protocol::Http(wire),
        address,
        auth: None,
        quirks: Quirks::of(wire),
    }
}

const fn chat(address: &'static str, quirks: Quirks) -> Endpoint {
    Endpoint {
        quirks,
        ..http(WireId::OpenaiChat, address)
    }
}

const fn responses(address: &'static str) -> Endpoint {
    http(WireId::OpenaiResponses, address)
}

/// Anthropic's API at another vendor, with the API key in `Authorization: Bearer`.
const fn messages(address: &'static str) -> Endpoint {
    Endpoint {
        auth: Some(Auth::Bearer),
        ..http(WireId::Anthropic, address)
    }
}

/// An endpoint whose API key is sent in Azure's header `api-key`.
const fn azure(endpoint: Endpoint) -> Endpoint {
    Endpoint {
        auth: Some(Auth::Header("api-key")),
        ..endpoint
    }
}

const fn keyed(
    name: &'static str,
    endpoints: &'static [Endpoint],
    key_variable: &'static str,
    abort_billing: AbortBilling,
    note: &'static str,
) -> Preset {
    Preset {
        name,
        kind: Kind::Keyed,
        endpoints,
        key_variable,
        abort_billing,
        note,
    }
}

/// All presets.
pub(super) static PRESETS: [Preset; 23] = [
    keyed(
        "openai",
        &[
            chat("https://api.openai.com/v1", Quirks::NONE),
            responses("https://api.openai.com/v1"),
        ],
        "OPENAI_API_KEY",
        AbortBilling::Partial,
        "",
    ),
    Preset {
        name: "azure",
        kind: Kind::Azure,
        endpoints: &[
            azure(chat(
                "https://<resource>.openai.azure.com/openai/v1",
                Quirks::NONE,
            )),
            azure(responses("https://<resource>.openai.azure.com/openai/v1")),
        ],
        key_variable: "AZURE_OPENAI_API_KEY",
        abort_billing: AbortBilling::Partial,
        note: "`resource`, `api_version`, `deployments`; or Entra: `tenant_id`, `client_id`, `client_secret`",
    },
    keyed(
        "anthropic",
        &[http(WireId::Anthropic, "https://api.anthropic.com/v1")],
        "ANTHROPIC_API_KEY",
        AbortBilling::Partial,
        "",
    ),
    keyed(
        "gemini",
        &[
            http(
                WireId::Gemini,
                "https://generativelanguage.googleapis.com/v1beta",
            ),
            chat(
                "https://generativelanguage.googleapis.com/v1beta/openai",
                GEMINI_CHAT,
            ),
        ],
        "GEMINI_API_KEY",
        AbortBilling::Whole,
        "Google AI Studio",
    ),
    Preset {
        name: "vertex",
        kind: Kind::Vertex,
        endpoints: &[http(
            WireId::Gemini,
            "https://<location>-aiplatform.googleapis.com/v1/projects/<project>/locations/<location>/publishers/google",
        )],
        key_variable: "GOOGLE_API_KEY",
        abort_billing: AbortBilling::Whole,
        note: "`project`, `location`, `credentials`; only an API key selects express mode",
    },
    Preset {
        name: "bedrock",
        kind: Kind::Bedrock,
        endpoints: &[
            http(
                WireId::Bedrock,
                "https://bedrock-runtime.<region>.amazonaws.com",
            ),
            chat("https://bedrock-mantle.<region>.api.aws/openai/v1", MINIMAL),
            responses("https://bedrock-mantle.<region>.api.aws/openai/v1"),
            messages("https://bedrock-mantle.<region>.api.aws/anthropic/v1"),
        ],
        key_variable: "AWS_BEARER_TOKEN_BEDROCK",
        abort_billing: AbortBilling::Whole,
        note: "`region`; an API key, `access_key_id` and `secret_access_key`, `profile`, or AWS's default credentials; the other wires need an API key",
    },
    Preset {
        name: "ollama",
        kind: Kind::Local,
        endpoints: &[
            http(WireId::Ollama, "http://127.0.0.1:11434"),
            chat("http://127.0.0.1:11434/v1", OLLAMA_CHAT),
            responses("http://127.0.0.1:11434/v1"),
            messages("http://127.0.0.1:11434/v1"),
        ],
        key_variable: "OLLAMA_API_KEY",
        abort_billing: AbortBilling::Partial,
        note: "its cloud: `base_url = \"https://ollama.com\"` and a key",
    },
    keyed(
        "cohere",
        &[http(WireId::Cohere, "https://api.cohere.com/v2")],
        "COHERE_API_KEY",
        AbortBilling::Partial,
        "",
    ),
    keyed(
        "mistral",
        &[chat("https://api.mistral.ai/v1", MISTRAL)],
        "MISTRAL_API_KEY",
        AbortBilling::Whole,
        "regional: `base_url = \"https://api.eu.mistral.ai/v1\"`",
    ),
    keyed(
        "groq",
        &[
            chat("https://api.groq.com/openai/v1", GROQ),
            responses("https://api.groq.com/openai/v1"),
        ],
        "GROQ_API_KEY",
        AbortBilling::Whole,
        "only `n` = 1",
    ),
    keyed(
        "deepseek",
        &[
            chat("https://api.deepseek.com/v1", DEEPSEEK),
            http(WireId::Anthropic, "https://api.deepseek.com/anthropic/v1"),
        ],
        "DEEPSEEK_API_KEY",
        AbortBilling::Partial,
        "only `n` = 1, no JSON schema",
    ),
    keyed(
        "xai",
        &[
            chat("https://api.x.ai/v1", XAI),
            responses("https://api.x.ai/v1"),
        ],
        "XAI_API_KEY",
        AbortBilling::Partial,
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
        AbortBilling::Depends,
        "depends on the provider that OpenRouter selects",
    ),
    keyed(
        "together",
        &[chat("https://api.together.xyz/v1", TOGETHER)],
        "TOGETHER_API_KEY",
        AbortBilling::Partial,
        "",
    ),
    keyed(
        "fireworks",
        &[chat("https://api.fireworks.ai/inference/v1", FIREWORKS)],
        "FIREWORKS_API_KEY",
        AbortBilling::Partial,
        "",
    ),
    keyed(
        "perplexity",
        &[chat("https://api.perplexity.ai", PERPLEXITY)],
        "PERPLEXITY_API_KEY",
        AbortBilling::Whole,
        "only `n` = 1, no tools, JSON output only with a schema",
    ),
    Preset {
        name: "vllm",
        kind: Kind::Local,
        endpoints: &[chat("http://127.0.0.1:8000/v1", VLLM)],
        key_variable: "VLLM_API_KEY",
        abort_billing: AbortBilling::Partial,
        note: "reasoning needs its `--reasoning-parser`",
    },
    Preset {
        name: "llamacpp",
        kind: Kind::Local,
        endpoints: &[
            chat("http://127.0.0.1:8080/v1", LLAMACPP),
            responses("http://127.0.0.1:8080/v1"),
            messages("http://127.0.0.1:8080/v1"),
        ],
        key_variable: "LLAMA_API_KEY",
        abort_billing: AbortBilling::Depends,
        note: "some builds continue to generate after an abort",
    },
    keyed(
        "huggingface",
        &[chat("https://router.huggingface.co/v1", HUGGINGFACE)],
        "HF_TOKEN",
        AbortBilling::Whole,
        "only `n` = 1",
    ),
    keyed(
        "nvidia",
        &[chat("https://integrate.api.nvidia.com/v1", MINIMAL)],
        "NVIDIA_API_KEY",
        AbortBilling::Unknown,
        "",
    ),
    keyed(
        "cerebras",
        &[chat("https://api.cerebras.ai/v1", CEREBRAS)],
        "CEREBRAS_API_KEY",
        AbortBilling::Unknown,
        "only `n` = 1",
    ),
    keyed(
        "sambanova",
        &[chat("https://api.sambanova.ai/v1", SAMBANOVA)],
        "SAMBANOVA_API_KEY",
        AbortBilling::Whole,
        "only `n` = 1",
    ),
    Preset {
        name: "replay",
        kind: Kind::Replay,
        endpoints: &[Endpoint {
            protocol: Protocol::Replay,
            address: "",
            auth: None,
            quirks: Quirks::NONE,
        }],
        key_variable: "",
        abort_billing: AbortBilling::Free,
        note: "plays the recordings of a folder: `dir`, `pace`",
    },
];
