//! What a known provider's name brings: its wire, its address, and what it does its own way.

use super::schema::Word;
use crate::model::target::Quirks;
use crate::model::wire::Wire;

/// What an account speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    /// A wire over HTTP.
    Http(Wire),
    /// It plays recordings.
    Replay,
}

impl Speaks {
    /// The name in the configuration.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Http(wire) => wire.name(),
            Self::Replay => "replay",
        }
    }

    /// What goes by that name in the configuration.
    pub(super) fn named(name: &str) -> Option<Self> {
        if name == "replay" { Some(Self::Replay) } else { Wire::named(name).map(Self::Http) }
    }

    /// Where the wire's maker has it.
    pub(super) fn home(self) -> &'static str {
        PRESETS.iter().find(|preset| preset.speaks == self).and_then(|preset| preset.base_url).unwrap_or_default()
    }

    /// What a server of this wire is taken to do its own way where no preset says it.
    pub(super) fn quirks(self) -> Quirks {
        // Servers compatible with OpenAI's older API outnumber those that know its newer name for the output maximum.
        Quirks { max_tokens: self == Self::Http(Wire::OpenaiChat), ..Quirks::default() }
    }
}

/// A known provider.
#[derive(Debug, Clone, Copy)]
pub(super) struct Preset {
    /// Its name.
    pub(super) name: &'static str,
    /// What it speaks.
    pub(super) speaks: Speaks,
    /// Where it is.
    pub(super) base_url: Option<&'static str>,
    /// The environment variable its key usually is in.
    pub(super) variable: &'static str,
    /// What it does its own way.
    pub(super) quirks: Quirks,
}

impl Preset {
    /// The preset of that name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }
}

const PLAIN: Quirks = Quirks { no_stream_options: false, max_tokens: false, bills_whole: false };

const PRESETS: [Preset; 4] = [
    Preset {
        name: "openai",
        speaks: Speaks::Http(Wire::OpenaiChat),
        base_url: Some("https://api.openai.com/v1"),
        variable: "OPENAI_API_KEY",
        quirks: PLAIN,
    },
    Preset {
        name: "anthropic",
        speaks: Speaks::Http(Wire::Anthropic),
        base_url: Some("https://api.anthropic.com/v1"),
        variable: "ANTHROPIC_API_KEY",
        quirks: PLAIN,
    },
    Preset {
        name: "gemini",
        speaks: Speaks::Http(Wire::Gemini),
        base_url: Some("https://generativelanguage.googleapis.com/v1beta"),
        variable: "GEMINI_API_KEY",
        quirks: Quirks { bills_whole: true, ..PLAIN },
    },
    Preset { name: "replay", speaks: Speaks::Replay, base_url: None, variable: "", quirks: PLAIN },
];

/// The names of all known providers, in the order of the documentation.
pub(super) const WORDS: &[Word] = &[
    Word::Built("openai"),
    Word::Later("azure", "use wire = \"openai-chat\" with base_url = \"https://<resource>.openai.azure.com/openai/v1\""),
    Word::Built("anthropic"),
    Word::Built("gemini"),
    Word::Later("vertex", "use the preset \"gemini\", the same models with a key of Google AI Studio"),
    Word::Later("bedrock", "use the provider's own API, such as the preset \"anthropic\""),
    Word::Later("ollama", "use wire = \"openai-chat\" with base_url = \"http://127.0.0.1:11434/v1\""),
    Word::Later("cohere", "use wire = \"openai-chat\" with base_url = \"https://api.cohere.ai/compatibility/v1\""),
    Word::Later("mistral", "reach its models through wire = \"openai-chat\" and a service that serves them so"),
    Word::Later("groq", "use wire = \"openai-chat\" with base_url = \"https://api.groq.com/openai/v1\""),
    Word::Later("deepseek", "use wire = \"openai-chat\" with base_url = \"https://api.deepseek.com/v1\""),
    Word::Later("xai", "use wire = \"openai-chat\" with base_url = \"https://api.x.ai/v1\""),
    Word::Later("openrouter", "use wire = \"openai-chat\" with base_url = \"https://openrouter.ai/api/v1\""),
    Word::Later("together", "use wire = \"openai-chat\" with base_url = \"https://api.together.xyz/v1\""),
    Word::Later("fireworks", "use wire = \"openai-chat\" with base_url = \"https://api.fireworks.ai/inference/v1\""),
    Word::Later("perplexity", "use wire = \"openai-chat\" with base_url = \"https://api.perplexity.ai\""),
    Word::Later("vllm", "use wire = \"openai-chat\" with the base_url of your server, such as \"http://127.0.0.1:8000/v1\""),
    Word::Later("llamacpp", "use wire = \"openai-chat\" with the base_url of your server, such as \"http://127.0.0.1:8080/v1\""),
    Word::Later("huggingface", "use wire = \"openai-chat\" with base_url = \"https://router.huggingface.co/v1\""),
    Word::Later("nvidia", "use wire = \"openai-chat\" with base_url = \"https://integrate.api.nvidia.com/v1\""),
    Word::Later("cerebras", "use wire = \"openai-chat\" with base_url = \"https://api.cerebras.ai/v1\""),
    Word::Later("sambanova", "use wire = \"openai-chat\" with base_url = \"https://api.sambanova.ai/v1\""),
    Word::Built("replay"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_name_has_a_preset_and_no_other() {
        for word in WORDS {
            let built = matches!(word, Word::Built(_));
            assert_eq!(Preset::named(word.name()).is_some(), built, "{}", word.name());
        }
    }
}
