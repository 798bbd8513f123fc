//! Encodes a whole answer as the message that its stream would have made.

use bytes::{Bytes, BytesMut};

use super::parts::{
    Media, json_input, message_id, put_input, put_metadata, put_own_metadata, put_raw,
    put_signature,
};
use crate::codec::members::Members;
use crate::dialect::View;
use crate::model::event::{Citation, Raw, Reason, Signature};
use crate::model::fold::{Answer, Part};
use crate::model::wire::WireId;

/// Returns the message (JSON).
pub(super) fn message(view: &View, answer: &Answer) -> Bytes {
    let mut buf = BytesMut::with_capacity(1024);
    let usage = answer.last_usage();
    let mut message = Members::new(&mut buf);
    message.text("id", &message_id(&view.start));
    message.word("role", "assistant");
    put_metadata(
        message.value("metadata"),
        &view.start,
        Some((answer.reason().unwrap_or(Reason::Stop), usage.as_ref())),
    );
    let wire = answer.route.as_ref().map(|route| route.wire);
    let parts = answer
        .choices
        .first()
        .map(|choice| choice.parts.as_slice())
        .unwrap_or_default();
    let mut list = message.array("parts");
    let mut step = list.object();
    step.word("type", "step-start");
    step.end();
    // Numbered as in the stream, so that both give the same message.
    let mut sources = 0;
    for part in message_parts(parts) {
        part.put(list.object(), wire, &mut sources);
    }
    list.end();
    message.end();
    buf.freeze()
}

/// A part of the message.
enum MessagePart<'a> {
    Text(TextPart<'a>),
    Call(&'a Part),
    Source(&'a Citation),
    Raw(&'a Raw),
}

#[derive(Default)]
struct TextPart<'a> {
    reasoning: bool,
    refusal: bool,
    text: String,
    signature: Option<&'a Signature>,
}

/// Returns the parts of the message. Text continues past citations and raw content, and ends with
/// its signature.
fn message_parts(parts: &[Part]) -> Vec<MessagePart<'_>> {
    let mut all = Vec::new();
    let mut open = None;
    for part in parts {
        match part {
            Part::Text(text) => grow(&mut all, &mut open, (false, false), text),
            Part::Reasoning(text) => grow(&mut all, &mut open, (true, false), text),
            Part::Refusal(text) => grow(&mut all, &mut open, (false, true), text),
            Part::Signature(signature) => {
                if signature.redacted.is_some() {
                    open = None;
                }
                // Without an open part that it can sign, the signature gets an empty part, as in
                // the stream.
                grow(&mut all, &mut open, (!signature.on_text, false), "");
                if let Some(MessagePart::Text(text_part)) =
                    open.take().and_then(|at: usize| all.get_mut(at))
                {
                    text_part.signature = Some(signature);
                }
            }
            Part::ToolCall { .. } => {
                open = None;
                // A call ends the open part, as in the stream.
                all.push(MessagePart::Call(part));
            }
            Part::Citation(it) if it.url.is_some() => all.push(MessagePart::Source(it)),
            Part::Citation(_) => {}
            Part::Raw(it) => all.push(MessagePart::Raw(it)),
        }
    }
    all
}

fn grow(
    all: &mut Vec<MessagePart<'_>>,
    open: &mut Option<usize>,
    (reasoning, refusal): (bool, bool),
    text: &str,
) {
    if let Some(MessagePart::Text(text_part)) = open.and_then(|at| all.get_mut(at))
        && (text_part.reasoning, text_part.refusal) == (reasoning, refusal)
    {
        text_part.text.push_str(text);
        return;
    }
    *open = Some(all.len());
    all.push(MessagePart::Text(TextPart {
        reasoning,
        refusal,
        text: text.to_owned(),
        signature: None,
    }));
}

impl MessagePart<'_> {
    fn put(&self, mut object: Members<'_>, wire: Option<WireId>, sources: &mut u32) {
        match self {
            Self::Text(text_part) => text_part.put(&mut object),
            Self::Call(call) => put_call(&mut object, call, wire),
            Self::Source(it) => {
                object.word("type", "source-url");
                object.text("sourceId", &format!("source-{sources}"));
                *sources += 1;
                object.text("url", it.url.as_deref().unwrap_or_default());
                object.text_if_some("title", it.title.as_deref());
            }
            Self::Raw(it) => match Media::parse(it) {
                Some(media) => {
                    object.word("type", "file");
                    media.put(&mut object);
                }
                None => {
                    object.word("type", "data-raw");
                    put_raw(&mut object, it);
                }
            },
        }
        object.end();
    }
}

impl TextPart<'_> {
    fn put(&self, object: &mut Members<'_>) {
        object.word("type", if self.reasoning { "reasoning" } else { "text" });
        object.text("text", &self.text);
        object.word("state", "done");
        if let Some(signature) = self.signature {
            put_signature(object.value("providerMetadata"), signature);
        } else if self.refusal {
            put_own_metadata(
                object.value("providerMetadata"),
                None,
                &[("kind", Some("refusal"))],
            );
        }
    }
}

fn put_call(object: &mut Members<'_>, part: &Part, wire: Option<WireId>) {
    let Part::ToolCall {
        id,
        name,
        arguments,
        signature,
        custom,
        ..
    } = part
    else {
        return;
    };
    let complete = *custom || json_input(arguments).is_some();
    object.text("type", &format!("tool-{name}"));
    object.text("toolCallId", id);
    object.word(
        "state",
        if complete {
            "input-available"
        } else {
            "output-error"
        },
    );
    put_input(object.value("input"), arguments, *custom);
    if let Some(signature) = signature {
        put_own_metadata(
            object.value("callProviderMetadata"),
            wire,
            &[("signature", Some(signature))],
        );
    }
    if !complete {
        object.text("errorText", "the arguments of this call are not complete");
    }
}
