//! The columns of a report of rows.

use super::table::Cell;
use crate::codec::date::rfc3339;
use crate::ledger::row::Row;

/// A column: its name, and what a row has in it.
pub(super) struct Column {
    name: &'static str,
    of: fn(&Row<'_>) -> Cell,
}

impl Column {
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn of(&self, row: &Row<'_>) -> Cell {
        (self.of)(row)
    }
}

/// All columns, in the order of the documentation.
pub(super) const ROW: [Column; 23] = [
    Column {
        name: "id",
        of: |row| text(Some(&row.id)),
    },
    Column {
        name: "began",
        of: |row| Cell::Text(moment(row.began)),
    },
    Column {
        name: "ended",
        of: |row| row.ended.map(moment).into(),
    },
    Column {
        name: "key",
        of: |row| text(row.key.as_deref()),
    },
    Column {
        name: "team",
        of: |row| text(row.team.as_deref()),
    },
    Column {
        name: "user",
        of: |row| text(row.user.as_deref()),
    },
    Column {
        name: "dialect",
        of: |row| text(Some(&row.dialect)),
    },
    Column {
        name: "model",
        of: |row| text(Some(&row.model)),
    },
    Column {
        name: "provider",
        of: |row| text(row.provider.as_deref()),
    },
    Column {
        name: "target",
        of: |row| text(row.target.as_deref()),
    },
    Column {
        name: "status",
        of: |row| text(Some(&row.status)),
    },
    Column {
        name: "reason",
        of: |row| text(row.reason.as_deref()),
    },
    Column {
        name: "code",
        of: |row| text(row.code.as_deref()),
    },
    Column {
        name: "input_tokens",
        of: |row| row.input_tokens.into(),
    },
    Column {
        name: "cached_input_tokens",
        of: |row| row.cached_input_tokens.into(),
    },
    Column {
        name: "cache_write_tokens",
        of: |row| row.cache_write_tokens.into(),
    },
    Column {
        name: "output_tokens",
        of: |row| row.output_tokens.into(),
    },
    Column {
        name: "reasoning_tokens",
        of: |row| row.reasoning_tokens.into(),
    },
    Column {
        name: "estimated",
        of: |row| Cell::Truth(row.estimated),
    },
    Column {
        name: "cost",
        of: |row| row.cost.map_or(Cell::Nothing, Cell::Money),
    },
    Column {
        name: "attempts",
        of: |row| Cell::Number(row.attempts.into()),
    },
    Column {
        name: "first_content_ms",
        of: |row| row.first_content_ms.into(),
    },
    Column {
        name: "duration_ms",
        of: |row| row.duration_ms.into(),
    },
];

fn text(text: Option<&str>) -> Cell {
    text.map(str::to_owned).into()
}

/// `2026-11-26T02:00:14.123Z`
fn moment(ms: u64) -> String {
    let seconds = rfc3339(ms / 1000);
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), ms % 1000)
}
