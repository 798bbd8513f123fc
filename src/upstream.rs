//! Runs one generation, from its plan to the end of its journal: attempts, retries and failover
//! until the first content, then the pump.
//!
//! Invariants:
//! - Only an opened answer writes content: a failed attempt journals no token, and nothing is tried
//!   again after one.
//! - A cancel takes effect at every await.
//! - The upstream request is dropped before the journal ends, unless the provider is configured to
//!   be read to the end (`on_cancel = "finish"`).
//! - The pass is settled when the journal ends, or when reading on after a cancel ends, whatever
//!   happened to the client.
//! - One line of the access log is written, when nothing more can come.

mod admission;
mod answer;
mod attempt;
mod client;
mod clock;
mod closing;
mod count;
mod credentials;
mod finishing;
mod lane;
mod live;
mod open;
mod opening;
mod player;
mod probe;
mod pump;
mod received;
mod recorder;
mod redact;
mod replay;
mod sent;
mod sign;
mod transport;
mod unfinished;
mod verdict;
mod whole;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytestring::ByteString;
use closing::Accounting;
use finishing::UnfinishedRead;
use lane::Opened;
use opening::Opening;
use unfinished::Unfinished;

use crate::hub::{Cause, Stream, Writer};
use crate::model::ask::Ask;
use crate::model::entry::Payload;
use crate::model::event::End;
use crate::model::fault::Fault;
use crate::model::outcome::{Outcome, Times};
use crate::route::Plan;
use crate::telemetry::access_log;
use crate::telemetry::metrics::Metrics;

pub use admission::Admission;
pub use client::{ClientProblem, Clients, set_worker};
pub use count::count;
pub use finishing::Finishing;
pub use probe::probe;
pub use recorder::{Recorder, RecorderProblem};

/// A generation that is ready to run.
#[derive(Debug)]
pub struct Job {
    /// The request.
    pub ask: Arc<Ask>,
    /// The targets to ask, in order.
    pub plan: Plan,
    /// Its journal.
    pub writer: Writer,
    /// Its share of limits and budgets.
    pub admission: Admission,
    /// HTTP clients of the current configuration.
    pub clients: Arc<Clients>,
    /// Records answers of providers that have `record` set.
    pub recorder: Recorder,
    /// Metrics that count the outcome.
    pub metrics: Metrics,
    /// Slots for cancelled upstream answers that are read to their end.
    pub finishing: Arc<Finishing>,
    /// Time after which frames held before the first content are released.
    pub commit_after: Duration,
}

/// The way a generation ended.
enum Ending {
    Complete,
    /// Cancelled; with the unfinished upstream answer when the provider wants it read to the end.
    Cancelled(Cause, Option<Unfinished>),
    /// Failed; with the upstream error payload when it is passed on to the client.
    Failed(Box<Fault>, Option<Payload>),
}

impl Ending {
    fn into_fault(self) -> Option<Fault> {
        if let Self::Failed(fault, _) = self {
            Some(*fault)
        } else {
            None
        }
    }
}

impl From<Cause> for Ending {
    fn from(cause: Cause) -> Self {
        Self::Cancelled(cause, None)
    }
}

impl From<Fault> for Ending {
    fn from(fault: Fault) -> Self {
        Self::Failed(Box::new(fault), None)
    }
}

/// Runs a generation to its end. The result is in the journal and in one line of the access log.
pub async fn run(job: Job) {
    let began = Instant::now();
    let Job {
        ask,
        plan,
        mut writer,
        mut admission,
        clients,
        recorder,
        metrics,
        finishing,
        commit_after,
    } = job;
    let mut accounting = Accounting::new(&ask.head);
    // `writer.finish` consumes the writer; the status is still updated afterwards.
    let stream = writer.stream().clone();
    let opening = Opening::new(
        &ask,
        &plan,
        &clients,
        &recorder,
        stream.clone(),
        commit_after,
    );
    let mut ending = generate(&opening, &mut writer, &mut accounting, &mut admission).await;
    let rest = finishing.admit(&mut ending, &stream);
    let ended = Ended {
        stream,
        label: plan.label,
        ending,
        times: Times {
            first_content: accounting.first_content.map(|at| at.duration_since(began)),
            took: began.elapsed(),
        },
    };
    let outcome = ended
        .settle(writer, &mut accounting, &mut admission, rest, &metrics)
        .await;
    // Last, so that it contains the usage of an answer that was read on.
    access_log::write(&outcome);
}

/// Opens an answer and journals it to its end. The fault of a failure contains no secrets.
async fn generate(
    opening: &Opening<'_>,
    writer: &mut Writer,
    accounting: &mut Accounting,
    admission: &mut Admission,
) -> Ending {
    // Boxed, so that the memory used for opening is freed before the long part begins.
    let opened = Box::pin(opening.open(accounting, &mut admission.pass)).await;
    let mut ending = match opened {
        Ok(opened) => pump_opened(opened, writer, accounting, admission).await,
        Err(ending) => ending,
    };
    if let Ending::Failed(fault, _) = &mut ending {
        // The fault may quote any of the targets that were asked: remove the secrets of all of
        // them.
        opening
            .plan
            .targets()
            .for_each(|target| redact::redact_fault(fault, &target.provider));
    }
    ending
}

/// Journals an opened answer to its end. Reports a failure in the middle of the answer to the
/// health of its target.
async fn pump_opened(
    opened: Opened,
    writer: &mut Writer,
    accounting: &mut Accounting,
    admission: &mut Admission,
) -> Ending {
    let Opened { live, mut permit } = opened;
    let ending = pump::pump(live, writer, accounting, admission).await;
    if let Ending::Failed(fault, _) = &ending {
        // The permit has already recorded an answer. A failure after it counts as well.
        permit.record_failure(fault);
    }
    ending
}

/// A generation that nothing is journaled of any more but its end.
struct Ended {
    stream: Arc<Stream>,
    /// Label of the model in metrics.
    label: ByteString,
    ending: Ending,
    times: Times,
}

impl Ended {
    /// Writes the end of the journal, charges limits and budgets and counts metrics.
    async fn settle(
        self,
        writer: Writer,
        accounting: &mut Accounting,
        admission: &mut Admission,
        rest: Option<UnfinishedRead>,
        metrics: &Metrics,
    ) -> Outcome {
        let (last, mut end) = accounting.close(&self.ending);
        let Some(rest) = rest else {
            // Settled before the end is visible, because a client that sees it may send the next
            // request at once.
            let outcome = self.outcome(accounting, end);
            admission.settle(&outcome);
            metrics.record_stream(&outcome);
            writer.finish(last);
            return outcome;
        };
        // An answer that is read on holds no slot and is charged when its usage is known.
        admission.release();
        writer.finish(last);
        // Boxed, because few generations need this part.
        end.usage = Box::pin(rest.finish(accounting)).await;
        let outcome = self.outcome(accounting, end);
        admission.settle(&outcome);
        metrics.record_stream(&outcome);
        outcome
    }

    fn outcome(self, accounting: &Accounting, end: End) -> Outcome {
        let charge = accounting.charge(&self.ending, end.usage);
        Outcome {
            stream: self.stream.id().clone(),
            caller: self.stream.owner().clone(),
            head: self.stream.head().clone(),
            label: self.label,
            target: accounting.target.clone(),
            attempts: accounting.attempts(),
            trace: self.stream.trace(),
            end,
            fault: self.ending.into_fault(),
            charge,
            times: self.times,
        }
    }
}
