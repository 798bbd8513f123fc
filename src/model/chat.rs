//! A provider-neutral chat request. Dialects parse to it, and wires write their requests from it.
//!
//! A request whose dialect and wire have the same shape is never converted to it: its body is sent
//! unchanged.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::wire::WireId;

/// A conversation and its options.
#[derive(Debug, Clone, Default)]
pub struct Chat {
    /// The messages, in order. System messages keep their position.
    pub messages: Vec<Message>,
    /// The positions of the messages in the client's request, for error messages. Empty if they are
    /// those in `messages`.
    pub origins: Vec<Origin>,
    /// The tools the model may call.
    pub tools: Vec<Tool>,
    /// Whether the model must call a tool.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several tool calls per turn are allowed.
    pub parallel_tools: Option<bool>,
    /// Maximum number of tokens to generate, including reasoning.
    pub max_tokens: Option<u64>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// Number of most likely tokens to sample from.
    pub top_k: Option<u64>,
    /// Sampling seed.
    pub seed: Option<i64>,
    /// Penalty on tokens that occurred before.
    pub presence_penalty: Option<f64>,
    /// Penalty on tokens in proportion to their number of occurrences.
    pub frequency_penalty: Option<f64>,
    /// Stop sequences, which end the answer.
    pub stop: Vec<String>,
    /// Number of choices; the default is 1.
    pub choices: Option<u16>,
    /// The format of the answer.
    pub format: Option<Format>,
    /// Reasoning effort as in OpenAI's API: none, minimal, low, medium, high, xhigh, max.
    pub effort: Option<String>,
    /// Reasoning budget, tokens.
    pub reasoning_budget: Option<u64>,
    /// Verbosity: low, medium, high.
    pub verbosity: Option<String>,
    /// Whether log probabilities are requested.
    pub logprobs: Option<bool>,
    /// Number of alternatives for each log probability.
    pub top_logprobs: Option<u32>,
    /// Token biases, unchanged.
    pub logit_bias: Option<Box<RawValue>>,
    /// The end user, for the provider's abuse detection (`safety_identifier`, else `user`).
    pub user: Option<String>,
    /// The provider's service tier.
    pub service_tier: Option<String>,
    /// The provider chooses the cached part of the prompt (Anthropic's top-level `cache_control`).
    pub cache: Option<CacheMark>,
    /// The key of the prompt's cache (OpenAI's `prompt_cache_key`).
    pub cache_key: Option<String>,
    /// The client's own labels, unchanged.
    pub metadata: Option<Box<RawValue>>,
    /// Names of top-level fields that other wires do not support and must not drop silently.
    pub unsupported: Vec<&'static str>,
}

/// The position of a message in the client's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The index of the client's message.
    pub message: usize,
    /// The index of the first part in the content of that message.
    pub content: usize,
}

impl Origin {
    /// Returns the position of a client's message.
    #[must_use]
    pub const fn of(message: usize) -> Self {
        Self {
            message,
            content: 0,
        }
    }
}

impl Chat {
    /// Returns the position of a message in the client's request.
    #[must_use]
    pub fn origin(&self, message: usize) -> Origin {
        let origin = self.origins.get(message).copied();
        origin.unwrap_or(Origin::of(message))
    }
}

/// The role of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions (OpenAI's `system` and `developer`).
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// The result of a tool.
    Tool,
}

/// A message.
#[derive(Debug, Clone)]
pub struct Message {
    /// The role of its author.
    pub role: Role,
    /// The name of the participant.
    pub name: Option<String>,
    /// The content, in order.
    pub parts: Vec<Part>,
}

/// A part of a message.
#[derive(Debug, Clone)]
pub enum Part {
    /// Text.
    Text(String),
    /// An image.
    Image {
        /// The location of its data.
        source: Source,
        /// The level of detail (OpenAI: auto, low, high).
        detail: Option<String>,
    },
    /// A file.
    File {
        /// The location of its data.
        source: Source,
        /// The file name.
        filename: Option<String>,
    },
    /// Audio.
    Audio {
        /// The data in base64.
        data: String,
        /// The format: `wav` or `mp3`.
        format: String,
    },
    /// Reasoning of the model in an earlier turn.
    Reasoning(PastReasoning),
    /// A refusal of the model in an earlier turn.
    Refusal(String),
    /// A tool call of the model in an earlier turn.
    ToolCall(PastCall),
    /// The result of a tool call.
    ToolResult(ToolResult),
    /// The prompt may be cached up to here.
    CacheMark(CacheMark),
}

/// A mark up to which the prompt may be cached. Wires that cache automatically, or not at all,
/// leave it out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheMark {
    /// The lifetime (`5m`, `1h`); `None` is the provider's default.
    pub ttl: Option<String>,
}

/// The location of the data of an image or file.
#[derive(Debug, Clone)]
pub enum Source {
    /// A URL that the provider fetches. Sluicegate never does.
    Url(String),
    /// Inline data.
    Data {
        /// The media type.
        media_type: String,
        /// The data in base64.
        base64: String,
    },
    /// The id of a file that the provider stores.
    FileId(String),
}

/// Reasoning of an earlier turn. Signatures are only sent to the wire that made them.
#[derive(Debug, Clone)]
pub struct PastReasoning {
    /// The visible text, possibly empty.
    pub text: String,
    /// The provider's signature.
    pub signature: Option<String>,
    /// The encrypted block.
    pub redacted: Option<String>,
    /// The wire that made signature and block; `None` if the client did not specify it.
    pub wire: Option<WireId>,
    /// True if the signature belongs to the text after it (Gemini).
    pub on_text: bool,
}

/// A tool call of an earlier turn.
#[derive(Debug, Clone)]
pub struct PastCall {
    /// The id of the call.
    pub id: String,
    /// The name of the tool.
    pub name: String,
    /// JSON text, or free text if `custom`.
    pub arguments: String,
    /// The signature that the provider needs back with the call.
    pub signature: Option<String>,
    /// The wire that made the signature.
    pub wire: Option<WireId>,
    /// True for a custom tool.
    pub custom: bool,
}

/// The result of a tool call.
#[derive(Debug, Clone)]
pub struct ToolResult {
    /// The id of the call.
    pub id: String,
    /// The name of the tool, if known (Gemini requires it).
    pub name: Option<String>,
    /// Text, images, files.
    pub parts: Vec<Part>,
    /// True if the tool failed.
    pub is_error: bool,
}

/// A tool that the model may call.
#[derive(Debug, Clone)]
pub enum Tool {
    /// A function with a JSON schema.
    Function {
        /// The name.
        name: String,
        /// The description for the model.
        description: Option<String>,
        /// The JSON schema of its arguments.
        parameters: Option<Box<RawValue>>,
        /// Whether arguments must match the schema.
        strict: Option<bool>,
        /// The prompt may be cached up to this tool.
        cache: Option<CacheMark>,
    },
    /// A tool that only one wire supports (web search, custom grammar …).
    Native {
        /// The wire that supports it.
        wire: WireId,
        /// The type of the tool on that wire.
        kind: String,
        /// The declaration, unchanged.
        json: Box<RawValue>,
    },
}

/// Whether tools must be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// No tool may be called.
    None,
    /// The model decides.
    Auto,
    /// At least one tool must be called.
    Required,
    /// This tool must be called.
    Named(String),
    /// Only these tools may be called.
    Allowed {
        /// The names of the tools.
        names: Vec<String>,
        /// True if one of them must be called.
        required: bool,
    },
}

/// The format of the answer.
#[derive(Debug, Clone)]
pub enum Format {
    /// Free text.
    Text,
    /// Any JSON object.
    Json,
    /// JSON that matches a schema.
    Schema {
        /// The name of the schema.
        name: String,
        /// The description for the model.
        description: Option<String>,
        /// The JSON schema.
        schema: Option<Box<RawValue>>,
        /// Whether the answer must match the schema exactly.
        strict: Option<bool>,
    },
}

/// Returns the name of the tool that was called with this id. The latest call with the id counts.
#[must_use]
pub fn tool_name_for_call<'a>(messages: &'a [Message], id: &str) -> Option<&'a str> {
    messages
        .iter()
        .rev()
        .flat_map(|m| m.parts.iter().rev())
        .find_map(|part| match part {
            Part::ToolCall(call) if call.id == id => Some(call.name.as_str()),
            _ => None,
        })
}

/// Returns an id for a tool call that the upstream sent without one. It is derived from the
/// stream's seed and the position of the call, so that it is stable and unique.
#[must_use]
pub fn derive_call_id(seed: &str, choice: u16, index: u16) -> ByteString {
    if choice == 0 {
        format!("call_{seed}_{index}").into()
    } else {
        format!("call_{seed}_{choice}_{index}").into()
    }
}
