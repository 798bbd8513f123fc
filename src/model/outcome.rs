//! The outcome of a generation. It is made once, when the generation has ended; the access log, the
//! metrics, the limits and the ledger read it.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;

use super::ask::AskHead;
use super::event::End;
use super::fault::Fault;
use super::ids::{CallerId, StreamId};
use super::route_trace::RouteTrace;
use super::target::Target;

/// The outcome of a generation. It contains ids and figures, and never content.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The id of its stream.
    pub stream: StreamId,
    /// The caller that began it.
    pub caller: CallerId,
    /// The facts of the request.
    pub head: Arc<AskHead>,
    /// The model's name in the configuration, or `provider/*`; never a text sent by a client.
    pub label: ByteString,
    /// The target that answered, or else the last one that was asked.
    pub target: Option<Target>,
    /// Number of requests to upstreams.
    pub attempts: u32,
    /// The outcomes of the targets of its route.
    pub trace: RouteTrace,
    /// The end of its journal, with the final usage and its cost.
    pub end: End,
    /// The failure, if it failed.
    pub fault: Option<Fault>,
    /// The charge for the limits.
    pub charge: Charge,
    /// Its durations.
    pub times: Times,
}

/// The final charge of a generation for the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// No upstream was asked: everything is given back, the request included.
    Nothing,
    /// The number of tokens; what was taken beyond it is given back.
    Tokens(u64),
}

/// Durations of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Time from admission to the first content.
    pub first_content: Option<Duration>,
    /// Time from admission to the end.
    pub took: Duration,
}

impl Times {
    /// Returns the time to the first content, milliseconds.
    #[must_use]
    pub fn first_content_ms(&self) -> Option<u64> {
        self.first_content.map(millis)
    }

    /// Returns the time to the end, milliseconds.
    #[must_use]
    pub fn took_ms(&self) -> u64 {
        millis(self.took)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
impl Outcome {
    /// Returns the outcome of a generation for tests: it was complete after one request.
    #[must_use]
    pub fn example() -> Self {
        Self {
            stream: StreamId::random(),
            caller: CallerId::Anonymous,
            head: AskHead::example(super::wire::DialectId::Events).into(),
            label: "smart".into(),
            target: None,
            attempts: 1,
            trace: RouteTrace::default(),
            end: End {
                reason: super::event::Reason::Stop,
                native: None,
                usage: None,
            },
            fault: None,
            charge: Charge::Tokens(0),
            times: Times {
                first_content: Some(Duration::from_millis(12)),
                took: Duration::from_millis(34),
            },
        }
    }
}
