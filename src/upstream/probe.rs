//! A probe: one target is asked for one token, in the way of any generation, and it is watched what
//! comes of it.
//!
//! Invariants: nothing but the target's answer decides; a probe that is over has no request at the
//! upstream any more.

use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::{Clients, Finishing, Job, Recorder, run};
use crate::hub::{Cause, Hub, OnDisconnect, Reader, StreamSpec};
use crate::limits::Pass;
use crate::model::ask::Ask;
use crate::model::chat::{Chat, Message, Part, Role};
use crate::model::event::Event;
use crate::model::fault::{Code, Fault};
use crate::model::ids::CallerId;
use crate::model::target::{Target, Via};
use crate::model::wire::{DialectId, WireId};
use crate::route::Plan;
use crate::telemetry::metrics::Metrics;

/// Memory for one probe's journal: an answer of a few tokens.
const MEMORY: usize = 1 << 20;

/// How long the journal is kept: it is looked at when it has ended.
const KEPT: Duration = Duration::from_secs(60);

/// Asks a target for one token; at most `patience` is waited, also where its own clocks are longer.
///
/// # Errors
/// Why it did not give one.
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
    // What it goes on to say is of no interest, to no account.
    let finishing = Finishing::default();
    finishing.stop();
    let job = Job {
        ask,
        plan: Plan::of(target),
        writer,
        pass: Pass::unlimited(),
        bill: None,
        clients,
        recorder: Recorder::default(),
        metrics: Metrics::default(),
        finishing: Arc::new(finishing),
        commit_after: patience * 2,
    };
    let running = tokio::spawn(run(job));
    let answered = timeout(patience, answer(&reader)).await;
    let took = began.elapsed();
    // What it goes on to say is of no interest.
    stream.cancel(Cause::Client);
    let over = running.await;
    match (answered, over) {
        (_, Err(_)) => Err(Box::new(Fault::new(
            Code::InternalError,
            "the probe broke off",
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

/// Waits for the first content, or for an end; the fault where it failed.
async fn answer(reader: &Reader) -> Option<Box<Fault>> {
    let decides = |event: &Event| {
        (event.is_content() || matches!(event, Event::Error(_) | Event::End(_))).then_some(())
    };
    poll_fn(|cx| reader.poll_found(cx, decides)).await;
    reader.stream().status(false).fault.map(Box::new)
}

/// OpenAI's reasoning models answer so when a maximum is too small for a thought: they do answer.
fn is_cut_short(fault: &Fault) -> bool {
    fault.status.as_u16() == 400
        && fault
            .message
            .contains("max_tokens or model output limit was reached")
}

/// The smallest wish, in the target's words: as a request of another shape, it is written anew.
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
    // The Responses API takes no maximum below this.
    let max_tokens = Some(if wire == Some(WireId::OpenaiResponses) {
        16
    } else {
        1
    });
    let hello = Message {
        role: Role::User,
        name: None,
        parts: vec![Part::Text("Hi".to_owned())],
    };
    let chat = Chat {
        messages: vec![hello],
        max_tokens,
        ..Chat::default()
    };
    Ask {
        dialect: DialectId::Events,
        shape: Some(shape),
        body: Bytes::new(),
        model: target.model.clone(),
        conversation: None,
        asked: None,
        models: Vec::new(),
        references: Vec::new(),
        stream: true,
        choices: 1,
        max_output: max_tokens,
        include_usage: true,
        input_estimate: 1,
        user: None,
        headers: Vec::new(),
        translate: |_| Err(Fault::new(Code::InternalError, "a probe has no body")),
        chat: OnceLock::from(Ok(chat)),
    }
}

fn spec(ask: &Ask) -> StreamSpec {
    StreamSpec {
        owner: CallerId::Anonymous,
        dialect: ask.dialect,
        model: ask.model.clone(),
        conversation: None,
        asked: None,
        input_estimate: ask.input_estimate,
        choices: ask.choices,
        include_usage: ask.include_usage,
        streamed: ask.stream,
        digest: [0; 32],
        on_disconnect: OnDisconnect::Continue,
        retention: KEPT,
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
    fn a_maximum_too_small_for_a_thought_is_an_answer() {
        let of = |said: &str| {
            refusal::fault(
                StatusCode::BAD_REQUEST,
                &HeaderMap::new(),
                Some(said.to_owned()),
                None,
                None,
                None,
            )
        };
        assert!(is_cut_short(&of(
            "Could not finish the message because max_tokens or model output limit was reached."
        )));
        assert!(!is_cut_short(&of("max_tokens is not a number")));
    }

    #[test]
    fn the_wish_is_written_anew_for_every_wire() {
        for wire in WireId::ALL {
            let ask = ask(&Target {
                provider: Arc::new(Provider::example(wire, "http://127.0.0.1:1")),
                model: "m".into(),
            });
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
