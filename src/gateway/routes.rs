//! Maps the method and path of a request to an endpoint.

use std::sync::LazyLock;

use bytestring::ByteString;
use http::{Method, Request};
use matchit::Router;

use crate::model::fault::{Code, Fault};
use crate::model::printable::printable_id;
use crate::model::wire::DialectId;

/// An operation of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// The playground.
    Playground,
    /// The browser client, `/client.js`.
    Client,
    /// A new generation, requested and answered in this dialect.
    Generate(DialectId),
    /// The number of tokens of a prompt, in Anthropic's shape.
    CountTokens,
    /// The list of models.
    Models,
    /// One model.
    Model(ByteString),
    /// The list of the caller's streams.
    List,
    /// A stream, or its status.
    Read(ByteString),
    /// Cancel a stream.
    Cancel(ByteString),
    /// A ticket: a right to one stream for a client without a key.
    Ticket(ByteString),
    /// Cancel and forget a stream.
    Forget(ByteString),
    /// A response, or its events.
    ReadResponse(ByteString),
    /// Cancel a response.
    CancelResponse(ByteString),
    /// Cancel and forget a response.
    ForgetResponse(ByteString),
    /// The items of the input of a response.
    InputItems(ByteString),
    /// Resume the newest answer of a chat.
    ResumeChat(ByteString),
    /// Stop the newest answer of a chat.
    StopChat(ByteString),
}

impl Endpoint {
    /// Returns the dialect of error responses: that of a generation, otherwise the one that follows
    /// from the path.
    pub(super) fn error_dialect(&self, of_path: DialectId) -> DialectId {
        match self {
            Self::Generate(dialect) => *dialect,
            _ => of_path,
        }
    }
}

/// Returns the dialect that follows from the path (and, for models, from `anthropic-version`), also
/// for unknown paths. It sets the shape of error responses and of the model list.
#[must_use]
pub fn dialect_of_path<B>(request: &Request<B>) -> DialectId {
    let mut segments = request
        .uri()
        .path()
        .split('/')
        // Empty segments come from doubled slashes.
        .filter(|segment| !segment.is_empty());
    let first = segments.next();
    match if first == Some("v1") {
        segments.next()
    } else {
        first
    } {
        Some("messages") => DialectId::Anthropic,
        Some("models") if request.headers().contains_key("anthropic-version") => {
            DialectId::Anthropic
        }
        _ => DialectId::OpenaiChat,
    }
}

/// A path of the API.
#[derive(Debug, Clone, Copy)]
enum ApiPath {
    Root,
    Client,
    Chat,
    Responses,
    Response,
    CancelResponse,
    InputItems,
    Messages,
    CountTokens,
    UiChat,
    ResumeChat,
    StopChat,
    Models,
    Model,
    Streams,
    Stream,
    Cancel,
    Ticket,
    /// A path of other gateways that is not supported here, with the error message.
    Unsupported(&'static str),
}

const NO_EMBEDDINGS: &str =
    "embeddings, audio, images and files are not supported: Sluicegate serves chat APIs only";

const NO_BATCHES: &str = "batches are not supported: Sluicegate serves chat APIs only";

static PATHS: LazyLock<Router<ApiPath>> = LazyLock::new(|| {
    let paths = [
        ("/", ApiPath::Root),
        ("/client.js", ApiPath::Client),
        ("/chat/completions", ApiPath::Chat),
        ("/v1/chat/completions", ApiPath::Chat),
        ("/models", ApiPath::Models),
        ("/v1/models", ApiPath::Models),
        // Names of models may contain slashes.
        ("/models/{*name}", ApiPath::Model),
        ("/v1/models/{*name}", ApiPath::Model),
        ("/v1/streams", ApiPath::Streams),
        ("/v1/streams/{id}", ApiPath::Stream),
        ("/v1/streams/{id}/cancel", ApiPath::Cancel),
        ("/v1/streams/{id}/ticket", ApiPath::Ticket),
        ("/v1/embeddings", ApiPath::Unsupported(NO_EMBEDDINGS)),
        ("/v1/audio/{*rest}", ApiPath::Unsupported(NO_EMBEDDINGS)),
        ("/v1/images/{*rest}", ApiPath::Unsupported(NO_EMBEDDINGS)),
        ("/v1/files", ApiPath::Unsupported(NO_EMBEDDINGS)),
        (
            "/v1/completions",
            ApiPath::Unsupported(
                "the legacy completions API is not supported: use /v1/chat/completions",
            ),
        ),
        ("/v1/responses", ApiPath::Responses),
        ("/responses", ApiPath::Responses),
        ("/v1/responses/{id}", ApiPath::Response),
        ("/responses/{id}", ApiPath::Response),
        ("/v1/responses/{id}/cancel", ApiPath::CancelResponse),
        ("/responses/{id}/cancel", ApiPath::CancelResponse),
        ("/v1/responses/{id}/input_items", ApiPath::InputItems),
        ("/responses/{id}/input_items", ApiPath::InputItems),
        (
            // Static paths win over `{id}`, so these two are not taken for ids of responses.
            "/v1/responses/input_tokens",
            ApiPath::Unsupported(
                "counting input tokens is not supported: the `usage` of a response contains them",
            ),
        ),
        (
            "/v1/responses/compact",
            ApiPath::Unsupported(
                "compacting conversations is not supported: send the turns that the model needs",
            ),
        ),
        ("/v1/messages", ApiPath::Messages),
        ("/messages", ApiPath::Messages),
        ("/v1/messages/count_tokens", ApiPath::CountTokens),
        ("/messages/count_tokens", ApiPath::CountTokens),
        ("/v1/messages/batches", ApiPath::Unsupported(NO_BATCHES)),
        (
            "/v1/messages/batches/{*rest}",
            ApiPath::Unsupported(NO_BATCHES),
        ),
        ("/v1/ui/chat", ApiPath::UiChat),
        ("/v1/ui/chat/{id}/stream", ApiPath::ResumeChat),
        ("/v1/ui/chat/{id}/stop", ApiPath::StopChat),
    ];
    let mut router = Router::new();
    for (path, api_path) in paths {
        router
            .insert(path, api_path)
            .expect("the paths of the API do not overlap");
    }
    router
});

/// Returns the endpoint of a request.
///
/// # Errors
/// 404 for unknown paths; 405 with `Allow` for methods that a path does not support.
pub(super) fn find(method: &Method, path: &str) -> Result<Endpoint, Fault> {
    // A trailing slash is ignored.
    let path = if path.len() > 1 {
        path.trim_end_matches('/')
    } else {
        path
    };
    let found = PATHS.at(path).map_err(|_| unknown_path(path))?;
    let text =
        |name: &str| ByteString::from(percent_decoded(found.params.get(name).unwrap_or_default()));
    // HEAD works wherever GET does; the handlers omit the body.
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let (allow, endpoint) = match (*found.value, method.as_str()) {
        (ApiPath::Unsupported(message), _) => return Err(Fault::new(Code::NotFound, message)),
        (ApiPath::Root, "GET") => return Ok(Endpoint::Playground),
        (ApiPath::Client, "GET") => return Ok(Endpoint::Client),
        (ApiPath::Root | ApiPath::Client, _) => ("GET, HEAD", None),
        (ApiPath::Chat, "POST") => ("", Some(Endpoint::Generate(DialectId::OpenaiChat))),
        (ApiPath::Responses, "POST") => ("", Some(Endpoint::Generate(DialectId::OpenaiResponses))),
        (ApiPath::Messages, "POST") => ("", Some(Endpoint::Generate(DialectId::Anthropic))),
        (ApiPath::UiChat, "POST") => ("", Some(Endpoint::Generate(DialectId::Ui))),
        (ApiPath::CountTokens, "POST") => ("", Some(Endpoint::CountTokens)),
        (
            ApiPath::Chat
            | ApiPath::Responses
            | ApiPath::Messages
            | ApiPath::CountTokens
            | ApiPath::UiChat,
            _,
        ) => ("POST", None),
        (ApiPath::Models, "GET") => ("", Some(Endpoint::Models)),
        (ApiPath::Model, "GET") => ("", Some(Endpoint::Model(text("name")))),
        (ApiPath::Models | ApiPath::Model, _) => ("GET, HEAD", None),
        (ApiPath::Streams, "GET") => ("", Some(Endpoint::List)),
        (ApiPath::Streams, "POST") => ("", Some(Endpoint::Generate(DialectId::Events))),
        (ApiPath::Streams, _) => ("GET, HEAD, POST", None),
        (ApiPath::Stream, "GET") => ("", Some(Endpoint::Read(text("id")))),
        (ApiPath::Stream, "DELETE") => ("", Some(Endpoint::Forget(text("id")))),
        (ApiPath::Stream, _) => ("GET, HEAD, DELETE", None),
        (path @ (ApiPath::Response | ApiPath::CancelResponse | ApiPath::InputItems), method) => {
            response_endpoint(path, method, text("id"))
        }
        (ApiPath::ResumeChat, "GET") => ("", Some(Endpoint::ResumeChat(text("id")))),
        (ApiPath::ResumeChat, _) => ("GET, HEAD", None),
        (ApiPath::StopChat, "POST") => ("", Some(Endpoint::StopChat(text("id")))),
        (ApiPath::StopChat, _) => ("POST", None),
        (ApiPath::Cancel, "POST") => ("", Some(Endpoint::Cancel(text("id")))),
        (ApiPath::Cancel, _) => ("POST", None),
        (ApiPath::Ticket, "POST") => ("", Some(Endpoint::Ticket(text("id")))),
        (ApiPath::Ticket, _) => ("POST", None),
    };
    endpoint.ok_or_else(|| {
        let mut fault = Fault::new(Code::MethodNotAllowed, format!("this path takes {allow}"));
        fault.allow = Some(allow);
        fault
    })
}

/// Returns the endpoint of a method on the paths of a response, or the methods that the path
/// supports.
fn response_endpoint(
    path: ApiPath,
    method: &str,
    id: ByteString,
) -> (&'static str, Option<Endpoint>) {
    match (path, method) {
        (ApiPath::CancelResponse, "POST") => ("", Some(Endpoint::CancelResponse(id))),
        (ApiPath::CancelResponse, _) => ("POST", None),
        (ApiPath::InputItems, "GET") => ("", Some(Endpoint::InputItems(id))),
        (ApiPath::InputItems, _) => ("GET, HEAD", None),
        (_, "GET") => ("", Some(Endpoint::ReadResponse(id))),
        (_, "DELETE") => ("", Some(Endpoint::ForgetResponse(id))),
        (_, _) => ("GET, HEAD, DELETE", None),
    }
}

fn unknown_path(path: &str) -> Fault {
    // The path is repeated in the error: no control characters, and a bounded length.
    let printable = printable_id(path, 100);
    Fault::new(
        Code::NotFound,
        format!("unknown path `{printable}`: the API is under /v1, see docs/api.md"),
    )
}

/// Decodes the percent-encoding of a path segment.
fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods_find_their_endpoint() {
        for (method, path, endpoint) in [
            (Method::GET, "/", Endpoint::Playground),
            (Method::HEAD, "/client.js", Endpoint::Client),
            (
                Method::POST,
                "/v1/chat/completions",
                Endpoint::Generate(DialectId::OpenaiChat),
            ),
            (
                Method::POST,
                "/chat/completions/",
                Endpoint::Generate(DialectId::OpenaiChat),
            ),
            (
                Method::POST,
                "/v1/streams",
                Endpoint::Generate(DialectId::Events),
            ),
            (
                Method::POST,
                "/v1/messages",
                Endpoint::Generate(DialectId::Anthropic),
            ),
            (
                Method::POST,
                "/messages/count_tokens",
                Endpoint::CountTokens,
            ),
            (
                Method::GET,
                "/v1/responses/resp_1",
                Endpoint::ReadResponse("resp_1".into()),
            ),
            (
                Method::DELETE,
                "/responses/resp_1",
                Endpoint::ForgetResponse("resp_1".into()),
            ),
            (
                Method::POST,
                "/v1/responses/resp_1/cancel",
                Endpoint::CancelResponse("resp_1".into()),
            ),
            (
                Method::GET,
                "/v1/responses/resp_1/input_items",
                Endpoint::InputItems("resp_1".into()),
            ),
            (
                Method::HEAD,
                "/v1/streams/abc",
                Endpoint::Read("abc".into()),
            ),
            (
                Method::DELETE,
                "/v1/streams/a%20c",
                Endpoint::Forget("a c".into()),
            ),
            (
                Method::POST,
                "/v1/streams/abc/cancel",
                Endpoint::Cancel("abc".into()),
            ),
            (
                Method::POST,
                "/v1/streams/abc/ticket",
                Endpoint::Ticket("abc".into()),
            ),
            (
                Method::GET,
                "/v1/models/local/llama",
                Endpoint::Model("local/llama".into()),
            ),
        ] {
            assert_eq!(find(&method, path).unwrap(), endpoint, "{path}");
        }
    }

    #[test]
    fn the_dialect_follows_from_the_path() {
        for (path, version, dialect) in [
            ("/v1/messages", false, DialectId::Anthropic),
            ("//messages//nope?x=1", false, DialectId::Anthropic),
            ("/v1/models", true, DialectId::Anthropic),
            ("/models/a/b", true, DialectId::Anthropic),
            ("/v1/models", false, DialectId::OpenaiChat),
            ("/v1/chat/completions", true, DialectId::OpenaiChat),
            ("/v1", true, DialectId::OpenaiChat),
        ] {
            let request = Request::get(path);
            let request = if version {
                request.header("anthropic-version", "2023-06-01")
            } else {
                request
            };
            assert_eq!(
                dialect_of_path(&request.body(()).unwrap()),
                dialect,
                "{path}"
            );
        }
    }

    #[test]
    fn unknown_paths_and_wrong_methods_are_rejected() {
        for (method, path, code, allow) in [
            (
                Method::GET,
                "/v1/chat/completions",
                Code::MethodNotAllowed,
                Some("POST"),
            ),
            (
                Method::PUT,
                "/v1/streams/x",
                Code::MethodNotAllowed,
                Some("GET, HEAD, DELETE"),
            ),
            (Method::POST, "/v1/embeddings", Code::NotFound, None),
            (
                Method::GET,
                "/v1/messages/count_tokens",
                Code::MethodNotAllowed,
                Some("POST"),
            ),
            (Method::POST, "/v1/messages/batches", Code::NotFound, None),
            (Method::POST, "/v1/responses/compact", Code::NotFound, None),
            (
                Method::PUT,
                "/v1/responses/resp_1",
                Code::MethodNotAllowed,
                Some("GET, HEAD, DELETE"),
            ),
            (Method::GET, "/nope", Code::NotFound, None),
        ] {
            let fault = find(&method, path).unwrap_err();
            assert_eq!((fault.code, fault.allow), (code, allow), "{path}");
        }
    }
}
