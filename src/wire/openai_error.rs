//! An upstream's error in OpenAI's shape and in every other that compatible servers give it, in a
//! stream or as a body, and what it means: for both wires of OpenAI's.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::model::fault::Fault;
use crate::wire::refusal;

/// What an upstream said of its error.
#[derive(Default)]
struct Complaint {
    message: Option<String>,
    kind: Option<String>,
    code: Option<String>,
    param: Option<String>,
    status: Option<StatusCode>,
}

/// What an answer with a bad status means.
pub(super) fn of_body(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    let complaint = serde_json::from_slice(body)
        .ok()
        .and_then(|json| read(&json))
        .unwrap_or_else(|| plain(body));
    complaint.fault(status, headers)
}

/// The error that a payload of a stream is; none where it is no error.
pub(super) fn of_payload(json: &str) -> Option<Fault> {
    // Something may follow the object: stray lines are all in one.
    let value = serde_json::Deserializer::from_str(json)
        .into_iter::<Value>()
        .next()?
        .ok()?;
    read(&value).map(Complaint::in_stream)
}

/// The error that stands as text where a payload should be, under the name of an error.
pub(super) fn of_text(text: &str) -> Fault {
    of_payload(text).unwrap_or_else(|| plain(text.as_bytes()).in_stream())
}

/// The error that an object is, by where it stands, however little it says.
pub(super) fn of_object(json: &str) -> Fault {
    let value = serde_json::from_str(json).unwrap_or(Value::Null);
    let bare = || {
        let mut complaint = Complaint::default();
        complaint.learn(&value);
        complaint
    };
    read(&value).unwrap_or_else(bare).in_stream()
}

/// The answer ended with a finish reason that means failure.
pub(super) fn of_finish(word: &str) -> Fault {
    let message = format!("the answer ended with finish_reason `{word}`");
    Complaint {
        message: Some(message),
        ..Complaint::default()
    }
    .in_stream()
}

impl Complaint {
    fn fault(self, status: StatusCode, headers: &HeaderMap) -> Fault {
        refusal::fault(
            status,
            headers,
            self.message,
            self.kind,
            self.code,
            self.param,
        )
    }

    /// The error came after a good status: its own words say which it should have been.
    fn in_stream(mut self) -> Fault {
        self.message = self
            .message
            .or_else(|| Some("it gave no reason".to_owned()));
        let words = [self.code.as_deref(), self.kind.as_deref()]
            .map(Option::unwrap_or_default)
            .join(" ");
        let status = self
            .status
            .or_else(|| refusal::status_of_words(&words))
            .unwrap_or(StatusCode::BAD_GATEWAY);
        self.fault(status, &HeaderMap::new())
    }

    /// Takes what an object says; what is already known stays.
    fn learn(&mut self, object: &Value) {
        let message = [
            "message",
            "msg",
            "faultstring",
            "status_msg",
            "detail",
            "error_description",
        ];
        self.message = self
            .message
            .take()
            .or_else(|| message.iter().find_map(|name| text(&object[*name])));
        // An event says with its type only that it is an error.
        let kind = |name: &str| text(&object[name]).filter(|kind| kind != "error");
        self.kind = self
            .kind
            .take()
            .or_else(|| ["type", "error_type"].into_iter().find_map(kind));
        self.param = self.param.take().or_else(|| text(&object["param"]));
        for name in ["status", "status_code", "statusCode", "http_code", "code"] {
            self.status = self.status.or_else(|| status(&object[name]));
        }
        let code = Some(&object["code"]).filter(|code| status(code).is_none());
        self.code = self.code.take().or_else(|| {
            code.and_then(|code| text(code).or_else(|| code.as_i64().map(|code| code.to_string())))
        });
        let known = object
            .pointer("/metadata/error_type")
            .and_then(text)
            .or_else(|| self.kind.clone());
        match known.as_deref() {
            Some("context_length_exceeded" | "exceed_context_size_error") => {
                self.code = Some("context_length_exceeded".to_owned());
            }
            Some("insufficient_quota") => self.code = Some("insufficient_quota".to_owned()),
            _ => {}
        }
        if self.kind.is_none() {
            self.kind = known;
        }
    }
}

/// The error in a JSON value; none where it holds none.
fn read(json: &Value) -> Option<Complaint> {
    let json = json.as_array().map_or(Some(json), |list| list.first())?;
    let mut complaint = Complaint::default();
    let error = ["/error", "/x_groq/error", "/fault", "/errors/0"]
        .iter()
        .filter_map(|place| json.pointer(place))
        .find(|error| says_something(error));
    if let Some(error) = error {
        complaint.message = text(error);
        complaint.learn(error);
        complaint.learn(json);
        return Some(complaint);
    }
    if json
        .pointer("/base_resp/status_code")
        .and_then(Value::as_i64)
        .is_some_and(|code| code != 0)
    {
        complaint.learn(&json["base_resp"]);
        return Some(complaint);
    }
    if json["choices"].is_array() {
        return None;
    }
    let detail = &json["detail"];
    complaint.message = text(detail)
        .or_else(|| detail.get("message").and_then(text))
        .or_else(|| detail.as_array().map(|list| places(list)));
    complaint.learn(json);
    (complaint.message.is_some() || json["object"] == "error").then_some(complaint)
}

/// Where a validator found fault, and with what.
fn places(list: &[Value]) -> String {
    let place = |item: &Value| {
        let path: Vec<String> = item["loc"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|at| text(at).unwrap_or_else(|| at.to_string()))
            .collect();
        format!(
            "{}: {}",
            path.join("."),
            text(&item["msg"]).unwrap_or_default()
        )
    };
    list.iter()
        .take(5)
        .map(place)
        .collect::<Vec<_>>()
        .join("; ")
}

/// What is no JSON: words are told, pages are not.
fn plain(body: &[u8]) -> Complaint {
    const WORDS_BOUND: usize = 512;
    let words = String::from_utf8_lossy(body.get(..WORDS_BOUND).unwrap_or(body))
        .trim()
        .to_owned();
    Complaint {
        message: Some(words)
            .filter(|words| !words.is_empty() && !words.starts_with(['<', '{', '['])),
        ..Complaint::default()
    }
}

fn says_something(error: &Value) -> bool {
    match error {
        Value::String(text) => !text.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(failed) => *failed,
        _ => false,
    }
}

fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// An HTTP status that means failure, as a number or as its digits.
fn status(value: &Value) -> Option<StatusCode> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    StatusCode::from_u16(u16::try_from(number).ok()?)
        .ok()
        .filter(|status| (400..=599).contains(&status.as_u16()))
}

#[cfg(test)]
mod tests;
