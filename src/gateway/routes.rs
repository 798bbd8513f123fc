//! Method and path → what is wanted.

use std::sync::LazyLock;

use bytestring::ByteString;
use http::Method;
use matchit::Router;

use crate::model::fault::{Code, Fault};
use crate::model::wire::Tongue;

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// The page at `/`.
    Playground,
    /// A new generation, asked for and answered in this dialect.
    Generate(Tongue),
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
    /// Stop and forget a stream.
    Forget(ByteString),
}

impl Endpoint {
    /// The dialect in which it is refused.
    pub(super) fn tongue(&self) -> Tongue {
        match self {
            Self::Generate(tongue) => *tongue,
            _ => Tongue::OpenaiChat,
        }
    }
}

/// A path of the API.
#[derive(Debug, Clone, Copy)]
enum Place {
    Root,
    Chat,
    Models,
    Model,
    Streams,
    Stream,
    Cancel,
    /// Known of other gateways, and not here: with the sentence that says so.
    Elsewhere(&'static str),
}

const NO_EMBEDDINGS: &str = "sluicegate streams chats: embeddings, audio, images and files are not its business";
const NOT_YET: &str = "this dialect is not spoken yet: use /v1/chat/completions or /v1/streams";

static PLACES: LazyLock<Router<Place>> = LazyLock::new(|| {
    let places = [
        ("/", Place::Root),
        ("/chat/completions", Place::Chat),
        ("/v1/chat/completions", Place::Chat),
        ("/models", Place::Models),
        ("/v1/models", Place::Models),
        ("/models/{*name}", Place::Model),
        ("/v1/models/{*name}", Place::Model),
        ("/v1/streams", Place::Streams),
        ("/v1/streams/{id}", Place::Stream),
        ("/v1/streams/{id}/cancel", Place::Cancel),
        ("/v1/embeddings", Place::Elsewhere(NO_EMBEDDINGS)),
        ("/v1/audio/{*rest}", Place::Elsewhere(NO_EMBEDDINGS)),
        ("/v1/images/{*rest}", Place::Elsewhere(NO_EMBEDDINGS)),
        ("/v1/files", Place::Elsewhere(NO_EMBEDDINGS)),
        ("/v1/completions", Place::Elsewhere("the old completions API is not spoken: use /v1/chat/completions")),
        ("/v1/responses", Place::Elsewhere(NOT_YET)),
        ("/responses", Place::Elsewhere(NOT_YET)),
        ("/v1/messages", Place::Elsewhere(NOT_YET)),
        ("/messages", Place::Elsewhere(NOT_YET)),
        ("/v1/ui/chat", Place::Elsewhere(NOT_YET)),
    ];
    let mut router = Router::new();
    for (path, place) in places {
        router.insert(path, place).expect("the paths of the API do not overlap");
    }
    router
});

/// What is wanted.
///
/// # Errors
/// 404 for paths that are not ours, 405 with `Allow` for methods that a path does not take.
pub(super) fn find(method: &Method, path: &str) -> Result<Endpoint, Fault> {
    // A trailing slash means nothing.
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let found = PLACES.at(path).map_err(|_| unknown(path))?;
    let text = |name: &str| ByteString::from(decoded(found.params.get(name).unwrap_or_default()));
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let (allow, endpoint) = match (*found.value, method.as_str()) {
        (Place::Elsewhere(sentence), _) => return Err(Fault::new(Code::NotFound, sentence)),
        (Place::Root, "GET") => return Ok(Endpoint::Playground),
        (Place::Root, _) => ("GET, HEAD", None),
        (Place::Chat, "POST") => ("", Some(Endpoint::Generate(Tongue::OpenaiChat))),
        (Place::Chat, _) => ("POST", None),
        (Place::Models, "GET") => ("", Some(Endpoint::Models)),
        (Place::Model, "GET") => ("", Some(Endpoint::Model(text("name")))),
        (Place::Models | Place::Model, _) => ("GET, HEAD", None),
        (Place::Streams, "GET") => ("", Some(Endpoint::List)),
        (Place::Streams, "POST") => ("", Some(Endpoint::Generate(Tongue::Events))),
        (Place::Streams, _) => ("GET, HEAD, POST", None),
        (Place::Stream, "GET") => ("", Some(Endpoint::Read(text("id")))),
        (Place::Stream, "DELETE") => ("", Some(Endpoint::Forget(text("id")))),
        (Place::Stream, _) => ("GET, HEAD, DELETE", None),
        (Place::Cancel, "POST") => ("", Some(Endpoint::Cancel(text("id")))),
        (Place::Cancel, _) => ("POST", None),
    };
    endpoint.ok_or_else(|| {
        let mut fault = Fault::new(Code::MethodNotAllowed, format!("this path takes {allow}"));
        fault.allow = Some(allow);
        fault
    })
}

fn unknown(path: &str) -> Fault {
    let shown: String = path.chars().filter(char::is_ascii_graphic).take(100).collect();
    Fault::new(Code::NotFound, format!("no path `{shown}` here: the API is under /v1, see the README"))
}

/// The path segment with its percent-encoding resolved.
fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods_find_their_endpoint() {
        for (method, path, endpoint) in [
            (Method::GET, "/", Endpoint::Playground),
            (Method::POST, "/v1/chat/completions", Endpoint::Generate(Tongue::OpenaiChat)),
            (Method::POST, "/chat/completions/", Endpoint::Generate(Tongue::OpenaiChat)),
            (Method::POST, "/v1/streams", Endpoint::Generate(Tongue::Events)),
            (Method::HEAD, "/v1/streams/abc", Endpoint::Read("abc".into())),
            (Method::DELETE, "/v1/streams/a%20c", Endpoint::Forget("a c".into())),
            (Method::POST, "/v1/streams/abc/cancel", Endpoint::Cancel("abc".into())),
            (Method::GET, "/v1/models/local/llama", Endpoint::Model("local/llama".into())),
        ] {
            assert_eq!(find(&method, path).unwrap(), endpoint, "{path}");
        }
    }

    #[test]
    fn what_is_not_there_says_so() {
        for (method, path, code, allow) in [
            (Method::GET, "/v1/chat/completions", Code::MethodNotAllowed, Some("POST")),
            (Method::PUT, "/v1/streams/x", Code::MethodNotAllowed, Some("GET, HEAD, DELETE")),
            (Method::POST, "/v1/embeddings", Code::NotFound, None),
            (Method::GET, "/nope", Code::NotFound, None),
        ] {
            let fault = find(&method, path).unwrap_err();
            assert_eq!((fault.code, fault.allow), (code, allow), "{path}");
        }
    }
}
