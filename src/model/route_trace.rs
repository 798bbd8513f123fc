//! What became of the targets of a route: which were asked, which were passed over, and why.
//!
//! Invariants: names and words of ours alone — nothing an upstream said; at most 32 steps.

use std::fmt::{self, Write as _};
use std::time::Duration;

use bytestring::ByteString;

/// Steps that are kept of one route, at the most.
const MOST: usize = 32;
/// The longest text of a trail, bytes: headers have bounds everywhere on their way.
const LONGEST: usize = 1024;

/// Why a target was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its breaker is open.
    Breaker,
    /// Its provider has said when to come back.
    RetryAfter,
    /// Its provider's headers say that nothing remains of a limit.
    Full,
    /// Nothing remains of what our own configuration lets its provider be asked.
    Limit,
    /// The request cannot be said in its wire.
    Unfit,
}

impl Why {
    /// The word in the status JSON, in `x-sluicegate-route` and in logs.
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

/// What became of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetOutcome {
    /// It has not answered yet.
    Asked,
    /// It has answered.
    Answered,
    /// It has failed before its first content, with this code.
    Failed(&'static str),
    /// It was not asked.
    Skipped(Why),
    /// Another one was faster.
    Lost,
    /// The stream was cancelled before it had answered.
    Cancelled,
}

impl TargetOutcome {
    /// The word in the status JSON.
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

    /// Its reason.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Failed(code) => Some(code),
            Self::Skipped(why) => Some(why.name()),
            Self::Asked | Self::Answered | Self::Lost | Self::Cancelled => None,
        }
    }
}

/// One target of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The provider's name.
    pub provider: ByteString,
    /// The model, as routes name it.
    pub model: ByteString,
    /// It was asked beside another one that took too long.
    pub hedge: bool,
    /// How often it was asked.
    pub tries: u32,
    /// What became of it.
    pub outcome: TargetOutcome,
    /// From the first request to the outcome.
    pub took: Option<Duration>,
}

/// The targets of a route, in the order in which they were looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteTrace {
    steps: Vec<Step>,
}

impl RouteTrace {
    /// The steps.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Adds a step, where there is room; its number.
    pub fn add(&mut self, step: Step) -> usize {
        let number = self.steps.len();
        if number < MOST {
            self.steps.push(step);
        }
        number
    }

    /// The step of that number.
    pub fn step(&mut self, number: usize) -> Option<&mut Step> {
        self.steps.get_mut(number)
    }

    /// How many requests went upstream.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.steps.iter().map(|step| step.tries).sum()
    }

    /// True once something is decided.
    #[must_use]
    pub fn is_telling(&self) -> bool {
        self.steps
            .iter()
            .any(|step| step.outcome != TargetOutcome::Asked)
    }
}

impl fmt::Display for RouteTrace {
    /// The form of `x-sluicegate-route`: the targets with commas between, each with what there is
    /// to say of it. One that simply answered is its name alone. Cut between targets where it would
    /// be too long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut text, mut piece) = (String::new(), String::new());
        for step in &self.steps {
            piece.clear();
            step.spell(&mut piece)?;
            if text.len() + piece.len() + 5 > LONGEST {
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
    fn spell(&self, out: &mut String) -> fmt::Result {
        escape(out, &self.provider)?;
        out.push('/');
        escape(out, &self.model)?;
        match self.outcome {
            TargetOutcome::Answered => {}
            TargetOutcome::Failed(reason) => write!(out, ";failed={reason}")?,
            TargetOutcome::Skipped(why) => write!(out, ";skipped={}", why.name())?,
            other => write!(out, ";{}", other.name())?,
        }
        if self.tries > 1 {
            write!(out, ";tries={}", self.tries)?;
        }
        if self.hedge {
            out.push_str(";hedge");
        }
        // Where several were asked, it is of interest how long each took.
        if let (Some(took), TargetOutcome::Failed(_) | TargetOutcome::Lost) =
            (self.took, self.outcome)
        {
            write!(out, ";ms={}", took.as_millis())?;
        }
        Ok(())
    }
}

/// A name without what has a meaning in the header, or has no place in one.
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
    fn one_that_simply_answered_is_its_name() {
        assert_eq!(
            text(&[step("a/b-1.5:free", TargetOutcome::Answered)]),
            "p/a/b-1.5:free"
        );
    }

    #[test]
    fn what_became_of_each_is_told() {
        let hedge = Step {
            hedge: true,
            ..step("d", TargetOutcome::Answered)
        };
        let tries = Step {
            tries: 2,
            ..step("b", TargetOutcome::Failed("upstream_error"))
        };
        let steps = [
            step("a", TargetOutcome::Skipped(Why::Breaker)),
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
            text.len() <= LONGEST && text.ends_with(", ..."),
            "{}",
            text.len()
        );
    }
}
