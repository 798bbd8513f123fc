//! Sluicegate: an LLM token-streaming proxy that owns the whole life of a stream.
//!
//! # The map
//!
//! Imports only ever point down, and rooms on one floor do not know each other
//! (`tests/architecture.rs` guards it):
//!
//! | floor | rooms | what for |
//! |---|---|---|
//! | 6 | [`app`], [`cli`] | the keys: build everything, once, in reading order |
//! | 5 | [`config`] | assembles the settings that each room declares |
//! | 4 | [`server`] | sockets, TLS, HTTP, the edge, drain |
//! | 3 | [`gateway`] | the path of a request; the reply body |
//! | 2 | [`upstream`] | one attempt, retries and failover, the pump |
//! | 1 | [`provider`], [`dialect`], [`hub`], [`route`], [`limits`], [`auth`], [`telemetry`] | rooms that do not know each other |
//! | 0 | [`model`], [`codec`] | vocabulary and bytes |
//!
//! # The path
//!
//! A request passes the edge (`server`), is identified, claims its names, is parsed by its dialect,
//! routed and admitted (`gateway`). Then a stream begins in the [`hub`]: one writer, which the
//! generation's own task holds (`upstream`: attempts until the first content, then the pump), and
//! readers, each a cursor over the same numbered entries. The reply spells those entries in the
//! reader's dialect. Whoever leaves, the generation goes by the stream's own policy.
//!
//! # What never happens
//!
//! - A failed attempt journals a token, or anything is tried again after one.
//! - A journal without an end; a reader that hangs; a reader that slows a generation.
//! - A stream found by somebody who does not own it.
//! - A lock held across an await; a queue, map, buffer or wait without a bound.
//! - A prompt, a completion or a secret in a log.

pub mod app;
pub mod auth;
pub mod cli;
pub mod codec;
pub mod config;
pub mod dialect;
pub mod gateway;
pub mod hub;
pub mod ledger;
pub mod limits;
pub mod model;
pub mod route;
pub mod server;
pub mod telemetry;
pub mod upstream;
pub mod wire;
