//! The test rig: scripted upstreams, handwritten clients, the proxy between them, and time.

pub mod client;
pub mod clock;
pub mod direct_gateway;
pub mod encode;
pub mod folder;
pub mod issuer;
pub mod log;
pub mod normalize;
pub mod proxy;
pub mod received;
pub mod relay;
pub mod sse;
pub mod tls;
pub mod upstream;

pub use client::{Client, Dialect, Ending, Reply, Request};
pub use clock::{Case, VirtualClock, settle, within};
pub use direct_gateway::DirectGateway;
pub use encode::{Answer, Pace};
pub use folder::RecordingFolder;
pub use proxy::{Proxy, Setup};
pub use received::Received;
pub use upstream::Upstream;

pub use sluicegate::model::wire::WireId;

/// Returns every wire, or those in the comma-separated `SLUICEGATE_WIRES`.
pub fn wires() -> Vec<WireId> {
    match std::env::var("SLUICEGATE_WIRES") {
        Ok(names) => names
            .split(',')
            .map(|name| WireId::from_name(name).unwrap_or_else(|| panic!("unknown wire {name}")))
            .collect(),
        Err(_) => WireId::ALL.to_vec(),
    }
}

/// Returns every dialect, or those in the comma-separated `SLUICEGATE_DIALECTS`.
pub fn dialects() -> Vec<Dialect> {
    match std::env::var("SLUICEGATE_DIALECTS") {
        Ok(names) => names.split(',').map(dialect).collect(),
        Err(_) => Dialect::ALL.to_vec(),
    }
}

fn dialect(name: &str) -> Dialect {
    Dialect::ALL
        .into_iter()
        .find(|it| it.name() == name)
        .unwrap_or_else(|| panic!("unknown dialect {name}"))
}

/// Returns a dialect, cycling through all of them.
pub fn nth_dialect(n: usize) -> Dialect {
    let all = dialects();
    all[n % all.len()]
}

/// Returns every combination of dialect and wire.
pub fn pairs() -> impl Iterator<Item = (Dialect, WireId)> {
    dialects()
        .into_iter()
        .flat_map(|dialect| wires().into_iter().map(move |wire| (dialect, wire)))
}

/// Returns the dialects that accept Chat Completions bodies, over every wire.
pub fn chat_pairs() -> impl Iterator<Item = (Dialect, WireId)> {
    pairs().filter(|(dialect, _)| dialect.has_choices())
}

/// Returns a stream name for `x-stream-id`, different for every number.
pub fn name(number: usize) -> String {
    format!("a-name-of-the-callers-own-{number:04}")
}
