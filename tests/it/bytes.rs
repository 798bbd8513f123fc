//! Bytes: however they are cut, whatever they say, what reaches the client is all of it, once, and
//! never a false end.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::rig::sse::Event;
use crate::rig::upstream::{Framing, Head, Step, json as whole, pieces};
use crate::rig::{
    Ask, Client, Pace, Proxy, Say, Scene, Setup, Speech, Told, Upstream, Virtual, WireId, pairs,
    say, speeches, wires,
};

/// What is asked without a stream, as the dialect answers it: status, and what was told where that
/// is 200.
async fn ask_whole(client: &Client, speech: Speech) -> (u16, Value, Told) {
    let mut reply = client.ask(&Ask::chat(speech, "m", false)).await;
    let body = reply.json().await;
    let told = match (reply.status, speech) {
        (200, _) => Told::of_whole(speech, &body),
        _ => Told::default(),
    };
    (reply.status, body, told)
}

#[tokio::test]
async fn b17_every_split_of_the_strangest_bytes_says_the_same() {
    let said = Say {
        tokens: vec!["é😀\u{2028}".into(), "\n\n\r\ttwo".into()],
        ..Say::tokens(0)
    };
    for (n, (speech, wire)) in pairs().enumerate() {
        let body = say::of(wire).strange(&said.stream(wire));
        let cut = body.clone();
        let upstream = Upstream::start(move |_, call| {
            let mut steps = vec![Step::Head(say::head(wire))];
            steps.extend(pieces(&cut, [call]));
            steps.push(Step::End);
            steps
        })
        .await;
        let proxy = Proxy::over(wire, &upstream).await;
        let stride = if speech == Speech::Events { 1 } else { 5 };
        for at in (0..=body.len()).step_by(stride) {
            let _scene = Scene::of(format!(
                "{speech:?} over {wire:?} (pair {n}), cut at byte {at} of {}",
                body.len()
            ));
            let told = proxy
                .client
                .ask(&Ask::chat(speech, "m", true))
                .await
                .told()
                .await;
            assert!(told.is_success(), "{told:?}");
            assert_eq!(told.text(), said.text());
            assert_eq!(told.usage.unwrap().output, Some(7));
        }
    }
}

#[tokio::test]
async fn b17_the_last_frame_needs_no_end() {
    for (speech, wire) in pairs() {
        for (n, body) in say::of(wire)
            .unended(&Say::tokens(2).stream(wire))
            .into_iter()
            .enumerate()
        {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, way {n}"));
            let upstream = Upstream::always(vec![
                Step::Head(say::head(wire)),
                Step::Write(body),
                Step::End,
            ])
            .await;
            let proxy = Proxy::over(wire, &upstream).await;
            let told = proxy
                .client
                .ask(&Ask::chat(speech, "m", true))
                .await
                .told()
                .await;
            assert!(told.is_success(), "{told:?}");
            assert_eq!(told.text(), "tok0 tok1 ");
        }
    }
}

#[tokio::test]
async fn b18_a_large_event_in_small_pieces() {
    for (speech, wire) in pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let said = Say {
            tokens: vec!["x".repeat(1 << 20)],
            ..Say::tokens(0)
        };
        let mut steps = vec![Step::Head(say::head(wire))];
        steps.extend(pieces(&said.stream(wire), (1..1100).map(|n| n * 1024)));
        steps.push(Step::End);
        let upstream = Upstream::always(steps).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let told = proxy
            .client
            .ask(&Ask::chat(speech, "m", true))
            .await
            .told()
            .await;
        assert!(told.is_success());
        assert!(
            told.text() == said.text(),
            "{} bytes instead of {}",
            told.text().len(),
            1 << 20
        );
    }
}

#[tokio::test]
async fn b18_an_endless_frame_ends_with_an_error_at_the_bound() {
    let flood = Bytes::from(vec![b'x'; 256 * 1024]);
    for wire in wires() {
        for speech in speeches() {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
            let mut steps = Say::tokens(2).steps_until(wire, Pace::Flat, 2);
            steps.push(Step::Write(say::of(wire).endless()));
            steps.extend((0..80).map(|_| Step::Write(flood.clone())));
            steps.push(Step::Hang);
            let upstream = Upstream::always(steps).await;
            let proxy = Proxy::over(wire, &upstream).await;
            let told = proxy
                .client
                .ask(&Ask::chat(speech, "m", true))
                .await
                .told()
                .await;
            assert!(told.is_failure(), "{told:?}");
            assert_eq!((told.text(), told.code()), ("tok0 tok1 ", "upstream_error"));
            upstream.closed(0).await;
            proxy.at_rest().await;
        }
    }
}

/// Two calls at once, in pieces that break in the middle of a character's escape.
fn two_calls() -> Say {
    Say::tokens(1)
        .tool("call_a", "look", &["{\"at\":\"S\\u", "00e3o ", "Paulo\"}"])
        .tool("call_b", "count", &["", "{\"n\":[1,", "2]}"])
}

/// The calls with their arguments read, ids aside where the wire has none.
fn calls(told: &Told, wire: WireId) -> Vec<(String, String, Value)> {
    let read = |(id, name, arguments): (String, String, String)| {
        assert!(!id.is_empty(), "every call has an id");
        let id = if wire == WireId::Gemini {
            String::new()
        } else {
            id
        };
        (id, name, serde_json::from_str(&arguments).unwrap())
    };
    told.first().tools.into_values().map(read).collect()
}

#[tokio::test]
async fn b19_two_interleaved_tool_calls_streaming_and_whole() {
    for (speech, wire) in pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let upstream = Upstream::start(two_calls().script(wire, Pace::Flat)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let told = proxy
            .client
            .ask(&Ask::chat(speech, "m", true))
            .await
            .told()
            .await;
        let (status, body, whole) = ask_whole(&proxy.client, speech).await;
        assert_eq!(status, 200, "{body}");
        assert!(told.is_success(), "{told:?}");
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
        assert_eq!(calls(&told, wire), expected);
        assert_eq!(calls(&whole, wire), expected);
        let ids: std::collections::HashSet<String> =
            told.first().tools.into_values().map(|it| it.0).collect();
        assert_eq!(ids.len(), 2, "ids tell calls apart");
        assert_eq!(
            (
                told.first().finish.as_deref(),
                whole.first().finish.as_deref()
            ),
            (Some("tool_calls"), Some("tool_calls"))
        );
        assert_eq!((told.text(), whole.text()), ("tok0 ", "tok0 "));
    }
}

#[tokio::test]
async fn b19_a_provider_that_repeats_index_zero_is_repaired() {
    let call = |id: &str, name: &str, arguments: &str| {
        let call = json!({"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
        say::chat::chunk(&json!({"tool_calls": [call]}), None)
    };
    let body = call("a", "look", "{\"x\":1}")
        + &call("b", "count", "{\"y\":2}")
        + &say::chat::chunk(&json!({}), Some("tool_calls"))
        + "data: [DONE]\n\n";
    let upstream = Upstream::always(vec![
        Step::Head(Head::sse()),
        Step::Write(body.into()),
        Step::End,
    ])
    .await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let told = proxy
        .client
        .ask(&Ask::chat(Speech::Events, "m", true))
        .await
        .told()
        .await;
    let tools: Vec<_> = told.first().tools.into_iter().collect();
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

/// The assistant's message as a client that keeps everything brings it back.
fn message_of(events: &[Event]) -> Value {
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
async fn b20_reasoning_and_its_signature_come_back_in_the_next_turn() {
    let said = Say::tokens(1).reasoning("let me see", "c2lnbmF0dXJl").tool(
        "call_1",
        "look",
        &["{\"at\":1}"],
    );
    for wire in wires() {
        let _scene = Scene::of(format!("{wire:?}"));
        let upstream = Upstream::start(said.clone().script(wire, Pace::Flat)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let (events, _) = proxy
            .client
            .ask(&Ask::chat(Speech::Chat, "m", true))
            .await
            .events()
            .await;
        let message = message_of(&events);
        assert_eq!(message["reasoning_content"], "let me see");
        let answer = json!({"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "there"});
        let turns = json!([{"role": "user", "content": "Say something."}, message, answer]);
        let told = proxy
            .client
            .ask(&Ask::chat(Speech::Chat, "m", true).set("messages", turns.clone()))
            .await
            .told()
            .await;
        assert!(told.is_success(), "{told:?}");
        let sent = upstream.call(1).json();
        match wire {
            WireId::OpenaiChat => {
                assert_eq!(sent["messages"], turns, "the same wire gets it as it came");
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

/// The content of a message as a client that keeps everything brings it back: the fold of the
/// vendor's own SDKs.
fn content_of(events: &[Event]) -> Value {
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
async fn b20_what_a_message_was_signed_with_comes_back_to_the_wire_that_made_it_and_to_no_other() {
    const SIGNATURE: &str = "c2lnbmF0dXJl";
    if !speeches().contains(&Speech::Messages) {
        return;
    }
    let said =
        Say::tokens(1)
            .reasoning("let me see", SIGNATURE)
            .tool("call_1", "look", &["{\"at\":1}"]);
    for (first, second) in wires()
        .into_iter()
        .flat_map(|first| wires().into_iter().map(move |second| (first, second)))
    {
        let _scene = Scene::of(format!("{first:?}, then {second:?}"));
        let upstream = Upstream::start(said.clone().script(first, Pace::Flat)).await;
        let other = Upstream::start(said.clone().script(second, Pace::Flat)).await;
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
            .ask(&Ask::chat(Speech::Messages, "m", true))
            .await
            .events()
            .await;
        let content = content_of(&events);
        let call = content
            .as_array()
            .unwrap()
            .iter()
            .find(|block| block["type"] == "tool_use")
            .unwrap()["id"]
            .clone();
        let result = json!([{"type": "tool_result", "tool_use_id": call, "content": "there"}]);
        let turns = json!([{"role": "user", "content": "Say something."}, {"role": "assistant", "content": content}, {"role": "user", "content": result}]);
        let ask = Ask::chat(Speech::Messages, "n", true).set("messages", turns.clone());
        let told = proxy.client.ask(&ask).await.told().await;
        assert!(told.is_success(), "{told:?}");
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
            "what is wrapped is for us alone: {sent}"
        );
        if second == WireId::Anthropic {
            assert_eq!(
                sent["messages"] == turns,
                first == second,
                "the same wire gets it as it came, and nothing that it has not made: {sent}"
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
async fn b20_content_of_an_unknown_kind_is_carried() {
    for wire in wires() {
        let _scene = Scene::of(format!("{wire:?}"));
        let said = Say::tokens(2);
        let body = say::joined(
            &[
                vec![said.opening(wire), say::unknown(wire)],
                said.content(wire),
                vec![said.closing(wire)],
            ]
            .concat(),
        );
        let upstream = Upstream::always(vec![
            Step::Head(say::head(wire)),
            Step::Write(body),
            Step::End,
        ])
        .await;
        let proxy = Proxy::over(wire, &upstream).await;
        let told = proxy
            .client
            .ask(&Ask::chat(Speech::Events, "m", true))
            .await
            .told()
            .await;
        assert!(told.is_success(), "{told:?}");
        assert_eq!(told.text(), said.text());
        assert_eq!(told.raw.len(), 1, "{told:?}");
        assert_eq!(told.raw[0]["wire"], wire.name());
    }
}

/// The ways in which an answer can break off.
fn breaks(wire: WireId) -> [(&'static str, Head, Step); 4] {
    [
        ("a proper end", say::head(wire), Step::End),
        (
            "an end of the connection",
            say::head(wire).until_close(),
            Step::End,
        ),
        ("a cut", say::head(wire), Step::Truncate),
        ("a reset", say::head(wire), Step::Reset),
    ]
}

#[tokio::test]
async fn b21_only_the_terminal_marker_is_a_success() {
    for (speech, wire) in pairs() {
        for (what, head, end) in breaks(wire) {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, {what}"));
            let mut steps = Say::tokens(9).steps_until(wire, Pace::Flat, 3);
            steps[0] = Step::Head(head.clone());
            steps.extend([Step::Yield, end.clone()]);
            let half = whole_cut_short(&head, end);
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
            let told = proxy
                .client
                .ask(&Ask::chat(speech, "m", true))
                .await
                .told()
                .await;
            assert!(told.is_failure(), "{told:?}");
            assert_eq!(
                (told.text(), told.code()),
                ("tok0 tok1 tok2 ", "upstream_error")
            );
            let (status, body, _) = ask_whole(&proxy.client, speech).await;
            assert_eq!(status, 502, "never a shortened 200: {body}");
            assert_eq!(body["error"]["code"], "upstream_error", "{body}");
        }
    }
}

/// Half of a non-streaming answer.
fn whole_cut_short(head: &Head, end: Step) -> Vec<Step> {
    let body = Say::tokens(9).whole(WireId::OpenaiChat).to_string();
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
async fn b21_no_success_after_an_error() {
    for (speech, wire) in pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let mut steps = Say::tokens(9).steps_until(wire, Pace::Flat, 3);
        steps.push(Step::Write(say::error(wire, "it broke")));
        if wire != WireId::Gemini {
            steps.push(Step::Write(Say::tokens(9).closing(wire)));
        }
        steps.push(Step::End);
        let upstream = Upstream::always(steps).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let mut reply = proxy.client.ask(&Ask::chat(speech, "m", true)).await;
        let told = reply.told().await;
        assert!(told.is_failure(), "{told:?}");
        assert_eq!(told.text(), "tok0 tok1 tok2 ");
        assert!(
            told.error.unwrap().1.contains("it broke"),
            "the upstream's own words"
        );
        assert_eq!(
            proxy.client.status(&reply.stream_id()).await["status"],
            "failed"
        );
    }
}

#[tokio::test]
async fn b22_an_error_in_the_first_event_is_a_status() {
    for (speech, wire) in pairs() {
        for opening in [false, true] {
            let _scene = Scene::of(format!(
                "{speech:?} over {wire:?}, after an opening: {opening}"
            ));
            let upstream = Upstream::start(move |call, _| {
                if !call.wants_stream() {
                    return whole(200, say::refusal(wire, 500, "it broke").to_string());
                }
                let before = if opening {
                    Say::tokens(1).opening(wire)
                } else {
                    Bytes::new()
                };
                vec![
                    Step::Head(say::head(wire)),
                    Step::Write(say::joined(&[before, say::error(wire, "it broke")])),
                    Step::End,
                ]
            })
            .await;
            let proxy = Setup::new()
                .over(wire, &upstream)
                .section("models.m", "retries = 0")
                .start()
                .await;
            let mut reply = proxy.client.ask(&Ask::chat(speech, "m", true)).await;
            if speech.answers_at_once() {
                assert!(reply.told().await.is_failure());
            } else {
                let body = reply.json().await;
                assert_eq!(
                    (reply.status, body["error"]["code"].as_str()),
                    (502, Some("upstream_error")),
                    "{body}"
                );
            }
            let (status, body, _) = ask_whole(&proxy.client, speech).await;
            assert_eq!(status, 502, "{body}");
        }
    }
}

#[tokio::test]
async fn b22_an_error_in_the_first_event_falls_back() {
    let clock = Virtual::start();
    for (speech, wire) in pairs() {
        for stream in [true, false] {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, stream: {stream}"));
            let error = say::error(wire, "it broke");
            let upstream = Upstream::always(vec![
                Step::Head(say::head(wire)),
                Step::Write(error),
                Step::End,
            ])
            .await;
            let spare = Upstream::start(Say::tokens(3).script(wire, Pace::Flat)).await;
            let proxy = Setup::new().over_two(wire, &upstream, &spare).start().await;
            let asked = async {
                if stream {
                    return proxy
                        .client
                        .ask(&Ask::chat(speech, "m", true))
                        .await
                        .told()
                        .await;
                }
                ask_whole(&proxy.client, speech).await.2
            };
            let told = clock
                .takes_at_most(Duration::from_secs(30), "the fallback", asked)
                .await;
            assert!(told.is_success(), "{told:?}");
            assert_eq!(told.text(), "tok0 tok1 tok2 ");
            assert_eq!(spare.count(), 1);
        }
    }
}

#[tokio::test]
async fn b24_silence_sends_nothing_that_crashes_a_client() {
    let clock = Virtual::start();
    for (speech, wire) in pairs() {
        for ids in ["true", "false"] {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, ids: {ids}"));
            let upstream =
                Upstream::start(Say::tokens(2).script(wire, Pace::Every(Duration::from_secs(40))))
                    .await;
            let proxy = Proxy::over(wire, &upstream).await;
            let ask = Ask::chat(speech, "m", true).header("x-event-ids", ids);
            let read = async {
                let mut reply = proxy.client.ask(&ask).await;
                let told = reply.told().await;
                (told, reply.heartbeats())
            };
            let (told, heartbeats) = clock
                .takes_at_most(Duration::from_secs(200), "the end", read)
                .await;
            assert!(told.is_success(), "{told:?}");
            assert!(
                (5..=9).contains(&heartbeats),
                "one heartbeat for every 15 s of silence, not {heartbeats}"
            );
        }
    }
}
