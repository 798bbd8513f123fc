//! Integration tests of the whole proxy: started in-process between scripted upstreams and
//! handwritten clients, organized by behaviour.
//!
//! Invariants: no test sleeps, depends on another or leaves the loopback interface; every wait has
//! a deadline whose error names what was waited for. Most tests run on a virtual clock:
//! requirements such as "within 250 ms" are measured there, so a busy machine does not change the
//! result.
#![expect(unreachable_pub, reason = "a test binary has no public API")]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::print_stdout,
    reason = "the corpus tests print what they compared"
)]

mod bytes;
mod contract;
mod conversations;
mod corpus;
mod credentials;
mod errors;
mod finishing;
mod goldens;
mod item_references;
mod learning;
mod limits;
mod messages;
mod metrics;
mod midstream;
mod mixes;
mod money;
mod presets;
mod probing;
mod recording;
mod references;
mod responses;
mod resuming;
mod rig;
mod rig_tests;
mod routes;
mod secrets;
mod spending;
mod stopping;
mod tickets;
mod tokens;
mod views;
mod waiting;
