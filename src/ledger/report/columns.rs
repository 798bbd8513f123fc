//! The columns of a report of rows.

use super::table::Cell;
use crate::codec::date::rfc3339_millis;
use crate::ledger::row::Row;

/// A column: its name, and the function that reads its cell from a row.
pub(super) struct Column {
    name: &'static str,
    value: fn(&Row<'_>) -> Cell,
}

impl Column {
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn value(&self, row: &Row<'_>) -> Cell {
        (self.value)(row)
    }
}

/// All columns, in the order of the documentation.
pub(super) const ROW: [Column; 23] = [
    Column {
        name: "id",
        value: |row| text(Some(&row.id)),
    },
    Column {
        name: "began",
        value: |row| Cell::Text(rfc3339_millis(row.began)),
    },
    Column {
        name: "ended",
        value: |row| row.ended.map(rfc3339_millis).into(),
    },
    Column {
        name: "key",
        value: |row| text(row.key.as_deref()),
    },
    Column {
        name: "team",
        value: |row| text(row.team.as_deref()),
    },
    Column {
        name: "user",
        value: |row| text(row.user.as_deref()),
    },
    Column {
        name: "dialect",
        value: |row| text(Some(&row.dialect)),
    },
    Column {
        name: "model",
        value: |row| text(Some(&row.model)),
    },
    Column {
        name: "provider",
        value: |row| text(row.provider.as_deref()),
    },
    Column {
        name: "target",
        value: |row| text(row.target.as_deref()),
    },
    Column {
        name: "status",
        value: |row| text(Some(&row.status)),
    },
    Column {
        name: "reason",
        value: |row| text(row.reason.as_deref()),
    },
    Column {
        name: "code",
        value: |row| text(row.code.as_deref()),
    },
    Column {
        name: "input_tokens",
        value: |row| row.input_tokens.into(),
    },
    Column {
        name: "cached_input_tokens",
        value: |row| row.cached_input_tokens.into(),
    },
    Column {
        name: "cache_write_tokens",
        value: |row| row.cache_write_tokens.into(),
    },
    Column {
        name: "output_tokens",
        value: |row| row.output_tokens.into(),
    },
    Column {
        name: "reasoning_tokens",
        value: |row| row.reasoning_tokens.into(),
    },
    Column {
        name: "estimated",
        value: |row| Cell::Bool(row.estimated),
    },
    Column {
        name: "cost",
        value: |row| row.cost.map_or(Cell::Empty, Cell::Money),
    },
    Column {
        name: "attempts",
        value: |row| Cell::Number(row.attempts.into()),
    },
    Column {
        name: "first_content_ms",
        value: |row| row.first_content_ms.into(),
    },
    Column {
        name: "duration_ms",
        value: |row| row.duration_ms.into(),
    },
];

fn text(text: Option<&str>) -> Cell {
    text.map(str::to_owned).into()
}
