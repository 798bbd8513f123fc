//! A chat request in no provider's words: what dialects parse to and wires draft from.
//!
//! A request that goes to an upstream of its own dialect never passes through here: its bytes go
//! out as they came.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::wire::WireId;

/// One conversation and what is wanted of the model.
#[derive(Debug, Clone, Default)]
pub struct Chat {
    /// The turns, in order; system messages stand where they stood.
    pub messages: Vec<Message>,
    /// The tools the model may call.
    pub tools: Vec<Tool>,
    /// Whether it must.
    pub tool_choice: Option<ToolChoice>,
    /// False: at most one tool call per turn.
    pub parallel_tools: Option<bool>,
    /// The most tokens to generate, reasoning included.
    pub max_tokens: Option<u64>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// Sample among the k likeliest.
    pub top_k: Option<u64>,
    /// Sampling seed.
    pub seed: Option<i64>,
    /// Penalty on tokens that occurred at all.
    pub presence_penalty: Option<f64>,
    /// Penalty on tokens by how often they occurred.
    pub frequency_penalty: Option<f64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// How many choices; 1 where not said.
    pub choices: Option<u16>,
    /// The form of the answer.
    pub format: Option<Format>,
    /// Reasoning effort by OpenAI's words: none, minimal, low, medium, high, xhigh, max.
    pub effort: Option<String>,
    /// Reasoning budget in tokens.
    pub reasoning_budget: Option<u64>,
    /// How talkative: low, medium, high.
    pub verbosity: Option<String>,
    /// Ask for log probabilities.
    pub logprobs: Option<bool>,
    /// How many alternatives with them.
    pub top_logprobs: Option<u32>,
    /// Token biases as they came.
    pub logit_bias: Option<Box<RawValue>>,
    /// The end user, for the provider's abuse detection (`safety_identifier`, else `user`).
    pub user: Option<String>,
    /// The provider's service tier.
    pub service_tier: Option<String>,
    /// The provider chooses what it caches (Anthropic's `cache_control` at the top of a body).
    pub cache: Option<CacheMark>,
    /// The name of the prompt's cache (OpenAI's `prompt_cache_key`).
    pub cache_key: Option<String>,
    /// Caller's own labels as they came.
    pub metadata: Option<Box<RawValue>>,
    /// What other wires cannot carry and must not drop silently: the names of top-level fields, as
    /// they came.
    pub unsupported: Vec<&'static str>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions (OpenAI's `system` and `developer`).
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The result of a tool.
    Tool,
}

/// One turn.
#[derive(Debug, Clone)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// A participant's name.
    pub name: Option<String>,
    /// What is said, in order.
    pub parts: Vec<Part>,
}

/// A piece of a turn.
#[derive(Debug, Clone)]
pub enum Part {
    /// Words.
    Text(String),
    /// A picture.
    Image {
        /// Where its bytes are.
        source: Source,
        /// How closely to look (OpenAI: auto, low, high).
        detail: Option<String>,
    },
    /// A document.
    File {
        /// Where its bytes are.
        source: Source,
        /// Its name.
        filename: Option<String>,
    },
    /// Sound: base64 and its format (`wav`, `mp3`).
    Audio {
        /// Base64.
        data: String,
        /// `wav` or `mp3`.
        format: String,
    },
    /// What the model thought before, brought back.
    Reasoning(PastReasoning),
    /// A refusal of the model, brought back.
    Refusal(String),
    /// A tool call of the model, brought back.
    ToolCall(PastCall),
    /// What a tool answered.
    ToolResult(ToolResult),
    /// The prompt may be cached up to here.
    CacheMark(CacheMark),
}

/// A mark up to which the prompt may be cached. Wires that cache by themselves, or not at all,
/// leave it out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheMark {
    /// How long (`5m`, `1h`); the provider's default where not said.
    pub ttl: Option<String>,
}

/// Where the bytes of an image or a file are.
#[derive(Debug, Clone)]
pub enum Source {
    /// A link that the provider fetches; we never do.
    Url(String),
    /// The bytes in base64.
    Data {
        /// Its media type.
        media_type: String,
        /// The bytes.
        base64: String,
    },
    /// An object in the provider's account.
    FileId(String),
}

/// Reasoning brought back. Signatures are only for the wire that made them.
#[derive(Debug, Clone)]
pub struct PastReasoning {
    /// The visible words, maybe none.
    pub text: String,
    /// The provider's signature.
    pub signature: Option<String>,
    /// A block that came encrypted.
    pub redacted: Option<String>,
    /// The wire that made signature and block; `None` where the client did not say.
    pub wire: Option<WireId>,
    /// True where the signature is that of the text after it (Gemini).
    pub on_text: bool,
}

/// A tool call brought back.
#[derive(Debug, Clone)]
pub struct PastCall {
    /// Its id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// JSON text (free text where `custom`).
    pub arguments: String,
    /// What the provider wanted back with it.
    pub signature: Option<String>,
    /// The wire that made the signature.
    pub wire: Option<WireId>,
    /// True for a custom tool.
    pub custom: bool,
}

/// What a tool answered.
#[derive(Debug, Clone)]
pub struct ToolResult {
    /// The call it answers.
    pub id: String,
    /// The tool's name where known (Gemini wants it).
    pub name: Option<String>,
    /// Text, images, files.
    pub parts: Vec<Part>,
    /// True where the tool failed.
    pub is_error: bool,
}

/// A tool.
#[derive(Debug, Clone)]
pub enum Tool {
    /// A function with a JSON schema.
    Function {
        /// Its name.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// The JSON schema of its arguments.
        parameters: Option<Box<RawValue>>,
        /// Arguments must match the schema.
        strict: Option<bool>,
        /// The prompt may be cached up to this tool.
        cache: Option<CacheMark>,
    },
    /// A tool of the wire's own (web search, custom grammar …): only that wire takes it.
    Native {
        /// The wire that knows it.
        wire: WireId,
        /// Its type there.
        kind: String,
        /// The declaration as it came.
        json: Box<RawValue>,
    },
}

/// Whether tools must be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// Never.
    None,
    /// As the model likes.
    Auto,
    /// At least one.
    Required,
    /// This one.
    Named(String),
    /// One of these; `required` says whether it must.
    Allowed {
        /// Their names.
        names: Vec<String>,
        /// One of them must be called.
        required: bool,
    },
}

/// The form of the answer.
#[derive(Debug, Clone)]
pub enum Format {
    /// Free text.
    Text,
    /// Any JSON object.
    Json,
    /// JSON by a schema.
    Schema {
        /// Its name.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// The JSON schema.
        schema: Option<Box<RawValue>>,
        /// Arguments must match the schema.
        strict: Option<bool>,
    },
}

/// The name a participant may be told apart by; kept apart from [`Message`] so that wires can look
/// calls up.
#[must_use]
pub fn tool_name_of<'a>(messages: &'a [Message], id: &str) -> Option<&'a str> {
    messages
        .iter()
        .rev()
        .flat_map(|m| m.parts.iter().rev())
        .find_map(|part| match part {
            Part::ToolCall(call) if call.id == id => Some(call.name.as_str()),
            _ => None,
        })
}

/// The id of a tool call that came without one: the same for the same stream and place, and unlike
/// any other.
#[must_use]
pub fn made_call_id(seed: &str, choice: u16, index: u16) -> ByteString {
    if choice == 0 {
        format!("call_{seed}_{index}").into()
    } else {
        format!("call_{seed}_{choice}_{index}").into()
    }
}
