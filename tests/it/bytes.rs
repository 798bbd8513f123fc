//! Tests of bytes: however a body is split and whatever it contains, the client receives all of it
//! exactly once and never a false success.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::rig::sse::Event;
use crate::rig::upstream::{Framing, Head, Step, json as whole, pieces};
use crate::rig::{
    Answer, Case, Client, Dialect, Pace, Proxy, Received, Request, Setup, Upstream, VirtualClock,
    WireId, dialects, encode, pairs, wires,
};

/// Sends a non-streaming request. Returns the status, the body and, for status 200, the decoded
/// answer.
async fn ask_whole(client: &Client, dialect: Dialect) -> (u16, Value, Received) {
    let mut reply = client.ask(&Request::chat(dialect, "m", false)).await;
    let body = reply.json().await;
    let received = match (reply.status, dialect) {
        (200, _) => Received::from_body(dialect, &body),
        _ => Received::default(),
    };
    (reply.status, body, received)
}

#[tokio::test]
async fn b17_a_stream_split_at_any_byte_decodes_to_the_same_answer() {
    let answer = Answer {
        tokens: vec!["é😀\u{2028}".into(), "\n\n\r\ttwo".into()],
        ..Answer::tokens(0)
    };
    for (n, (dialect, wire)) in pairs().enumerate() {
        let body = encode::for_wire(wire).strange(&answer.stream(wire));
        let cut = body.clone();
        let upstream = Upstream::start(move |_, call| {
            let mut steps = vec![Step::Head(encode::head(wire))];
            steps.extend(pieces(&cut, [call]));
            steps.push(Step::End);
            steps
        })
        .await;
        let proxy = Proxy::over(wire, &upstream).await;
        let stride = if dialect == Dialect::Events { 1 } else { 5 };
        for at in (0..=body.len()).step_by(stride) {
            let _case = Case::new(format!(
                "{dialect:?} over {wire:?} (pair {n}), cut at byte {at} of {}",
                body.len()
            ));
            let received = proxy
                .client
                .ask(&Request::chat(dialect, "m", true))
                .await
                .received()
                .await;
            assert!(received.is_success(), "{received:?}");
            assert_eq!(received.text(), answer.text());
            assert_eq!(received.usage.unwrap().output, Some(7));
        }
    }
}

#[tokio::test]
async fn b17_the_last_frame_may_lack_its_end() {
    for (dialect, wire) in pairs() {
        for (n, body) in encode::for_wire(wire)
            .unended(&Answer::tokens(2).stream(wire))
            .into_iter()
            .enumerate()
        {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, way {n}"));
            let upstream = Upstream::always(vec![
                Step::Head(encode::head(wire)),
                Step::Write(body),
                Step::End,
            ])
            .await;
            let proxy = Proxy::over(wire, &upstream).await;
            let received = proxy
                .client
                .ask(&Request::chat(dialect, "m", true))
                .await
                .received()
                .await;
            assert!(received.is_success(), "{received:?}");
            assert_eq!(received.text(), "tok0 tok1 ");
        }
    }
}

#[tokio::test]
async fn b18_a_large_event_arrives_in_small_pieces() {
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let answer = Answer {
            tokens: vec!["x".repeat(1 << 20)],
            ..Answer::tokens(0)
        };
        let mut steps = vec![Step::Head(encode::head(wire))];
        steps.extend(pieces(&answer.stream(wire), (1..1100).map(|n| n * 1024)));
        steps.push(Step::End);
        let upstream = Upstream::always(steps).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let received = proxy
            .client
            .ask(&Request::chat(dialect, "m", true))
            .await
            .received()
            .await;
        assert!(received.is_success());
        assert!(
            received.text() == answer.text(),
            "{} bytes instead of {}",
            received.text().len(),
            1 << 20
        );
    }
}

#[tokio::test]
async fn b18_an_endless_frame_ends_with_an_error_at_the_bound() {
    let flood = Bytes::from(vec![b'x'; 256 * 1024]);
    for wire in wires() {
        for dialect in dialects() {
            let _case = Case::new(format!("{dialect:?} over {wire:?}"));
            let mut steps = Answer::tokens(2).steps_until(wire, Pace::Flat, 2);
            steps.push(Step::Write(encode::for_wire(wire).endless()));
            steps.extend((0..80).map(|_| Step::Write(flood.clone())));
            steps.push(Step::Hang);
            let upstream = Upstream::always(steps).await;
            let proxy = Proxy::over(wire, &upstream).await;
            let received = proxy
                .client
                .ask(&Request::chat(dialect, "m", true))
                .await
                .received()
                .await;
            assert!(received.is_failure(), "{received:?}");
            assert_eq!(
                (received.text(), received.code()),
                ("tok0 tok1 ", "upstream_error")
            );
            upstream.closed(0).await;
            proxy.at_rest().await;
        }
    }
}

/// An answer with two parallel tool calls whose pieces break inside a character escape.
fn two_calls() -> Answer {
    Answer::tokens(1)
        .tool("call_a", "look", &["{\"at\":\"S\\u", "00e3o ", "Paulo\"}"])
        .tool("call_b", "count", &["", "{\"n\":[1,", "2]}"])
}

/// The tool calls with parsed arguments; ids are left out for wires without ids.
fn calls(received: &Received, wire: WireId) -> Vec<(String, String, Value)> {
    let read = |(id, name, arguments): (String, String, String)| {
        assert!(!id.is_empty(), "every call has an id");
        let id = if wire == WireId::Gemini {
            String::new()
        } else {
            id
        };
        (id, name, serde_json::from_str(&arguments).unwrap())
    };
    received.first().tools.into_values().map(read).collect()
}

#[tokio::test]
async fn b19_interleaved_tool_calls_are_kept_apart_streamed_and_whole() {
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let upstream = Upstream::start(two_calls().script(wire, Pace::Flat)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let received = proxy
            .client
            .ask(&Request::chat(dialect, "m", true))
            .await
            .received()
            .await;
        let (status, body, whole) = ask_whole(&proxy.client, dialect).await;
        assert_eq!(status, 200, "{body}");
        assert!(received.is_success(), "{received:?}");
        let id = |id: &str| {
            if wire == WireId::Gemini {
                String::new()
            } else {
                id.to_owned()
            }
        };
        let expected = vec![
            (id("call_a"), "look".to_owned(), json!({"at": "São Paulo"})),
            (id("call_b"), "count".to_owned(), json!({"n": [1, 2]})),
        ];
        assert_eq!(calls(&received, wire), expected);
        assert_eq!(calls(&whole, wire), expected);
        let ids: std::collections::HashSet<String> = received
            .first()
            .tools
            .into_values()
            .map(|it| it.0)
            .collect();
        assert_eq!(ids.len(), 2, "tool call ids are distinct");
        assert_eq!(
            (
                received.first().finish.as_deref(),
                whole.first().finish.as_deref()
            ),
            (Some("tool_calls"), Some("tool_calls"))
        );
        assert_eq!((received.text(), whole.text()), ("tok0 ", "tok0 "));
    }
}

#[tokio::test]
async fn b19_a_repeated_tool_index_zero_is_repaired() {
    let call = |id: &str, name: &str, arguments: &str| {
        let call = json!({"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
        encode::chat::chunk(&json!({"tool_calls": [call]}), None)
    };
    let body = call("a", "look", "{\"x\":1}")
        + &call("b", "count", "{\"y\":2}")
        + &encode::chat::chunk(&json!({}), Some("tool_calls"))
        + "data: [DONE]\n\n";
    let upstream = Upstream::always(vec![
        Step::Head(Head::sse()),
        Step::Write(body.into()),
        Step::End,
    ])
    .await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let received = proxy
        .client
        .ask(&Request::chat(Dialect::Events, "m", true))
        .await
        .received()
        .await;
    let tools: Vec<_> = received.first().tools.into_iter().collect();
    let expect = |n: u64, id: &str, name: &str, arguments: &str| {
        (n, (id.to_owned(), name.to_owned(), arguments.to_owned()))
    };
    assert_eq!(
        tools,
        [
            expect(0, "a", "look", "{\"x\":1}"),
            expect(1, "b", "count", "{\"y\":2}")
        ]
    );
}

/// Builds the assistant message that a client which keeps every field sends back in the next turn.
fn assistant_message(events: &[Event]) -> Value {
    let mut message = json!({"role": "assistant", "content": "", "reasoning_content": "", "reasoning_details": [], "tool_calls": []});
    for delta in events
        .iter()
        .filter(|it| it.data != "[DONE]")
        .map(|it| it.json()["choices"][0]["delta"].clone())
    {
        for field in ["content", "reasoning_content"] {
            let text =
                message[field].as_str().unwrap().to_owned() + delta[field].as_str().unwrap_or("");
            message[field] = text.into();
        }
        let details = delta["reasoning_details"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        message["reasoning_details"]
            .as_array_mut()
            .unwrap()
            .extend(details);
        for call in delta["tool_calls"].as_array().cloned().unwrap_or_default() {
            add_call(message["tool_calls"].as_array_mut().unwrap(), &call);
        }
    }
    message
}

fn add_call(calls: &mut Vec<Value>, piece: &Value) {
    let index = usize::try_from(piece["index"].as_u64().unwrap()).unwrap();
    match calls.get_mut(index) {
        None => calls.push(piece.clone()),
        Some(call) => {
            let text = call["function"]["arguments"]
                .as_str()
                .unwrap_or("")
                .to_owned();
            call["function"]["arguments"] =
                (text + piece["function"]["arguments"].as_str().unwrap_or("")).into();
            if !piece["extra_content"].is_null() {
                call["extra_content"] = piece["extra_content"].clone();
            }
        }
    }
}

#[tokio::test]
async fn b20_reasoning_and_its_signature_are_returned_to_the_provider_in_the_next_turn() {
    let answer = Answer::tokens(1)
        .reasoning("let me see", "c2lnbmF0dXJl")
        .tool("call_1", "look", &["{\"at\":1}"]);
    for wire in wires() {
        let _case = Case::new(format!("{wire:?}"));
        let upstream = Upstream::start(answer.clone().script(wire, Pace::Flat)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let (events, _) = proxy
            .client
            .ask(&Request::chat(Dialect::Chat, "m", true))
            .await
            .events()
            .await;
        let message = assistant_message(&events);
        assert_eq!(message["reasoning_content"], "let me see");
        let tool_result = json!({"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "there"});
        let turns = json!([{"role": "user", "content": "Say something."}, message, tool_result]);
        let received = proxy
            .client
            .ask(&Request::chat(Dialect::Chat, "m", true).set("messages", turns.clone()))
            .await
            .received()
            .await;
        assert!(received.is_success(), "{received:?}");
        let sent = upstream.call(1).json();
        match wire {
            WireId::OpenaiChat => {
                assert_eq!(
                    sent["messages"], turns,
                    "the same wire receives it unchanged"
                );
            }
            WireId::Anthropic => {
                let block = json!({"type": "thinking", "thinking": "let me see", "signature": "c2lnbmF0dXJl"});
                assert_eq!(sent["messages"][1]["content"][0], block, "{sent}");
            }
            WireId::Ollama => assert_eq!(sent["messages"][1]["thinking"], "let me see", "{sent}"),
            WireId::Cohere => {
                let block = json!({"type": "thinking", "thinking": "let me see"});
                assert_eq!(sent["messages"][1]["content"][0], block, "{sent}");
            }
            WireId::OpenaiResponses => {
                let item = json!({"type": "reasoning", "id": "rs_up", "summary": [], "encrypted_content": "c2lnbmF0dXJl"});
                assert_eq!(sent["input"][1], item, "{sent}");
                assert_eq!(
                    sent["input"][3]["call_id"], sent["input"][4]["call_id"],
                    "{sent}"
                );
            }
            WireId::Bedrock => {
                let block = json!({"reasoningContent": {"reasoningText": {"text": "let me see", "signature": "c2lnbmF0dXJl"}}});
                assert_eq!(sent["messages"][1]["content"][0], block, "{sent}");
            }
            _ => {
                let parts = sent["contents"][1]["parts"].as_array().unwrap();
                let call = parts
                    .iter()
                    .find(|part| part["functionCall"].is_object())
                    .unwrap();
                assert_eq!(call["thoughtSignature"], "c2lnbmF0dXJl", "{sent}");
            }
        }
    }
}

/// Builds the content that a client which keeps every field sends back in the next turn, as
/// Anthropic's SDKs fold it.
fn message_content(events: &[Event]) -> Value {
    let mut content: Vec<Value> = Vec::new();
    let mut input = String::new();
    for event in events.iter().map(Event::json) {
        let (delta, block) = (&event["delta"], content.last_mut());
        match (event["type"].as_str().unwrap(), block) {
            ("content_block_start", _) => content.push(event["content_block"].clone()),
            ("content_block_delta", Some(block)) => {
                for (field, value) in delta
                    .as_object()
                    .unwrap()
                    .iter()
                    .filter(|(field, _)| *field != "type")
                {
                    let text = value.as_str().unwrap();
                    match field.as_str() {
                        "partial_json" => input.push_str(text),
                        field => {
                            block[field] =
                                (block[field].as_str().unwrap().to_owned() + text).into();
                        }
                    }
                }
            }
            ("content_block_stop", Some(block)) if !input.is_empty() => {
                block["input"] = serde_json::from_str(&std::mem::take(&mut input)).unwrap();
            }
            _ => {}
        }
    }
    content.into()
}

#[tokio::test]
async fn b20_signatures_go_back_to_the_wire_that_made_them_and_to_no_other() {
    const SIGNATURE: &str = "c2lnbmF0dXJl";
    if !dialects().contains(&Dialect::Messages) {
        return;
    }
    let answer = Answer::tokens(1).reasoning("let me see", SIGNATURE).tool(
        "call_1",
        "look",
        &["{\"at\":1}"],
    );
    for (first, second) in wires()
        .into_iter()
        .flat_map(|first| wires().into_iter().map(move |second| (first, second)))
    {
        let _case = Case::new(format!("{first:?}, then {second:?}"));
        let upstream = Upstream::start(answer.clone().script(first, Pace::Flat)).await;
        let other = Upstream::start(answer.clone().script(second, Pace::Flat)).await;
        let setup = Setup::new()
            .provider("one", first, upstream.addr)
            .provider("two", second, other.addr);
        let proxy = setup
            .model("m", "[\"one/m-up\"]")
            .model("n", "[\"two/m-up\"]")
            .start()
            .await;
        let (events, _) = proxy
            .client
            .ask(&Request::chat(Dialect::Messages, "m", true))
            .await
            .events()
            .await;
        let content = message_content(&events);
        let call = content
            .as_array()
            .unwrap()
            .iter()
            .find(|block| block["type"] == "tool_use")
            .unwrap()["id"]
            .clone();
        let result = json!([{"type": "tool_result", "tool_use_id": call, "content": "there"}]);
        let turns = json!([{"role": "user", "content": "Say something."}, {"role": "assistant", "content": content}, {"role": "user", "content": result}]);
        let request = Request::chat(Dialect::Messages, "n", true).set("messages", turns.clone());
        let received = proxy.client.ask(&request).await.received().await;
        assert!(received.is_success(), "{received:?}");
        let sent = other.call(0).json();
        let signs = matches!(
            first,
            WireId::Anthropic | WireId::Gemini | WireId::Bedrock | WireId::OpenaiResponses
        );
        assert_eq!(
            sent.to_string().contains(SIGNATURE),
            signs && first == second,
            "{sent}"
        );
        assert!(
            !sent.to_string().contains("sluicegate"),
            "the wrapped form of a signature is not sent upstream: {sent}"
        );
        if second == WireId::Anthropic {
            assert_eq!(
                sent["messages"] == turns,
                first == second,
                "the same wire receives its messages unchanged; another wire does not: {sent}"
            );
        }
        if (first, second) == (WireId::Gemini, WireId::Gemini) {
            let parts = sent["contents"][1]["parts"].as_array().unwrap();
            let call = parts
                .iter()
                .find(|part| part["functionCall"].is_object())
                .unwrap();
            assert_eq!(call["thoughtSignature"], SIGNATURE, "{sent}");
        }
    }
}

#[tokio::test]
async fn b20_content_of_an_unknown_kind_becomes_a_raw_event() {
    for wire in wires() {
        let _case = Case::new(format!("{wire:?}"));
        let answer = Answer::tokens(2);
        let body = encode::joined(
            &[
                vec![answer.opening(wire), encode::unknown(wire)],
                answer.content(wire),
                vec![answer.closing(wire)],
            ]
            .concat(),
        );
        let upstream = Upstream::always(vec![
            Step::Head(encode::head(wire)),
            Step::Write(body),
            Step::End,
        ])
        .await;
        let proxy = Proxy::over(wire, &upstream).await;
        let received = proxy
            .client
            .ask(&Request::chat(Dialect::Events, "m", true))
            .await
            .received()
            .await;
        assert!(received.is_success(), "{received:?}");
        assert_eq!(received.text(), answer.text());
        assert_eq!(received.raw.len(), 1, "{received:?}");
        assert_eq!(received.raw[0]["wire"], wire.name());
    }
}

/// Ways in which an answer can break off.
fn broken_endings(wire: WireId) -> [(&'static str, Head, Step); 4] {
    [
        ("a proper end", encode::head(wire), Step::End),
        (
            "an end of the connection",
            encode::head(wire).until_close(),
            Step::End,
        ),
        ("a cut", encode::head(wire), Step::Truncate),
        ("a reset", encode::head(wire), Step::Reset),
    ]
}

#[tokio::test]
async fn b21_only_the_terminal_marker_is_a_success() {
    for (dialect, wire) in pairs() {
        for (what, head, end) in broken_endings(wire) {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, {what}"));
            let mut steps = Answer::tokens(9).steps_until(wire, Pace::Flat, 3);
            steps[0] = Step::Head(head.clone());
            steps.extend([Step::Yield, end.clone()]);
            let half = half_body(&head, end);
            let upstream = Upstream::start(move |call, _| {
                if call.wants_stream() {
                    steps.clone()
                } else {
                    half.clone()
                }
            })
            .await;
            let proxy = Setup::new()
                .over(wire, &upstream)
                .section("models.m", "retries = 0")
                .start()
                .await;
            let received = proxy
                .client
                .ask(&Request::chat(dialect, "m", true))
                .await
                .received()
                .await;
            assert!(received.is_failure(), "{received:?}");
            assert_eq!(
                (received.text(), received.code()),
                ("tok0 tok1 tok2 ", "upstream_error")
            );
            let (status, body, _) = ask_whole(&proxy.client, dialect).await;
            assert_eq!(status, 502, "never a shortened 200: {body}");
            assert_eq!(body["error"]["code"], "upstream_error", "{body}");
        }
    }
}

/// The first half of a non-streaming answer.
fn half_body(head: &Head, end: Step) -> Vec<Step> {
    let body = Answer::tokens(9).whole(WireId::OpenaiChat).to_string();
    let half = Bytes::from(body).slice(..150);
    let framing = if head.framing == Framing::Close {
        Framing::Close
    } else {
        Framing::Length(1000)
    };
    let head = Head {
        framing,
        ..Head::ok("application/json")
    };
    let end = if matches!(end, Step::End) {
        Step::Truncate
    } else {
        end
    };
    vec![Step::Head(head), Step::Write(half), Step::Yield, end]
}

#[tokio::test]
async fn b21_no_success_follows_an_error() {
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let mut steps = Answer::tokens(9).steps_until(wire, Pace::Flat, 3);
        steps.push(Step::Write(encode::error(wire, "it broke")));
        if wire != WireId::Gemini {
            steps.push(Step::Write(Answer::tokens(9).closing(wire)));
        }
        steps.push(Step::End);
        let upstream = Upstream::always(steps).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let mut reply = proxy.client.ask(&Request::chat(dialect, "m", true)).await;
        let received = reply.received().await;
        assert!(received.is_failure(), "{received:?}");
        assert_eq!(received.text(), "tok0 tok1 tok2 ");
        assert!(
            received.error.unwrap().1.contains("it broke"),
            "the upstream's own message"
        );
        assert_eq!(
            proxy.client.status(&reply.stream_id()).await["status"],
            "failed"
        );
    }
}

#[tokio::test]
async fn b22_an_error_in_the_first_event_becomes_a_status() {
    for (dialect, wire) in pairs() {
        for opening in [false, true] {
            let _case = Case::new(format!(
                "{dialect:?} over {wire:?}, after an opening: {opening}"
            ));
            let upstream = Upstream::start(move |call, _| {
                if !call.wants_stream() {
                    return whole(200, encode::refusal(wire, 500, "it broke").to_string());
                }
                let before = if opening {
                    Answer::tokens(1).opening(wire)
                } else {
                    Bytes::new()
                };
                vec![
                    Step::Head(encode::head(wire)),
                    Step::Write(encode::joined(&[before, encode::error(wire, "it broke")])),
                    Step::End,
                ]
            })
            .await;
            let proxy = Setup::new()
                .over(wire, &upstream)
                .section("models.m", "retries = 0")
                .start()
                .await;
            let mut reply = proxy.client.ask(&Request::chat(dialect, "m", true)).await;
            if dialect.answers_at_once() {
                assert!(reply.received().await.is_failure());
            } else {
                let body = reply.json().await;
                assert_eq!(
                    (reply.status, body["error"]["code"].as_str()),
                    (502, Some("upstream_error")),
                    "{body}"
                );
            }
            let (status, body, _) = ask_whole(&proxy.client, dialect).await;
            assert_eq!(status, 502, "{body}");
        }
    }
}

#[tokio::test]
async fn b22_an_error_in_the_first_event_falls_back() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        for stream in [true, false] {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, stream: {stream}"));
            let error = encode::error(wire, "it broke");
            let upstream = Upstream::always(vec![
                Step::Head(encode::head(wire)),
                Step::Write(error),
                Step::End,
            ])
            .await;
            let spare = Upstream::start(Answer::tokens(3).script(wire, Pace::Flat)).await;
            let proxy = Setup::new().over_two(wire, &upstream, &spare).start().await;
            let asked = async {
                if stream {
                    return proxy
                        .client
                        .ask(&Request::chat(dialect, "m", true))
                        .await
                        .received()
                        .await;
                }
                ask_whole(&proxy.client, dialect).await.2
            };
            let received = clock
                .takes_at_most(Duration::from_secs(30), "the fallback", asked)
                .await;
            assert!(received.is_success(), "{received:?}");
            assert_eq!(received.text(), "tok0 tok1 tok2 ");
            assert_eq!(spare.count(), 1);
        }
    }
}

#[tokio::test]
async fn b24_heartbeats_during_silence_do_not_crash_clients() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        for ids in ["true", "false"] {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, ids: {ids}"));
            let upstream = Upstream::start(
                Answer::tokens(2).script(wire, Pace::Every(Duration::from_secs(40))),
            )
            .await;
            let proxy = Proxy::over(wire, &upstream).await;
            let request = Request::chat(dialect, "m", true).header("x-event-ids", ids);
            let read = async {
                let mut reply = proxy.client.ask(&request).await;
                let received = reply.received().await;
                (received, reply.heartbeats())
            };
            let (received, heartbeats) = clock
                .takes_at_most(Duration::from_secs(200), "the end", read)
                .await;
            assert!(received.is_success(), "{received:?}");
            assert!(
                (5..=9).contains(&heartbeats),
                "one heartbeat for every 15 s of silence, not {heartbeats}"
            );
        }
    }
}
