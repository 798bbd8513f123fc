//! Bytes: however they are cut, whatever they say, what reaches the client is all of it, once, and never a false end.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::rig::sse::Event;
use crate::rig::upstream::{Framing, Head, Step, json as whole, pieces};
use crate::rig::{Ask, Client, Pace, Proxy, Say, Scene, Setup, Speech, Told, Upstream, Virtual, Wire, pairs, say};

/// What is asked without a stream, as the dialect answers it: status, and what was told where that is 200.
async fn ask_whole(client: &Client, speech: Speech) -> (u16, Value, Told) {
    let mut reply = client.ask(&Ask::chat(speech, "m", false)).await;
    let body = reply.json().await;
    let told = match (reply.status, speech) {
        (200, Speech::Chat) => Told::of_completion(&body),
        (200, Speech::Events) => Told::of_status(&body),
        _ => Told::default(),
    };
    (reply.status, body, told)
}

/// The same stream as the strangest server might send it: byte order mark, all three line ends, comments, fields
/// without a space, data over several lines, fields of no meaning.
fn strange(stream: &str) -> String {
    let mut out = String::from("\u{feff}: hello\r\n\r\n");
    for (n, block) in stream.replace("\r\n", "\n").split_terminator("\n\n").enumerate() {
        let lines = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let (event, data) = (lines("event: "), lines("data: ").unwrap());
        let end = ["\r\n", "\r", "\n"][n % 3];
        if let Some(event) = event {
            write!(out, "event:{event}{end}").unwrap();
        }
        match serde_json::from_str::<Value>(&data) {
            Ok(json) if n % 2 == 1 => {
                for line in serde_json::to_string_pretty(&json).unwrap().lines() {
                    write!(out, "data: {line}{end}").unwrap();
                }
            }
            _ => write!(out, "data:{data}{end}").unwrap(),
        }
        write!(out, ": a comment{end}id: {n}{end}retry: 5{end}{end}").unwrap();
    }
    out
}

#[tokio::test]
async fn b17_every_split_of_the_strangest_bytes_says_the_same() {
    let said = Say { tokens: vec!["é😀\u{2028}".into(), "\n\n\r\ttwo".into()], ..Say::tokens(0) };
    for (n, (speech, wire)) in pairs().enumerate() {
        let body = Bytes::from(strange(std::str::from_utf8(&said.stream(wire)).unwrap()));
        let cut = body.clone();
        let upstream = Upstream::start(move |_, call| {
            let mut steps = vec![Step::Head(Head::sse())];
            steps.extend(pieces(&cut, [call]));
            steps.push(Step::End);
            steps
        })
        .await;
        let proxy = Proxy::over(wire, &upstream).await;
        let stride = if speech == Speech::Events { 1 } else { 5 };
        for at in (0..=body.len()).step_by(stride) {
            let _scene = Scene::of(format!("{speech:?} over {wire:?} (pair {n}), cut at byte {at} of {}", body.len()));
            let told = proxy.client.ask(&Ask::chat(speech, "m", true)).await.told().await;
            assert!(told.is_success(), "{told:?}");
            assert_eq!(told.text(), said.text());
            assert_eq!(told.usage.unwrap().output, Some(7));
        }
    }
}

#[tokio::test]
async fn b17_the_last_event_needs_no_blank_line() {
    for (speech, wire) in pairs() {
        for end in ["", "\n"] {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, ended by {end:?}"));
            let body = Say::tokens(2).stream(wire);
            let body = format!("{}{end}", std::str::from_utf8(&body).unwrap().trim_end());
            let upstream = Upstream::always(vec![Step::Head(Head::sse()), Step::Write(body.into()), Step::End]).await;
            let proxy = Proxy::over(wire, &upstream).await;
            let told = proxy.client.ask(&Ask::chat(speech, "m", true)).await.told().await;
            assert!(told.is_success(), "{told:?}");
            assert_eq!(told.text(), "tok0 tok1 ");
        }
    }
}

#[tokio::test]
async fn b18_a_large_event_in_small_pieces() {
    for (speech, wire) in pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let said = Say { tokens: vec!["x".repeat(1 << 20)], ..Say::tokens(0) };
        let mut steps = vec![Step::Head(Head::sse())];
        steps.extend(pieces(&said.stream(wire), (1..1100).map(|n| n * 1024)));
        steps.push(Step::End);
        let upstream = Upstream::always(steps).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let told = proxy.client.ask(&Ask::chat(speech, "m", true)).await.told().await;
        assert!(told.is_success());
        assert!(told.text() == said.text(), "{} bytes instead of {}", told.text().len(), 1 << 20);
    }
}

#[tokio::test]
async fn b18_an_endless_line_ends_with_an_error_at_the_bound() {
    let flood = Bytes::from(vec![b'x'; 256 * 1024]);
    for wire in Wire::ALL {
        for speech in Speech::ALL {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
            let mut steps = Say::tokens(2).steps_until(wire, Pace::Flat, 2);
            steps.push(Step::Write("data: {\"x\":\"".into()));
            steps.extend((0..80).map(|_| Step::Write(flood.clone())));
            steps.push(Step::Hang);
            let upstream = Upstream::always(steps).await;
            let proxy = Proxy::over(wire, &upstream).await;
            let told = proxy.client.ask(&Ask::chat(speech, "m", true)).await.told().await;
            assert!(told.is_failure(), "{told:?}");
            assert_eq!((told.text(), told.code()), ("tok0 tok1 ", "upstream_error"));
            upstream.closed(0).await;
            proxy.at_rest().await;
        }
    }
}

/// Two calls at once, in pieces that break in the middle of a character's escape.
fn two_calls() -> Say {
    Say::tokens(1).tool("call_a", "look", &["{\"at\":\"S\\u", "00e3o ", "Paulo\"}"]).tool("call_b", "count", &["", "{\"n\":[1,", "2]}"])
}

/// The calls with their arguments read, ids aside where the wire has none.
fn calls(told: &Told, wire: Wire) -> Vec<(String, String, Value)> {
    let read = |(id, name, arguments): (String, String, String)| {
        assert!(!id.is_empty(), "every call has an id");
        let id = if wire == Wire::Gemini { String::new() } else { id };
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
        let told = proxy.client.ask(&Ask::chat(speech, "m", true)).await.told().await;
        let (status, body, whole) = ask_whole(&proxy.client, speech).await;
        assert_eq!(status, 200, "{body}");
        assert!(told.is_success(), "{told:?}");
        let id = |id: &str| if wire == Wire::Gemini { String::new() } else { id.to_owned() };
        let expected =
            vec![(id("call_a"), "look".to_owned(), json!({"at": "São Paulo"})), (id("call_b"), "count".to_owned(), json!({"n": [1, 2]}))];
        assert_eq!(calls(&told, wire), expected);
        assert_eq!(calls(&whole, wire), expected);
        let ids: std::collections::HashSet<String> = told.first().tools.into_values().map(|it| it.0).collect();
        assert_eq!(ids.len(), 2, "ids tell calls apart");
        assert_eq!((told.first().finish.as_deref(), whole.first().finish.as_deref()), (Some("tool_calls"), Some("tool_calls")));
        assert_eq!((told.text(), whole.text()), ("tok0 ", "tok0 "));
    }
}

#[tokio::test]
async fn b19_a_provider_that_repeats_index_zero_is_repaired() {
    let call = |id: &str, name: &str, arguments: &str| {
        let call = json!({"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
        say::chat(&json!({"tool_calls": [call]}), None)
    };
    let body =
        call("a", "look", "{\"x\":1}") + &call("b", "count", "{\"y\":2}") + &say::chat(&json!({}), Some("tool_calls")) + "data: [DONE]\n\n";
    let upstream = Upstream::always(vec![Step::Head(Head::sse()), Step::Write(body.into()), Step::End]).await;
    let proxy = Proxy::over(Wire::OpenaiChat, &upstream).await;
    let told = proxy.client.ask(&Ask::chat(Speech::Events, "m", true)).await.told().await;
    let tools: Vec<_> = told.first().tools.into_iter().collect();
    let expect = |n: u64, id: &str, name: &str, arguments: &str| (n, (id.to_owned(), name.to_owned(), arguments.to_owned()));
    assert_eq!(tools, [expect(0, "a", "look", "{\"x\":1}"), expect(1, "b", "count", "{\"y\":2}")]);
}

/// The assistant's message as a client that keeps everything brings it back.
fn message_of(events: &[Event]) -> Value {
    let mut message = json!({"role": "assistant", "content": "", "reasoning_content": "", "reasoning_details": [], "tool_calls": []});
    for delta in events.iter().filter(|it| it.data != "[DONE]").map(|it| it.json()["choices"][0]["delta"].clone()) {
        for field in ["content", "reasoning_content"] {
            let text = message[field].as_str().unwrap().to_owned() + delta[field].as_str().unwrap_or("");
            message[field] = text.into();
        }
        let details = delta["reasoning_details"].as_array().cloned().unwrap_or_default();
        message["reasoning_details"].as_array_mut().unwrap().extend(details);
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
            let text = call["function"]["arguments"].as_str().unwrap_or("").to_owned();
            call["function"]["arguments"] = (text + piece["function"]["arguments"].as_str().unwrap_or("")).into();
            if !piece["extra_content"].is_null() {
                call["extra_content"] = piece["extra_content"].clone();
            }
        }
    }
}

#[tokio::test]
async fn b20_reasoning_and_its_signature_come_back_in_the_next_turn() {
    let said = Say::tokens(1).reasoning("let me see", "c2lnbmF0dXJl").tool("call_1", "look", &["{\"at\":1}"]);
    for wire in Wire::ALL {
        let _scene = Scene::of(format!("{wire:?}"));
        let upstream = Upstream::start(said.clone().script(wire, Pace::Flat)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let (events, _) = proxy.client.ask(&Ask::chat(Speech::Chat, "m", true)).await.events().await;
        let message = message_of(&events);
        assert_eq!(message["reasoning_content"], "let me see");
        let answer = json!({"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "there"});
        let turns = json!([{"role": "user", "content": "Say something."}, message, answer]);
        let told = proxy.client.ask(&Ask::chat(Speech::Chat, "m", true).set("messages", turns.clone())).await.told().await;
        assert!(told.is_success(), "{told:?}");
        let sent = upstream.call(1).json();
        match wire {
            Wire::OpenaiChat => assert_eq!(sent["messages"], turns, "the same wire gets it as it came"),
            Wire::Anthropic => {
                let block = json!({"type": "thinking", "thinking": "let me see", "signature": "c2lnbmF0dXJl"});
                assert_eq!(sent["messages"][1]["content"][0], block, "{sent}");
            }
            Wire::Gemini => {
                let parts = sent["contents"][1]["parts"].as_array().unwrap();
                let call = parts.iter().find(|part| part["functionCall"].is_object()).unwrap();
                assert_eq!(call["thoughtSignature"], "c2lnbmF0dXJl", "{sent}");
            }
        }
    }
}

#[tokio::test]
async fn b20_content_of_an_unknown_kind_is_carried() {
    let unknown = |wire| match wire {
        Wire::OpenaiChat => say::chat(&json!({"audio": {"id": "a", "data": "AAAA"}}), None),
        Wire::Anthropic => {
            let block = json!({"type": "a_new_block", "mystery": 42});
            say::named(&json!({"type": "content_block_start", "index": 7, "content_block": block}))
                + &say::named(&json!({"type": "content_block_stop", "index": 7}))
        }
        Wire::Gemini => say::gemini(&json!([{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]), None, None),
    };
    for wire in Wire::ALL {
        let _scene = Scene::of(format!("{wire:?}"));
        let said = Say::tokens(2);
        let body = said.opening(wire) + &unknown(wire) + &said.content(wire).concat() + &said.closing(wire);
        let upstream = Upstream::always(vec![Step::Head(Head::sse()), Step::Write(body.into()), Step::End]).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let told = proxy.client.ask(&Ask::chat(Speech::Events, "m", true)).await.told().await;
        assert!(told.is_success(), "{told:?}");
        assert_eq!(told.text(), said.text());
        assert_eq!(told.raw.len(), 1, "{told:?}");
        assert_eq!(told.raw[0]["wire"], wire.name());
    }
}

/// The ways in which an answer can break off.
fn breaks() -> [(&'static str, Head, Step); 4] {
    [
        ("a proper end", Head::sse(), Step::End),
        ("an end of the connection", Head::sse().until_close(), Step::End),
        ("a cut", Head::sse(), Step::Truncate),
        ("a reset", Head::sse(), Step::Reset),
    ]
}

#[tokio::test]
async fn b21_only_the_terminal_marker_is_a_success() {
    for (speech, wire) in pairs() {
        for (what, head, end) in breaks() {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, {what}"));
            let mut steps = Say::tokens(9).steps_until(wire, Pace::Flat, 3);
            steps[0] = Step::Head(head.clone());
            steps.extend([Step::Yield, end.clone()]);
            let half = whole_cut_short(&head, end);
            let upstream = Upstream::start(move |call, _| if call.wants_stream() { steps.clone() } else { half.clone() }).await;
            let proxy = Setup::new().over(wire, &upstream).section("models.m", "retries = 0").start().await;
            let told = proxy.client.ask(&Ask::chat(speech, "m", true)).await.told().await;
            assert!(told.is_failure(), "{told:?}");
            assert_eq!((told.text(), told.code()), ("tok0 tok1 tok2 ", "upstream_error"));
            let (status, body, _) = ask_whole(&proxy.client, speech).await;
            assert_eq!(status, 502, "never a shortened 200: {body}");
            assert_eq!(body["error"]["code"], "upstream_error", "{body}");
        }
    }
}

/// Half of a non-streaming answer.
fn whole_cut_short(head: &Head, end: Step) -> Vec<Step> {
    let body = Say::tokens(9).whole().to_string();
    let half = Bytes::from(body).slice(..150);
    let framing = if head.framing == Framing::Close { Framing::Close } else { Framing::Length(1000) };
    let head = Head { framing, ..Head::ok("application/json") };
    let end = if matches!(end, Step::End) { Step::Truncate } else { end };
    vec![Step::Head(head), Step::Write(half), Step::Yield, end]
}

#[tokio::test]
async fn b21_no_success_after_an_error() {
    for (speech, wire) in pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let mut steps = Say::tokens(9).steps_until(wire, Pace::Flat, 3);
        steps.push(Step::Write(say::error(wire, "it broke").into()));
        if wire != Wire::Gemini {
            steps.push(Step::Write(Say::tokens(9).closing(wire).into()));
        }
        steps.push(Step::End);
        let upstream = Upstream::always(steps).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let mut reply = proxy.client.ask(&Ask::chat(speech, "m", true)).await;
        let told = reply.told().await;
        assert!(told.is_failure(), "{told:?}");
        assert_eq!(told.text(), "tok0 tok1 tok2 ");
        assert!(told.error.unwrap().1.contains("it broke"), "the upstream's own words");
        assert_eq!(proxy.client.status(&reply.stream_id()).await["status"], "failed");
    }
}

#[tokio::test]
async fn b22_an_error_in_the_first_event_is_a_status() {
    for (speech, wire) in pairs() {
        for opening in [false, true] {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, after an opening: {opening}"));
            let upstream = Upstream::start(move |call, _| {
                if !call.wants_stream() {
                    return whole(200, say::refusal(wire, 500, "it broke").to_string());
                }
                let before = if opening { Say::tokens(1).opening(wire) } else { String::new() };
                vec![Step::Head(Head::sse()), Step::Write((before + &say::error(wire, "it broke")).into()), Step::End]
            })
            .await;
            let proxy = Setup::new().over(wire, &upstream).section("models.m", "retries = 0").start().await;
            let mut reply = proxy.client.ask(&Ask::chat(speech, "m", true)).await;
            match speech {
                Speech::Chat => {
                    let body = reply.json().await;
                    assert_eq!((reply.status, body["error"]["code"].as_str()), (502, Some("upstream_error")), "{body}");
                }
                Speech::Events => assert!(reply.told().await.is_failure()),
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
            let upstream = Upstream::always(vec![Step::Head(Head::sse()), Step::Write(error.into()), Step::End]).await;
            let spare = Upstream::start(Say::tokens(3).script(wire, Pace::Flat)).await;
            let proxy = Setup::new().over_two(wire, &upstream, &spare).start().await;
            let asked = async {
                if stream {
                    return proxy.client.ask(&Ask::chat(speech, "m", true)).await.told().await;
                }
                ask_whole(&proxy.client, speech).await.2
            };
            let told = clock.takes_at_most(Duration::from_secs(30), "the fallback", asked).await;
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
            let upstream = Upstream::start(Say::tokens(2).script(wire, Pace::Every(Duration::from_secs(40)))).await;
            let proxy = Proxy::over(wire, &upstream).await;
            let ask = Ask::chat(speech, "m", true).header("x-event-ids", ids);
            let read = async {
                let mut reply = proxy.client.ask(&ask).await;
                let told = reply.told().await;
                (told, reply.heartbeats())
            };
            let (told, heartbeats) = clock.takes_at_most(Duration::from_secs(200), "the end", read).await;
            assert!(told.is_success(), "{told:?}");
            assert!((5..=9).contains(&heartbeats), "one heartbeat for every 15 s of silence, not {heartbeats}");
        }
    }
}
