//! Failures after a good beginning: errors in every shape a provider sends, and unusual bytes that
//! a decoder must survive.

mod shapes;

use bytes::Bytes;
use serde_json::Value;

use crate::rig::upstream::{Head, Step};
use crate::rig::{
    Answer, Case, Client, Dialect, Proxy, Received, Reply, Request, Setup, Upstream, WireId,
    encode, wires,
};
use shapes::{ErrorShape, OddStream, odd_streams};

/// Number of tokens before the error.
const AFTER: [usize; 3] = [0, 1, 5];
/// A secret in every error message that clients must not see.
const SECRET: &str = "sk-planted0123456789";

fn answer(tokens: usize) -> Answer {
    Answer::tokens(tokens)
}

/// A stream up to the error: opening, tokens, the error, and optionally a closing that must not
/// count.
fn failing_stream(wire: WireId, shape: &ErrorShape, tokens: usize) -> Vec<Step> {
    let answer = answer(tokens);
    let mut pieces = vec![answer.opening(wire)];
    pieces.extend(answer.content(wire));
    pieces.push(shape.bytes.clone());
    if shape.followed_by_end {
        pieces.push(answer.closing(wire));
    }
    vec![
        Step::Head(encode::head(wire)),
        Step::Write(encode::joined(&pieces)),
        Step::Yield,
        Step::End,
    ]
}

/// A proxy over an upstream with numbered answers.
async fn serving(wire: WireId, answers: Vec<Vec<Step>>) -> (Upstream, Proxy) {
    let upstream =
        Upstream::start(move |call, _| answers[requested_answer(&call.body)].clone()).await;
    let proxy = Setup::new()
        .over(wire, &upstream)
        .section("models.m", "retries = 0")
        .forgiving()
        .start()
        .await;
    (upstream, proxy)
}

/// Requests one of the answers by its number.
fn request(dialect: Dialect, number: usize) -> Request {
    let messages = serde_json::json!([{"role": "user", "content": format!("answer-{number}-")}]);
    Request::chat(dialect, "m", true).set("messages", messages)
}

fn requested_answer(body: &Bytes) -> usize {
    let body = std::str::from_utf8(body).unwrap();
    body.split("answer-")
        .nth(1)
        .and_then(|it| it.split('-').next())
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn an_error_after_any_number_of_tokens_is_a_typed_failure() {
    for wire in wires() {
        let shapes = shapes::error_shapes(wire);
        let cases: Vec<_> = shapes
            .iter()
            .flat_map(|shape| AFTER.map(|tokens| (shape, tokens)))
            .collect();
        let (_upstream, proxy) = serving(
            wire,
            cases
                .iter()
                .map(|(shape, tokens)| failing_stream(wire, shape, *tokens))
                .collect(),
        )
        .await;
        for (number, (shape, tokens)) in cases.into_iter().enumerate() {
            for dialect in Dialect::CHATS {
                let _case = Case::new(format!(
                    "{dialect:?} over {wire:?}: {} after {tokens} tokens",
                    shape.name
                ));
                check_failure(
                    &proxy.client,
                    &request(dialect, number),
                    dialect,
                    wire,
                    shape,
                    tokens,
                )
                .await;
            }
        }
        proxy.at_rest().await;
    }
}

async fn check_failure(
    client: &Client,
    request: &Request,
    dialect: Dialect,
    wire: WireId,
    shape: &ErrorShape,
    tokens: usize,
) {
    let mut reply = client.ask(request).await;
    if dialect == Dialect::Chat && tokens == 0 {
        let body = reply.json().await;
        assert_eq!(
            (reply.status, body["error"]["code"].as_str()),
            (shape.status, Some(shape.code)),
            "{body}"
        );
        assert!(!body.to_string().contains(SECRET), "{body}");
        return;
    }
    assert_eq!(reply.status, 200);
    let id = reply.stream_id();
    let received = reply.received().await;
    assert!(received.is_failure(), "{received:?}");
    assert_eq!(received.text(), answer(tokens).text());
    let (code, message) = received.error.clone().unwrap();
    let passed_on = dialect == Dialect::Chat && wire == WireId::OpenaiChat;
    assert!(
        passed_on || code == shape.code,
        "{code}, not {}: {message}",
        shape.code
    );
    assert!(
        passed_on || !message.is_empty() && !message.contains(SECRET),
        "{message}"
    );
    let status = client.status(&id).await;
    assert_eq!(
        (
            &status["status"],
            &status["reason"],
            &status["error"]["code"]
        ),
        (&"failed".into(), &"error".into(), &shape.code.into())
    );
    if dialect == Dialect::Events {
        let usage = received.usage.unwrap();
        assert!(usage.estimated && usage.input > Some(0), "{usage:?}");
        let streamed = answer(tokens).text().len().div_ceil(4) as u64;
        assert!(
            usage.output >= Some(streamed) && usage.output <= Some(streamed.max(1)),
            "{usage:?}, {streamed} tokens were streamed"
        );
    }
}

#[tokio::test]
async fn unusual_bytes_are_decoded() {
    for wire in wires() {
        let odd = odd_streams(wire);
        let steps = |odd: &OddStream| {
            vec![
                Step::Head(Head::ok(odd.kind)),
                Step::Write(odd.bytes.clone()),
                Step::End,
            ]
        };
        let (_upstream, proxy) = serving(wire, odd.iter().map(steps).collect()).await;
        for (number, odd) in odd.iter().enumerate() {
            for dialect in Dialect::CHATS {
                let _case = Case::new(format!("{dialect:?} over {wire:?}: {}", odd.name));
                check_success(
                    proxy.client.ask(&request(dialect, number)).await,
                    dialect,
                    wire,
                    odd,
                )
                .await;
            }
        }
    }
}

async fn check_success(mut reply: Reply, dialect: Dialect, wire: WireId, odd: &OddStream) {
    assert_eq!(reply.status, 200);
    if dialect == Dialect::Chat && wire == WireId::OpenaiChat && odd.invalid_json {
        let raw = reply.text().await;
        assert!(
            raw.ends_with("data: [DONE]\n\n") && raw.matches("[DONE]").count() == 1,
            "{raw}"
        );
        return;
    }
    let received = reply.received().await;
    assert!(received.is_success(), "{received:?}");
    assert_eq!(merge_replacement_characters(received.text()), odd.text);
    let call = received.first().tools.into_values().next();
    assert_eq!(
        call.map(|(_, name, arguments)| (name, json(&arguments))),
        odd.call.clone()
    );
}

/// Merges consecutive replacement characters, because decoders may emit one or several per invalid
/// sequence.
fn merge_replacement_characters(text: &str) -> String {
    let mut out: Vec<char> = text.chars().collect();
    out.dedup_by(|a, b| a == b && *a == '\u{fffd}');
    out.into_iter().collect()
}

/// Parses arguments; an empty text stands for an empty object.
fn json(text: &str) -> Value {
    let text = if text.is_empty() { "{}" } else { text };
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Cuts a body at every byte: inside characters, escapes, numbers and frames.
#[tokio::test]
async fn an_answer_cut_at_any_byte_is_never_a_success() {
    let answer = Answer::tokens(2).tool("call_1", "look", &["{\"at\":1}"]);
    for wire in wires() {
        let body = answer.stream(wire);
        // The terminal marker may be complete before the last byte: only line ends follow it.
        let end = body.len() - answer.closing(wire).len();
        let steps = |at: usize| {
            vec![
                Step::Head(encode::head(wire)),
                Step::Write(body.slice(..at)),
                Step::End,
            ]
        };
        let (_upstream, proxy) = serving(wire, (0..=end).map(steps).collect()).await;
        for at in (1..=end).step_by(3) {
            let _case = Case::new(format!("{wire:?}, cut at {at} of {}", body.len()));
            let received: Received = proxy
                .client
                .ask(&request(Dialect::Events, at))
                .await
                .received()
                .await;
            assert!(received.is_failure(), "{received:?}");
            assert!(answer.text().starts_with(received.text()), "{received:?}");
        }
    }
}
