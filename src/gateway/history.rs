//! The history that a Responses request refers to instead of sending it: a previous response, or
//! items of earlier responses.
//!
//! Invariant: a response of another caller and one that does not exist give the same error.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::call::Call;
use super::responses::response_json;
use crate::dialect::not_allowed;
use crate::dialect::openai_responses::{
    ItemsById, continue_from, items_with_ids, output_as_input, output_items_by_id,
    referenced_items, resolve_references, stream_id_in,
};
use crate::hub::{Stream, StreamState};
use crate::model::ask::{Ask, ResponsesRequest};
use crate::model::fault::{Code, Fault};
use crate::model::ids::StreamId;
use crate::model::printable::printable_id;
use crate::model::wire::WireId;

/// Maximum number of earlier responses whose items one request may reference.
const MAX_RESPONSES: usize = 256;

/// Returns the request with its whole history inserted.
pub(super) async fn with_history(call: &Call<'_>, ask: Ask) -> Result<Ask, Fault> {
    let ask = with_referenced_items(call, ask).await?;
    with_previous_turns(call, ask)
}

/// Returns the request with referenced items inserted, if they belong to responses that are stored
/// here.
async fn with_referenced_items(call: &Call<'_>, ask: Ask) -> Result<Ask, Fault> {
    if ask.head.responses.is_none() || ask.references.is_empty() {
        return Ok(ask);
    }
    let (references, max_bytes) = (referenced_items(&ask)?, call.snapshot.settings.max_body);
    let mut collected = Collected {
        items: ItemsById::new(),
        wanted: references.iter().map(|(_, id)| &**id).collect(),
        read: HashSet::new(),
        bytes: 0,
    };
    for (path, id) in &references {
        let Some(stream) = stream_of_item(call, path, id)? else {
            continue;
        };
        // Each response is read once, however many of its items are referenced.
        if collected.read.insert(stream.id().clone()) {
            collected.add_from(&stream, (path, id), max_bytes)?;
            // Reading a long journal takes time: let other tasks of this worker run in between.
            tokio::task::yield_now().await;
        }
        if !collected.items.contains_key(id) {
            return Err(item_not_found(path, id));
        }
    }
    let items = collected.items;
    // Without stored items the body stays unchanged, byte for byte.
    if items.is_empty() {
        Ok(ask)
    } else {
        resolve_references(ask, &items, max_bytes)
    }
}

/// Rejects references to objects in a provider's account, unless the caller may send any, or
/// received the id of the object from a stream of its own.
pub(super) fn check_references(call: &Call<'_>, ask: &Ask) -> Result<(), Fault> {
    let (hub, caller) = (&call.gateway.hub, &call.caller);
    if caller.provider_objects() {
        return Ok(());
    }
    let received_id = |id: &String| hub.find_by_object(&caller.id, id).is_some();
    let foreign = ask
        .references
        .iter()
        .find(|reference| !reference.id.as_ref().is_some_and(received_id));
    foreign.map_or(Ok(()), |foreign| Err(not_allowed(&foreign.path)))
}

/// Returns the stream of the caller that an item belongs to; `None` if only a provider may know the
/// item.
fn stream_of_item(call: &Call<'_>, path: &str, id: &str) -> Result<Option<Arc<Stream>>, Fault> {
    let (hub, owner) = (&call.gateway.hub, &call.caller.id);
    let stream_id = stream_id_in(id);
    let found = match &stream_id {
        Some(stream_id) => hub.by_id(owner, stream_id),
        // Items that a provider made have ids of the provider: the hub knows which stream passed
        // them on.
        None => hub.find_by_object(owner, id),
    };
    match found.filter(|stream| stored_request(stream).is_some()) {
        // An item may still grow while its response runs.
        Some(stream) if stream.is_running() => Err(Fault::invalid(
            path,
            format!(
                "the response of `{}` is not complete: wait for its end, or cancel it",
                printable_id(id, 100)
            ),
        )),
        None if stream_id.is_some() => Err(item_not_found(path, id)),
        found => Ok(found),
    }
}

/// Returns the request with the turns of the previous response before its own.
fn with_previous_turns(call: &Call<'_>, ask: Ask) -> Result<Ask, Fault> {
    let asked = ask.head.responses.as_ref();
    let Some(previous) = asked.and_then(|asked| asked.previous.clone()) else {
        return Ok(ask);
    };
    // Unknown, expired and foreign ids are one case from here on.
    let found = call.find(&previous).ok();
    let stored = found
        .as_ref()
        .and_then(|stream| Some((stream, stored_request(stream)?)));
    let Some((stream, asked)) = stored else {
        // The id is none of ours: callers that may refer to provider objects continue from a
        // response of the provider.
        let allowed = call.caller.provider_objects() && ask.shape == Some(WireId::OpenaiResponses);
        return if allowed {
            Ok(for_provider_only(ask))
        } else {
            Err(previous_not_found(&previous))
        };
    };
    check_state(stream)?;
    // A response whose beginning was evicted cannot be continued.
    let object = response_json(stream).map_err(|_| previous_not_found(&previous))?;
    let max_bytes = call.snapshot.settings.max_body;
    continue_from(ask, &asked.input, &output_as_input(&object), max_bytes)
}

/// Rejects a previous response that cannot be continued.
fn check_state(previous: &Stream) -> Result<(), Fault> {
    match previous.status(false).state {
        // A cancelled response can be continued from the content that it has.
        StreamState::Completed | StreamState::Cancelled => Ok(()),
        StreamState::Running | StreamState::Cancelling => Err(bad_previous(
            "is not complete: wait for its end, or cancel it",
        )),
        StreamState::Failed => Err(bad_previous(
            "has failed: continue from the response before it",
        )),
    }
}

/// The referenced items found so far. Items that the request does not reference are dropped at
/// once, so that a few references never hold more memory than `server.max_body`.
struct Collected<'a> {
    items: ItemsById,
    wanted: HashSet<&'a str>,
    read: HashSet<StreamId>,
    bytes: usize,
}

impl Collected<'_> {
    /// Adds the wanted items of a response; `id` at `path` is the reference that led to it.
    fn add_from(
        &mut self,
        stream: &Arc<Stream>,
        (path, id): (&str, &str),
        max_bytes: usize,
    ) -> Result<(), Fault> {
        // Each response costs a pass over its whole journal.
        if self.read.len() > MAX_RESPONSES {
            let message = format!(
                "the input references items of more than {MAX_RESPONSES} responses: send the items themselves"
            );
            return Err(Fault::invalid(path, message));
        }
        let mut items = items_of_stream(stream).ok_or_else(|| item_not_found(path, id))?;
        // Before the sizes are added up: a long response may contain one short wanted item.
        items.retain(|id, _| self.wanted.contains(&**id));
        self.bytes += items.values().map(Bytes::len).sum::<usize>();
        self.items.extend(items);
        if self.bytes > max_bytes {
            let message = format!(
                "the items that the input references are together larger than {max_bytes} bytes (`server.max_body`)"
            );
            return Err(Fault::new(Code::BodyTooLarge, message).with_param(path));
        }
        Ok(())
    }
}

/// Returns the stored part of the request that a response answers; `None` with `store: false`.
fn stored_request(stream: &Stream) -> Option<&ResponsesRequest> {
    stream.head().responses.as_ref().filter(|asked| asked.store)
}

/// Returns the items of a response and of its input by their ids; `None` if its beginning was
/// evicted.
fn items_of_stream(stream: &Arc<Stream>) -> Option<ItemsById> {
    let mut items: ItemsById = stored_request(stream)
        .map(|asked| items_with_ids(&asked.input, stream.id()))
        .into_iter()
        .flatten()
        .collect();
    items.extend(output_items_by_id(&response_json(stream).ok()?));
    Some(items)
}

/// Returns the error for an item that this caller cannot reference.
fn item_not_found(path: &str, id: &str) -> Fault {
    let message = format!(
        "unknown or expired item `{}`: its response does not exist, was not stored or is no longer kept; send the item itself (with the AI SDK: `store: false`)",
        printable_id(id, 100)
    );
    Fault::new(Code::StreamNotFound, message).with_param(path)
}

/// Marks a request whose previous response only its provider knows: it cannot be translated for
/// another wire.
fn for_provider_only(ask: Ask) -> Ask {
    Ask {
        chat: OnceLock::from(Err(not_allowed("previous_response_id"))),
        ..ask
    }
}

/// Returns the error for a response that this caller cannot continue, with the code that OpenAI's
/// clients know.
fn previous_not_found(id: &str) -> Fault {
    let message = format!(
        "unknown or expired response `{}`: it does not exist, was not stored or is no longer kept; send all turns",
        printable_id(id, 100)
    );
    let fault = Fault::new(Code::StreamNotFound, message).with_param("previous_response_id");
    Fault {
        native_code: Some("previous_response_not_found".to_owned()),
        ..fault
    }
}

fn bad_previous(what: &str) -> Fault {
    Fault::invalid(
        "previous_response_id",
        format!("the response of `previous_response_id` {what}"),
    )
}
