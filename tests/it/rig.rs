//! What the tests stand on: scripted upstreams, hand-written clients, the proxy between them, and time.

pub mod client;
pub mod clock;
pub mod proxy;
pub mod relay;
pub mod say;
pub mod sse;
pub mod told;
pub mod upstream;

pub use client::{Ask, Client, Ending, Reply, Speech};
pub use clock::{Scene, Virtual, settle, within};
pub use proxy::{Proxy, Setup};
pub use say::{Pace, Say};
pub use told::Told;
pub use upstream::Upstream;

pub use sluicegate::model::wire::Wire;

/// Every dialect over every wire.
pub fn pairs() -> impl Iterator<Item = (Speech, Wire)> {
    Speech::ALL.into_iter().flat_map(|speech| Wire::ALL.into_iter().map(move |wire| (speech, wire)))
}

/// A name for a stream of the caller's own, different for every number.
pub fn name(number: usize) -> String {
    format!("a-name-of-the-callers-own-{number:04}")
}
