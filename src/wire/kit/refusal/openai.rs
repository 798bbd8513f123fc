//! Reads upstream errors in OpenAI's shape and in the variants that compatible servers use, from a
//! stream or a body. Used by both OpenAI wires.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::{fault, status_from_text};
use crate::model::fault::Fault;

/// The fields of an upstream's error.
#[derive(Default)]
struct ErrorFields {
    message: Option<String>,
    kind: Option<String>,
    code: Option<String>,
    param: Option<String>,
    status: Option<StatusCode>,
}

/// Reads the fault from an answer with an error status.
pub(in crate::wire) fn from_body(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    let fields = serde_json::from_slice(body)
        .ok()
        .and_then(|json| from_json(&json))
        .unwrap_or_else(|| from_plain_text(body));
    fields.fault(status, headers)
}

/// Reads the fault from a payload of a stream. Returns `None` if the payload is not an error.
pub(in crate::wire) fn from_payload(json: &str) -> Option<Fault> {
    // The first value only: all stray lines of a stream arrive as one payload, so that other text
    // may follow the error object.
    let value = serde_json::Deserializer::from_str(json)
        .into_iter::<Value>()
        .next()?
        .ok()?;
    from_json(&value).map(ErrorFields::in_stream)
}

/// Reads the fault from a payload that is known to be an error and may be plain text.
pub(in crate::wire) fn from_text(text: &str) -> Fault {
    from_payload(text).unwrap_or_else(|| from_plain_text(text.as_bytes()).in_stream())
}

/// Reads the fault from an object that is known to be an error from its position in the stream,
/// even if it has none of the known fields.
pub(in crate::wire) fn from_object(json: &str) -> Fault {
    let value = serde_json::from_str(json).unwrap_or(Value::Null);
    let bare = || {
        let mut fields = ErrorFields::default();
        fields.merge(&value);
        fields
    };
    from_json(&value).unwrap_or_else(bare).in_stream()
}

impl ErrorFields {
    fn fault(self, status: StatusCode, headers: &HeaderMap) -> Fault {
        fault(
            status,
            headers,
            self.message,
            self.kind,
            self.code,
            self.param,
        )
    }

    /// Converts an error that was sent after a success status. The status is derived from the
    /// error's own code and type.
    fn in_stream(mut self) -> Fault {
        self.message = self
            .message
            .or_else(|| Some("it gave no reason".to_owned()));
        let text = [self.code.as_deref(), self.kind.as_deref()]
            .map(Option::unwrap_or_default)
            .join(" ");
        let status = self
            .status
            .or_else(|| status_from_text(&text))
            .unwrap_or(StatusCode::BAD_GATEWAY);
        self.fault(status, &HeaderMap::new())
    }

    /// Adds the fields of an object. Fields that are already set are kept.
    fn merge(&mut self, object: &Value) {
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
        // `type: "error"` names the kind of the stream event, not the kind of the error.
        let kind = |name: &str| text(&object[name]).filter(|kind| kind != "error");
        self.kind = self
            .kind
            .take()
            .or_else(|| ["type", "error_type"].into_iter().find_map(kind));
        self.param = self.param.take().or_else(|| text(&object["param"]));
        for name in ["status", "status_code", "statusCode", "http_code", "code"] {
            self.status = self.status.or_else(|| status(&object[name]));
        }
        // A `code` that is an HTTP status was read as one above.
        let code = Some(&object["code"]).filter(|code| status(code).is_none());
        self.code = self.code.take().or_else(|| {
            code.and_then(|code| text(code).or_else(|| code.as_i64().map(|code| code.to_string())))
        });
        // OpenRouter puts the normalized type into the metadata of the error.
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

/// Reads the error in a JSON value. Returns `None` if it contains none.
fn from_json(json: &Value) -> Option<ErrorFields> {
    // Some servers wrap the error object in a list.
    let json = json.as_array().map_or(Some(json), |list| list.first())?;
    let mut fields = ErrorFields::default();
    let error = ["/error", "/x_groq/error", "/fault", "/errors/0"]
        .iter()
        .filter_map(|place| json.pointer(place))
        .find(|error| is_present(error));
    if let Some(error) = error {
        fields.message = text(error);
        fields.merge(error);
        fields.merge(json);
        return Some(fields);
    }
    // MiniMax reports errors with status 200 in `base_resp`, which every answer has.
    if json
        .pointer("/base_resp/status_code")
        .and_then(Value::as_i64)
        .is_some_and(|code| code != 0)
    {
        fields.merge(&json["base_resp"]);
        return Some(fields);
    }
    // A chunk of an answer is not an error, whatever other fields it has.
    if json["choices"].is_array() {
        return None;
    }
    let detail = &json["detail"];
    fields.message = text(detail)
        .or_else(|| detail.get("message").and_then(text))
        .or_else(|| detail.as_array().map(|list| validation_details(list)));
    fields.merge(json);
    (fields.message.is_some() || json["object"] == "error").then_some(fields)
}

/// Joins the locations and messages of a list of validation errors (FastAPI's `detail`).
fn validation_details(list: &[Value]) -> String {
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

/// Reads an error that is not JSON. Plain text becomes the message; HTML pages and broken JSON do
/// not.
fn from_plain_text(body: &[u8]) -> ErrorFields {
    const TEXT_BOUND: usize = 512;
    let text = String::from_utf8_lossy(body.get(..TEXT_BOUND).unwrap_or(body))
        .trim()
        .to_owned();
    ErrorFields {
        message: Some(text).filter(|text| !text.is_empty() && !text.starts_with(['<', '{', '['])),
        ..ErrorFields::default()
    }
}

fn is_present(error: &Value) -> bool {
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

/// Reads an HTTP error status from a number or a string of digits.
fn status(value: &Value) -> Option<StatusCode> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    StatusCode::from_u16(u16::try_from(number).ok()?)
        .ok()
        .filter(|status| (400..=599).contains(&status.as_u16()))
}

#[cfg(test)]
mod tests;
