//! The loop of an opened answer: bytes → frames → events → journal. Each read wakes the task once;
//! clocks do not wake it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Ending;
use super::admission::Admission;
use super::clock::Clock;
use super::closing::Accounting;
use super::live::LiveAnswer;
use crate::hub::{Cause, Stream, Writer};
use crate::model::fault::Fault;

/// Maximum number of chunks gathered before readers are notified.
const MAX_GATHERED_CHUNKS: usize = 64;

/// The event that woke the pump.
enum Wake {
    Chunk(Option<Result<Bytes, Fault>>),
    Cancelled(Cause),
    Expired(Clock),
}

/// Journals an opened answer until it ends. The upstream body is dropped on return, or returned
/// with the ending of a cancel if it has to be read on.
pub(super) async fn pump(
    mut live: Box<LiveAnswer>,
    writer: &mut Writer,
    accounting: &mut Accounting,
    admission: &mut Admission,
) -> Ending {
    let mut entries = vec![live.route_entry()];
    // The route entry and the held frames become visible together.
    entries.append(&mut live.entries);
    writer.append(&mut entries);
    // The failure came in the same read as the content, which is journaled now.
    if let Some(ending) = live.deferred_failure.take() {
        return ending;
    }
    let stream = writer.stream().clone();
    let mut alarm = pin!(sleep_until(live.running.next_expiry().0));
    // The end of the body, if `gather` has found it.
    let mut next = None;
    while !live.done {
        let event = match next.take() {
            Some(event) => event,
            None => poll_fn(|cx| poll_wake(&mut live, &stream, alarm.as_mut(), cx)).await,
        };
        let mut result = process(event, &mut live, accounting);
        if result.is_ok() && live.running.is_burst() {
            (result, next) = gather(&mut live, accounting).await;
        }
        // A complete answer is settled right after the loop; charging it here could only turn it
        // into a failure.
        if result.is_ok() && !live.done {
            result = admission
                .streamed(accounting)
                .map_err(|fault| Ending::Failed(fault, None));
        }
        // Not set yet if held frames were released before any content.
        if accounting.first_content.is_none() && live.decided {
            accounting.first_content = Some(std::time::Instant::now());
        }
        // Entries decoded before a failure are journaled before it is reported.
        writer.append(&mut live.entries);
        if let Err(ending) = result {
            return live.stopped(ending);
        }
    }
    live.retire();
    accounting
        .failed_finish()
        .map_or(Ending::Complete, Ending::from)
}

/// Decodes the bytes of an event. An event that ends the answer is returned as its ending.
fn process(event: Wake, live: &mut LiveAnswer, accounting: &mut Accounting) -> Result<(), Ending> {
    match event {
        Wake::Chunk(Some(Ok(chunk))) => live.receive(&chunk, accounting),
        Wake::Chunk(None) => live.end(accounting),
        Wake::Chunk(Some(Err(fault))) => Err(fault.into()),
        Wake::Cancelled(cause) => Err(cause.into()),
        Wake::Expired(clock) => Err(clock.timeout_fault(&live.running.clocks).into()),
    }
}

/// In a burst, decodes the chunks that arrive within the same turn of the event loop, so that one
/// lock of the journal and one write to each client carry many tokens. It does not wait for a
/// timer: the first turn without bytes ends it.
async fn gather(
    live: &mut LiveAnswer,
    accounting: &mut Accounting,
) -> (Result<(), Ending>, Option<Wake>) {
    for _ in 0..MAX_GATHERED_CHUNKS {
        if live.done {
            break;
        }
        yield_once().await;
        let chunk = match poll_fn(|cx| Poll::Ready(live.body.poll_chunk(cx))).await {
            Poll::Pending => break,
            Poll::Ready(Some(Ok(chunk))) => chunk,
            Poll::Ready(ended) => return (Ok(()), Some(Wake::Chunk(ended))),
        };
        if let Err(ending) = live.receive(&chunk, accounting) {
            return (Err(ending), None);
        }
    }
    (Ok(()), None)
}

/// Yields once, so that every task that is ready runs.
async fn yield_once() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn poll_wake(
    live: &mut LiveAnswer,
    stream: &Stream,
    mut alarm: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<Wake> {
    // First, so that a busy upstream cannot delay a cancel.
    if let Poll::Ready(cause) = stream.poll_cancelled(cx) {
        return Poll::Ready(Wake::Cancelled(cause));
    }
    if let Poll::Ready(chunk) = live.body.poll_chunk(cx) {
        return Poll::Ready(Wake::Chunk(chunk));
    }
    // Moving a timer for every token would be expensive. Instead, check when it fires whether bytes
    // have arrived since.
    while alarm.as_mut().poll(cx).is_ready() {
        let (at, clock) = live.running.next_expiry();
        if at <= Instant::now() {
            return Poll::Ready(Wake::Expired(clock));
        }
        alarm.as_mut().reset(at);
    }
    Poll::Pending
}
