//! The `events` dialect and the status JSON.

use serde_json::Value;

use super::{Received, Usage, error_from};

/// Records one event.
pub fn record(received: &mut Received, name: &str, data: &Value) {
    received.record_event(name, data);
}

/// Parses a status JSON.
pub fn whole(body: &Value) -> Received {
    let mut received = Received::default();
    let all = [body.clone()];
    for (place, choice) in body["choices"]
        .as_array()
        .unwrap_or(&all.to_vec())
        .iter()
        .enumerate()
    {
        let to = received
            .choices
            .entry(choice["index"].as_u64().unwrap_or(place as u64))
            .or_default();
        to.text = choice["text"].as_str().unwrap_or("").to_owned();
        to.reasoning = choice["reasoning"].as_str().unwrap_or("").to_owned();
        to.refusal = choice["refusal"].as_str().unwrap_or("").to_owned();
        for (place, call) in choice["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            let field = |name: &str| {
                call[name]
                    .as_str()
                    .or(call["function"][name].as_str())
                    .unwrap_or("")
                    .to_owned()
            };
            to.tools.insert(
                place as u64,
                (field("id"), field("name"), field("arguments")),
            );
        }
        to.finish = choice["reason"]
            .as_str()
            .filter(|it| *it != "cancelled" && *it != "error")
            .map(str::to_owned);
    }
    received.usage = body["usage"]
        .is_object()
        .then(|| events_usage(&body["usage"]));
    received.cancelled = body["status"] == "cancelled";
    received.error = body["error"]
        .is_object()
        .then(|| error_from(&body["error"]));
    (received.done, received.ends) = (usize::from(body["status"] != "failed"), 1);
    received
}

impl Received {
    fn record_event(&mut self, name: &str, data: &Value) {
        assert_eq!(self.ends, 0, "nothing comes after the end: {name} {data}");
        let text = |field: &str| data[field].as_str().unwrap_or("").to_owned();
        match name {
            "start" | "route" | "tool_call_end" | "citation" => {}
            "text" => self.choice(data, "choice").text.push_str(&text("delta")),
            "reasoning" => {
                self.signatures.extend(
                    ["signature", "redacted"]
                        .iter()
                        .filter_map(|it| data[it].as_str())
                        .map(str::to_owned),
                );
                self.choice(data, "choice")
                    .reasoning
                    .push_str(&text("delta"));
            }
            "refusal" => self.choice(data, "choice").refusal.push_str(&text("delta")),
            "tool_call" => {
                let slot = (text("id"), text("name"), String::new());
                let old = self
                    .choice(data, "choice")
                    .tools
                    .insert(data["index"].as_u64().unwrap(), slot);
                assert_eq!(old, None, "a tool call begins once");
            }
            "tool_arguments" => {
                let index = data["index"].as_u64().unwrap();
                self.choice(data, "choice")
                    .tools
                    .get_mut(&index)
                    .expect("arguments come after their call")
                    .2
                    .push_str(&text("delta"));
            }
            "raw" => self.raw.push(data.clone()),
            "choice_end" => self.choice(data, "choice").finish = Some(text("reason")),
            "usage" => {
                assert_eq!(self.usage, None, "usage comes only once");
                self.usage = Some(events_usage(data));
            }
            "error" => self.error = Some((text("code"), text("message"))),
            "end" => self.end(data),
            _ => panic!("an unknown event {name}: {data}"),
        }
    }

    fn end(&mut self, data: &Value) {
        self.ends += 1;
        let reason = data["reason"].as_str().unwrap();
        match reason {
            "error" => assert!(
                self.error.is_some(),
                "`end` reports an error that no event contained"
            ),
            "cancelled" => self.cancelled = true,
            _ => {
                let first = self.choices.entry(0).or_default();
                first.finish.get_or_insert_with(|| reason.to_owned());
            }
        }
        self.done += usize::from(reason != "error");
        let repeated = data["usage"]
            .is_object()
            .then(|| events_usage(&data["usage"]));
        assert_eq!(repeated, self.usage, "`end` repeats the usage");
    }
}

fn events_usage(data: &Value) -> Usage {
    let total =
        data["input_tokens"].as_u64().unwrap_or(0) + data["output_tokens"].as_u64().unwrap_or(0);
    assert_eq!(
        data["total_tokens"].as_u64().unwrap_or(total),
        total,
        "{data}"
    );
    Usage {
        input: data["input_tokens"].as_u64(),
        output: data["output_tokens"].as_u64(),
        cached: data["cached_input_tokens"].as_u64(),
        reasoning: data["reasoning_tokens"].as_u64(),
        estimated: data["estimated"] == true,
    }
}
