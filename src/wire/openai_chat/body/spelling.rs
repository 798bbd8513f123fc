//! The shapes of the wire's request body.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::chat::{CacheMark, PastCall};
use crate::model::wire::WireId;

/// The body.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    pub(super) model: &'a str,
    pub(super) messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<Spelled<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_choice: Option<Spelled<'a>>,
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
    pub(super) response_format: Option<Spelled<'a>>,
    #[serde(flatten)]
    pub(super) effort: Effort<'a>,
    #[serde(flatten)]
    pub(super) hints: Hinted<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<Ephemeral>,
    pub(super) stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream_options: Option<Options>,
}

/// Wishes whose absence changes no meaning.
#[derive(Serialize)]
pub(super) struct Hinted<'a> {
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
pub(super) struct Options {
    pub(super) include_usage: bool,
}

/// How much the model is to think.
#[derive(Serialize, Default)]
pub(super) struct Effort<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning: Option<ReasoningHint<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking: Option<Thinking>,
}

/// `reasoning`: one of the two.
#[derive(Serialize)]
pub(super) struct ReasoningHint<'a> {
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
pub(super) struct Ephemeral {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
}

impl Ephemeral {
    pub(super) fn of(mark: &CacheMark) -> Self {
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
    /// `null` where the model said nothing but calls.
    pub(super) content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<&'a str>,
    #[serde(flatten)]
    pub(super) past: Past,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_call_id: Option<Cow<'a, str>>,
}

/// Reasoning brought back, under one of its names.
#[derive(Serialize, Default)]
pub(super) struct Past {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) reasoning_details: Vec<Value>,
}

/// What a message says.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    /// Text alone.
    Text(&'a str),
    /// Pieces.
    Pieces(Vec<Piece<'a>>),
}

impl<'a> Content<'a> {
    /// The pieces, as a string where they are one text or none: every compatible server takes that.
    pub(super) fn of(pieces: Vec<Piece<'a>>) -> Self {
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

/// A piece of a message.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Piece<'a> {
    /// Words.
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Ephemeral>,
    },
    /// A picture.
    ImageUrl { image_url: Link<'a> },
    /// Sound.
    InputAudio { input_audio: Sound<'a> },
    /// A document.
    File { file: File<'a> },
    /// A document, as Mistral has it.
    DocumentUrl {
        document_url: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        document_name: Option<&'a str>,
    },
}

/// Where a picture is.
#[derive(Serialize)]
pub(super) struct Link<'a> {
    pub(super) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<&'a str>,
}

/// Sound in base64.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Sound<'a> {
    /// With the name of its format.
    Of { data: &'a str, format: &'a str },
    /// By itself.
    Bare(&'a str),
}

/// A document.
#[derive(Serialize)]
pub(super) struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filename: Option<&'a str>,
}

/// A tool call of the model, brought back.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Call<'a> {
    /// A function's.
    Function {
        id: Cow<'a, str>,
        function: CalledFunction<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        extra_content: Option<Extra<'a>>,
    },
    /// A custom tool's.
    Custom {
        id: Cow<'a, str>,
        custom: CalledTool<'a>,
    },
}

impl<'a> Call<'a> {
    /// The call, under this id.
    pub(super) fn of(call: &'a PastCall, id: Cow<'a, str>) -> Self {
        let (name, words) = (&*call.name, &*call.arguments);
        if call.custom {
            return Self::Custom {
                id,
                custom: CalledTool { name, input: words },
            };
        }
        let arguments = if words.is_empty() { "{}" } else { words };
        let thought_signature = call
            .signature
            .as_deref()
            .filter(|_| call.wire == Some(WireId::OpenaiChat));
        let extra_content = thought_signature.map(|thought_signature| Extra {
            google: Google { thought_signature },
        });
        Self::Function {
            id,
            function: CalledFunction { name, arguments },
            extra_content,
        }
    }
}

/// What Google wants back with a call.
#[derive(Serialize)]
pub(super) struct Extra<'a> {
    google: Google<'a>,
}

/// The signature of a call.
#[derive(Serialize)]
pub(super) struct Google<'a> {
    thought_signature: &'a str,
}

/// A called function.
#[derive(Serialize)]
pub(super) struct CalledFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// A called custom tool.
#[derive(Serialize)]
pub(super) struct CalledTool<'a> {
    name: &'a str,
    input: &'a str,
}

/// What is spelled as a word, as a typed object, or as it came.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Spelled<'a> {
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
        cache_control: Option<Ephemeral>,
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

impl<'a> Spelled<'a> {
    pub(super) fn function(function: Function<'a>) -> Self {
        Self::marked(function, None)
    }

    /// The function, and a mark up to which the prompt may be cached.
    pub(super) fn marked(function: Function<'a>, cache_control: Option<Ephemeral>) -> Self {
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

/// A function as it is declared, or named.
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

/// The tools that may be called.
#[derive(Serialize)]
pub(super) struct Allowed<'a> {
    mode: &'static str,
    tools: Vec<Spelled<'a>>,
}

/// A JSON schema for the answer.
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
