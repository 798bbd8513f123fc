//! The sections of the file, one file each: what the reader gives becomes the settings of a room.
//!
//! Invariants: a default stands where its key is read. What is wrong has been told; what is given
//! back in its place is never used.

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
