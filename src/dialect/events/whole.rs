//! The content of an answer as members of a JSON object: `text`, `reasoning`, `refusal`,
//! `tool_calls`, and with several choices all of them under `choices`.

use bytes::{Bytes, BytesMut};

use crate::codec::members::{Elements, Members};
use crate::model::fold::{Answer, Choice, Part};

/// Returns the content as a JSON object: that of choice 0, and with several choices an array of all
/// of them.
pub(super) fn body(answer: &Answer) -> Bytes {
    let mut buf = BytesMut::with_capacity(256);
    let mut object = Members::new(&mut buf);
    let nothing = Choice::default();
    put_choice(&mut object, answer.choices.first().unwrap_or(&nothing));
    let asked = answer.start.as_ref().map_or(1, |start| start.head.choices);
    if asked > 1 || answer.choices.len() > 1 {
        put_choices(object.array("choices"), &answer.choices);
    }
    object.end();
    buf.freeze()
}

fn put_choices(mut list: Elements<'_>, choices: &[Choice]) {
    for (number, choice) in choices.iter().enumerate() {
        let mut object = list.object();
        object.number("index", number as u64);
        put_choice(&mut object, choice);
        let reason = choice.finish.as_ref().map(|finish| finish.reason.name());
        object.text_or_null("reason", reason);
        object.end();
    }
    list.end();
}

fn put_choice(object: &mut Members<'_>, choice: &Choice) {
    object.text("text", &choice.text());
    object.text("reasoning", &choice.reasoning());
    object.text("refusal", &choice.refusal());
    let mut calls = object.array("tool_calls");
    choice
        .parts
        .iter()
        .for_each(|part| put_call(&mut calls, part));
    calls.end();
}

fn put_call(calls: &mut Elements<'_>, part: &Part) {
    let Part::ToolCall {
        index,
        id,
        name,
        arguments,
        signature,
        ..
    } = part
    else {
        return;
    };
    let mut call = calls.object();
    call.number("index", (*index).into());
    call.text("id", id);
    call.text("name", name);
    call.text("arguments", arguments);
    call.text_if_some("signature", signature.as_deref());
    call.end();
}
