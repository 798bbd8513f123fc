//! One generation, from its plan to the end of its journal: attempts, retries and failover until
//! the first content, then the pump.
//!
//! Invariants: only an opened answer writes content — a failed attempt journals no token, and
//! nothing is tried again after one; whoever cancels is heard at every await; the upstream's
//! request is dropped before the journal ends, unless its account wants it read to its end; the
//! pass is settled when the journal ends, or when what is read on is, whatever became of the
//! client; one line of the access log settles it, once nothing more can come.

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
mod probe;
mod pump;
mod recorder;
mod redact;
mod replay;
mod sent;
mod sign;
mod transport;
mod verdict;
mod whole;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytestring::ByteString;
use finishing::Unfinished;
use lane::Opened;

use crate::hub::{Cause, Stream, Writer};
use crate::ledger::{Bill, Settlement};
use crate::limits::Pass;
use crate::model::ask::Ask;
use crate::model::entry::Payload;
use crate::model::event::End;
use crate::model::fault::Fault;
use crate::route::Plan;
use crate::telemetry::access_log::{self, Summary};
use crate::telemetry::metrics::{Ended, Metrics};

pub use client::{ClientProblem, Clients, set_worker};
pub use count::count;
pub use finishing::Finishing;
pub use probe::probe;
pub use recorder::{Recorder, RecorderProblem};

/// A generation to be run.
#[derive(Debug)]
pub struct Job {
    /// What was asked.
    pub ask: Arc<Ask>,
    /// Who is asked for it.
    pub plan: Plan,
    /// Its journal.
    pub writer: Writer,
    /// The right to run it.
    pub pass: Pass,
    /// What it is charged to; none where nobody pays.
    pub bill: Option<Bill>,
    /// The HTTP clients of the moment.
    pub clients: Arc<Clients>,
    /// Has answers recorded.
    pub recorder: Recorder,
    /// Counts what became of it.
    pub metrics: Metrics,
    /// The places of cancelled upstreams that are read on.
    pub finishing: Arc<Finishing>,
    /// When frames held before the first content are let go.
    pub commit_after: Duration,
}

/// How a generation ended.
enum Ending {
    Complete,
    /// With what is left of the upstream's answer, where its account wants that read.
    Cancelled(Cause, Option<Unfinished>),
    /// With the upstream's own error payload, where it is passed on.
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

impl From<Fault> for Ending {
    fn from(fault: Fault) -> Self {
        Self::Failed(Box::new(fault), None)
    }
}

/// Journals an opened answer to its end; one that breaks off is told of its target.
async fn pumped(
    opened: Opened,
    writer: &mut Writer,
    accounting: &mut closing::Accounting,
    pass: &mut Pass,
    bill: &mut Option<Bill>,
) -> Ending {
    let Opened { live, mut permit } = opened;
    let ending = pump::pump(live, writer, accounting, pass, bill).await;
    if let Ending::Failed(fault, _) = &ending {
        permit.failed(fault);
    }
    ending
}

/// Runs a generation to its end. Everything it did stands in the journal, and in one line of the
/// access log.
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
    let stream = writer.stream().clone();
    let books = Books {
        metrics: &metrics,
        model: &plan.label,
        stream: &stream,
    };
    let opening = open::Opening::new(
        &ask,
        &plan,
        &clients,
        &recorder,
        stream.clone(),
        commit_after,
    );
    // Boxed, so that what opening needs is given back before the long part begins.
    let opened = Box::pin(opening.open(&mut accounting, &mut pass)).await;
    let mut ending = match opened {
        Ok(opened) => pumped(opened, &mut writer, &mut accounting, &mut pass, &mut bill).await,
        Err(ending) => ending,
    };
    if let Ending::Failed(fault, _) = &mut ending {
        plan.targets()
            .for_each(|target| redact::hide(fault, &target.provider));
    }
    let rest = finishing.admit(&mut ending, &stream);
    let (last, mut end) = accounting.close(&ending);
    let times = Times {
        first_content: accounting.first_content.map(|at| at.duration_since(began)),
        took: began.elapsed(),
    };
    // Before anybody can see the end, and come again: what is read on holds no slot, and is paid
    // for when it is known.
    match &rest {
        None => books.settle(&mut pass, bill.take(), &accounting, &ending, &end, times),
        Some(_) => pass.release(),
    }
    writer.finish(last);
    if let Some(rest) = rest {
        end.usage = Box::pin(rest.finish(&mut accounting)).await;
        books.settle(&mut pass, bill, &accounting, &ending, &end, times);
    }
    log(&stream, &ask, &accounting, &ending, &end, times);
}

/// Its line in the access log.
fn log(
    stream: &Stream,
    ask: &Ask,
    accounting: &closing::Accounting,
    ending: &Ending,
    end: &End,
    times: Times,
) {
    access_log::line(&Summary {
        stream: stream.id(),
        caller: stream.owner(),
        dialect: stream.dialect().name(),
        model: &ask.model,
        target: accounting.target.as_ref(),
        attempts: accounting.attempts(),
        route: &stream.trace(),
        fault: ending.fault(),
        end,
        first_content: times.first_content,
        took: times.took,
    });
}

/// How long it took.
#[derive(Clone, Copy)]
struct Times {
    first_content: Option<Duration>,
    took: Duration,
}

/// Where it is written down what a generation came to.
struct Books<'a> {
    metrics: &'a Metrics,
    /// What metrics call its model.
    model: &'a ByteString,
    stream: &'a Stream,
}

impl Books<'_> {
    /// Charges what was used, to limits and to budgets, and counts it.
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
        self.metrics.ended(&Ended {
            model: self.model,
            provider,
            route: &self.stream.trace(),
            end,
            first_content,
            took,
        });
    }
}
