//! The content of an answer as members of a JSON object: `text`, `reasoning`, `refusal`,
//! `tool_calls`, and with several choices all of them under `choices`.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::codec::json::{put_str, put_u64};
use crate::model::fold::{Answer, Choice, Part};

/// Returns the content as a JSON object.
pub(super) fn body(answer: &Answer) -> Bytes {
    let mut buf = BytesMut::with_capacity(256);
    buf.put_u8(b'{');
    put_content(&mut buf, answer);
    buf.put_u8(b'}');
    buf.freeze()
}

/// Writes the members that contain an answer's content, without braces: those of choice 0, and with
/// several choices an array of all of them.
pub fn put_content(buf: &mut BytesMut, answer: &Answer) {
    let nothing = Choice::default();
    put_choice(buf, answer.choices.first().unwrap_or(&nothing));
    let asked = answer.start.as_ref().map_or(1, |start| start.head.choices);
    if asked <= 1 && answer.choices.len() <= 1 {
        return;
    }
    buf.put_slice(b",\"choices\":[");
    for (number, choice) in answer.choices.iter().enumerate() {
        buf.put_slice(if number == 0 {
            b"{\"index\":"
        } else {
            b",{\"index\":"
        });
        put_u64(buf, number as u64);
        buf.put_u8(b',');
        put_choice(buf, choice);
        buf.put_slice(b",\"reason\":");
        match &choice.finish {
            Some(finish) => put_str(buf, finish.reason.name()),
            None => buf.put_slice(b"null"),
        }
        buf.put_u8(b'}');
    }
    buf.put_u8(b']');
}

fn put_choice(buf: &mut BytesMut, choice: &Choice) {
    buf.put_slice(b"\"text\":");
    put_str(buf, &choice.text());
    buf.put_slice(b",\"reasoning\":");
    put_str(buf, &choice.reasoning());
    buf.put_slice(b",\"refusal\":");
    put_str(buf, &choice.refusal());
    buf.put_slice(b",\"tool_calls\":[");
    let calls = choice
        .parts
        .iter()
        .filter(|part| matches!(part, Part::ToolCall { .. }));
    for (i, call) in calls.enumerate() {
        if i > 0 {
            buf.put_u8(b',');
        }
        put_call(buf, call);
    }
    buf.put_u8(b']');
}

fn put_call(buf: &mut BytesMut, part: &Part) {
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
    buf.put_slice(b"{\"index\":");
    put_u64(buf, (*index).into());
    for (name, value) in [
        (",\"id\":", &**id),
        (",\"name\":", &**name),
        (",\"arguments\":", arguments),
    ] {
        buf.put_slice(name.as_bytes());
        put_str(buf, value);
    }
    if let Some(signature) = signature {
        buf.put_slice(b",\"signature\":");
        put_str(buf, signature);
    }
    buf.put_u8(b'}');
}
