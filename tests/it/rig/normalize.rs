//! Removes ids and times from JSON so that two streams can be compared.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::Value;

/// Returns the JSON without times, and with the stream id replaced.
pub fn normalize(mut value: Value, stream: &str) -> Value {
    strip(&mut value, stream);
    value
}

fn strip(value: &mut Value, stream: &str) {
    match value {
        Value::Object(members) => {
            for time in ["created", "created_at", "completed_at", "ended"] {
                if members.get(time).is_some_and(Value::is_number) {
                    members.remove(time);
                }
            }
            members.values_mut().for_each(|value| strip(value, stream));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| strip(value, stream)),
        Value::String(text) => *text = opened(text).replace(stream, "STREAM"),
        _ => {}
    }
}

/// Decodes an opaque signature to readable text; other texts are unchanged.
fn opened(text: &str) -> String {
    let Some((wire, data)) = text
        .strip_prefix("sluicegate:")
        .and_then(|rest| rest.split_once(':'))
    else {
        return text.to_owned();
    };
    format!(
        "sluicegate:{wire}:{}",
        String::from_utf8(BASE64.decode(data).unwrap()).unwrap()
    )
}
