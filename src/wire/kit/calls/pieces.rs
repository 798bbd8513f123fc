//! Tool calls that arrive in pieces: in fragments or complete, with and without index and id, or
//! with one index for all calls.
//!
//! Invariants: id and name are never empty; a call without a name is held, up to a bound; the
//! events of a call never precede its start event; each call that has started is ended once.

use bytestring::ByteString;

use super::{Calls, NewCall};
use crate::wire::DecodeError;
use crate::wire::kit::sink::Sink;

/// Maximum number of tool calls of one choice.
const MAX_CALLS: usize = 512;

/// Maximum size of the arguments that are held for a call whose name has not arrived, bytes.
const MAX_HELD_BYTES: usize = 1024 * 1024;

/// The tool calls of one choice, joined from their pieces.
pub(in crate::wire) struct CallPieces {
    calls: Calls,
    list: Vec<Call>,
}

/// One piece of a call. Every part is optional; an empty one is to be passed as absent.
#[derive(Default)]
pub(in crate::wire) struct Piece {
    /// The provider's index of the call.
    pub(in crate::wire) index: Option<u64>,
    pub(in crate::wire) id: Option<ByteString>,
    pub(in crate::wire) name: Option<ByteString>,
    pub(in crate::wire) arguments: Option<ByteString>,
    pub(in crate::wire) signature: Option<ByteString>,
    /// True for a custom tool.
    pub(in crate::wire) custom: bool,
}

#[derive(Default)]
struct Call {
    /// The provider's index.
    index: Option<u64>,
    /// The provider's id, once it has arrived.
    id: Option<ByteString>,
    /// The name, or empty until it arrives.
    name: ByteString,
    /// The arguments that arrived before the name.
    held: String,
    signature: Option<ByteString>,
    custom: bool,
    /// Our number of the call, once its start has been emitted.
    number: Option<u16>,
    /// The last byte of the arguments so far.
    last_byte: Option<u8>,
}

impl CallPieces {
    /// Returns the calls of a choice that has none yet. Missing ids are made from `seed`.
    pub(in crate::wire) fn new(seed: impl Into<ByteString>) -> Self {
        Self {
            calls: Calls::new(seed),
            list: Vec::new(),
        }
    }

    /// Adds a piece of a call and writes the events that it completes.
    ///
    /// # Errors
    /// When the calls exceed a bound.
    pub(in crate::wire) fn add(
        &mut self,
        piece: Piece,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        let at = match self.find(&piece) {
            Some(at) => at,
            None if self.list.len() < MAX_CALLS => {
                self.list.push(Call {
                    index: piece.index,
                    ..Call::default()
                });
                self.list.len() - 1
            }
            None => return Err(sink.malformed("more than 512 tool calls in one choice")),
        };
        let Some(call) = self.list.get_mut(at) else {
            return Ok(());
        };
        call.merge(piece.id, piece.name, piece.signature, piece.custom);
        if call.number.is_none() && !call.name.is_empty() {
            call.start(&mut self.calls, sink)?;
        }
        piece
            .arguments
            .map_or(Ok(()), |delta| call.append(delta, sink))
    }

    /// Ends every call. A call whose name never arrived is carried raw, in the form of chat
    /// completions, because no client could answer it.
    pub(in crate::wire) fn end_all(&mut self, sink: &mut Sink<'_>) {
        for call in self.list.drain(..) {
            match call.number {
                Some(number) => sink.end_call(number),
                // An empty piece: nothing is lost.
                None if call.id.is_none() && call.held.is_empty() => {}
                None => sink.raw_data(call.nameless_json().into()),
            }
        }
    }

    /// Returns the position of the call that a piece belongs to, or `None` if it begins a new
    /// one.
    fn find(&self, piece: &Piece) -> Option<usize> {
        // Some servers send no index: then every call is a candidate.
        let has_index = |call: &Call| piece.index.is_none() || call.index == piece.index;
        let mut calls = self
            .list
            .iter()
            .enumerate()
            // Newest first, because servers may repeat an index for later calls.
            .rev()
            .filter(|(_, call)| has_index(call));
        // A known id decides. Without one only the newest call can continue.
        let known = piece
            .id
            .as_ref()
            .and_then(|id| calls.clone().find(|(_, call)| call.id.as_ref() == Some(id)));
        known
            .or_else(|| {
                calls
                    .next()
                    .filter(|(_, newest)| newest.continues_with(piece))
            })
            .map(|(at, _)| at)
    }
}

impl Call {
    /// Returns true if a piece whose id matches no call, or that has no id, continues this call.
    fn continues_with(&self, piece: &Piece) -> bool {
        let other_id = piece.id.is_some() && self.id.is_some();
        let other_name = piece
            .name
            .as_ref()
            .is_some_and(|name| !self.name.is_empty() && *name != self.name);
        // Some servers give all calls the same index and no id. A second complete argument object
        // after a repeated name is then a second call of the same function.
        let new_arguments = self.last_byte == Some(b'}')
            && piece
                .arguments
                .as_ref()
                .is_some_and(|it| it.starts_with('{'));
        let same_name_again = piece.name.is_some() && !self.name.is_empty() && new_arguments;
        !other_id && !other_name && !same_name_again
    }

    /// Takes what the start of the call needs from a piece.
    fn merge(
        &mut self,
        id: Option<ByteString>,
        name: Option<ByteString>,
        signature: Option<ByteString>,
        custom: bool,
    ) {
        // The start event has been emitted and cannot be changed.
        if self.number.is_some() {
            return;
        }
        self.custom |= custom;
        self.id = id.or_else(|| self.id.take());
        if let Some(name) = name {
            self.name = name;
        }
        self.signature = signature.or_else(|| self.signature.take());
    }

    fn start(&mut self, calls: &mut Calls, sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        let start = NewCall {
            id: self.id.clone(),
            name: self.name.clone(),
            signature: self.signature.take(),
            custom: self.custom,
        };
        let number = calls.start(start, sink)?;
        self.number = Some(number);
        // These arguments arrived before the name.
        sink.arguments(number, std::mem::take(&mut self.held).into());
        Ok(())
    }

    fn append(&mut self, delta: ByteString, sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        self.last_byte = delta.as_bytes().last().copied();
        match self.number {
            Some(number) => sink.arguments(number, delta),
            None if self.held.len() + delta.len() <= MAX_HELD_BYTES => self.held.push_str(&delta),
            None => {
                let what = "a tool call with more than 1 MiB of arguments before its name";
                return Err(sink.malformed(what));
            }
        }
        Ok(())
    }

    /// Returns a call whose name never arrived, as JSON.
    fn nameless_json(&self) -> String {
        let id = self.id.as_deref().unwrap_or_default();
        let item = serde_json::json!({ "id": id, "function": { "arguments": self.held } });
        serde_json::json!({ "tool_calls": [item] }).to_string()
    }
}
