//! Random streams of the own wire of a dialect, as its decoder journals them.

use std::ops::Range;

use proptest::prelude::*;
use serde_json::Value;

use super::{end, entries, error, route, start, usage};
use crate::codec::{Frame, FrameKind};
use crate::model::entry::{Entry, Payload};
use crate::model::event::Reason;
use crate::model::target::{Provider, Target};
use crate::model::wire::WireId;
use crate::wire::{self, Decoded};

/// The parts of an answer: the kind of each, and its deltas.
pub(in crate::dialect) type Parts = [(u8, Vec<String>)];

/// Generates a stream, cut off after any of its frames. `frames` makes the frames of a whole one;
/// a part has as many deltas as `deltas` says.
pub(in crate::dialect) fn own_wire(
    wire: WireId,
    deltas: Range<usize>,
    frames: fn(&Parts) -> Vec<Value>,
) -> impl Strategy<Value = Vec<Entry>> {
    let part = (0u8..4, prop::collection::vec("[a-c\"é\\\\]{1,3}", deltas));
    let parts = prop::collection::vec(part, 0..4);
    (parts, 0u8..3, any::<prop::sample::Index>()).prop_map(move |(parts, how, cut)| {
        let frames = frames(&parts);
        let kept = if how == 0 {
            frames.len()
        } else {
            cut.index(frames.len())
        };
        let mut journal = entries([start(1), route(wire, true)]);
        journal.extend(decoded(wire, &frames[..kept]));
        let last = match how {
            _ if kept == frames.len() => vec![usage(false), end(Reason::Stop)],
            1 => vec![usage(true), end(Reason::Cancelled)],
            _ => vec![error(false), usage(true), end(Reason::Error)],
        };
        journal.extend(entries(last));
        journal
    })
}

fn decoded(wire: WireId, frames: &[Value]) -> Vec<Entry> {
    let target = Target::example(Provider::example(wire, "http://127.0.0.1:1"), "m");
    let mut decoder = wire::for_id(wire).decoder(&target, "seed");
    let mut out = Decoded::default();
    let entry = |json: &Value| {
        let frame = Frame {
            name: json["type"].as_str().unwrap().into(),
            data: json.to_string().into(),
            kind: FrameKind::Whole,
        };
        out.clear();
        decoder.decode(&frame, &mut out).unwrap();
        Entry {
            raw: Some(Payload {
                name: frame.name,
                data: frame.data,
            }),
            events: std::mem::take(&mut out.events),
        }
    };
    frames.iter().map(entry).collect()
}
