//! What the tests stand on: scripted upstreams, hand-written clients, the proxy between them, and
//! time.

pub mod client;
pub mod clock;
pub mod folder;
pub mod issuer;
pub mod log;
pub mod proxy;
pub mod relay;
pub mod say;
pub mod sse;
pub mod stage;
pub mod timeless;
pub mod tls;
pub mod told;
pub mod upstream;

pub use client::{Ask, Client, Ending, Reply, Speech};
pub use clock::{Scene, Virtual, settle, within};
pub use folder::Folder;
pub use proxy::{Proxy, Setup};
pub use say::{Pace, Say};
pub use stage::Stage;
pub use told::Told;
pub use upstream::Upstream;

pub use sluicegate::model::wire::WireId;

/// Every wire, or those that `SLUICEGATE_WIRES` names with commas: for work on one of them.
pub fn wires() -> Vec<WireId> {
    match std::env::var("SLUICEGATE_WIRES") {
        Ok(names) => names
            .split(',')
            .map(|name| WireId::named(name).unwrap_or_else(|| panic!("no wire is called {name}")))
            .collect(),
        Err(_) => WireId::ALL.to_vec(),
    }
}

/// Every dialect, or those that `SLUICEGATE_DIALECTS` names with commas: for work on one of them.
pub fn speeches() -> Vec<Speech> {
    match std::env::var("SLUICEGATE_DIALECTS") {
        Ok(names) => names.split(',').map(speech).collect(),
        Err(_) => Speech::ALL.to_vec(),
    }
}

fn speech(name: &str) -> Speech {
    Speech::ALL
        .into_iter()
        .find(|it| it.name() == name)
        .unwrap_or_else(|| panic!("no dialect is called {name}"))
}

/// One of them after the other.
pub fn by_turns(n: usize) -> Speech {
    let all = speeches();
    all[n % all.len()]
}

/// Every dialect over every wire.
pub fn pairs() -> impl Iterator<Item = (Speech, WireId)> {
    speeches()
        .into_iter()
        .flat_map(|speech| wires().into_iter().map(move |wire| (speech, wire)))
}

/// The dialects that take Chat Completions' body, over every wire.
pub fn chat_pairs() -> impl Iterator<Item = (Speech, WireId)> {
    pairs().filter(|(speech, _)| speech.has_choices())
}

/// A name for a stream of the caller's own, different for every number.
pub fn name(number: usize) -> String {
    format!("a-name-of-the-callers-own-{number:04}")
}
