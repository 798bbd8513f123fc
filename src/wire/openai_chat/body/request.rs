//! The types of this wire's request body.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::chat::{CacheMark, PastCall};
use crate::model::wire::WireId;

/// The request body.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    pub(super) model: &'a str,
    pub(super) messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<Encoded<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_choice: Option<Encoded<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_k: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) n: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_format: Option<Encoded<'a>>,
    #[serde(flatten)]
    pub(super) effort: Effort<'a>,
    #[serde(flatten)]
    pub(super) hints: HintFields<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<CacheControl>,
    pub(super) stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream_options: Option<StreamOptions>,
}

/// Options whose absence changes no meaning.
#[derive(Serialize)]
pub(super) struct HintFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) random_seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verbosity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logit_bias: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt_cache_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<&'a RawValue>,
}

/// `stream_options`.
#[derive(Serialize)]
pub(super) struct StreamOptions {
    pub(super) include_usage: bool,
}

/// The reasoning effort, in the field that the target reads.
#[derive(Serialize, Default)]
pub(super) struct Effort<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning: Option<ReasoningOptions<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking: Option<Thinking>,
}

/// `reasoning`. Exactly one of the fields is set.
#[derive(Serialize)]
pub(super) struct ReasoningOptions<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_tokens: Option<u64>,
}

/// `thinking`.
#[derive(Serialize)]
pub(super) struct Thinking {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
}

/// `cache_control`.
#[derive(Serialize)]
pub(super) struct CacheControl {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
}

impl CacheControl {
    pub(super) fn from_mark(mark: &CacheMark) -> Self {
        Self {
            kind: "ephemeral",
            ttl: mark.ttl.clone(),
        }
    }
}

/// One message.
#[derive(Serialize, Default)]
pub(super) struct Turn<'a> {
    pub(super) role: &'static str,
    /// `null` if the model's turn has only calls or a refusal.
    pub(super) content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<&'a str>,
    #[serde(flatten)]
    pub(super) past: ReasoningFields,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_call_id: Option<Cow<'a, str>>,
}

/// The reasoning of a past turn, in the field that the target reads.
#[derive(Serialize, Default)]
pub(super) struct ReasoningFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) reasoning_details: Vec<Value>,
}

/// The `content` of a message.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    /// A single text.
    Text(&'a str),
    /// A list of typed pieces.
    Pieces(Vec<Piece<'a>>),
}

impl<'a> Content<'a> {
    /// Returns the pieces as `content`. No piece or a single text becomes a string, because every
    /// compatible server accepts that form.
    pub(super) fn from_pieces(pieces: Vec<Piece<'a>>) -> Self {
        match pieces[..] {
            [] => Self::Text(""),
            [
                Piece::Text {
                    text,
                    cache_control: None,
                },
            ] => Self::Text(text),
            _ => Self::Pieces(pieces),
        }
    }
}

/// A typed piece of a message.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Piece<'a> {
    /// Text.
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    /// An image.
    ImageUrl { image_url: ImageLink<'a> },
    /// Audio.
    InputAudio { input_audio: Audio<'a> },
    /// A document.
    File { file: File<'a> },
    /// A document in Mistral's form.
    DocumentUrl {
        document_url: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        document_name: Option<&'a str>,
    },
}

/// The link or data URI of an image.
#[derive(Serialize)]
pub(super) struct ImageLink<'a> {
    pub(super) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<&'a str>,
}

/// Audio in base64.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Audio<'a> {
    /// The data and its format, as OpenAI takes them.
    WithFormat { data: &'a str, format: &'a str },
    /// The data alone, as Mistral takes it.
    Data(&'a str),
}

/// A document, by its id or its data.
#[derive(Serialize)]
pub(super) struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filename: Option<&'a str>,
}

/// A tool call of a past turn.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Call<'a> {
    /// A call of a function.
    Function {
        id: Cow<'a, str>,
        function: CalledFunction<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        extra_content: Option<ExtraContent<'a>>,
    },
    /// A call of a custom tool.
    Custom {
        id: Cow<'a, str>,
        custom: CalledTool<'a>,
    },
}

impl<'a> Call<'a> {
    /// Returns the call with this id in place of its own.
    pub(super) fn from_past(call: &'a PastCall, id: Cow<'a, str>) -> Self {
        let (name, input) = (&*call.name, &*call.arguments);
        if call.custom {
            return Self::Custom {
                id,
                custom: CalledTool { name, input },
            };
        }
        // `arguments` must be JSON, and a call without arguments may have an empty string.
        let arguments = if input.is_empty() { "{}" } else { input };
        let thought_signature = call
            .signature
            .as_deref()
            .filter(|_| call.wire == Some(WireId::OpenaiChat));
        let extra_content = thought_signature.map(|thought_signature| ExtraContent {
            google: Google { thought_signature },
        });
        Self::Function {
            id,
            function: CalledFunction { name, arguments },
            extra_content,
        }
    }
}

/// `extra_content` of a call: the data that Google requires back with it.
#[derive(Serialize)]
pub(super) struct ExtraContent<'a> {
    google: Google<'a>,
}

/// Google's signature of a call.
#[derive(Serialize)]
pub(super) struct Google<'a> {
    thought_signature: &'a str,
}

/// The name and arguments of a called function.
#[derive(Serialize)]
pub(super) struct CalledFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// The name and input of a called custom tool.
#[derive(Serialize)]
pub(super) struct CalledTool<'a> {
    name: &'a str,
    input: &'a str,
}

/// A value of `tools`, `tool_choice` or `response_format`: a word, a typed object, or JSON that is
/// sent unchanged.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Encoded<'a> {
    Word(&'static str),
    Raw(&'a RawValue),
    Typed {
        #[serde(rename = "type")]
        kind: &'static str,
    },
    Function {
        #[serde(rename = "type")]
        kind: &'static str,
        function: Function<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    Allowed {
        #[serde(rename = "type")]
        kind: &'static str,
        allowed_tools: Allowed<'a>,
    },
    Schema {
        #[serde(rename = "type")]
        kind: &'static str,
        json_schema: Schema<'a>,
    },
}

impl<'a> Encoded<'a> {
    pub(super) fn function(function: Function<'a>) -> Self {
        Self::function_with_cache(function, None)
    }

    /// Returns the function with an optional mark up to which the prompt may be cached.
    pub(super) fn function_with_cache(
        function: Function<'a>,
        cache_control: Option<CacheControl>,
    ) -> Self {
        Self::Function {
            kind: "function",
            function,
            cache_control,
        }
    }

    pub(super) fn allowed(names: &'a [String], required: bool) -> Self {
        let tools = names
            .iter()
            .map(|name| Self::function(Function::named(name)))
            .collect();
        Self::Allowed {
            kind: "allowed_tools",
            allowed_tools: Allowed {
                mode: if required { "required" } else { "auto" },
                tools,
            },
        }
    }

    pub(super) fn schema(
        name: &'a str,
        description: Option<&'a str>,
        schema: Option<&'a RawValue>,
        strict: Option<bool>,
    ) -> Self {
        Self::Schema {
            kind: "json_schema",
            json_schema: Schema {
                name,
                description,
                schema,
                strict,
            },
        }
    }
}

/// The declaration of a function, or only its name.
#[derive(Serialize)]
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parameters: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) strict: Option<bool>,
}

impl<'a> Function<'a> {
    pub(super) fn named(name: &'a str) -> Self {
        Self {
            name,
            description: None,
            parameters: None,
            strict: None,
        }
    }
}

/// `allowed_tools`: the tools that may be called.
#[derive(Serialize)]
pub(super) struct Allowed<'a> {
    mode: &'static str,
    tools: Vec<Encoded<'a>>,
}

/// `json_schema`: the schema of the answer.
#[derive(Serialize)]
pub(super) struct Schema<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}
