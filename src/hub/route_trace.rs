//! What became of the targets of a stream's route, told while it happens.

use std::time::Duration;

use super::stream::Stream;
use crate::model::route_trace::{RouteTrace, Step, TargetOutcome};
use crate::model::target::Target;

impl Stream {
    /// A target is looked at; the number of its step. `hedge`: beside another one that takes too
    /// long.
    pub fn step(&self, target: &Target, hedge: bool, outcome: TargetOutcome) -> usize {
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

    /// It is asked, once more.
    pub fn step_tried(&self, number: usize) {
        if let Some(step) = self.trace.lock().step(number) {
            step.tries += 1;
        }
    }

    /// What became of it, and after what time.
    pub fn step_over(&self, number: usize, outcome: TargetOutcome, took: Duration) {
        if let Some(step) = self.trace.lock().step(number) {
            step.outcome = outcome;
            step.took = Some(took);
        }
    }

    /// What became of the targets by now.
    #[must_use]
    pub fn trace(&self) -> RouteTrace {
        self.trace.lock().clone()
    }
}
