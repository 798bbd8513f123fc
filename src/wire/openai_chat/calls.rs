//! Assembles tool calls from every form in which servers send them: in fragments or complete, with
//! and without index and id, or with one index for all calls.
//!
//! Invariants: calls are numbered from 0 in the order in which they are emitted; id and name are
//! never empty; a call without a name is held, up to a bound; the events of a call never precede
//! its start event.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::delta::ChoiceWriter;
use super::malformed;
use super::shape;
use crate::codec::lenient::Count;
use crate::model::chat::derive_call_id;
use crate::model::event::{Event, Raw, ToolCall};
use crate::model::wire::WireId;
use crate::wire::DecodeError;

/// Maximum number of tool calls of one choice.
const MAX_CALLS: usize = 512;

/// Maximum size of the arguments that are held for a call whose name has not arrived, bytes.
const MAX_HELD_BYTES: usize = 1024 * 1024;

/// Index that stands for the one legacy `function_call`, which has neither index nor id.
const LEGACY_INDEX: u64 = u64::MAX;

/// The tool calls of one choice.
#[derive(Default)]
pub(super) struct Calls {
    list: Vec<Call>,
    /// Number of calls that have been emitted.
    emitted: u16,
}

#[derive(Default)]
struct Call {
    /// The provider's index.
    provider_index: Option<u64>,
    /// The id, or empty until it arrives or is generated.
    id: ByteString,
    /// True if the provider sent the id.
    has_provider_id: bool,
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

/// One fragment of a call.
struct Fragment {
    provider_index: Option<u64>,
    id: Option<ByteString>,
    name: Option<ByteString>,
    arguments: Option<ByteString>,
    signature: Option<ByteString>,
    custom: bool,
}

impl Calls {
    /// Adds a fragment of a call and emits the events that it completes.
    ///
    /// # Errors
    /// When the calls exceed a bound.
    pub(super) fn add(
        &mut self,
        call: shape::Call<'_>,
        seed: &str,
        writer: &mut ChoiceWriter<'_>,
    ) -> Result<(), DecodeError> {
        let custom = call.function.is_none() && call.custom.is_some();
        let function = call.function.or(call.custom).unwrap_or_default();
        let fragment = Fragment {
            provider_index: call.index.0,
            id: call.id.non_empty().map(|id| writer.slice(id)),
            name: function.name.non_empty().map(|name| writer.slice(name)),
            arguments: function.arguments.and_then(|json| arguments(json, writer)),
            signature: call
                .extra
                .google
                .thought_signature
                .non_empty()
                .map(|it| writer.slice(it)),
            custom,
        };
        self.apply(fragment, seed, writer)
    }

    /// Adds a fragment of a legacy `function_call`; see [`Calls::add`].
    pub(super) fn add_legacy(
        &mut self,
        function: shape::Function<'_>,
        seed: &str,
        writer: &mut ChoiceWriter<'_>,
    ) -> Result<(), DecodeError> {
        let index = Count(Some(LEGACY_INDEX));
        self.add(
            shape::Call {
                index,
                function: Some(function),
                ..shape::Call::default()
            },
            seed,
            writer,
        )
    }

    /// Ends every call. A call whose name never arrived is emitted as a raw event, because no
    /// client could answer it.
    pub(super) fn close(&mut self, writer: &mut ChoiceWriter<'_>) {
        for call in self.list.drain(..) {
            match call.number {
                Some(index) => writer.out.push(Event::ToolCallEnd {
                    choice: writer.choice,
                    index,
                }),
                // An empty fragment: nothing is lost.
                None if call.id.is_empty() && call.held.is_empty() => {}
                None => writer
                    .out
                    .push(Event::Raw(Box::new(nameless_call(&call, writer.choice)))),
            }
        }
    }

    fn apply(
        &mut self,
        fragment: Fragment,
        seed: &str,
        writer: &mut ChoiceWriter<'_>,
    ) -> Result<(), DecodeError> {
        let at = match self.find(&fragment) {
            Some(at) => at,
            None if self.list.len() < MAX_CALLS => {
                self.list.push(Call {
                    provider_index: fragment.provider_index,
                    ..Call::default()
                });
                self.list.len() - 1
            }
            None => return Err(malformed("more than 512 tool calls in one choice")),
        };
        let Some(call) = self.list.get_mut(at) else {
            return Ok(());
        };
        call.merge(
            fragment.id,
            fragment.name,
            fragment.signature,
            fragment.custom,
        );
        if call.number.is_none() && !call.name.is_empty() {
            call.emit_start(self.emitted, seed, writer);
            self.emitted += 1;
        }
        fragment
            .arguments
            .map_or(Ok(()), |delta| call.append(delta, writer))
    }

    /// Returns the position of the call that a fragment belongs to, or `None` if it begins a new
    /// one.
    fn find(&self, fragment: &Fragment) -> Option<usize> {
        // Some servers send no index: then every call is a candidate.
        let has_index = |call: &Call| {
            fragment.provider_index.is_none() || call.provider_index == fragment.provider_index
        };
        let mut calls = self
            .list
            .iter()
            .enumerate()
            // Newest first, because servers may repeat an index for later calls.
            .rev()
            .filter(|(_, call)| has_index(call));
        // A known id decides. Without one only the newest call can continue.
        let known = fragment
            .id
            .as_ref()
            .and_then(|id| calls.clone().find(|(_, call)| call.id == *id));
        known
            .or_else(|| {
                calls
                    .next()
                    .filter(|(_, newest)| newest.continues_with(fragment))
            })
            .map(|(at, _)| at)
    }
}

impl Call {
    /// Returns true if a fragment whose id matches no call, or that has no id, continues this call.
    fn continues_with(&self, fragment: &Fragment) -> bool {
        let other_id = fragment.id.is_some() && self.has_provider_id;
        let other_name = fragment
            .name
            .as_ref()
            .is_some_and(|name| !self.name.is_empty() && *name != self.name);
        // Some servers give all calls the same index and no id. A second complete argument object
        // after a repeated name is then a second call of the same function.
        let new_arguments = self.last_byte == Some(b'}')
            && fragment
                .arguments
                .as_ref()
                .is_some_and(|it| it.starts_with('{'));
        let same_name_again = fragment.name.is_some() && !self.name.is_empty() && new_arguments;
        !other_id && !other_name && !same_name_again
    }

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
        if let Some(id) = id {
            self.id = id;
            self.has_provider_id = true;
        }
        if let Some(name) = name {
            self.name = name;
        }
        self.signature = signature.or_else(|| self.signature.take());
    }

    fn emit_start(&mut self, number: u16, seed: &str, writer: &mut ChoiceWriter<'_>) {
        self.number = Some(number);
        if self.id.is_empty() {
            self.id = derive_call_id(seed, writer.choice, number);
        }
        writer.out.push(Event::ToolCall(Box::new(ToolCall {
            choice: writer.choice,
            index: number,
            id: self.id.clone(),
            name: self.name.clone(),
            signature: self.signature.take(),
            custom: self.custom,
        })));
        // These arguments arrived before the name.
        if !self.held.is_empty() {
            let delta = std::mem::take(&mut self.held).into();
            writer.out.push(Event::ToolArguments {
                choice: writer.choice,
                index: number,
                delta,
            });
        }
    }

    fn append(
        &mut self,
        delta: ByteString,
        writer: &mut ChoiceWriter<'_>,
    ) -> Result<(), DecodeError> {
        self.last_byte = delta.as_bytes().last().copied();
        match self.number {
            Some(index) => writer.out.push(Event::ToolArguments {
                choice: writer.choice,
                index,
                delta,
            }),
            None if self.held.len() + delta.len() <= MAX_HELD_BYTES => self.held.push_str(&delta),
            None => {
                return Err(malformed(
                    "a tool call with more than 1 MiB of arguments before its name",
                ));
            }
        }
        Ok(())
    }
}

/// Returns arguments as JSON text: the content of the string, or the object that some servers send
/// in its place.
fn arguments(json: &RawValue, writer: &ChoiceWriter<'_>) -> Option<ByteString> {
    let text = json.get();
    let Some(inside) = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    else {
        return (text != "null").then(|| writer.data.slice_ref(text));
    };
    if inside.is_empty() {
        return None;
    }
    // Without escapes the content of the string is a slice of the payload.
    if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
        return Some(writer.data.slice_ref(inside));
    }
    serde_json::from_str::<String>(text).ok().map(Into::into)
}

/// Returns the raw event for a call whose name never arrived.
fn nameless_call(call: &Call, choice: u16) -> Raw {
    let item = serde_json::json!({ "id": &*call.id, "function": { "arguments": call.held } });
    let data = serde_json::json!({ "tool_calls": [item] }).to_string();
    Raw {
        choice,
        wire: WireId::OpenaiChat,
        data: data.into(),
    }
}
