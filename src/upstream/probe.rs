//! A probe asks one target for one token, in the same way as any generation, and reports the
//! result.
//!
//! Invariants: only the answer of the target decides; a probe that has ended has no open request
//! upstream.

use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::{Admission, Clients, Finishing, Job, Recorder, run};
use crate::hub::{Cause, Hub, OnDisconnect, Reader, StreamSpec};
use crate::model::ask::{Ask, AskHead};
use crate::model::chat::{Chat, Message, Part, Role};
use crate::model::event::Event;
use crate::model::fault::{Code, Fault};
use crate::model::ids::CallerId;
use crate::model::profile::PayloadIds;
use crate::model::target::{Target, Via};
use crate::model::wire::{DialectId, WireId};
use crate::route::Plan;
use crate::telemetry::metrics::Metrics;

/// Memory for the journal of a probe, bytes: an answer of a few tokens.
const MEMORY: usize = 1 << 20;

/// Retention of the journal: it is read right after its end.
const RETENTION: Duration = Duration::from_secs(60);

/// Asks a target for one token and returns the time until it answered. Waits at most `patience`,
/// even where the clocks of the target are longer.
///
/// # Errors
/// Returns the fault when the target gives no token.
pub async fn probe(
    target: Target,
    clients: Arc<Clients>,
    patience: Duration,
) -> Result<Duration, Box<Fault>> {
    let ask = Arc::new(ask(&target));
    let hub = Hub::new(MEMORY);
    let (writer, reader) = hub.begin(hub.claim(&CallerId::Anonymous, Vec::new()), spec(&ask));
    let stream = reader.stream().clone();
    let began = Instant::now();
    // The usage after the cancel is of no interest, even for providers with `on_cancel = "finish"`.
    let finishing = Finishing::default();
    finishing.stop();
    // A probe uses no limits, budgets, recordings or metrics of the process.
    let job = Job {
        ask,
        plan: Plan::single(target),
        writer,
        admission: Admission::unlimited(),
        clients,
        recorder: Recorder::default(),
        metrics: Metrics::default(),
        finishing: Arc::new(finishing),
        // Longer than the probe: held frames must not count as an answer.
        commit_after: patience * 2,
    };
    let running = tokio::spawn(run(job));
    let outcome = timeout(patience, answer(&reader)).await;
    let took = began.elapsed();
    // The rest of the answer is of no interest.
    stream.cancel(Cause::Client);
    // Wait for the end of the task, so that no request is open upstream afterwards.
    let ended = running.await;
    match (outcome, ended) {
        (_, Err(_)) => Err(Box::new(Fault::new(
            Code::InternalError,
            "the task of the probe failed",
        ))),
        (Ok(None), _) => Ok(took),
        (Ok(Some(fault)), _) if is_cut_short(&fault) => Ok(took),
        (Ok(Some(fault)), _) => Err(fault),
        (Err(_), _) => Err(Box::new(Fault::new(
            Code::UpstreamTimeout,
            format!("no first token came within {patience:?}"),
        ))),
    }
}

/// Waits for the first content or the end. Returns the fault when the generation failed.
async fn answer(reader: &Reader) -> Option<Box<Fault>> {
    let decides = |event: &Event| {
        (event.is_content() || matches!(event, Event::Error(_) | Event::End(_))).then_some(())
    };
    poll_fn(|cx| reader.poll_found(cx, decides)).await;
    reader.stream().status(false).fault.map(Box::new)
}

/// OpenAI's reasoning models return this error when the maximum is too small for any reasoning. It
/// proves that the target answers.
fn is_cut_short(fault: &Fault) -> bool {
    fault.status.as_u16() == 400
        && fault
            .message
            .contains("max_tokens or model output limit was reached")
}

/// Builds the smallest request. It has another shape than the wire of the target, so that it is
/// written anew for it.
fn ask(target: &Target) -> Ask {
    let wire = if let Via::Http { wire, .. } = target.provider.via {
        Some(wire)
    } else {
        None
    };
    let shape = if wire == Some(WireId::OpenaiChat) {
        WireId::Anthropic
    } else {
        WireId::OpenaiChat
    };
    let chat = smallest_chat(wire);
    let head = AskHead {
        dialect: DialectId::Events,
        model: target.model.clone(),
        conversation: None,
        responses: None,
        stream: true,
        choices: 1,
        max_output: chat.max_tokens,
        include_usage: true,
        input_estimate: 1,
        user: None,
    };
    Ask {
        head: Arc::new(head),
        shape: Some(shape),
        body: Bytes::new(),
        models: Vec::new(),
        references: Vec::new(),
        headers: Vec::new(),
        translate: |_| Err(Fault::new(Code::InternalError, "a probe has no body")),
        chat: OnceLock::from(Ok(chat)),
    }
}

/// Returns a chat that asks for the smallest answer.
fn smallest_chat(wire: Option<WireId>) -> Chat {
    let hello = Message {
        role: Role::User,
        name: None,
        parts: vec![Part::Text("Hi".to_owned())],
    };
    // The Responses API accepts no smaller maximum.
    let max_tokens = if wire == Some(WireId::OpenaiResponses) {
        16
    } else {
        1
    };
    Chat {
        messages: vec![hello],
        max_tokens: Some(max_tokens),
        ..Chat::default()
    }
}

fn spec(ask: &Ask) -> StreamSpec {
    StreamSpec {
        owner: CallerId::Anonymous,
        head: ask.head.clone(),
        payload_ids: PayloadIds::NONE,
        digest: [0; 32],
        on_disconnect: OnDisconnect::Continue,
        retention: RETENTION,
        max_bytes: MEMORY,
        max_readers: 1,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::model::target::Provider;
    use crate::wire::refusal;

    #[test]
    fn a_maximum_too_small_for_reasoning_counts_as_an_answer() {
        let rejected_with = |message: &str| {
            refusal::fault(
                StatusCode::BAD_REQUEST,
                &HeaderMap::new(),
                Some(message.to_owned()),
                None,
                None,
                None,
            )
        };
        assert!(is_cut_short(&rejected_with(
            "Could not finish the message because max_tokens or model output limit was reached."
        )));
        assert!(!is_cut_short(&rejected_with("max_tokens is not a number")));
    }

    #[test]
    fn the_probe_request_is_translated_for_every_wire() {
        for wire in WireId::ALL {
            let provider = Provider::example(wire, "http://127.0.0.1:1");
            let ask = ask(&Target::example(provider, "m"));
            let most = if wire == WireId::OpenaiResponses {
                16
            } else {
                1
            };
            assert_ne!(ask.shape, Some(wire));
            assert_eq!(ask.chat().unwrap().max_tokens, Some(most), "{wire:?}");
        }
    }
}
