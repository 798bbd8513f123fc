//! The route trace of a stream, recorded while its targets are tried.

use std::time::Duration;

use super::stream::Stream;
use crate::model::route_trace::{RouteTrace, Step, TargetOutcome};
use crate::model::target::Target;

impl Stream {
    /// Adds a step for a target and returns its number. `hedge`: the target is asked beside another
    /// one that takes too long.
    pub fn add_trace_step(&self, target: &Target, hedge: bool, outcome: TargetOutcome) -> usize {
        let (provider, model) = (target.provider.name.clone(), target.model.clone());
        self.trace.lock().add(Step {
            provider,
            model,
            hedge,
            tries: 0,
            outcome,
            took: None,
        })
    }

    /// Counts one more attempt of a step.
    pub fn count_trace_attempt(&self, number: usize) {
        if let Some(step) = self.trace.lock().step(number) {
            step.tries += 1;
        }
    }

    /// Records the outcome of a step and the time it took.
    pub fn finish_trace_step(&self, number: usize, outcome: TargetOutcome, took: Duration) {
        if let Some(step) = self.trace.lock().step(number) {
            step.outcome = outcome;
            step.took = Some(took);
        }
    }

    /// Returns a copy of the trace so far.
    #[must_use]
    pub fn trace(&self) -> RouteTrace {
        self.trace.lock().clone()
    }
}
