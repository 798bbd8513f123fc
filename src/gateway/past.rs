//! What a request goes on from, where it does not bring it itself: an earlier response, or items of
//! earlier ones.
//!
//! Invariant: whether another's response is there, or never was, is told in the same words.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::responses::{object, shown};
use super::{Gateway, Snapshot};
use crate::auth::Caller;
use crate::dialect::not_allowed;
use crate::dialect::openai_responses::{
    Items, go_on, home_of, named, numbered, output_by_id, output_of, spelled_out,
};
use crate::hub::{State, Stream};
use crate::model::ask::{Ask, Asked};
use crate::model::fault::{Code, Fault};
use crate::model::ids::StreamId;
use crate::model::wire::WireId;

/// The most earlier responses whose items one request may name.
const MOST: usize = 256;

impl Gateway {
    /// The request with all that it goes on from in it.
    pub(super) async fn with_past(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        ask: Ask,
    ) -> Result<Ask, Fault> {
        let ask = self.with_items(snapshot, caller, ask).await?;
        self.with_turns(snapshot, caller, ask)
    }

    /// The request with the items that it names, where they are of responses that are kept here.
    async fn with_items(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        ask: Ask,
    ) -> Result<Ask, Fault> {
        if ask.asked.is_none() || ask.references.is_empty() {
            return Ok(ask);
        }
        let (named, most) = (named(&ask)?, snapshot.settings.max_body);
        let mut known = Known {
            items: Items::new(),
            wanted: named.iter().map(|(_, id)| &**id).collect(),
            read: HashSet::new(),
            bytes: 0,
        };
        for (path, id) in &named {
            let Some(stream) = self.maker(caller, path, id)? else {
                continue;
            };
            if known.read.insert(stream.id().clone()) {
                known.read_from(&stream, (path, id), most)?;
                // Each may be long.
                tokio::task::yield_now().await;
            }
            if !known.items.contains_key(id) {
                return Err(item_not_found(path, id));
            }
        }
        let items = known.items;
        if items.is_empty() {
            Ok(ask)
        } else {
            spelled_out(ask, &items, most)
        }
    }

    /// Refuses references to what is in a provider's account, but to who may send any, and to whom
    /// its id was told.
    pub(super) fn may_refer(&self, caller: &Caller, ask: &Ask) -> Result<(), Fault> {
        if caller.provider_objects() {
            return Ok(());
        }
        let told = |id: &String| self.hub.maker(&caller.id, id).is_some();
        let foreign = ask
            .references
            .iter()
            .find(|reference| !reference.id.as_ref().is_some_and(told));
        foreign.map_or(Ok(()), |foreign| Err(not_allowed(&foreign.path)))
    }

    /// The caller's response that an item is of; none where only a provider may know it.
    fn maker(&self, caller: &Caller, path: &str, id: &str) -> Result<Option<Arc<Stream>>, Fault> {
        let home = home_of(id);
        let found = match &home {
            Some(home) => self.hub.by_id(&caller.id, home),
            None => self.hub.maker(&caller.id, id),
        };
        match found.filter(|stream| kept(stream).is_some()) {
            Some(stream) if stream.is_running() => Err(Fault::invalid(
                path,
                format!(
                    "the response of `{}` is not complete: wait for its end, or cancel it",
                    shown(id)
                ),
            )),
            None if home.is_some() => Err(item_not_found(path, id)),
            found => Ok(found),
        }
    }

    /// The request with the turns that it goes on from before its own.
    fn with_turns(&self, snapshot: &Snapshot, caller: &Caller, ask: Ask) -> Result<Ask, Fault> {
        let Some(previous) = ask.asked.as_ref().and_then(|asked| asked.previous.clone()) else {
            return Ok(ask);
        };
        let found = self.hub.find(&caller.id, &previous).ok();
        let kept = found.and_then(|stream| kept(&stream).cloned().map(|asked| (stream, asked)));
        let Some((stream, asked)) = kept else {
            // It is none of ours; who may refer to the provider's objects goes on from one of its
            // own.
            let theirs = caller.provider_objects() && ask.shape == Some(WireId::OpenaiResponses);
            return if theirs {
                Ok(of_provider(ask))
            } else {
                Err(previous_not_found(&previous))
            };
        };
        match stream.status(false).state {
            State::Completed | State::Cancelled => {}
            State::Running | State::Cancelling => {
                return Err(bad_previous(
                    "is not complete: wait for its end, or cancel it",
                ));
            }
            State::Failed => return Err(bad_previous("has failed: go on from the one before it")),
        }
        // What has lost its beginning can no longer be gone on from.
        let object = object(&stream).map_err(|_| previous_not_found(&previous))?;
        go_on(
            ask,
            &asked.input,
            &output_of(&object),
            snapshot.settings.max_body,
        )
    }
}

/// What is known by now of the items that a request names. What it does not name is let go at once,
/// so that a few names never hold more memory than a body may.
struct Known<'a> {
    items: Items,
    wanted: HashSet<&'a str>,
    read: HashSet<StreamId>,
    bytes: usize,
}

impl Known<'_> {
    /// Takes the items that are wanted out of a response; it is the one that `id` at `path` names.
    fn read_from(
        &mut self,
        stream: &Arc<Stream>,
        (path, id): (&str, &str),
        most: usize,
    ) -> Result<(), Fault> {
        if self.read.len() > MOST {
            let message = format!(
                "the input names items of more than {MOST} responses: send the items themselves"
            );
            return Err(Fault::invalid(path, message));
        }
        let mut items = items_of(stream).ok_or_else(|| item_not_found(path, id))?;
        items.retain(|id, _| self.wanted.contains(&**id));
        self.bytes += items.values().map(Bytes::len).sum::<usize>();
        self.items.extend(items);
        if self.bytes > most {
            let message = format!(
                "the items that the input names are together larger than {most} bytes (`server.max_body`)"
            );
            return Err(Fault::new(Code::BodyTooLarge, message).with_param(path));
        }
        Ok(())
    }
}

/// What is kept of the request that a response answers.
fn kept(stream: &Stream) -> Option<&Arc<Asked>> {
    stream.spec().asked.as_ref().filter(|asked| asked.store)
}

/// The items of a response and of its input, by their ids; none once its beginning is no longer
/// kept.
fn items_of(stream: &Arc<Stream>) -> Option<Items> {
    let mut items: Items = kept(stream)
        .map(|asked| numbered(&asked.input, stream.id()))
        .into_iter()
        .flatten()
        .collect();
    items.extend(output_by_id(&object(stream).ok()?));
    Some(items)
}

/// The one answer for an item that this caller cannot name.
fn item_not_found(path: &str, id: &str) -> Fault {
    let message = format!(
        "no item `{}` here: its response never was, was not stored, or has been forgotten; send the item itself (with the AI SDK: `store: false`)",
        shown(id)
    );
    Fault::new(Code::StreamNotFound, message).with_param(path)
}

/// A request that goes on from a response which only its provider knows: it is for no other wire.
fn of_provider(ask: Ask) -> Ask {
    Ask {
        chat: OnceLock::from(Err(not_allowed("previous_response_id"))),
        ..ask
    }
}

/// The one answer for a response that this caller cannot go on from, under the code that clients
/// know.
fn previous_not_found(id: &str) -> Fault {
    let message = format!(
        "no response `{}` here to go on from: it never was, was not stored, or has been forgotten; send all turns",
        shown(id)
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
