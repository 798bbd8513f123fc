//! The streaming formats that upstreams speak, and the dialects that clients speak.

/// A streaming format spoken by an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WireId {
    /// OpenAI Chat Completions and everything compatible with it.
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

    /// The name used in the configuration, in metrics and in `raw` events.
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

    /// The wire of that configuration name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
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
    /// Our own named events.
    Events,
    /// The AI SDK's UI message stream.
    Ui,
}

impl DialectId {
    /// All dialects that are spoken.
    pub const ALL: [Self; 5] = [
        Self::OpenaiChat,
        Self::OpenaiResponses,
        Self::Anthropic,
        Self::Events,
        Self::Ui,
    ];

    /// The name used in `?dialect=`, in the journal and in logs.
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

    /// The dialect of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// The wire whose frames are this dialect's own, so that they can be passed on unchanged.
    #[must_use]
    pub const fn wire(self) -> Option<WireId> {
        match self {
            Self::OpenaiChat => Some(WireId::OpenaiChat),
            Self::OpenaiResponses => Some(WireId::OpenaiResponses),
            Self::Anthropic => Some(WireId::Anthropic),
            Self::Events | Self::Ui => None,
        }
    }

    /// True where a stream is answered with 200 as soon as it is admitted, so that it can be
    /// cancelled before its first token, and where its events always carry ids: the dialects that
    /// are no vendor's.
    #[must_use]
    pub const fn answers_at_once(self) -> bool {
        matches!(self, Self::Events | Self::Ui)
    }
}
