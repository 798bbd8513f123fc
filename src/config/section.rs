//! The sections of the file, one module each: their values become the settings of the other
//! modules.
//!
//! Invariants: the default of a key is written where the key is read. A wrong value has been
//! reported as a problem by the time its function returns; the placeholder returned instead is
//! never used, because a file with problems is rejected.

pub(super) mod access;
pub(super) mod budgets;
pub(super) mod expiry;
mod jwt;
pub(super) mod limits;
pub(super) mod models;
pub(super) mod prices;
pub(super) mod providers;
pub(super) mod server;
pub(super) mod streams;
pub(super) mod telemetry;
pub(super) mod ui;
