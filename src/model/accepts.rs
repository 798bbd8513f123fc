//! The features and limits of targets, as data: the wires ask here and know no vendor by name.
//!
//! [`Accepts::of`] has the values of the vendor that defined each wire. A preset states the values
//! of a provider that differs.

use super::chat::Role;
use super::wire::WireId;

/// The features and limits of a target that decide how a request is written for it, and whether it
/// can be written at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepts {
    /// Returns several choices (`n`). If false, a request for several is refused.
    pub choices: bool,
    /// Maximum number of stop sequences, if there is one. 0 if it has no stop sequences.
    pub stops: Option<usize>,
    /// Token biases change the answer, and this target has none: such a request is refused. If
    /// false, they are sent or left out.
    pub refuses_bias: bool,
    /// The answer formats besides text.
    pub formats: FormatSupport,
    /// Tools, and calls of tools in the conversation.
    pub tools: bool,
    /// The values of `tool_choice`.
    pub tool_choice: ToolChoiceSupport,
    /// The value `none` of `tool_choice`. If false, a tool that must not be called is not declared.
    pub tool_choice_none: bool,
    /// Schemas of parameters must be objects with a `type`.
    pub typed_schemas: bool,
    /// The ids of tool calls.
    pub call_ids: CallIds,
    /// The name of the end user. A value that does not fit is left out.
    pub user_id: TextRule,
    /// The texts in messages. Others are left out.
    pub texts: TextSupport,
    /// Past reasoning whose origin the client did not state.
    pub unattributed_reasoning: bool,
    /// The place of system messages.
    pub system_messages: SystemMessages,
    /// Turns of the user and of the model must alternate: neighbours are merged.
    pub alternating: bool,
    /// The place of tool results.
    pub results: ResultPlace,
    /// Images, files and audio.
    pub media: MediaSupport,
}

/// The values of `tool_choice` that a target supports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ToolChoiceSupport {
    /// All values of OpenAI's API.
    #[default]
    All,
    /// A keyword, or one tool by name.
    Named,
    /// A keyword: `none`, `auto`, `required`.
    Words,
    /// None: the field is ignored or missing.
    Ignored,
}

/// The answer formats that a target supports besides text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FormatSupport {
    /// Any JSON object, or JSON that matches a schema.
    #[default]
    All,
    /// Any JSON object only.
    Json,
    /// JSON that matches a schema only.
    Schema,
}

/// A rule for a short text: its length and its characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextRule {
    /// Maximum length, bytes.
    pub max: usize,
    /// The characters allowed besides ASCII letters and digits. `None` allows every character.
    pub besides: Option<&'static str>,
}

impl TextRule {
    /// Every text.
    pub const ANY: Self = Self {
        max: usize::MAX,
        besides: None,
    };

    /// Letters, digits, `_` and `-`.
    #[must_use]
    pub const fn plain(max: usize) -> Self {
        Self {
            max,
            besides: Some("_-"),
        }
    }

    /// Returns true for a character that may be in the text.
    #[must_use]
    pub fn allows(&self, c: char) -> bool {
        self.besides
            .is_none_or(|besides| c.is_ascii_alphanumeric() || besides.contains(c))
    }

    /// Returns true for a text that needs no change. A rule about characters excludes the empty
    /// text.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        text.len() <= self.max
            && (self.besides.is_none() || !text.is_empty())
            && text.chars().all(|c| self.allows(c))
    }
}

/// The ids of tool calls that a target takes. Other ids are mapped, calls and results alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallIds {
    /// Ids that follow the rule.
    Ruled(TextRule),
    /// Ids of exactly this many ASCII letters and digits.
    Exactly(usize),
}

/// The texts that a target takes in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextSupport {
    /// All texts.
    All,
    /// All texts but the empty one.
    NonEmpty,
    /// All texts with a character that is not white space.
    NonBlank,
}

impl TextSupport {
    /// Returns true for a text that the target takes.
    #[must_use]
    pub fn takes(self, text: &str) -> bool {
        match self {
            Self::All => true,
            Self::NonEmpty => !text.is_empty(),
            Self::NonBlank => !text.trim().is_empty(),
        }
    }
}

/// The place of system messages in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemMessages {
    /// Among the other messages, any number of them.
    InPlace,
    /// Apart from the turns, all of them. They contain text only.
    Apart,
    /// Apart from the turns, if they contain text only and precede all other messages; later ones
    /// stay in place.
    LeadingApart,
}

/// The place of tool results in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultPlace {
    /// In turns of their own, which contain nothing else.
    Own,
    /// The same, and they contain text only: the images and files of results follow in a user turn
    /// after the last result.
    OwnTextOnly,
    /// In the user's turn.
    InTurn,
}

/// A set of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// No role.
    pub const NONE: Self = Self(0);
    /// The user.
    pub const USER: Self = Self(1);
    /// The user, and results of tools.
    pub const USER_AND_TOOL: Self = Self(1 | 1 << 1);
    /// All but the model.
    pub const ALL_BUT_ASSISTANT: Self = Self(1 | 1 << 1 | 1 << 3);
    /// The user, and instructions.
    pub const USER_AND_SYSTEM: Self = Self(1 | 1 << 3);
    /// All but instructions.
    pub const ALL_BUT_SYSTEM: Self = Self(1 | 1 << 1 | 1 << 2);
    /// Every role.
    pub const ALL: Self = Self(1 | 1 << 1 | 1 << 2 | 1 << 3);

    /// Returns true if the set contains the role.
    #[must_use]
    pub const fn has(self, role: Role) -> bool {
        let bit = match role {
            Role::User => 1,
            Role::Tool => 1 << 1,
            Role::Assistant => 1 << 2,
            Role::System => 1 << 3,
        };
        self.0 & bit != 0
    }
}

/// The images, files and audio that a target takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaSupport {
    /// The roles whose messages may contain images.
    pub images: Roles,
    /// The media types of images; empty if all are sent.
    pub image_types: &'static [&'static str],
    /// Links to images.
    pub image_links: bool,
    /// Images by the id of a stored file.
    pub image_ids: bool,
    /// The roles whose messages may contain files that are sent as files.
    pub files: Roles,
    /// The data of files.
    pub file_data: FileSupport,
    /// Links to files.
    pub file_links: bool,
    /// Files by their id.
    pub file_ids: bool,
    /// The roles whose messages may contain audio.
    pub audio: Roles,
    /// The formats of audio; empty if all are sent.
    pub audio_formats: &'static [&'static str],
}

/// The data of files that a target takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSupport {
    /// Everything, images too, as files.
    Files,
    /// Everything; an image as an image.
    FilesAndImages,
    /// PDF as a document, text as text, an image as an image.
    PdfTextAndImages,
    /// Text as text, an image as an image. A text file may be in messages of every role.
    TextAndImages,
}

/// The formats of audio that Bedrock takes.
const BEDROCK_AUDIO: &[&str] = &[
    "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg",
    "mpga", "pcm", "webm",
];

impl Accepts {
    /// OpenAI's Chat Completions, the API that most servers imitate.
    pub const OPENAI_CHAT: Self = Self {
        choices: true,
        stops: None,
        refuses_bias: false,
        formats: FormatSupport::All,
        tools: true,
        tool_choice: ToolChoiceSupport::All,
        tool_choice_none: true,
        typed_schemas: false,
        call_ids: CallIds::Ruled(TextRule::ANY),
        user_id: TextRule::ANY,
        texts: TextSupport::All,
        unattributed_reasoning: true,
        system_messages: SystemMessages::InPlace,
        alternating: false,
        results: ResultPlace::OwnTextOnly,
        media: MediaSupport {
            images: Roles::ALL,
            image_types: &[],
            image_links: true,
            image_ids: false,
            files: Roles::ALL,
            file_data: FileSupport::Files,
            file_links: false,
            file_ids: true,
            audio: Roles::ALL,
            audio_formats: &[],
        },
    };

    const OPENAI_RESPONSES: Self = Self {
        choices: false,
        stops: Some(0),
        call_ids: CallIds::Ruled(TextRule::plain(64)),
        unattributed_reasoning: false,
        system_messages: SystemMessages::LeadingApart,
        results: ResultPlace::Own,
        media: MediaSupport {
            images: Roles::ALL_BUT_ASSISTANT,
            image_ids: true,
            files: Roles::ALL_BUT_ASSISTANT,
            file_data: FileSupport::FilesAndImages,
            file_links: true,
            audio: Roles::USER_AND_SYSTEM,
            ..Self::OPENAI_CHAT.media
        },
        ..Self::OPENAI_CHAT
    };

    const ANTHROPIC: Self = Self {
        choices: false,
        stops: None,
        refuses_bias: false,
        formats: FormatSupport::Schema,
        tools: true,
        tool_choice: ToolChoiceSupport::Named,
        tool_choice_none: true,
        typed_schemas: true,
        call_ids: CallIds::Ruled(TextRule::plain(usize::MAX)),
        user_id: TextRule::ANY,
        texts: TextSupport::NonEmpty,
        unattributed_reasoning: false,
        system_messages: SystemMessages::Apart,
        alternating: true,
        results: ResultPlace::InTurn,
        media: MediaSupport {
            images: Roles::USER_AND_TOOL,
            image_types: &[],
            image_links: true,
            image_ids: false,
            files: Roles::USER_AND_TOOL,
            file_data: FileSupport::PdfTextAndImages,
            file_links: true,
            file_ids: false,
            audio: Roles::NONE,
            audio_formats: &[],
        },
    };

    const BEDROCK: Self = Self {
        refuses_bias: true,
        tool_choice_none: false,
        call_ids: CallIds::Ruled(TextRule::plain(64)),
        user_id: TextRule {
            max: 256,
            besides: Some(" ._:/=+$@-"),
        },
        texts: TextSupport::NonBlank,
        media: MediaSupport {
            image_types: &[
                "image/png",
                "image/jpeg",
                "image/jpg",
                "image/gif",
                "image/webp",
            ],
            image_links: false,
            file_data: FileSupport::FilesAndImages,
            file_links: false,
            audio: Roles::USER,
            audio_formats: BEDROCK_AUDIO,
            ..Self::ANTHROPIC.media
        },
        ..Self::ANTHROPIC
    };

    const GEMINI: Self = Self {
        choices: true,
        stops: Some(5),
        refuses_bias: true,
        formats: FormatSupport::All,
        tool_choice: ToolChoiceSupport::All,
        typed_schemas: false,
        call_ids: CallIds::Ruled(TextRule::ANY),
        results: ResultPlace::Own,
        media: MediaSupport {
            images: Roles::ALL_BUT_SYSTEM,
            image_links: false,
            files: Roles::ALL_BUT_SYSTEM,
            file_data: FileSupport::Files,
            file_links: false,
            audio: Roles::ALL_BUT_SYSTEM,
            ..Self::ANTHROPIC.media
        },
        ..Self::ANTHROPIC
    };

    const OLLAMA: Self = Self {
        choices: false,
        stops: None,
        refuses_bias: true,
        tool_choice: ToolChoiceSupport::Ignored,
        tool_choice_none: false,
        texts: TextSupport::NonEmpty,
        unattributed_reasoning: false,
        results: ResultPlace::Own,
        media: MediaSupport {
            images: Roles::USER_AND_TOOL,
            image_links: false,
            file_data: FileSupport::TextAndImages,
            file_ids: false,
            files: Roles::NONE,
            audio: Roles::NONE,
            ..Self::OPENAI_CHAT.media
        },
        ..Self::OPENAI_CHAT
    };

    const COHERE: Self = Self {
        stops: Some(5),
        tool_choice: ToolChoiceSupport::Words,
        tool_choice_none: true,
        media: MediaSupport {
            images: Roles::USER,
            image_links: true,
            ..Self::OLLAMA.media
        },
        ..Self::OLLAMA
    };

    /// Returns what the vendor that defined a wire takes.
    #[must_use]
    pub const fn of(wire: WireId) -> Self {
        match wire {
            WireId::OpenaiChat => Self::OPENAI_CHAT,
            WireId::OpenaiResponses => Self::OPENAI_RESPONSES,
            WireId::Anthropic => Self::ANTHROPIC,
            WireId::Gemini => Self::GEMINI,
            WireId::Bedrock => Self::BEDROCK,
            WireId::Ollama => Self::OLLAMA,
            WireId::Cohere => Self::COHERE,
        }
    }
}

impl Default for Accepts {
    fn default() -> Self {
        Self::OPENAI_CHAT
    }
}
