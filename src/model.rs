//! The data types that all modules share. Depends on no other module of this crate.
//!
//! Invariants: no IO, no clock, no credentials in plain text (keys have a secret type); ids are
//! unguessable.

pub mod accepts;
pub mod ask;
pub mod chat;
pub mod entry;
pub mod event;
pub mod fault;
pub mod fold;
pub mod ids;
pub mod learned;
pub mod limit;
pub mod money;
pub mod opaque_signature;
pub mod outcome;
pub mod plural;
pub mod price;
pub mod printable;
pub mod profile;
pub mod quirks;
pub mod route_trace;
pub mod target;
pub mod usage;
pub mod wire;
