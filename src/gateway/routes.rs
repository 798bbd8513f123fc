//! Method and path → what is wanted.

use std::sync::LazyLock;

use bytestring::ByteString;
use http::{Method, Request};
use matchit::Router;

use crate::model::fault::{Code, Fault};
use crate::model::wire::DialectId;

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// The page at `/`.
    Playground,
    /// The client for pages.
    Client,
    /// A new generation, asked for and answered in this dialect.
    Generate(DialectId),
    /// The tokens of a prompt, as Anthropic's clients ask for them.
    Count,
    /// All models.
    Models,
    /// One model.
    Model(ByteString),
    /// The caller's streams.
    List,
    /// A stream, or its status.
    Read(ByteString),
    /// Stop a stream.
    Cancel(ByteString),
    /// A right to a stream, for somebody without a key.
    Ticket(ByteString),
    /// Stop and forget a stream.
    Forget(ByteString),
    /// A response, or its events.
    ReadResponse(ByteString),
    /// Stop a response.
    CancelResponse(ByteString),
    /// Stop and forget a response.
    ForgetResponse(ByteString),
    /// What a response was an answer to.
    InputItems(ByteString),
    /// The newest answer of a conversation.
    ResumeChat(ByteString),
    /// Stop it.
    StopChat(ByteString),
}

impl Endpoint {
    /// The dialect in which it is refused, where its address is of that one.
    pub(super) fn dialect(&self, spoken: DialectId) -> DialectId {
        match self {
            Self::Generate(dialect) => *dialect,
            _ => spoken,
        }
    }
}

/// The dialect of an address, whatever it is for: in which it is refused, and in whose shape models
/// are told.
#[must_use]
pub fn spoken<B>(request: &Request<B>) -> DialectId {
    let mut segments = request
        .uri()
        .path()
        .split('/')
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
enum Place {
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
    /// Known of other gateways, and not here: with the sentence that says so.
    Elsewhere(&'static str),
}

const NO_EMBEDDINGS: &str =
    "sluicegate streams chats: embeddings, audio, images and files are not its business";

const NO_BATCHES: &str = "sluicegate streams chats: batches are not its business";

static PLACES: LazyLock<Router<Place>> = LazyLock::new(|| {
    let places = [
        ("/", Place::Root),
        ("/client.js", Place::Client),
        ("/chat/completions", Place::Chat),
        ("/v1/chat/completions", Place::Chat),
        ("/models", Place::Models),
        ("/v1/models", Place::Models),
        ("/models/{*name}", Place::Model),
        ("/v1/models/{*name}", Place::Model),
        ("/v1/streams", Place::Streams),
        ("/v1/streams/{id}", Place::Stream),
        ("/v1/streams/{id}/cancel", Place::Cancel),
        ("/v1/streams/{id}/ticket", Place::Ticket),
        ("/v1/embeddings", Place::Elsewhere(NO_EMBEDDINGS)),
        ("/v1/audio/{*rest}", Place::Elsewhere(NO_EMBEDDINGS)),
        ("/v1/images/{*rest}", Place::Elsewhere(NO_EMBEDDINGS)),
        ("/v1/files", Place::Elsewhere(NO_EMBEDDINGS)),
        (
            "/v1/completions",
            Place::Elsewhere("the old completions API is not spoken: use /v1/chat/completions"),
        ),
        ("/v1/responses", Place::Responses),
        ("/responses", Place::Responses),
        ("/v1/responses/{id}", Place::Response),
        ("/responses/{id}", Place::Response),
        ("/v1/responses/{id}/cancel", Place::CancelResponse),
        ("/responses/{id}/cancel", Place::CancelResponse),
        ("/v1/responses/{id}/input_items", Place::InputItems),
        ("/responses/{id}/input_items", Place::InputItems),
        (
            "/v1/responses/input_tokens",
            Place::Elsewhere(
                "the input of a response is not counted here: its usage says what was used",
            ),
        ),
        (
            "/v1/responses/compact",
            Place::Elsewhere(
                "conversations are not compacted here: send what the model is to know",
            ),
        ),
        ("/v1/messages", Place::Messages),
        ("/messages", Place::Messages),
        ("/v1/messages/count_tokens", Place::CountTokens),
        ("/messages/count_tokens", Place::CountTokens),
        ("/v1/messages/batches", Place::Elsewhere(NO_BATCHES)),
        ("/v1/messages/batches/{*rest}", Place::Elsewhere(NO_BATCHES)),
        ("/v1/ui/chat", Place::UiChat),
        ("/v1/ui/chat/{id}/stream", Place::ResumeChat),
        ("/v1/ui/chat/{id}/stop", Place::StopChat),
    ];
    let mut router = Router::new();
    for (path, place) in places {
        router
            .insert(path, place)
            .expect("the paths of the API do not overlap");
    }
    router
});

/// What is wanted.
///
/// # Errors
/// 404 for paths that are not ours, 405 with `Allow` for methods that a path does not take.
pub(super) fn find(method: &Method, path: &str) -> Result<Endpoint, Fault> {
    // A trailing slash means nothing.
    let path = if path.len() > 1 {
        path.trim_end_matches('/')
    } else {
        path
    };
    let found = PLACES.at(path).map_err(|_| unknown(path))?;
    let text = |name: &str| ByteString::from(decoded(found.params.get(name).unwrap_or_default()));
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let (allow, endpoint) = match (*found.value, method.as_str()) {
        (Place::Elsewhere(sentence), _) => return Err(Fault::new(Code::NotFound, sentence)),
        (Place::Root, "GET") => return Ok(Endpoint::Playground),
        (Place::Client, "GET") => return Ok(Endpoint::Client),
        (Place::Root | Place::Client, _) => ("GET, HEAD", None),
        (Place::Chat, "POST") => ("", Some(Endpoint::Generate(DialectId::OpenaiChat))),
        (Place::Responses, "POST") => ("", Some(Endpoint::Generate(DialectId::OpenaiResponses))),
        (Place::Messages, "POST") => ("", Some(Endpoint::Generate(DialectId::Anthropic))),
        (Place::UiChat, "POST") => ("", Some(Endpoint::Generate(DialectId::Ui))),
        (Place::CountTokens, "POST") => ("", Some(Endpoint::Count)),
        (
            Place::Chat | Place::Responses | Place::Messages | Place::CountTokens | Place::UiChat,
            _,
        ) => ("POST", None),
        (Place::Models, "GET") => ("", Some(Endpoint::Models)),
        (Place::Model, "GET") => ("", Some(Endpoint::Model(text("name")))),
        (Place::Models | Place::Model, _) => ("GET, HEAD", None),
        (Place::Streams, "GET") => ("", Some(Endpoint::List)),
        (Place::Streams, "POST") => ("", Some(Endpoint::Generate(DialectId::Events))),
        (Place::Streams, _) => ("GET, HEAD, POST", None),
        (Place::Stream, "GET") => ("", Some(Endpoint::Read(text("id")))),
        (Place::Stream, "DELETE") => ("", Some(Endpoint::Forget(text("id")))),
        (Place::Stream, _) => ("GET, HEAD, DELETE", None),
        (place @ (Place::Response | Place::CancelResponse | Place::InputItems), method) => {
            of_response(place, method, text("id"))
        }
        (Place::ResumeChat, "GET") => ("", Some(Endpoint::ResumeChat(text("id")))),
        (Place::ResumeChat, _) => ("GET, HEAD", None),
        (Place::StopChat, "POST") => ("", Some(Endpoint::StopChat(text("id")))),
        (Place::StopChat, _) => ("POST", None),
        (Place::Cancel, "POST") => ("", Some(Endpoint::Cancel(text("id")))),
        (Place::Cancel, _) => ("POST", None),
        (Place::Ticket, "POST") => ("", Some(Endpoint::Ticket(text("id")))),
        (Place::Ticket, _) => ("POST", None),
    };
    endpoint.ok_or_else(|| {
        let mut fault = Fault::new(Code::MethodNotAllowed, format!("this path takes {allow}"));
        fault.allow = Some(allow);
        fault
    })
}

/// What a method means on the paths of a response, or the methods that they take.
fn of_response(place: Place, method: &str, id: ByteString) -> (&'static str, Option<Endpoint>) {
    match (place, method) {
        (Place::CancelResponse, "POST") => ("", Some(Endpoint::CancelResponse(id))),
        (Place::CancelResponse, _) => ("POST", None),
        (Place::InputItems, "GET") => ("", Some(Endpoint::InputItems(id))),
        (Place::InputItems, _) => ("GET, HEAD", None),
        (_, "GET") => ("", Some(Endpoint::ReadResponse(id))),
        (_, "DELETE") => ("", Some(Endpoint::ForgetResponse(id))),
        (_, _) => ("GET, HEAD, DELETE", None),
    }
}

fn unknown(path: &str) -> Fault {
    let shown: String = path
        .chars()
        .filter(char::is_ascii_graphic)
        .take(100)
        .collect();
    Fault::new(
        Code::NotFound,
        format!("no path `{shown}` here: the API is under /v1, see the README"),
    )
}

/// The path segment with its percent-encoding resolved.
fn decoded(text: &str) -> String {
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
            (Method::POST, "/messages/count_tokens", Endpoint::Count),
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
    fn an_address_has_its_dialect_whatever_it_is_for() {
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
            assert_eq!(spoken(&request.body(()).unwrap()), dialect, "{path}");
        }
    }

    #[test]
    fn what_is_not_there_says_so() {
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
