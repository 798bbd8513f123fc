//! Numbers the tool calls of a choice.
//!
//! Invariants: calls are numbered from 0 in the order in which they start, whatever their indexes
//! at the provider; no call has an empty id. Callers start no call without a name: no client could
//! answer it, so its JSON is carried raw.

mod pieces;

use bytestring::ByteString;

use super::sink::Sink;
use crate::model::chat::derive_call_id;
use crate::model::event::{Event, ToolCall};
use crate::wire::DecodeError;

pub(in crate::wire) use self::pieces::{CallPieces, Piece};

/// The tool calls of one choice.
pub(in crate::wire) struct Calls {
    /// Seed of the ids that are made for calls without one.
    seed: ByteString,
    /// Number of calls so far.
    count: u16,
}

/// The start of a call.
pub(in crate::wire) struct NewCall {
    /// The provider's id. One is made if it is absent or empty, because clients match tool results
    /// to calls by id.
    pub(in crate::wire) id: Option<ByteString>,
    /// The name of the tool, not empty.
    pub(in crate::wire) name: ByteString,
    /// The signature that the provider needs back with the call.
    pub(in crate::wire) signature: Option<ByteString>,
    /// True for a custom tool.
    pub(in crate::wire) custom: bool,
}

impl NewCall {
    /// Returns the start of a call to a function.
    pub(in crate::wire) fn function(id: Option<ByteString>, name: ByteString) -> Self {
        Self {
            id,
            name,
            signature: None,
            custom: false,
        }
    }
}

impl Calls {
    /// Returns the calls of a choice that has none yet.
    pub(in crate::wire) fn new(seed: impl Into<ByteString>) -> Self {
        Self {
            seed: seed.into(),
            count: 0,
        }
    }

    /// Returns true if the choice contains a call.
    pub(in crate::wire) fn any(&self) -> bool {
        self.count > 0
    }

    /// Starts the next call and returns its number, for [`Sink::arguments`] and [`Sink::end_call`].
    ///
    /// # Errors
    /// When there are more calls than numbers.
    pub(in crate::wire) fn start(
        &mut self,
        call: NewCall,
        sink: &mut Sink<'_>,
    ) -> Result<u16, DecodeError> {
        let index = self.count;
        self.count = index
            .checked_add(1)
            .ok_or_else(|| sink.malformed("more than 65535 tool calls"))?;
        let choice = sink.choice();
        let id = call
            .id
            .filter(|id| !id.is_empty())
            .unwrap_or_else(|| derive_call_id(&self.seed, choice, index));
        sink.push(Event::ToolCall(Box::new(ToolCall {
            choice,
            index,
            id,
            name: call.name,
            signature: call.signature,
            custom: call.custom,
        })));
        Ok(index)
    }
}
