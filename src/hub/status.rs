//! The state of a stream, as it is reported.

use crate::model::event::{End, Route};
use crate::model::fault::Fault;
use crate::model::fold::Answer;

/// State of the upstream request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum UpstreamState {
    /// No upstream has been asked, or none ever will be.
    None = 0,
    /// A request is in progress.
    Open = 1,
    /// The request is over or was dropped.
    Closed = 2,
    /// The journal has ended with a cancel, and the upstream is read on only for its usage.
    Finishing = 3,
}

impl UpstreamState {
    /// Returns the value used in the status JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Finishing => "finishing",
        }
    }
}

/// State of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamState {
    /// Tokens may still arrive.
    Running,
    /// A cancel was requested and has not taken effect yet.
    Cancelling,
    /// The generation is complete.
    Completed,
    /// The generation was cancelled.
    Cancelled,
    /// The generation failed.
    Failed,
}

impl StreamState {
    /// Returns the value used in the status JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// Snapshot of a stream's state.
#[derive(Debug, Clone)]
pub struct StreamStatus {
    /// State of the stream.
    pub state: StreamState,
    /// Time of its end, Unix seconds.
    pub ended: Option<u64>,
    /// Target that answered.
    pub route: Option<Route>,
    /// The end of the journal; `None` while it runs.
    pub end: Option<End>,
    /// The failure, if it failed.
    pub fault: Option<Fault>,
    /// State of the upstream request.
    pub upstream: UpstreamState,
    /// Number of attached readers.
    pub readers: usize,
    /// The answer so far; `None` if it was not requested or its beginning is no longer kept.
    pub answer: Option<Answer>,
}
