//! Puts tool calls together, in every shape they come in: fragments or whole, with and without
//! index and id, one index for all of them.
//!
//! Invariants: calls are numbered from 0 in the order they are told; id and name are never empty; a
//! call that has no name yet is held, bounded; nothing is told of a call before itself.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::malformed;
use super::shape;
use super::speech::Speech;
use crate::model::chat::made_call_id;
use crate::model::event::{Event, Raw, ToolCall};
use crate::model::wire::WireId;
use crate::wire::DecodeError;

/// The most calls one choice may hold.
const MAX_CALLS: usize = 512;

/// The most bytes of arguments held for a call whose name has not come.
const HELD_BOUND: usize = 1024 * 1024;

/// The place of the one legacy `function_call`, which has neither index nor id.
const LEGACY_PLACE: u64 = u64::MAX;

/// The calls of one choice.
#[derive(Default)]
pub(super) struct Calls {
    list: Vec<Call>,
    told: u16,
}

#[derive(Default)]
struct Call {
    /// The provider's index.
    place: Option<u64>,
    /// Its id; empty while it has none.
    id: ByteString,
    /// The id is the provider's own.
    given: bool,
    /// Empty while it has not come.
    name: ByteString,
    /// What came with it before its name.
    held: String,
    signature: Option<ByteString>,
    custom: bool,
    /// Our number, once it was told.
    number: Option<u16>,
    /// The last byte of its arguments.
    last: Option<u8>,
}

/// One piece of a call.
struct Piece {
    place: Option<u64>,
    id: Option<ByteString>,
    name: Option<ByteString>,
    arguments: Option<ByteString>,
    signature: Option<ByteString>,
    custom: bool,
}

impl Calls {
    /// Takes in a piece of a call.
    pub(super) fn add(
        &mut self,
        call: shape::Call<'_>,
        seed: &str,
        speech: &mut Speech<'_>,
    ) -> Result<(), DecodeError> {
        let custom = call.function.is_none() && call.custom.is_some();
        let function = call.function.or(call.custom).unwrap_or_default();
        let piece = Piece {
            place: call.index.0,
            id: call.id.said().map(|id| speech.piece(id)),
            name: function.name.said().map(|name| speech.piece(name)),
            arguments: function.arguments.and_then(|json| arguments(json, speech)),
            signature: call
                .extra
                .google
                .thought_signature
                .said()
                .map(|it| speech.piece(it)),
            custom,
        };
        self.take(piece, seed, speech)
    }

    /// Takes in a piece of a legacy `function_call`.
    pub(super) fn add_legacy(
        &mut self,
        function: shape::Function<'_>,
        seed: &str,
        speech: &mut Speech<'_>,
    ) -> Result<(), DecodeError> {
        let index = shape::Number(Some(LEGACY_PLACE));
        self.add(
            shape::Call {
                index,
                function: Some(function),
                ..shape::Call::default()
            },
            seed,
            speech,
        )
    }

    /// No more will come: what is still held is told as it is, and every call ends.
    pub(super) fn close(&mut self, speech: &mut Speech<'_>) {
        for call in self.list.drain(..) {
            match call.number {
                Some(index) => speech.out.push(Event::ToolCallEnd {
                    choice: speech.choice,
                    index,
                }),
                None if call.id.is_empty() && call.held.is_empty() => {}
                None => speech
                    .out
                    .push(Event::Raw(Box::new(nameless(&call, speech.choice)))),
            }
        }
    }

    fn take(
        &mut self,
        piece: Piece,
        seed: &str,
        speech: &mut Speech<'_>,
    ) -> Result<(), DecodeError> {
        let at = match self.continued(&piece) {
            Some(at) => at,
            None if self.list.len() < MAX_CALLS => {
                self.list.push(Call {
                    place: piece.place,
                    ..Call::default()
                });
                self.list.len() - 1
            }
            None => return Err(malformed("more tool calls than any model makes")),
        };
        let Some(call) = self.list.get_mut(at) else {
            return Ok(());
        };
        call.learn(piece.id, piece.name, piece.signature, piece.custom);
        if call.number.is_none() && !call.name.is_empty() {
            call.tell(self.told, seed, speech);
            self.told += 1;
        }
        piece
            .arguments
            .map_or(Ok(()), |delta| call.grow(delta, speech))
    }

    /// The call that a piece belongs to; none where it begins a new one.
    fn continued(&self, piece: &Piece) -> Option<usize> {
        let here = |call: &Call| piece.place.is_none() || call.place == piece.place;
        let mut calls = self
            .list
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, call)| here(call));
        let known = piece
            .id
            .as_ref()
            .and_then(|id| calls.clone().find(|(_, call)| call.id == *id));
        known
            .or_else(|| calls.next().filter(|(_, last)| last.goes_on_with(piece)))
            .map(|(at, _)| at)
    }
}

impl Call {
    /// Whether a piece with another id than any call's, or with none, continues this one.
    fn goes_on_with(&self, piece: &Piece) -> bool {
        let other_id = piece.id.is_some() && self.given;
        let other_name = piece
            .name
            .as_ref()
            .is_some_and(|name| !self.name.is_empty() && *name != self.name);
        let complete = self.last == Some(b'}')
            && piece
                .arguments
                .as_ref()
                .is_some_and(|it| it.starts_with('{'));
        let again = piece.name.is_some() && !self.name.is_empty() && complete;
        !other_id && !other_name && !again
    }

    fn learn(
        &mut self,
        id: Option<ByteString>,
        name: Option<ByteString>,
        signature: Option<ByteString>,
        custom: bool,
    ) {
        if self.number.is_some() {
            return;
        }
        self.custom |= custom;
        if let Some(id) = id {
            self.id = id;
            self.given = true;
        }
        if let Some(name) = name {
            self.name = name;
        }
        self.signature = signature.or_else(|| self.signature.take());
    }

    fn tell(&mut self, number: u16, seed: &str, speech: &mut Speech<'_>) {
        self.number = Some(number);
        if self.id.is_empty() {
            self.id = made_call_id(seed, speech.choice, number);
        }
        speech.out.push(Event::ToolCall(Box::new(ToolCall {
            choice: speech.choice,
            index: number,
            id: self.id.clone(),
            name: self.name.clone(),
            signature: self.signature.take(),
            custom: self.custom,
        })));
        if !self.held.is_empty() {
            let delta = std::mem::take(&mut self.held).into();
            speech.out.push(Event::ToolArguments {
                choice: speech.choice,
                index: number,
                delta,
            });
        }
    }

    fn grow(&mut self, delta: ByteString, speech: &mut Speech<'_>) -> Result<(), DecodeError> {
        self.last = delta.as_bytes().last().copied();
        match self.number {
            Some(index) => speech.out.push(Event::ToolArguments {
                choice: speech.choice,
                index,
                delta,
            }),
            None if self.held.len() + delta.len() <= HELD_BOUND => self.held.push_str(&delta),
            None => return Err(malformed("a tool call without a name")),
        }
        Ok(())
    }
}

/// Arguments as JSON text: the string's content, or the object that came in its stead.
fn arguments(json: &RawValue, speech: &Speech<'_>) -> Option<ByteString> {
    let text = json.get();
    let Some(inside) = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    else {
        return (text != "null").then(|| speech.data.slice_ref(text));
    };
    if inside.is_empty() {
        return None;
    }
    if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
        return Some(speech.data.slice_ref(inside));
    }
    serde_json::from_str::<String>(text).ok().map(Into::into)
}

/// A call whose name never came, as it came.
fn nameless(call: &Call, choice: u16) -> Raw {
    let item = serde_json::json!({ "id": &*call.id, "function": { "arguments": call.held } });
    let data = serde_json::json!({ "tool_calls": [item] }).to_string();
    Raw {
        choice,
        wire: WireId::OpenaiChat,
        data: data.into(),
    }
}
