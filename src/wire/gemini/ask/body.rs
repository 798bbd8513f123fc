//! The types of a `generateContent` request body, borrowed from the chat.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

/// The request body.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) system_instruction: Option<Content<'a>>,
    pub(in super::super) contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in super::super) tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) tool_config: Option<ToolConfig<'a>>,
    pub(in super::super) generation_config: GenerationConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) service_tier: Option<&'a str>,
}

/// A turn of the conversation, or the system instruction, which has no role.
#[derive(Serialize)]
pub(in super::super) struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) role: Option<&'static str>,
    pub(in super::super) parts: Vec<Part<'a>>,
}

/// A part of a turn. Exactly one of the first four fields is set.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Part<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) inline_data: Option<Blob<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) function_call: Option<FunctionCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) function_response: Option<FunctionResponse<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) thought: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) thought_signature: Option<&'a str>,
}

/// Inline data in base64.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Blob<'a> {
    pub(in super::super) mime_type: Cow<'a, str>,
    pub(in super::super) data: &'a str,
}

/// A function call of an earlier turn.
#[derive(Serialize)]
pub(in super::super) struct FunctionCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) id: Option<&'a str>,
    pub(in super::super) name: &'a str,
    pub(in super::super) args: Args<'a>,
}

/// The arguments of a function call. Gemini accepts only an object.
#[derive(Serialize)]
pub(in super::super) enum Args<'a> {
    /// The free text of a custom tool.
    #[serde(rename = "input")]
    Input(&'a str),
    /// A JSON object.
    #[serde(untagged)]
    Object(&'a RawValue),
}

/// The result of a function call.
#[derive(Serialize)]
pub(in super::super) struct FunctionResponse<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) id: Option<&'a str>,
    pub(in super::super) name: &'a str,
    pub(in super::super) response: Response,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in super::super) parts: Vec<Part<'a>>,
}

/// The content of a function's result. Gemini accepts only an object.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum Response {
    /// Text of a successful result.
    Output(String),
    /// Text of a failed result.
    Error(String),
    /// The JSON object that the tool returned.
    #[serde(untagged)]
    Object(Box<RawValue>),
}

/// An entry of `tools`.
#[derive(Serialize)]
pub(in super::super) enum Tool<'a> {
    /// All functions of the request.
    #[serde(rename = "functionDeclarations")]
    Functions(Vec<Function<'a>>),
    /// A tool that only Gemini has, unchanged.
    #[serde(untagged)]
    Native(&'a RawValue),
}

/// The declaration of a function.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Function<'a> {
    pub(in super::super) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) parameters_json_schema: Option<&'a RawValue>,
}

/// The `toolConfig`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct ToolConfig<'a> {
    pub(in super::super) function_calling_config: FunctionCalling<'a>,
}

/// The `functionCallingConfig`: a mode, and the functions it is limited to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct FunctionCalling<'a> {
    pub(in super::super) mode: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in super::super) allowed_function_names: Vec<&'a str>,
}

/// The `generationConfig`.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(in super::super) stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) candidate_count: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) response_logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) response_json_schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) thinking_config: Option<Thinking>,
}

/// The `thinkingConfig`. Level and budget exclude each other.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Thinking {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) include_thoughts: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) thinking_level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) thinking_budget: Option<u64>,
}
