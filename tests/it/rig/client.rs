//! A client that writes its requests by hand, reads answers byte by byte, and can disconnect in any
//! way.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::WireId;
use super::clock::within;
use super::received::Received;
use super::sse::{Event, Parser};

/// Maximum number of bytes per read.
const READ: usize = 64 * 1024;

/// Dialects that the test clients use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's Chat Completions.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
    /// Our own events.
    Events,
    /// The AI SDK's UI message stream.
    Ui,
}

impl Dialect {
    /// All dialects.
    pub const ALL: [Self; 5] = [
        Self::Chat,
        Self::Responses,
        Self::Messages,
        Self::Events,
        Self::Ui,
    ];

    /// The dialects that accept Chat Completions bodies.
    pub const CHATS: [Self; 2] = [Self::Chat, Self::Events];

    /// The name in `?dialect=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "openai-chat",
            Self::Responses => "openai-responses",
            Self::Messages => "anthropic",
            Self::Events => "events",
            Self::Ui => "ui",
        }
    }

    /// Path of the generation endpoint.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
            Self::Events => "/v1/streams",
            Self::Ui => "/v1/ui/chat",
        }
    }

    /// The wire whose payloads are passed on unchanged.
    pub fn wire(self) -> Option<WireId> {
        match self {
            Self::Chat => Some(WireId::OpenaiChat),
            Self::Responses => Some(WireId::OpenaiResponses),
            Self::Messages => Some(WireId::Anthropic),
            Self::Events | Self::Ui => None,
        }
    }

    /// Returns true if an answer may have several choices.
    pub const fn has_choices(self) -> bool {
        matches!(self, Self::Chat | Self::Events)
    }

    /// Returns true if a stream is answered with 200 as soon as it is admitted.
    pub const fn answers_at_once(self) -> bool {
        matches!(self, Self::Events | Self::Ui)
    }

    /// Returns a request body with one short message.
    fn body(self, model: &str, stream: bool) -> Value {
        let messages = json!([{"role": "user", "content": "Say something."}]);
        match self {
            Self::Chat | Self::Events if stream => {
                json!({"model": model, "messages": messages, "stream": true, "stream_options": {"include_usage": true}})
            }
            Self::Chat | Self::Events => {
                json!({"model": model, "messages": messages, "stream": false})
            }
            Self::Responses => json!({"model": model, "input": "Say something.", "stream": stream}),
            Self::Messages => {
                json!({"model": model, "max_tokens": 1000, "messages": messages, "stream": stream})
            }
            Self::Ui => {
                let parts = json!([{"type": "text", "text": "Say something."}]);
                json!({"model": model, "stream": stream, "trigger": "submit-message",
                    "messages": [{"id": "m1", "role": "user", "parts": parts}]})
            }
        }
    }
}

/// A request to send.
#[derive(Debug, Clone)]
pub struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Bytes>,
    content_type: &'static str,
    dialect: Dialect,
}

impl Request {
    /// Creates a request without a body.
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: None,
            content_type: "application/json",
            dialect: Dialect::Events,
        }
    }

    /// Creates a chat request with one short message.
    pub fn chat(dialect: Dialect, model: &str, stream: bool) -> Self {
        Self {
            dialect,
            ..Self::new("POST", dialect.path())
        }
        .json(&dialect.body(model, stream))
    }

    /// Sets the text of the user's message.
    pub fn with_text(self, words: &str) -> Self {
        match self.dialect {
            Dialect::Responses => self.set("input", words.into()),
            Dialect::Ui => {
                let parts = json!([{"type": "text", "text": words}]);
                self.set(
                    "messages",
                    json!([{"id": "m1", "role": "user", "parts": parts}]),
                )
            }
            Dialect::Chat | Dialect::Messages | Dialect::Events => {
                self.set("messages", json!([{"role": "user", "content": words}]))
            }
        }
    }

    /// Sets a field of the body.
    pub fn set(self, field: &str, value: Value) -> Self {
        let mut body: Value = serde_json::from_slice(self.body.as_ref().unwrap()).unwrap();
        body[field] = value;
        self.json(&body)
    }

    /// Removes a field of the body.
    pub fn without(self, field: &str) -> Self {
        let mut body: Value = serde_json::from_slice(self.body.as_ref().unwrap()).unwrap();
        body.as_object_mut().unwrap().remove(field);
        self.json(&body)
    }

    /// Sets the path.
    pub fn at(mut self, path: &str) -> Self {
        self.path = path.into();
        self
    }

    /// Sets a JSON body.
    pub fn json(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string().into());
        self
    }

    /// Sets a body of any content type.
    pub fn raw(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.content_type = content_type;
        self.body = Some(body.into());
        self
    }

    /// Sets the dialect in which the answer is parsed.
    pub fn read_as(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Adds a header field.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Asks for event ids, also in dialects that have none by default.
    pub fn with_ids(self) -> Self {
        self.header("x-event-ids", "true")
    }

    /// Asks that the stream is cancelled as soon as it has no reader.
    pub fn cancel_on_disconnect(self) -> Self {
        self.header("x-on-disconnect", "cancel")
    }

    /// Sets the caller's own name for the stream.
    pub fn named(self, name: &str) -> Self {
        self.header("x-stream-id", name)
    }

    /// Converts to an `http` request with the body in memory.
    pub fn to_http(&self) -> http::Request<Full<Bytes>> {
        let mut request = http::Request::builder()
            .method(self.method)
            .uri(&self.path)
            .header("content-type", self.content_type);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
            .body(Full::new(self.body.clone().unwrap_or_default()))
            .unwrap()
    }

    /// Returns the bytes of the request.
    pub fn encode(&self, host: SocketAddr) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nhost: {host}\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            text.push_str(&format!(
                "content-type: {}\r\ncontent-length: {}\r\n",
                self.content_type,
                body.len()
            ));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }
}

/// An HTTP client. Every request uses a connection of its own.
#[derive(Debug, Clone)]
pub struct Client {
    addr: SocketAddr,
    key: Option<String>,
}

impl Client {
    /// Creates a client of the proxy at `addr`.
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, key: None }
    }

    /// Returns the client with a key.
    pub fn with_key(&self, key: &str) -> Self {
        Self {
            key: Some(key.into()),
            ..self.clone()
        }
    }

    /// Returns the client connecting to another address (a relay).
    pub fn through(&self, addr: SocketAddr) -> Self {
        Self {
            addr,
            ..self.clone()
        }
    }

    /// Sends a request without waiting for the answer.
    pub async fn send(&self, request: &Request) -> Connection {
        let request = match &self.key {
            Some(key) => request
                .clone()
                .header("authorization", &format!("Bearer {key}")),
            None => request.clone(),
        };
        let mut socket = within("a connection to the proxy", TcpStream::connect(self.addr))
            .await
            .unwrap();
        socket.set_nodelay(true).unwrap();
        socket.write_all(&request.encode(self.addr)).await.unwrap();
        Connection {
            socket,
            raw: BytesMut::new(),
            dialect: request.dialect,
        }
    }

    /// Sends a request and waits for the head of the answer.
    pub async fn ask(&self, request: &Request) -> Reply {
        self.send(request).await.head().await
    }

    /// Sends `GET path`.
    pub async fn get(&self, path: &str) -> Reply {
        self.ask(&Request::new("GET", path)).await
    }

    /// Sends `POST …/cancel` for a stream.
    pub async fn cancel(&self, id: &str) -> Reply {
        self.ask(&Request::new("POST", format!("/v1/streams/{id}/cancel")))
            .await
    }

    /// Sends `DELETE` for a stream.
    pub async fn forget(&self, id: &str) -> Reply {
        self.ask(&Request::new("DELETE", format!("/v1/streams/{id}")))
            .await
    }

    /// Returns the status JSON of a stream.
    pub async fn status(&self, id: &str) -> Value {
        let mut reply = self.get(&format!("/v1/streams/{id}")).await;
        let body = reply.json().await;
        assert_eq!(reply.status, 200, "{body}");
        body
    }

    /// Waits until the status JSON of a stream reports `status`.
    pub async fn until_status(&self, id: &str, status: &str) -> Value {
        let waiting = async {
            loop {
                let now = self.status(id).await;
                if now["status"] == status {
                    return now;
                }
                tokio::task::yield_now().await;
            }
        };
        within(&format!("the status {status}"), waiting).await
    }

    /// Follows a stream from its start.
    pub async fn follow(&self, dialect: Dialect, id: &str) -> Reply {
        self.resume(dialect, id, None).await
    }

    /// Follows a stream after the event id `last`.
    pub async fn resume(&self, dialect: Dialect, id: &str, last: Option<&str>) -> Reply {
        let path = format!("/v1/streams/{id}?dialect={}", dialect.name());
        let mut request = Request::new("GET", path)
            .header("accept", "text/event-stream")
            .read_as(dialect);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        self.ask(&request).await
    }
}

/// A connection on which a request was sent.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    raw: BytesMut,
    dialect: Dialect,
}

/// The way in which an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A proper end.
    Proper,
    /// The connection was closed in the middle.
    Cut,
    /// The connection was reset.
    Reset,
}

impl Connection {
    /// Sends more bytes.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// Resets the connection.
    pub fn abort(self) {
        self.socket.set_zero_linger().unwrap();
    }

    /// Reads available bytes, in large pieces.
    async fn read(&mut self) -> io::Result<usize> {
        self.raw.reserve(READ);
        self.socket.read_buf(&mut self.raw).await
    }

    /// Waits for the head of the answer.
    pub async fn head(mut self) -> Reply {
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.raw, b"\r\n\r\n") {
                break end;
            }
            let more = within("the head of an answer", self.read()).await;
            assert!(
                more.is_ok_and(|n| n > 0),
                "the proxy closed before it answered; it had sent {:?}",
                self.raw
            );
        };
        let head = String::from_utf8(self.raw.split_to(end + 4).to_vec()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|it| it.split_once(": "))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        let field = |name: &str| {
            headers
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
        };
        let chunked =
            field("transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked"));
        let left = field("content-length").map(|it| it.parse().unwrap());
        let body = if chunked {
            Body::Chunk(0)
        } else {
            left.map_or(Body::UntilClose, Body::Length)
        };
        let body = if status == 204 {
            Body::Ended(Ending::Proper)
        } else {
            body
        };
        let raw_bytes = self.raw.len();
        Reply {
            status,
            headers,
            connection: self,
            body,
            sse: Parser::default(),
            waiting: Default::default(),
            raw_bytes,
            pings: 0,
        }
    }
}

/// Decoding state of a body.
#[derive(Debug, Clone, Copy)]
enum Body {
    /// Bytes left of a chunk, its line end included; 0 before the size of the next chunk.
    Chunk(usize),
    /// Bytes left of the body.
    Length(usize),
    /// The body ends with the connection.
    UntilClose,
    /// The body has ended.
    Ended(Ending),
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The header fields, unchanged.
    pub headers: Vec<(String, String)>,
    connection: Connection,
    body: Body,
    sse: Parser,
    waiting: std::collections::VecDeque<Event>,
    raw_bytes: usize,
    pings: usize,
}

impl Reply {
    /// Returns the header field of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Returns the server-made id of the stream.
    pub fn stream_id(&self) -> String {
        self.header("x-stream-id")
            .unwrap_or_else(|| panic!("no x-stream-id in {:?}", self.headers))
            .to_owned()
    }

    /// Returns the number of heartbeats read so far.
    pub fn heartbeats(&self) -> usize {
        self.sse.comments + self.pings
    }

    /// Returns the number of body bytes read so far, framing included.
    pub fn raw_bytes(&self) -> usize {
        self.raw_bytes
    }

    /// Resets the connection.
    pub fn abort(self) {
        self.connection.abort();
    }

    /// Sends more bytes on the connection.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.connection.write(bytes).await;
    }

    /// Returns the next bytes of the body; `None` at its end.
    pub async fn bytes(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.decode() {
                return Some(bytes);
            }
            if matches!(self.body, Body::Ended(_)) {
                return None;
            }
            let read = within("more of an answer's body", self.connection.read()).await;
            self.note(read);
        }
    }

    fn note(&mut self, read: io::Result<usize>) {
        match (read, self.body) {
            (Ok(0), Body::UntilClose) => self.body = Body::Ended(Ending::Proper),
            (Ok(0), _) => self.body = Body::Ended(Ending::Cut),
            (Ok(n), _) => self.raw_bytes += n,
            (Err(_), _) => self.body = Body::Ended(Ending::Reset),
        }
    }

    /// Decodes body bytes that are already in the buffer.
    fn decode(&mut self) -> Option<Bytes> {
        let raw = &mut self.connection.raw;
        match self.body {
            Body::Length(0) => {
                self.body = Body::Ended(Ending::Proper);
                None
            }
            Body::Length(left) if !raw.is_empty() => {
                let bytes = raw.split_to(left.min(raw.len())).freeze();
                self.body = Body::Length(left - bytes.len());
                Some(bytes)
            }
            Body::UntilClose if !raw.is_empty() => Some(raw.split().freeze()),
            Body::Chunk(0) => {
                let line = memchr::memmem::find(raw, b"\r\n")?;
                let size =
                    usize::from_str_radix(std::str::from_utf8(&raw[..line]).unwrap(), 16).unwrap();
                if size == 0 && raw.len() < line + 4 {
                    return None;
                }
                raw.advance(line + 2);
                self.body = if size == 0 {
                    Body::Ended(Ending::Proper)
                } else {
                    Body::Chunk(size + 2)
                };
                self.decode()
            }
            Body::Chunk(left) => {
                let bytes = raw.split_to(left.min(raw.len()));
                self.body = Body::Chunk(left - bytes.len());
                let content = left.saturating_sub(2).min(bytes.len());
                match content {
                    0 if bytes.is_empty() => None,
                    0 => self.decode(),
                    n => Some(bytes.freeze().slice(..n)),
                }
            }
            Body::Length(_) | Body::UntilClose | Body::Ended(_) => None,
        }
    }

    /// Returns the next event; `None` at the end of the body.
    pub async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.pings += usize::from(event.name == "ping" && event.id.is_none());
                return Some(event);
            }
            match self.bytes().await {
                Some(bytes) => self.waiting.extend(self.sse.feed(&bytes)),
                None => return None,
            }
        }
    }

    /// Reads events until `enough` returns true for the answer received so far.
    pub async fn until(&mut self, enough: impl Fn(&Received) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        let mut received = Received::default();
        while !enough(&received) {
            let event = self
                .event()
                .await
                .unwrap_or_else(|| panic!("the stream ended after {received:?}"));
            received.record(self.connection.dialect, &event);
            events.push(event);
        }
        events
    }

    /// Reads `count` raw bytes of the body, framing included, and returns the events that are
    /// complete in them.
    pub async fn cut_at(mut self, count: usize) -> Vec<Event> {
        while self.connection.raw.len() < count {
            let read = within("more of an answer's body", self.connection.read()).await;
            if !read.is_ok_and(|n| n > 0) {
                break;
            }
        }
        self.connection.raw.truncate(count);
        let mut events = Vec::new();
        while let Some(bytes) = self.decode() {
            events.extend(self.sse.feed(&bytes));
        }
        events
    }

    /// Returns all further events and how the body ended.
    pub async fn events(&mut self) -> (Vec<Event>, Ending) {
        let mut events = Vec::new();
        while let Some(event) = self.event().await {
            events.push(event);
        }
        let Body::Ended(ending) = self.body else {
            unreachable!("a body without more bytes has ended")
        };
        assert!(
            ending != Ending::Proper || self.sse.is_empty(),
            "a proper end in the middle of an event"
        );
        (events, ending)
    }

    /// Reads the rest of the stream and folds it.
    pub async fn received(&mut self) -> Received {
        let (events, ending) = self.events().await;
        let mut received = Received::from_events(self.connection.dialect, &events);
        received.cut = ending != Ending::Proper;
        received
    }

    /// Returns the rest of the body.
    pub async fn whole(&mut self) -> Bytes {
        let mut all = BytesMut::new();
        while let Some(bytes) = self.bytes().await {
            all.extend_from_slice(&bytes);
        }
        all.freeze()
    }

    /// Returns the rest of the body as text.
    pub async fn text(&mut self) -> String {
        String::from_utf8(self.whole().await.to_vec()).unwrap()
    }

    /// Returns the rest of the body as JSON.
    pub async fn json(&mut self) -> Value {
        let text = self.text().await;
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {} {text:?}", self.status))
    }
}
