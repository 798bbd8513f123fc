//! The whole proxy under test: started in-process, between scripted upstreams and hand-written
//! clients, by behaviour.
//!
//! Invariants: no test sleeps, none needs another, none leaves the loopback interface; every wait
//! has a deadline that says what was waited for. Most tests run on a virtual clock: what must
//! happen "within 250 ms" is measured there, so that a busy machine changes nothing.
#![expect(unreachable_pub, reason = "a test binary has no outside")]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that is surprised fails"
)]
#![expect(clippy::print_stdout, reason = "the corpus says what it compared")]

mod bytes;
mod contract;
mod conversations;
mod corpus;
mod credentials;
mod errors;
mod finishing;
mod goldens;
mod honest;
mod limits;
mod messages;
mod metrics;
mod midstream;
mod mixes;
mod money;
mod named;
mod presets;
mod probing;
mod recording;
mod references;
mod responses;
mod resuming;
mod rig;
mod routes;
mod secrets;
mod spending;
mod stopping;
mod tickets;
mod tokens;
mod views;
mod waiting;
