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
use lane::Opened;
use unfinished::Unfinished;

use crate::hub::{Cause, Stream, Writer};
use crate::ledger::{Bill, Settlement};
use crate::limits::Pass;
use crate::model::ask::Ask;
use crate::model::entry::Payload;
use crate::model::event::End;
use crate::model::fault::Fault;
use crate::route::Plan;
use crate::telemetry::access_log::{self, Summary};
use crate::telemetry::metrics::{EndedStream, Metrics};

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
    /// Admission by the limits.
    pub pass: Pass,
    /// The budgets to charge; `None` when no budget applies.
    pub bill: Option<Bill>,
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
    fn fault(&self) -> Option<&Fault> {
        if let Self::Failed(fault, _) = self {
            Some(fault)
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

/// Journals an opened answer to its end. Reports a failure in the middle of the answer to the
/// health of its target.
async fn pump_opened(
    opened: Opened,
    writer: &mut Writer,
    accounting: &mut closing::Accounting,
    pass: &mut Pass,
    bill: &mut Option<Bill>,
) -> Ending {
    let Opened { live, mut permit } = opened;
    let ending = pump::pump(live, writer, accounting, pass, bill).await;
    if let Ending::Failed(fault, _) = &ending {
        // The permit has already recorded an answer. A failure after it counts as well.
        permit.record_failure(fault);
    }
    ending
}

/// Runs a generation to its end. The result is in the journal and in one line of the access log.
pub async fn run(job: Job) {
    let began = Instant::now();
    let Job {
        ask,
        plan,
        mut writer,
        mut pass,
        mut bill,
        clients,
        recorder,
        metrics,
        finishing,
        commit_after,
    } = job;
    let mut accounting = closing::Accounting::new(&ask);
    // `writer.finish` consumes the writer; the status is still updated afterwards.
    let stream = writer.stream().clone();
    let reporter = OutcomeReporter {
        metrics: &metrics,
        model: &plan.label,
        stream: &stream,
    };
    let opening = opening::Opening::new(
        &ask,
        &plan,
        &clients,
        &recorder,
        stream.clone(),
        commit_after,
    );
    // Boxed, so that the memory used for opening is freed before the long part begins.
    let opened = Box::pin(opening.open(&mut accounting, &mut pass)).await;
    let mut ending = match opened {
        Ok(opened) => pump_opened(opened, &mut writer, &mut accounting, &mut pass, &mut bill).await,
        Err(ending) => ending,
    };
    if let Ending::Failed(fault, _) = &mut ending {
        // The fault may quote any of the targets that were asked: remove the secrets of all of
        // them.
        plan.targets()
            .for_each(|target| redact::redact_fault(fault, &target.provider));
    }
    let rest = finishing.admit(&mut ending, &stream);
    let (last, mut end) = accounting.close(&ending);
    let times = Times {
        first_content: accounting.first_content.map(|at| at.duration_since(began)),
        took: began.elapsed(),
    };
    // Release or settle before the end is visible, because a client that sees it may send the next
    // request at once. An answer that is read on holds no slot and is charged when its usage is
    // known.
    match &rest {
        None => reporter.settle(&mut pass, bill.take(), &accounting, &ending, &end, times),
        Some(_) => pass.release(),
    }
    writer.finish(last);
    if let Some(rest) = rest {
        // Boxed, because few generations need this part.
        end.usage = Box::pin(rest.finish(&mut accounting)).await;
        reporter.settle(&mut pass, bill, &accounting, &ending, &end, times);
    }
    // Last, so that it contains the usage of an answer that was read on.
    write_access_line(&stream, &ask, &accounting, &ending, &end, times);
}

/// Writes the line of this generation in the access log.
fn write_access_line(
    stream: &Stream,
    ask: &Ask,
    accounting: &closing::Accounting,
    ending: &Ending,
    end: &End,
    times: Times,
) {
    access_log::write(&Summary {
        stream: stream.id(),
        caller: stream.owner(),
        dialect: stream.dialect().name(),
        model: &ask.head.model,
        target: accounting.target.as_ref(),
        attempts: accounting.attempts(),
        route: &stream.trace(),
        fault: ending.fault(),
        end,
        first_content: times.first_content,
        took: times.took,
    });
}

/// Durations of a generation.
#[derive(Clone, Copy)]
struct Times {
    first_content: Option<Duration>,
    took: Duration,
}

/// Reports the outcome of a generation to limits, budgets and metrics.
struct OutcomeReporter<'a> {
    metrics: &'a Metrics,
    /// Label of the model in metrics.
    model: &'a ByteString,
    stream: &'a Stream,
}

impl OutcomeReporter<'_> {
    /// Charges the usage to limits and budgets and counts the outcome.
    fn settle(
        &self,
        pass: &mut Pass,
        bill: Option<Bill>,
        accounting: &closing::Accounting,
        ending: &Ending,
        end: &End,
        times: Times,
    ) {
        pass.settle(accounting.charge(ending, end.usage));
        let Times {
            first_content,
            took,
        } = times;
        let (target, attempts) = (accounting.target.as_ref(), accounting.attempts());
        if let Some(bill) = bill {
            bill.settle(&Settlement {
                end,
                fault: ending.fault(),
                target,
                attempts,
                first_content,
                took,
            });
        }
        let provider = target.map(|target| &target.provider.name);
        self.metrics.record_stream(&EndedStream {
            model: self.model,
            provider,
            route: &self.stream.trace(),
            end,
            first_content,
            took,
        });
    }
}
