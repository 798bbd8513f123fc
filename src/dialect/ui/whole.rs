//! A whole answer as the message that its stream would have made.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::parts::{
    Media, input, message_id, put_input, put_metadata, put_own, put_raw, put_signature,
};
use crate::codec::members::Members;
use crate::dialect::View;
use crate::model::event::{Citation, Raw, Reason, Signature};
use crate::model::fold::{Answer, Part};
use crate::model::wire::WireId;

/// The message.
pub(super) fn message(view: &View, answer: &Answer) -> Bytes {
    let mut buf = BytesMut::with_capacity(1024);
    let usage = answer
        .usage
        .or(answer.end.as_ref().and_then(|end| end.usage));
    let mut message = Members::of(&mut buf);
    message.text("id", &message_id(&view.start));
    message.text("role", "assistant");
    put_metadata(
        message.value("metadata"),
        &view.start,
        Some((answer.reason().unwrap_or(Reason::Stop), usage.as_ref())),
    );
    let parts = message.value("parts");
    parts.put_slice(b"[{\"type\":\"step-start\"}");
    let wire = answer.route.as_ref().map(|route| route.wire);
    let said = answer
        .choices
        .first()
        .map(|choice| choice.parts.as_slice())
        .unwrap_or_default();
    let mut sources = 0;
    for piece in pieces(said) {
        parts.put_u8(b',');
        piece.put(parts, wire, &mut sources);
    }
    parts.put_u8(b']');
    message.end();
    buf.freeze()
}

/// A part of the message.
enum Piece<'a> {
    Words(Words<'a>),
    Call(&'a Part),
    Source(&'a Citation),
    Raw(&'a Raw),
}

#[derive(Default)]
struct Words<'a> {
    reasoning: bool,
    refusal: bool,
    text: String,
    signature: Option<&'a Signature>,
}

/// What was said, as parts: words go on past sources and raw content, and end with their signature.
fn pieces(said: &[Part]) -> Vec<Piece<'_>> {
    let mut all = Vec::new();
    let mut open = None;
    for part in said {
        match part {
            Part::Text(text) => grow(&mut all, &mut open, (false, false), text),
            Part::Reasoning(text) => grow(&mut all, &mut open, (true, false), text),
            Part::Refusal(text) => grow(&mut all, &mut open, (false, true), text),
            Part::Signature(signature) => {
                if signature.redacted.is_some() {
                    open = None;
                }
                grow(&mut all, &mut open, (!signature.on_text, false), "");
                if let Some(Piece::Words(words)) = open.take().and_then(|at: usize| all.get_mut(at))
                {
                    words.signature = Some(signature);
                }
            }
            Part::ToolCall { .. } => {
                open = None;
                all.push(Piece::Call(part));
            }
            Part::Citation(it) if it.url.is_some() => all.push(Piece::Source(it)),
            Part::Citation(_) => {}
            Part::Raw(it) => all.push(Piece::Raw(it)),
        }
    }
    all
}

fn grow(
    all: &mut Vec<Piece<'_>>,
    open: &mut Option<usize>,
    (reasoning, refusal): (bool, bool),
    text: &str,
) {
    if let Some(Piece::Words(words)) = open.and_then(|at| all.get_mut(at))
        && (words.reasoning, words.refusal) == (reasoning, refusal)
    {
        words.text.push_str(text);
        return;
    }
    *open = Some(all.len());
    all.push(Piece::Words(Words {
        reasoning,
        refusal,
        text: text.to_owned(),
        signature: None,
    }));
}

impl Piece<'_> {
    fn put(&self, buf: &mut BytesMut, wire: Option<WireId>, sources: &mut u32) {
        let mut object = Members::of(buf);
        match self {
            Self::Words(words) => words.put(&mut object),
            Self::Call(call) => put_call(&mut object, call, wire),
            Self::Source(it) => {
                object.text("type", "source-url");
                object.text("sourceId", &format!("source-{sources}"));
                *sources += 1;
                object.text("url", it.url.as_deref().unwrap_or_default());
                if let Some(title) = &it.title {
                    object.text("title", title);
                }
            }
            Self::Raw(it) => match Media::of(it) {
                Some(media) => {
                    object.text("type", "file");
                    media.put(&mut object);
                }
                None => {
                    object.text("type", "data-raw");
                    put_raw(&mut object, it);
                }
            },
        }
        object.end();
    }
}

impl Words<'_> {
    fn put(&self, object: &mut Members<'_>) {
        object.text("type", if self.reasoning { "reasoning" } else { "text" });
        object.text("text", &self.text);
        object.text("state", "done");
        if let Some(signature) = self.signature {
            put_signature(object.value("providerMetadata"), signature);
        } else if self.refusal {
            put_own(
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
    let whole = *custom || input(arguments).is_some();
    object.text("type", &format!("tool-{name}"));
    object.text("toolCallId", id);
    object.text(
        "state",
        if whole {
            "input-available"
        } else {
            "output-error"
        },
    );
    put_input(object.value("input"), arguments, *custom);
    if let Some(signature) = signature {
        put_own(
            object.value("callProviderMetadata"),
            wire,
            &[("signature", Some(signature))],
        );
    }
    if !whole {
        object.text("errorText", "the arguments of this call are not complete");
    }
}
