//! The streaming formats that upstreams speak, and the tongues that clients speak.

/// A streaming format spoken by an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    /// OpenAI Chat Completions and everything compatible with it.
    OpenaiChat,
    /// Anthropic Messages.
    Anthropic,
    /// Google Gemini `streamGenerateContent`.
    Gemini,
}

impl Wire {
    /// All wires, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::OpenaiChat, Self::Anthropic, Self::Gemini];

    /// The name used in the configuration, in metrics and in `raw` events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai-chat",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
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
pub enum Tongue {
    /// OpenAI Chat Completions.
    OpenaiChat,
    /// Our own named events.
    Events,
}

impl Tongue {
    /// All dialects that are spoken.
    pub const ALL: [Self; 2] = [Self::OpenaiChat, Self::Events];

    /// The name used in `?dialect=`, in the journal and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai-chat",
            Self::Events => "events",
        }
    }

    /// The dialect of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tongue| tongue.name() == name)
    }

    /// The wire whose frames are this dialect's own, so that they can be passed on unchanged.
    #[must_use]
    pub const fn wire(self) -> Option<Wire> {
        match self {
            Self::OpenaiChat => Some(Wire::OpenaiChat),
            Self::Events => None,
        }
    }
}
