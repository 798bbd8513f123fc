//! The edge over real sockets: everything between a client's bytes and the gateway.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod address_limits;
mod body;
mod browsers;
mod drain;
mod operator;
mod protocols;
mod raw;
mod server;
mod timeouts;
