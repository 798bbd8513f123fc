//! The refusals of requests that a target cannot serve: one wording and one form of `param` for the
//! same mistake of a client, whatever the target.
//!
//! Invariants: every message begins with the place of the mistake, which is `param` as well: a
//! field (`response_format`), a tool (`tools[2]`), a message (`messages[3]`) or its content
//! (`messages[3].content[1]`). No message names a vendor or a wire.

use std::fmt;

use crate::model::chat::{Part, Role};
use crate::model::fault::{Code, Fault};

/// Returns the refusal of something that this target does not support, but another target may.
/// `instead` says what to do: "send its data".
pub(in crate::wire) fn unsupported(place: impl fmt::Display, what: &str, instead: &str) -> Fault {
    invalid(
        place,
        &format!("this target does not support {what}: {instead}, or choose another model"),
    )
}

/// Returns the refusal of something that no target accepts.
pub(in crate::wire) fn invalid(place: impl fmt::Display, what: &str) -> Fault {
    let place = place.to_string();
    let message = format!("{place}: {what}");
    Fault::invalid(place, message)
}

/// A field that changes the answer and that the target does not have.
pub(in crate::wire) fn field(name: &str) -> Fault {
    unsupported(name, "this field", "leave it out")
}

/// More than one choice.
pub(in crate::wire) fn choices() -> Fault {
    unsupported("n", "several choices", "send 1")
}

/// More stop sequences than `limit`.
pub(in crate::wire) fn stops(limit: usize, sent: usize) -> Fault {
    if limit == 0 {
        return field("stop");
    }
    let what = format!("more than {limit} stop sequences, and there are {sent}");
    unsupported("stop", &what, "send fewer")
}

/// JSON output without a schema.
pub(in crate::wire) fn any_json() -> Fault {
    unsupported(
        "response_format",
        "JSON output without a schema",
        "send a json_schema format with a schema",
    )
}

/// JSON output with a schema.
pub(in crate::wire) fn json_schema() -> Fault {
    unsupported(
        "response_format",
        "JSON output with a schema",
        "send a json_object format and describe the schema in the prompt",
    )
}

/// A schema format without its schema.
pub(in crate::wire) fn missing_schema() -> Fault {
    invalid(
        "response_format",
        "a json_schema format needs its schema: send one",
    )
}

/// An effort that no API has.
pub(in crate::wire) fn effort() -> Fault {
    invalid(
        "reasoning_effort",
        "expected none, minimal, low, medium, high, xhigh or max",
    )
}

/// Options of the stream that are no object.
pub(in crate::wire) fn stream_options() -> Fault {
    invalid(
        "stream_options",
        "expected a JSON object: send one, or leave it out",
    )
}

/// A conversation without content.
pub(in crate::wire) fn no_messages() -> Fault {
    invalid(
        "messages",
        "at least one message with content is needed besides system messages: send one",
    )
}

/// Tools, for a target that has none.
pub(in crate::wire) fn tools() -> Fault {
    unsupported("tools", "tools", "leave them out")
}

/// A tool at this position that is not a function, and that only another wire has.
pub(in crate::wire) fn native_tool(at: usize, kind: &str) -> Fault {
    let what = format!("tools of type {kind}");
    unsupported(Tool(at), &what, "send functions")
}

/// A tool choice that forces a call.
pub(in crate::wire) fn forced_call() -> Fault {
    unsupported("tool_choice", "a forced tool call", "send auto")
}

/// A forced call without a tool to call.
pub(in crate::wire) fn no_tool_to_call() -> Fault {
    invalid(
        "tool_choice",
        "a tool must be called, but tools declares none: declare one",
    )
}

/// A choice of a tool that is not declared.
pub(in crate::wire) fn undeclared_tool(name: &str) -> Fault {
    invalid(
        "tool_choice",
        &format!("{name} is not declared in tools: declare it or correct its name"),
    )
}

/// Parameters of a tool that are not a schema.
pub(in crate::wire) fn parameters(at: usize) -> Fault {
    invalid(Tool(at), "its parameters are not a JSON schema object")
}

/// A request that could not be written as JSON, which is a bug here.
pub(in crate::wire) fn unwritable(error: &serde_json::Error) -> Fault {
    Fault::new(
        Code::InternalError,
        format!("the request cannot be written as JSON: {error}"),
    )
}

/// The position of a tool in the client's request.
#[derive(Debug, Clone, Copy)]
pub(in crate::wire) struct Tool(pub(in crate::wire) usize);

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tools[{}]", self.0)
    }
}

/// The position of a part in the client's conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wire) struct Position {
    /// The index of the message.
    pub(in crate::wire) message: usize,
    /// The index of the part in the content of the message; `None` for the whole message.
    pub(in crate::wire) content: Option<usize>,
    /// The role of the message.
    pub(in crate::wire) role: Role,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "messages[{}]", self.message)?;
        self.content
            .map_or(Ok(()), |content| write!(f, ".content[{content}]"))
    }
}

impl Position {
    /// A part that a message of this role cannot contain.
    pub(in crate::wire) fn misplaced(self, part: &Part) -> Fault {
        let role = match self.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        };
        let what = format!("{} in {role} messages", plural(part));
        let instead = match part {
            Part::Audio { .. } => "send a transcript",
            Part::Image { .. } | Part::File { .. } if self.role != Role::User => {
                "send it in a user message"
            }
            _ => "leave it out",
        };
        unsupported(self, &what, instead)
    }

    /// Calls and results of tools, for a target that has none.
    pub(in crate::wire) fn tools(self) -> Fault {
        unsupported(
            self,
            "tools, and the conversation contains a call",
            "leave it out",
        )
    }

    /// Audio of this format.
    pub(in crate::wire) fn audio_format(self, format: &str) -> Fault {
        let what = format!("audio of the format {format}");
        unsupported(self, &what, "convert it")
    }

    /// An image of this media type.
    pub(in crate::wire) fn image_type(self, media_type: &str) -> Fault {
        let what = format!("images of the type {media_type}");
        unsupported(self, &what, "convert it")
    }

    /// A file of this media type.
    pub(in crate::wire) fn file_type(self, media_type: &str) -> Fault {
        let what = format!("files of the type {media_type}");
        unsupported(self, &what, "send its text")
    }

    /// A link to an image or a file, where the target takes data only.
    pub(in crate::wire) fn link(self, part: &Part) -> Fault {
        let what = format!("links to {}, and links are not fetched here", plural(part));
        unsupported(self, &what, "send the data")
    }

    /// The id of a file that the target does not store.
    pub(in crate::wire) fn file_id(self, part: &Part) -> Fault {
        let what = format!("{} by the id of a stored file", plural(part));
        unsupported(self, &what, "send the data")
    }

    /// Data that is not base64.
    pub(in crate::wire) fn base64(self) -> Fault {
        invalid(self, "the data of a file is not valid base64")
    }

    /// A text file that is not UTF-8.
    pub(in crate::wire) fn utf8(self) -> Fault {
        invalid(self, "the text of a file is not valid UTF-8")
    }

    /// Arguments of a past call that are not an object.
    pub(in crate::wire) fn arguments(self) -> Fault {
        invalid(self, "the arguments of a tool call are not a JSON object")
    }

    /// A result whose call is not in the conversation, for a target that needs the tool's name.
    pub(in crate::wire) fn unknown_call(self) -> Fault {
        invalid(self, "no tool call in this conversation has this id")
    }
}

/// Returns the name of a kind of parts, in the plural.
fn plural(part: &Part) -> &'static str {
    match part {
        Part::Text(_) => "text",
        Part::Image { .. } => "images",
        Part::File { .. } => "files",
        Part::Audio { .. } => "audio",
        Part::Reasoning(_) => "reasoning",
        Part::Refusal(_) => "refusals",
        Part::ToolCall(_) => "tool calls",
        Part::ToolResult(_) => "tool results",
        Part::CacheMark(_) => "cache marks",
    }
}

#[cfg(test)]
mod tests;
