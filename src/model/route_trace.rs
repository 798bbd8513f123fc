//! Route traces: which targets of a route were asked or skipped, and with which outcome.
//!
//! Invariants: contains configured names and our own codes only, never an upstream's text; at most
//! 32 steps.

use std::fmt::{self, Write as _};
use std::time::Duration;

use bytestring::ByteString;

/// Maximum number of steps that are kept for a route.
const MAX_STEPS: usize = 32;
/// Maximum length of the text form, bytes. Proxies and clients limit the size of headers.
const MAX_LENGTH: usize = 1024;

/// The reason that a target was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// The breaker is open.
    Breaker,
    /// The provider asked clients to wait (Retry-After).
    RetryAfter,
    /// The provider's headers report that a limit is exhausted.
    Full,
    /// A limit configured for the provider is reached.
    Limit,
    /// The wire does not support the request.
    Unfit,
}

impl SkipReason {
    /// Returns the name in the status JSON, in `x-sluicegate-route` and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Breaker => "breaker",
            Self::RetryAfter => "retry_after",
            Self::Full => "full",
            Self::Limit => "limit",
            Self::Unfit => "unfit",
        }
    }
}

/// The outcome of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetOutcome {
    /// It was asked and has not answered yet.
    Asked,
    /// It answered.
    Answered,
    /// It failed before its first content, with this code.
    Failed(&'static str),
    /// It was skipped.
    Skipped(SkipReason),
    /// Another target answered first.
    Lost,
    /// The stream was cancelled before it answered.
    Cancelled,
}

impl TargetOutcome {
    /// Returns the name in the status JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Answered => "answered",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
            Self::Lost => "lost",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns the error code or the reason for skipping, if there is one.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Failed(code) => Some(code),
            Self::Skipped(reason) => Some(reason.name()),
            Self::Asked | Self::Answered | Self::Lost | Self::Cancelled => None,
        }
    }
}

/// One target of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The provider's name.
    pub provider: ByteString,
    /// The model, by its name in routes.
    pub model: ByteString,
    /// True if it was asked while another target took too long to answer.
    pub hedge: bool,
    /// Number of requests to it.
    pub tries: u32,
    /// The outcome.
    pub outcome: TargetOutcome,
    /// Time from the first request to the outcome.
    pub took: Option<Duration>,
}

/// The targets of a route, in the order in which they were considered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteTrace {
    steps: Vec<Step>,
}

impl RouteTrace {
    /// Returns the steps.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Adds a step, unless the trace is full. Returns its index.
    pub fn add(&mut self, step: Step) -> usize {
        let number = self.steps.len();
        // Beyond the maximum the index is still returned: `step` finds no step for it.
        if number < MAX_STEPS {
            self.steps.push(step);
        }
        number
    }

    /// Returns the step with this index.
    pub fn step(&mut self, number: usize) -> Option<&mut Step> {
        self.steps.get_mut(number)
    }

    /// Returns the number of requests to upstreams.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.steps.iter().map(|step| step.tries).sum()
    }

    /// Returns true once a target has an outcome.
    #[must_use]
    pub fn has_outcome(&self) -> bool {
        self.steps
            .iter()
            .any(|step| step.outcome != TargetOutcome::Asked)
    }
}

impl fmt::Display for RouteTrace {
    /// Formats the value of `x-sluicegate-route`: the targets separated by commas, each with its
    /// outcome. A target that answered the first request is its name only. The text is cut between
    /// targets if it would be too long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut text, mut piece) = (String::new(), String::new());
        for step in &self.steps {
            piece.clear();
            step.render(&mut piece)?;
            // Leaves room for the mark of a cut text.
            if text.len() + piece.len() + 5 > MAX_LENGTH {
                text.push_str(", ...");
                break;
            }
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(&piece);
        }
        f.write_str(&text)
    }
}

impl Step {
    /// Writes one target of `x-sluicegate-route`.
    fn render(&self, out: &mut String) -> fmt::Result {
        escape(out, &self.provider)?;
        out.push('/');
        escape(out, &self.model)?;
        match self.outcome {
            TargetOutcome::Answered => {}
            TargetOutcome::Failed(reason) => write!(out, ";failed={reason}")?,
            TargetOutcome::Skipped(reason) => write!(out, ";skipped={}", reason.name())?,
            other => write!(out, ";{}", other.name())?,
        }
        if self.tries > 1 {
            write!(out, ";tries={}", self.tries)?;
        }
        if self.hedge {
            out.push_str(";hedge");
        }
        // With several targets, the times show which of them delayed the answer.
        if let (Some(took), TargetOutcome::Failed(_) | TargetOutcome::Lost) =
            (self.took, self.outcome)
        {
            write!(out, ";ms={}", took.as_millis())?;
        }
        Ok(())
    }
}

/// Writes a name with percent-encoding for characters that are special or invalid in the header.
fn escape(out: &mut String, name: &str) -> fmt::Result {
    name.bytes().try_for_each(|byte| match byte {
        b'a'..=b'z'
        | b'A'..=b'Z'
        | b'0'..=b'9'
        | b'.'
        | b'_'
        | b'-'
        | b'/'
        | b':'
        | b'@'
        | b'+'
        | b'~' => out.write_char(char::from(byte)),
        _ => write!(out, "%{byte:02X}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(model: &str, outcome: TargetOutcome) -> Step {
        Step {
            provider: "p".into(),
            model: model.into(),
            hedge: false,
            tries: 1,
            outcome,
            took: Some(Duration::from_millis(412)),
        }
    }

    fn text(steps: &[Step]) -> String {
        let mut trace = RouteTrace::default();
        for step in steps {
            trace.add(step.clone());
        }
        trace.to_string()
    }

    #[test]
    fn a_target_that_answered_is_its_name() {
        assert_eq!(
            text(&[step("a/b-1.5:free", TargetOutcome::Answered)]),
            "p/a/b-1.5:free"
        );
    }

    #[test]
    fn every_outcome_is_written() {
        let hedge = Step {
            hedge: true,
            ..step("d", TargetOutcome::Answered)
        };
        let tries = Step {
            tries: 2,
            ..step("b", TargetOutcome::Failed("upstream_error"))
        };
        let steps = [
            step("a", TargetOutcome::Skipped(SkipReason::Breaker)),
            tries,
            step("c", TargetOutcome::Lost),
            hedge,
        ];
        assert_eq!(
            text(&steps),
            "p/a;skipped=breaker, p/b;failed=upstream_error;tries=2;ms=412, p/c;lost;ms=412, p/d;hedge"
        );
    }

    #[test]
    fn no_name_breaks_a_header() {
        assert_eq!(
            text(&[step("a;b, \u{e9}\r\n%", TargetOutcome::Answered)]),
            "p/a%3Bb%2C%20%C3%A9%0D%0A%25"
        );
        let long = vec![step(&"x".repeat(90), TargetOutcome::Failed("upstream_timeout")); 200];
        let text = text(&long);
        assert!(
            text.len() <= MAX_LENGTH && text.ends_with(", ..."),
            "{}",
            text.len()
        );
    }
}
