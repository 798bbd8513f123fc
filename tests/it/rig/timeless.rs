//! What two streams have in common: JSON without ids and times of ours.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::Value;

/// JSON without what two streams never have in common: their ids and times.
pub fn timeless(mut value: Value, stream: &str) -> Value {
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

/// A keepsake with its text to be read; any other text as it is.
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
