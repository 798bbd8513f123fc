//! The routes of the API: one table of paths, from the profiles of the dialects and from the paths
//! that they share.
//!
//! Everything that depends on the path of a request reads this table: the handler, the methods in
//! `Allow` and in preflights, whether a request cancels a generation, and the dialect of errors.

use std::sync::LazyLock;

use bytestring::ByteString;
use http::{HeaderMap, HeaderValue, Method, Uri};
use matchit::Router;

use crate::dialect::{self, ApiPath, Operation};
use crate::model::fault::{Code, Fault};
use crate::model::printable::printable_id;
use crate::model::wire::DialectId;

/// A place to which requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// The playground.
    Playground,
    /// The browser client, `/client.js`.
    Client,
    /// An operation of the API.
    Api(Operation),
}

/// An endpoint, and the variable part of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) endpoint: Endpoint,
    /// The id in the path, decoded; empty if the path has none.
    pub(super) id: ByteString,
}

/// The paths that dialects share.
const SHARED: [ApiPath; 2] = [
    ("/v1/models", &[Operation::ListModels]),
    // Names of models may contain slashes.
    ("/v1/models/{*id}", &[Operation::ReadModel]),
];

const NO_EMBEDDINGS: &str =
    "embeddings, audio, images and files are not supported: Sluicegate serves chat APIs only";

const NO_BATCHES: &str = "batches are not supported: Sluicegate serves chat APIs only";

/// Paths of other gateways that are not supported here, with the error messages. Static paths win
/// over `{id}`, so none of them is taken for the id of a response.
const UNSUPPORTED: [(&str, &str); 9] = [
    ("/v1/embeddings", NO_EMBEDDINGS),
    ("/v1/audio/{*rest}", NO_EMBEDDINGS),
    ("/v1/images/{*rest}", NO_EMBEDDINGS),
    ("/v1/files", NO_EMBEDDINGS),
    (
        "/v1/completions",
        "the legacy completions API is not supported: use /v1/chat/completions",
    ),
    (
        "/v1/responses/input_tokens",
        "counting input tokens is not supported: the `usage` of a response contains them",
    ),
    (
        "/v1/responses/compact",
        "compacting conversations is not supported: send the turns that the model needs",
    ),
    ("/v1/messages/batches", NO_BATCHES),
    ("/v1/messages/batches/{*rest}", NO_BATCHES),
];

/// A row of the table.
enum Row {
    Served {
        endpoints: Vec<Endpoint>,
        /// Value of `Allow`.
        allow: String,
    },
    /// The error message.
    Unsupported(&'static str),
}

static TABLE: LazyLock<Router<Row>> = LazyLock::new(|| {
    let mut table = Router::new();
    let mut add = |path: String, row| {
        table
            .insert(path, row)
            .expect("the paths of the API do not overlap");
    };
    add("/".to_owned(), served(vec![Endpoint::Playground]));
    add("/client.js".to_owned(), served(vec![Endpoint::Client]));
    for (path, operations) in api_paths() {
        let endpoints = operations.iter().copied().map(Endpoint::Api).collect();
        add(path, served(endpoints));
    }
    for (path, message) in UNSUPPORTED {
        add(path.to_owned(), Row::Unsupported(message));
    }
    table
});

/// The methods of all paths, for preflights.
pub static METHODS: LazyLock<HeaderValue> = LazyLock::new(|| {
    let operations = api_paths().flat_map(|(_, operations)| operations.iter().copied());
    let all: Vec<Method> = operations.map(Operation::method).collect();
    let text = methods(&all) + ", OPTIONS";
    HeaderValue::try_from(text).expect("names of methods are visible ASCII")
});

/// Returns all paths of the API with their operations.
fn api_paths() -> impl Iterator<Item = (String, &'static [Operation])> {
    let of_dialects = DialectId::ALL.into_iter().flat_map(|dialect| {
        let profile = dialect::of(dialect).profile();
        let whole_path = |(below, operations): &'static ApiPath| {
            let path = format!("{}{below}", profile.path);
            (path, *operations, profile.has_short_paths)
        };
        profile.operations.iter().map(whole_path)
    });
    let shared = SHARED.map(|(path, operations)| (path.to_owned(), operations, true));
    of_dialects
        .chain(shared)
        .flat_map(|(path, operations, has_short)| {
            let short = path
                .strip_prefix("/v1")
                .filter(|_| has_short)
                .map(str::to_owned);
            [Some(path), short]
                .into_iter()
                .flatten()
                .map(move |path| (path, operations))
        })
}

fn served(endpoints: Vec<Endpoint>) -> Row {
    let own: Vec<Method> = endpoints.iter().map(|it| it.method()).collect();
    let allow = methods(&own);
    Row::Served { endpoints, allow }
}

/// Returns these methods as in `Allow`. HEAD works wherever GET does; the handlers omit the body.
fn methods(of: &[Method]) -> String {
    let names = [
        (Method::GET, "GET, HEAD"),
        (Method::POST, "POST"),
        (Method::DELETE, "DELETE"),
    ];
    let found = names.iter().filter(|(method, _)| of.contains(method));
    found.map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

impl Endpoint {
    fn method(self) -> Method {
        match self {
            Self::Playground | Self::Client => Method::GET,
            Self::Api(operation) => operation.method(),
        }
    }
}

impl Row {
    /// Returns the endpoint of a method.
    fn endpoint(&self, method: &Method) -> Option<Endpoint> {
        let Self::Served { endpoints, .. } = self else {
            return None;
        };
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        endpoints.iter().copied().find(|it| it.method() == *method)
    }
}

/// Returns the endpoint of a request.
///
/// # Errors
/// 404 for unknown paths; 405 with `Allow` for methods that a path does not support.
pub(super) fn find(method: &Method, path: &str) -> Result<Route, Fault> {
    let path = without_last_slash(path);
    let found = TABLE.at(path).map_err(|_| unknown_path(path))?;
    let allow = match found.value {
        Row::Unsupported(message) => return Err(Fault::new(Code::NotFound, *message)),
        Row::Served { allow, .. } => allow,
    };
    let Some(endpoint) = found.value.endpoint(method) else {
        let mut fault = Fault::new(Code::MethodNotAllowed, format!("this path takes {allow}"));
        fault.allow = Some(allow);
        return Err(fault);
    };
    let id = percent_decoded(found.params.get("id").unwrap_or_default()).into();
    Ok(Route { endpoint, id })
}

/// Returns true for requests that cancel or delete a generation, which no limit rejects.
#[must_use]
pub fn is_cancel(method: &Method, path: &str) -> bool {
    let endpoint = TABLE
        .at(without_last_slash(path))
        .ok()
        .and_then(|found| found.value.endpoint(method));
    matches!(endpoint, Some(Endpoint::Api(operation)) if operation.is_cancel())
}

/// Returns the dialect that a request is meant in, also for unknown paths. It sets the shape of
/// error responses and of the model list.
#[must_use]
pub fn dialect_of(uri: &Uri, headers: &HeaderMap) -> DialectId {
    let path = uri.path();
    let profile = |dialect: DialectId| dialect::of(dialect).profile();
    let by_path = |dialect: &DialectId| is_below(path, profile(*dialect).path);
    let marked = |dialect: &DialectId| {
        let marker = profile(*dialect).marker_header;
        marker.is_some_and(|name| headers.contains_key(name))
    };
    let shared = SHARED.iter().any(|(shared, _)| is_below(path, shared));
    let all = || DialectId::ALL.into_iter();
    all()
        .find(by_path)
        .or_else(|| all().filter(|_| shared).find(marked))
        .unwrap_or(dialect::DEFAULT)
}

/// Returns true if a path is this one or below it. `/v1` and empty segments, which come from
/// doubled slashes, do not count.
fn is_below(path: &str, root: &str) -> bool {
    let (mut path, mut root) = (segments(path), segments(root));
    root.all(|segment| path.next() == Some(segment))
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    let mut first = true;
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .filter(move |segment| !(std::mem::take(&mut first) && *segment == "v1"))
}

/// A trailing slash is ignored.
fn without_last_slash(path: &str) -> &str {
    if path.len() > 1 {
        path.trim_end_matches('/')
    } else {
        path
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

    const GENERATE: Endpoint = api(Operation::Generate);
    const READ_MODEL: Endpoint = api(Operation::ReadModel);
    const READ_RESPONSE: Endpoint = api(Operation::ReadResponse);
    const READ_STREAM: Endpoint = api(Operation::ReadStream);

    const fn api(operation: Operation) -> Endpoint {
        Endpoint::Api(operation)
    }

    fn of_path(path: &str) -> DialectId {
        dialect_of(&path.parse().unwrap(), &HeaderMap::new())
    }

    #[test]
    fn paths_and_methods_find_their_endpoint() {
        for (method, path, endpoint, id) in [
            (Method::GET, "/", Endpoint::Playground, ""),
            (Method::HEAD, "/client.js", Endpoint::Client, ""),
            (Method::POST, "/chat/completions/", GENERATE, ""),
            (Method::GET, "/responses/r1", READ_RESPONSE, "r1"),
            (Method::HEAD, "/v1/streams/abc", READ_STREAM, "abc"),
            (Method::GET, "/v1/streams/a%20c", READ_STREAM, "a c"),
            (
                Method::GET,
                "/models/local/llama",
                READ_MODEL,
                "local/llama",
            ),
        ] {
            let route = Route {
                endpoint,
                id: id.into(),
            };
            assert_eq!(find(&method, path), Ok(route), "{path}");
        }
    }

    #[test]
    fn every_operation_is_found_on_its_paths_and_in_its_dialect() {
        for dialect in DialectId::ALL {
            let profile = dialect::of(dialect).profile();
            for (below, operations) in profile.operations {
                let path = format!("{}{below}", profile.path).replace("{id}", "abc");
                assert_eq!(of_path(&path), dialect, "{path}");
                for operation in *operations {
                    let method = operation.method();
                    let route = find(&method, &path).unwrap();
                    assert_eq!(route.endpoint, api(*operation), "{method} {path}");
                    assert_eq!(is_cancel(&method, &path), operation.is_cancel(), "{path}");
                }
            }
        }
    }

    #[test]
    fn cancels_are_recognised_and_nothing_else() {
        for (method, path) in [
            (Method::POST, "/v1/streams/abc/cancel"),
            (Method::POST, "/v1/streams/abc/cancel/"),
            (Method::DELETE, "/v1/streams/abc"),
            (Method::POST, "/responses/resp_1/cancel"),
            (Method::POST, "/v1/ui/chat/c1/stop"),
        ] {
            assert!(is_cancel(&method, path), "{method} {path}");
        }
        for (method, path) in [
            (Method::GET, "/v1/streams/abc/cancel"),
            (Method::POST, "/v1/streams"),
            (Method::POST, "/v1/streams/cancel"),
            (Method::DELETE, "/v1/streams/"),
            (Method::POST, "/v1/streams/abc/ticket"),
            (Method::POST, "/v1/streams/abc/cancel/more"),
            (Method::POST, "/v1/chat/completions"),
            (Method::DELETE, "/v1/responses/compact"),
        ] {
            assert!(!is_cancel(&method, path), "{method} {path}");
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
            ("/v1/v1/messages", false, DialectId::OpenaiChat),
        ] {
            let mut headers = HeaderMap::new();
            if version {
                headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
            }
            assert_eq!(
                dialect_of(&path.parse().unwrap(), &headers),
                dialect,
                "{path}"
            );
        }
    }

    #[test]
    fn preflights_name_the_methods_of_all_paths() {
        assert_eq!(*METHODS, "GET, HEAD, POST, DELETE, OPTIONS");
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
