//! Writes and reads `:countTokens`, which counts the tokens of a prompt.
//!
//! Google AI Studio takes the request as `generateContentRequest`; Vertex takes the members of the
//! request at the top level. Vertex is recognized by the publisher in its URLs.

use serde::{Deserialize, Serialize};

use super::{Body, body, models};
use crate::model::ask::Ask;
use crate::model::fault::Fault;
use crate::model::target::{Target, Via};
use crate::wire::Draft;
use crate::wire::kit::request::{self, TRACEPARENT};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StudioBody<'a> {
    generate_content_request: StudioRequest<'a>,
}

#[derive(Serialize)]
struct StudioRequest<'a> {
    #[serde(flatten)]
    body: Body<'a>,
    /// The resource name of the model.
    model: String,
}

/// Writes the request that counts the tokens of a prompt.
pub(in super::super) fn count(ask: &Ask, target: &Target) -> Result<Draft, Fault> {
    let model = target.upstream_model();
    let mut body = body(ask.chat()?, target)?;
    // The service tier does not affect the count.
    body.service_tier = None;
    let body = if is_vertex(target) {
        // Vertex's count request has no `toolConfig`.
        body.tool_config = None;
        request::to_json(&body)?
    } else {
        let model = if model.contains('/') {
            model.to_string()
        } else {
            format!("models/{model}")
        };
        request::to_json(&StudioBody {
            generate_content_request: StudioRequest { body, model },
        })?
    };
    Ok(Draft {
        path: models::path(model, "countTokens"),
        headers: request::forwarded_headers(ask, &[TRACEPARENT]),
        body,
    })
}

fn is_vertex(target: &Target) -> bool {
    matches!(&target.provider.via, Via::Http { base_url, .. } if base_url.contains("/publishers/"))
}

/// Reads the token count in the body of an answer.
pub(in super::super) fn read_token_count(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Count {
        #[serde(rename = "totalTokens")]
        total: u64,
    }
    serde_json::from_slice::<Count>(body)
        .ok()
        .map(|count| count.total)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::chat::{Chat, Message, Part, Role, ToolChoice};
    use crate::model::target::Provider;
    use crate::model::wire::WireId;

    fn drafted(base_url: &str, model: &str) -> (String, Value) {
        let hi = Message {
            role: Role::User,
            name: None,
            parts: vec![Part::Text("hi".into())],
        };
        let chat = Chat {
            messages: vec![hi],
            tool_choice: Some(ToolChoice::Auto),
            ..Chat::default()
        };
        let ask = Ask::example(WireId::Anthropic, "", chat);
        let target = Target::example(Provider::example(WireId::Gemini, base_url), model);
        let draft = count(&ask, &target).unwrap();
        (draft.path, serde_json::from_slice(&draft.body).unwrap())
    }

    #[test]
    fn each_service_gets_its_own_body() {
        let contents = json!([{"role": "user", "parts": [{"text": "hi"}]}]);
        let (path, body) = drafted("https://example.com/v1beta", "gemini-3");
        let request =
            json!({"model": "models/gemini-3", "contents": contents, "generationConfig": {}});
        assert_eq!(
            (path.as_str(), body),
            (
                "/models/gemini-3:countTokens",
                json!({"generateContentRequest": request})
            )
        );
        let (path, body) = drafted(
            "https://example.com/v1/projects/p/locations/l/publishers/google",
            "gemini-3",
        );
        assert_eq!(
            (path.as_str(), body),
            (
                "/models/gemini-3:countTokens",
                json!({"contents": contents, "generationConfig": {}})
            )
        );
    }

    #[test]
    fn a_count_is_read() {
        assert_eq!(
            read_token_count(br#"{"totalTokens":31,"cachedContentTokenCount":5}"#),
            Some(31)
        );
        assert_eq!(read_token_count(b"{}"), None);
    }
}
