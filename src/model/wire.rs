//! Identifiers of wires (streaming formats of upstreams) and dialects (API shapes of clients).

/// A streaming format spoken by an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WireId {
    /// OpenAI Chat Completions and compatible APIs.
    OpenaiChat,
    /// OpenAI Responses.
    OpenaiResponses,
    /// Anthropic Messages.
    Anthropic,
    /// Google Gemini `streamGenerateContent`.
    Gemini,
    /// AWS Bedrock `ConverseStream`.
    Bedrock,
    /// Ollama's own `/api/chat`.
    Ollama,
    /// Cohere v2 chat.
    Cohere,
}

impl WireId {
    /// All wires, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::OpenaiChat,
        Self::OpenaiResponses,
        Self::Anthropic,
        Self::Gemini,
        Self::Bedrock,
        Self::Ollama,
        Self::Cohere,
    ];

    /// Returns the name used in the configuration, in metrics and in `raw` events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai-chat",
            Self::OpenaiResponses => "openai-responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
            Self::Ollama => "ollama",
            Self::Cohere => "cohere",
        }
    }

    /// Returns the wire with this configuration name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wire| wire.name() == name)
    }
}

/// An API shape spoken to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DialectId {
    /// OpenAI Chat Completions.
    OpenaiChat,
    /// OpenAI Responses.
    OpenaiResponses,
    /// Anthropic Messages.
    Anthropic,
    /// Sluicegate's own named events.
    Events,
    /// The AI SDK's UI message stream.
    Ui,
}

impl DialectId {
    /// All dialects.
    pub const ALL: [Self; 5] = [
        Self::OpenaiChat,
        Self::OpenaiResponses,
        Self::Anthropic,
        Self::Events,
        Self::Ui,
    ];

    /// Returns the name used in `?dialect=`, in the journal and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai-chat",
            Self::OpenaiResponses => "openai-responses",
            Self::Anthropic => "anthropic",
            Self::Events => "events",
            Self::Ui => "ui",
        }
    }

    /// Returns the dialect with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// Returns the wire with the same frames, which can be forwarded unchanged.
    #[must_use]
    pub const fn wire(self) -> Option<WireId> {
        match self {
            Self::OpenaiChat => Some(WireId::OpenaiChat),
            Self::OpenaiResponses => Some(WireId::OpenaiResponses),
            Self::Anthropic => Some(WireId::Anthropic),
            Self::Events | Self::Ui => None,
        }
    }
}
