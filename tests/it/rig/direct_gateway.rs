//! The gateway without sockets: plays recordings as fast as possible.
//!
//! Everything after the gateway is as in the running proxy; the server in front of it is left out:
//! bodies go in and out unchanged.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use serde_json::Value;
use sluicegate::gateway::{Gateway, RequestContext};
use sluicegate::route::Rules;
use sluicegate::wire::recording::{Chunk, Recording};

use super::client::{Dialect, Request};
use super::sse::{Event, Parser};
use super::{RecordingFolder, Setup, WireId, within};

/// A gateway with a folder of recordings as its only provider.
pub struct DirectGateway {
    gateway: Gateway,
    folder: RecordingFolder,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl DirectGateway {
    /// Creates a gateway with an empty folder.
    pub fn new() -> Self {
        let folder = RecordingFolder::new();
        std::fs::create_dir_all(folder.path()).unwrap();
        let lines = format!("dir = {:?}\ndirect = true\npace = \"0s\"", folder.path());
        let setup = Setup::new()
            .section("providers.replay", &lines)
            .section("limits", "");
        let mut config = setup.config();
        // Recorded failures are played repeatedly, and must not open a breaker.
        config.route.rules = Rules::forgiving();
        Self {
            gateway: sluicegate::app::gateway(&config).unwrap(),
            folder,
        }
    }

    /// Stores a recording, cut into these pieces. Returns the name of its model.
    pub fn put(
        &self,
        name: &str,
        wire: WireId,
        content_type: &str,
        pieces: impl IntoIterator<Item = Bytes>,
    ) -> String {
        let chunks = pieces
            .into_iter()
            .map(|bytes| Chunk {
                at: Duration::ZERO,
                bytes,
            })
            .collect();
        let recording = Recording {
            wire,
            content_type: content_type.to_owned(),
            status: 200,
            chunks,
        };
        self.folder.write(name, recording.write());
        format!("replay/{name}")
    }

    /// Sends a request and reads the whole answer.
    pub async fn ask(&self, request: &Request) -> Response {
        let context = RequestContext {
            request_id: "request".into(),
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            loopback: true,
            forwarded: false,
            trusted_page: false,
        };
        let (head, body) = within("an answer", self.gateway.handle(context, request.to_http()))
            .await
            .into_parts();
        let body = within("the end of an answer", body.collect())
            .await
            .unwrap_or_else(|never| match never {})
            .to_bytes();
        Response {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        }
    }

    /// Reads a finished stream in a dialect, after an event id or from the beginning.
    pub async fn read(&self, id: &str, dialect: Dialect, after: Option<&str>) -> Response {
        let request = Request::new(
            "GET",
            format!("/v1/streams/{id}?dialect={}", dialect.name()),
        )
        .header("accept", "text/event-stream");
        let request = match after {
            Some(last) => request.header("last-event-id", last),
            None => request,
        };
        self.ask(&request).await
    }

    /// Returns the status JSON of a stream.
    pub async fn status(&self, id: &str) -> Value {
        self.ask(&Request::new("GET", format!("/v1/streams/{id}")))
            .await
            .json()
    }

    /// Deletes a stream.
    pub async fn forget(&self, id: &str) {
        let response = self
            .ask(&Request::new("DELETE", format!("/v1/streams/{id}")))
            .await;
        assert_eq!(response.status, 204, "{response:?}");
    }
}

impl Response {
    /// Returns the server-made id of the stream.
    pub fn stream_id(&self) -> String {
        let id = self
            .headers
            .get("x-stream-id")
            .unwrap_or_else(|| panic!("no x-stream-id in {:?}", self.headers));
        id.to_str().unwrap().to_owned()
    }

    /// Returns true for an event stream.
    pub fn is_stream(&self) -> bool {
        self.headers
            .get("content-type")
            .is_some_and(|it| it.to_str().unwrap().starts_with("text/event-stream"))
    }

    /// Returns the body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {:?}", self.body))
    }

    /// Returns the events in the body.
    pub fn events(&self) -> Vec<Event> {
        events(&self.body)
    }
}

/// Parses the events of a complete body.
pub fn events(body: &[u8]) -> Vec<Event> {
    let mut parser = Parser::default();
    let events = parser.feed(body);
    assert!(
        parser.is_empty(),
        "a body that ends in the middle of an event"
    );
    events
}
