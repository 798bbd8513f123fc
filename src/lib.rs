//! Sluicegate: an LLM token-streaming proxy that owns the whole life of a stream.
//!
//! # The map
//!
//! The top-level modules are the rooms. They are arranged in floors: imports only point down, and
//! rooms on one floor do not import each other (`tests/architecture.rs` checks both).
//!
//! | floor | rooms | purpose |
//! |---|---|---|
//! | 8 | `main` | the program |
//! | 7 | [`cli`] | the commands |
//! | 6 | [`app`] | builds everything once, in reading order; signals |
//! | 5 | [`config`] | collects the settings that each room declares |
//! | 4 | [`server`] | sockets, TLS, HTTP, edge, drain, admin API |
//! | 3 | [`gateway`] | the path of a request; the reply body |
//! | 2 | [`upstream`] | one attempt, retries and failover, the pump |
//! | 1 | [`wire`] [`dialect`] [`hub`] [`route`] | formats, streams and journals, targets |
//! | 1 | [`limits`] [`ledger`] [`auth`] [`telemetry`] | admission, costs, callers, logs and metrics |
//! | 0 | [`model`] [`codec`] [`cache`] | vocabulary, bytes, renewed values |
//!
//! # The path
//!
//! A request passes the edge (`server`). The gateway (`gateway`) then authenticates the caller,
//! claims the names that the request brings, parses it with its dialect, routes it and admits it.
//! Then a stream begins in the [`hub`]. It has one writer, held by the task that runs the
//! generation (`upstream`: attempts until the first content, then the pump), and any number of
//! readers. Each reader is a cursor over the same numbered entries. The reply encodes those entries
//! in the dialect of the reader. When readers leave, the stream's own policy decides whether the
//! generation goes on.
//!
//! # Guarantees
//!
//! - A failed attempt journals no token, and nothing is tried again after the first token.
//! - Every journal has an end. No reader hangs, and no reader slows a generation.
//! - Only its owner finds a stream.
//! - No lock is held across an await. Every queue, map, buffer and wait has a bound.
//! - No log contains a prompt, a completion or a secret.

pub mod app;
pub mod auth;
pub mod cache;
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
