//! The gateway without sockets: recordings are asked for by hand and played to the end, as fast as
//! they can be.
//!
//! Behind the gateway everything is as in the running proxy; before it, nothing: bodies go in and
//! out as they are.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use serde_json::Value;
use sluicegate::gateway::{Gateway, RequestContext};
use sluicegate::route::Rules;
use sluicegate::wire::recording::{Chunk, Recording};

use super::client::{Ask, Speech};
use super::sse::{Event, Parser};
use super::{Folder, Setup, WireId, within};

/// A gateway before a folder of recordings.
pub struct Stage {
    gateway: Gateway,
    folder: Folder,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The head.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Stage {
    /// A stage on which nothing is played yet.
    pub fn new() -> Self {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.path()).unwrap();
        let lines = format!("dir = {:?}\ndirect = true\npace = \"0s\"", folder.path());
        let setup = Setup::new()
            .section("providers.replay", &lines)
            .section("limits", "");
        let mut config = setup.config();
        // Recordings of failures are played time and again: none of them is left alone for it.
        config.route.rules = Rules::forgiving();
        Self {
            gateway: sluicegate::app::gateway(&config).unwrap(),
            folder,
        }
    }

    /// Puts an answer there, cut in these pieces; gives the name of its model.
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

    /// Answers a request.
    pub async fn ask(&self, ask: &Ask) -> Answered {
        let context = RequestContext {
            request_id: "request".into(),
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            loopback: true,
            forwarded: false,
            trusted_page: false,
        };
        let (head, body) = within("an answer", self.gateway.handle(context, ask.request()))
            .await
            .into_parts();
        let body = within("the end of an answer", body.collect())
            .await
            .unwrap_or_else(|never| match never {})
            .to_bytes();
        Answered {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        }
    }

    /// What a stream that has ended says in a dialect, behind an event's id or from the beginning.
    pub async fn read(&self, id: &str, speech: Speech, after: Option<&str>) -> Answered {
        let ask = Ask::new("GET", format!("/v1/streams/{id}?dialect={}", speech.name()))
            .header("accept", "text/event-stream");
        let ask = match after {
            Some(last) => ask.header("last-event-id", last),
            None => ask,
        };
        self.ask(&ask).await
    }

    /// The status JSON of a stream.
    pub async fn status(&self, id: &str) -> Value {
        self.ask(&Ask::new("GET", format!("/v1/streams/{id}")))
            .await
            .json()
    }

    /// Lets a stream go.
    pub async fn forget(&self, id: &str) {
        let answered = self
            .ask(&Ask::new("DELETE", format!("/v1/streams/{id}")))
            .await;
        assert_eq!(answered.status, 204, "{answered:?}");
    }
}

impl Answered {
    /// The server-made id of the stream.
    pub fn stream_id(&self) -> String {
        let id = self
            .headers
            .get("x-stream-id")
            .unwrap_or_else(|| panic!("no x-stream-id in {:?}", self.headers));
        id.to_str().unwrap().to_owned()
    }

    /// True where it is a stream of events.
    pub fn is_stream(&self) -> bool {
        self.headers
            .get("content-type")
            .is_some_and(|it| it.to_str().unwrap().starts_with("text/event-stream"))
    }

    /// Its body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Its body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {:?}", self.body))
    }

    /// The events in its body.
    pub fn events(&self) -> Vec<Event> {
        events(&self.body)
    }
}

/// The events of a body that was read to its end.
pub fn events(body: &[u8]) -> Vec<Event> {
    let mut parser = Parser::default();
    let events = parser.feed(body);
    assert!(
        parser.is_empty(),
        "a body that ends in the middle of an event"
    );
    events
}
