//! Recording of a provider's answers, and reading them to the end after a cancel.

use crate::config::schema::ON_CANCEL;
use crate::config::table::Table;
use crate::config::{address, quantity};
use crate::model::target::{OnCancel, Record};

/// Default maximum size of all recordings in a folder together, bytes.
const DEFAULT_MAX: u64 = 1 << 30;

/// Reads the folder and the size limit of recordings; `None` if nothing is recorded.
pub(super) fn record(table: &Table<'_, '_>) -> Option<Record> {
    let max = table
        .read("record_max", quantity::size)
        .map_or(DEFAULT_MAX, |max| max as u64);
    if !table.has("record") && !table.doc.is_partial() {
        table.misplaced(
            "record_max",
            "has no effect without `record`",
            "set the folder: record = \"recordings\"",
        );
    }
    Some(Record {
        dir: table.read("record", address::future_folder)?,
        max,
    })
}

/// Reads the action on an upstream request after its stream was cancelled.
pub(super) fn on_cancel(table: &Table<'_, '_>) -> OnCancel {
    match table.read("on_cancel", |node| node.one_of(ON_CANCEL)) {
        Some("finish") => OnCancel::Finish,
        _ => OnCancel::Abort,
    }
}
