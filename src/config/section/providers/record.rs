//! What becomes of an upstream's answer beside its readers: recorded, and read on after a cancel.

use std::path::PathBuf;

use crate::config::node::Node;
use crate::config::quantity;
use crate::config::schema::ON_CANCEL;
use crate::config::table::Table;
use crate::model::target::{OnCancel, Record};

/// The most bytes that all recordings in a folder may have together.
const MAX: u64 = 1 << 30;

/// Where the answers are recorded.
pub(super) fn record(table: &Table<'_, '_>) -> Option<Record> {
    let max = table
        .read("record_max", quantity::size)
        .map_or(MAX, |max| max as u64);
    if !table.has("record") && !table.doc.is_partial() {
        table.misplaced(
            "record_max",
            "nothing is recorded",
            "name the folder: record = \"recordings\"",
        );
    }
    Some(Record {
        dir: table.read("record", folder)?,
        max,
    })
}

/// A folder, which is made where it is missing.
fn folder(node: &Node<'_, '_>) -> Option<PathBuf> {
    let text = node.text_or("the folder to record into")?;
    if text.value.is_empty() {
        return node.refuse_with(
            "it names no folder",
            "relative paths begin at the configuration's folder",
        );
    }
    let path = node.doc.resolve(&text.value);
    if path.exists() && !path.is_dir() {
        node.refuse(format!("{} is not a folder", text.quoted()))
    } else {
        Some(path)
    }
}

/// What becomes of a request when nobody wants its answer any more.
pub(super) fn on_cancel(table: &Table<'_, '_>) -> OnCancel {
    match table.read("on_cancel", |node| node.word(ON_CANCEL)) {
        Some("finish") => OnCancel::Finish,
        _ => OnCancel::Abort,
    }
}
