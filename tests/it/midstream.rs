//! What goes wrong after a good beginning: errors in every shape a provider gives them, and bytes
//! that nobody has recorded and a decoder must survive all the same.

mod shapes;

use bytes::Bytes;
use serde_json::Value;

use crate::rig::upstream::{Head, Step};
use crate::rig::{
    Ask, Client, Proxy, Reply, Say, Scene, Setup, Speech, Told, Upstream, WireId, say, wires,
};
use shapes::{Failing, Odd, oddities};

/// Where in an answer an error comes.
const AFTER: [usize; 3] = [0, 1, 5];
/// What the errors say besides their reason; a part of it is nobody's business.
const SECRET: &str = "sk-planted0123456789";

fn said(tokens: usize) -> Say {
    Say::tokens(tokens)
}

/// The stream up to the error: opening, so many tokens, the error, and what should not count any
/// more.
fn failing(wire: WireId, failing: &Failing, tokens: usize) -> Vec<Step> {
    let say = said(tokens);
    let mut pieces = vec![say.opening(wire)];
    pieces.extend(say.content(wire));
    pieces.push(failing.bytes.clone());
    if failing.goes_on {
        pieces.push(say.closing(wire));
    }
    vec![
        Step::Head(say::head(wire)),
        Step::Write(say::joined(&pieces)),
        Step::Yield,
        Step::End,
    ]
}

/// An upstream with so many answers, and a proxy before it.
async fn serving(wire: WireId, answers: Vec<Vec<Step>>) -> (Upstream, Proxy) {
    let upstream = Upstream::start(move |call, _| answers[asked_for(&call.body)].clone()).await;
    let proxy = Setup::new()
        .over(wire, &upstream)
        .section("models.m", "retries = 0")
        .forgiving()
        .start()
        .await;
    (upstream, proxy)
}

/// Asks for one of them.
fn ask(speech: Speech, number: usize) -> Ask {
    let messages = serde_json::json!([{"role": "user", "content": format!("answer-{number}-")}]);
    Ask::chat(speech, "m", true).set("messages", messages)
}

fn asked_for(body: &Bytes) -> usize {
    let body = std::str::from_utf8(body).unwrap();
    body.split("answer-")
        .nth(1)
        .and_then(|it| it.split('-').next())
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn an_error_after_any_number_of_tokens_is_typed_and_no_success() {
    for wire in wires() {
        let shapes = shapes::failing(wire);
        let cases: Vec<_> = shapes
            .iter()
            .flat_map(|shape| AFTER.map(|tokens| (shape, tokens)))
            .collect();
        let (_upstream, proxy) = serving(
            wire,
            cases
                .iter()
                .map(|(shape, tokens)| failing(wire, shape, *tokens))
                .collect(),
        )
        .await;
        for (number, (shape, tokens)) in cases.into_iter().enumerate() {
            for speech in Speech::CHATS {
                let _scene = Scene::of(format!(
                    "{speech:?} over {wire:?}: {} after {tokens} tokens",
                    shape.name
                ));
                told_as_failure(
                    &proxy.client,
                    &ask(speech, number),
                    speech,
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

async fn told_as_failure(
    client: &Client,
    ask: &Ask,
    speech: Speech,
    wire: WireId,
    shape: &Failing,
    tokens: usize,
) {
    let mut reply = client.ask(ask).await;
    if speech == Speech::Chat && tokens == 0 {
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
    let told = reply.told().await;
    assert!(told.is_failure(), "{told:?}");
    assert_eq!(told.text(), said(tokens).text());
    let (code, message) = told.error.clone().unwrap();
    let passed_on = speech == Speech::Chat && wire == WireId::OpenaiChat;
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
    if speech == Speech::Events {
        let usage = told.usage.unwrap();
        assert!(usage.estimated && usage.input > Some(0), "{usage:?}");
        let streamed = said(tokens).text().len().div_ceil(4) as u64;
        assert!(
            usage.output >= Some(streamed) && usage.output <= Some(streamed.max(1)),
            "{usage:?}, {streamed} tokens were streamed"
        );
    }
}

#[tokio::test]
async fn bytes_that_nobody_has_recorded_are_survived() {
    for wire in wires() {
        let odd = oddities(wire);
        let steps = |odd: &Odd| {
            vec![
                Step::Head(Head::ok(odd.kind)),
                Step::Write(odd.bytes.clone()),
                Step::End,
            ]
        };
        let (_upstream, proxy) = serving(wire, odd.iter().map(steps).collect()).await;
        for (number, odd) in odd.iter().enumerate() {
            for speech in Speech::CHATS {
                let _scene = Scene::of(format!("{speech:?} over {wire:?}: {}", odd.name));
                told_in_full(
                    proxy.client.ask(&ask(speech, number)).await,
                    speech,
                    wire,
                    odd,
                )
                .await;
            }
        }
    }
}

async fn told_in_full(mut reply: Reply, speech: Speech, wire: WireId, odd: &Odd) {
    assert_eq!(reply.status, 200);
    if speech == Speech::Chat && wire == WireId::OpenaiChat && odd.unreadable {
        let raw = reply.text().await;
        assert!(
            raw.ends_with("data: [DONE]\n\n") && raw.matches("[DONE]").count() == 1,
            "{raw}"
        );
        return;
    }
    let told = reply.told().await;
    assert!(told.is_success(), "{told:?}");
    assert_eq!(broken_once(told.text()), odd.text);
    let call = told.first().tools.into_values().next();
    assert_eq!(
        call.map(|(_, name, arguments)| (name, json(&arguments))),
        odd.call.clone()
    );
}

/// What could not be read, as one character, however many stand for it.
fn broken_once(text: &str) -> String {
    let mut out: Vec<char> = text.chars().collect();
    out.dedup_by(|a, b| a == b && *a == '\u{fffd}');
    out.into_iter().collect()
}

/// Arguments; nothing at all stands for none.
fn json(text: &str) -> Value {
    let text = if text.is_empty() { "{}" } else { text };
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A body cut short in the middle of what cannot be guessed: a character, an escape, a number, a
/// frame.
#[tokio::test]
async fn an_answer_cut_at_any_byte_is_never_a_success() {
    let said = Say::tokens(2).tool("call_1", "look", &["{\"at\":1}"]);
    for wire in wires() {
        let body = said.stream(wire);
        // The terminal marker may be complete before the last byte: what follows it (line ends) is
        // nobody's loss.
        let end = body.len() - said.closing(wire).len();
        let steps = |at: usize| {
            vec![
                Step::Head(say::head(wire)),
                Step::Write(body.slice(..at)),
                Step::End,
            ]
        };
        let (_upstream, proxy) = serving(wire, (0..=end).map(steps).collect()).await;
        for at in (1..=end).step_by(3) {
            let _scene = Scene::of(format!("{wire:?}, cut at {at} of {}", body.len()));
            let told: Told = proxy
                .client
                .ask(&ask(Speech::Events, at))
                .await
                .told()
                .await;
            assert!(told.is_failure(), "{told:?}");
            assert!(said.text().starts_with(told.text()), "{told:?}");
        }
    }
}
