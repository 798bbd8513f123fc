//! The vocabulary: what every room speaks of. Imports nothing of ours.
//!
//! Invariants: no IO, no clock, no credentials in plain sight (`Provider::key` is a secret type);
//! ids are unguessable.

pub mod ask;
pub mod chat;
pub mod entry;
pub mod event;
pub mod fault;
pub mod fold;
pub mod ids;
pub mod money;
pub mod opaque_signature;
pub mod plural;
pub mod quirks;
pub mod route_trace;
pub mod target;
pub mod usage;
pub mod wire;
