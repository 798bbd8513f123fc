//! A client that writes its requests by hand, reads answers byte by byte, and can leave in any way
//! there is.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::WireId;
use super::clock::within;
use super::sse::{Event, Parser};
use super::told::Told;

/// Bytes read at once, at most.
const READ: usize = 64 * 1024;

/// The dialects that clients speak here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
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

impl Speech {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Chat,
        Self::Responses,
        Self::Messages,
        Self::Events,
        Self::Ui,
    ];

    /// Those that take Chat Completions' body.
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

    /// Where a generation is asked for.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
            Self::Events => "/v1/streams",
            Self::Ui => "/v1/ui/chat",
        }
    }

    /// The wire whose payloads it passes on.
    pub fn wire(self) -> Option<WireId> {
        match self {
            Self::Chat => Some(WireId::OpenaiChat),
            Self::Responses => Some(WireId::OpenaiResponses),
            Self::Messages => Some(WireId::Anthropic),
            Self::Events | Self::Ui => None,
        }
    }

    /// True where an answer may have several choices.
    pub const fn has_choices(self) -> bool {
        matches!(self, Self::Chat | Self::Events)
    }

    /// True where a stream is answered with 200 as soon as it is admitted.
    pub const fn answers_at_once(self) -> bool {
        matches!(self, Self::Events | Self::Ui)
    }

    /// A body with one short message.
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

/// A request to be.
#[derive(Debug, Clone)]
pub struct Ask {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Bytes>,
    content_type: &'static str,
    speech: Speech,
}

impl Ask {
    /// A request without a body.
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: None,
            content_type: "application/json",
            speech: Speech::Events,
        }
    }

    /// A chat with one short message.
    pub fn chat(speech: Speech, model: &str, stream: bool) -> Self {
        Self {
            speech,
            ..Self::new("POST", speech.path())
        }
        .json(&speech.body(model, stream))
    }

    /// The same with these words of the user.
    pub fn saying(self, words: &str) -> Self {
        match self.speech {
            Speech::Responses => self.set("input", words.into()),
            Speech::Ui => {
                let parts = json!([{"type": "text", "text": words}]);
                self.set(
                    "messages",
                    json!([{"id": "m1", "role": "user", "parts": parts}]),
                )
            }
            Speech::Chat | Speech::Messages | Speech::Events => {
                self.set("messages", json!([{"role": "user", "content": words}]))
            }
        }
    }

    /// The same with this field of its body set.
    pub fn set(self, field: &str, value: Value) -> Self {
        let mut body: Value = serde_json::from_slice(self.body.as_ref().unwrap()).unwrap();
        body[field] = value;
        self.json(&body)
    }

    /// The same without this field of its body.
    pub fn without(self, field: &str) -> Self {
        let mut body: Value = serde_json::from_slice(self.body.as_ref().unwrap()).unwrap();
        body.as_object_mut().unwrap().remove(field);
        self.json(&body)
    }

    /// The same at another address.
    pub fn at(mut self, path: &str) -> Self {
        self.path = path.into();
        self
    }

    /// The same with this JSON body.
    pub fn json(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string().into());
        self
    }

    /// The same with a body of any kind.
    pub fn raw(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.content_type = content_type;
        self.body = Some(body.into());
        self
    }

    /// The same, its answer to be read in this dialect.
    pub fn read_as(mut self, speech: Speech) -> Self {
        self.speech = speech;
        self
    }

    /// The same with one field more in its head.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With ids on all its events, also where the dialect does not have them by itself.
    pub fn with_ids(self) -> Self {
        self.header("x-event-ids", "true")
    }

    /// Cancelled at once when nobody reads it any more.
    pub fn cancel_on_disconnect(self) -> Self {
        self.header("x-on-disconnect", "cancel")
    }

    /// With a name of the caller's own.
    pub fn named(self, name: &str) -> Self {
        self.header("x-stream-id", name)
    }

    /// As somebody hands it on who has read it.
    pub fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
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

    /// Its bytes.
    pub fn spell(&self, host: SocketAddr) -> Vec<u8> {
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

/// Somebody who asks. Every request has a connection of its own.
#[derive(Debug, Clone)]
pub struct Client {
    addr: SocketAddr,
    key: Option<String>,
}

impl Client {
    /// A client of the proxy at `addr`.
    pub fn of(addr: SocketAddr) -> Self {
        Self { addr, key: None }
    }

    /// The same with a key.
    pub fn with_key(&self, key: &str) -> Self {
        Self {
            key: Some(key.into()),
            ..self.clone()
        }
    }

    /// The same by another way in (a relay).
    pub fn through(&self, addr: SocketAddr) -> Self {
        Self {
            addr,
            ..self.clone()
        }
    }

    /// Sends a request and waits for nothing.
    pub async fn send(&self, ask: &Ask) -> Connection {
        let ask = match &self.key {
            Some(key) => ask
                .clone()
                .header("authorization", &format!("Bearer {key}")),
            None => ask.clone(),
        };
        let mut socket = within("a connection to the proxy", TcpStream::connect(self.addr))
            .await
            .unwrap();
        socket.set_nodelay(true).unwrap();
        socket.write_all(&ask.spell(self.addr)).await.unwrap();
        Connection {
            socket,
            raw: BytesMut::new(),
            speech: ask.speech,
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub async fn ask(&self, ask: &Ask) -> Reply {
        self.send(ask).await.head().await
    }

    /// `GET` of a path.
    pub async fn get(&self, path: &str) -> Reply {
        self.ask(&Ask::new("GET", path)).await
    }

    /// `POST …/cancel`.
    pub async fn cancel(&self, id: &str) -> Reply {
        self.ask(&Ask::new("POST", format!("/v1/streams/{id}/cancel")))
            .await
    }

    /// `DELETE` of a stream.
    pub async fn forget(&self, id: &str) -> Reply {
        self.ask(&Ask::new("DELETE", format!("/v1/streams/{id}")))
            .await
    }

    /// The status JSON of a stream.
    pub async fn status(&self, id: &str) -> Value {
        let mut reply = self.get(&format!("/v1/streams/{id}")).await;
        let body = reply.json().await;
        assert_eq!(reply.status, 200, "{body}");
        body
    }

    /// Waits until the status JSON of a stream says `status`.
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

    /// Follows a stream from the start.
    pub async fn follow(&self, speech: Speech, id: &str) -> Reply {
        self.resume(speech, id, None).await
    }

    /// Follows a stream from behind `last`.
    pub async fn resume(&self, speech: Speech, id: &str, last: Option<&str>) -> Reply {
        let path = format!("/v1/streams/{id}?dialect={}", speech.name());
        let mut ask = Ask::new("GET", path)
            .header("accept", "text/event-stream")
            .read_as(speech);
        if let Some(last) = last {
            ask = ask.header("last-event-id", last);
        }
        self.ask(&ask).await
    }
}

/// A connection on which a request was sent.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    raw: BytesMut,
    speech: Speech,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
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

    /// Leaves by a reset.
    pub fn abort(self) {
        self.socket.set_zero_linger().unwrap();
    }

    /// Reads what there is, in large pieces.
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

/// Where in a body a reader stands.
#[derive(Debug, Clone, Copy)]
enum Body {
    /// So many bytes of a chunk are left, its line end included; at 0 comes the next chunk's size.
    Chunk(usize),
    /// So many bytes are left.
    Length(usize),
    /// Until the connection ends.
    UntilClose,
    /// It is over.
    Ended(Ending),
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The fields of the head, as they stood.
    pub headers: Vec<(String, String)>,
    connection: Connection,
    body: Body,
    sse: Parser,
    waiting: std::collections::VecDeque<Event>,
    raw_bytes: usize,
    pings: usize,
}

impl Reply {
    /// The field of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The server-made id of the stream.
    pub fn stream_id(&self) -> String {
        self.header("x-stream-id")
            .unwrap_or_else(|| panic!("no x-stream-id in {:?}", self.headers))
            .to_owned()
    }

    /// Heartbeats read so far.
    pub fn heartbeats(&self) -> usize {
        self.sse.comments + self.pings
    }

    /// Body bytes as they stood on the wire, framing included, read so far.
    pub fn raw_bytes(&self) -> usize {
        self.raw_bytes
    }

    /// Leaves by a reset.
    pub fn abort(self) {
        self.connection.abort();
    }

    /// Sends more bytes on the connection.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.connection.write(bytes).await;
    }

    /// The next bytes of the body; `None` at its end.
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

    /// Body bytes that are there already.
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

    /// The next event; `None` at the end of the body.
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

    /// Reads events until `enough` says so of what was told.
    pub async fn until(&mut self, enough: impl Fn(&Told) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        let mut told = Told::default();
        while !enough(&told) {
            let event = self
                .event()
                .await
                .unwrap_or_else(|| panic!("the stream ended after {told:?}"));
            told.hear(self.connection.speech, &event);
            events.push(event);
        }
        events
    }

    /// Reads so many raw bytes of the body, framing included, and gives the events that are whole
    /// in them.
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

    /// All further events, and how the body ended.
    pub async fn events(&mut self) -> (Vec<Event>, Ending) {
        let mut events = Vec::new();
        while let Some(event) = self.event().await {
            events.push(event);
        }
        let Body::Ended(ending) = self.body else {
            unreachable!("a body without bytes has ended")
        };
        assert!(
            ending != Ending::Proper || self.sse.is_empty(),
            "a proper end in the middle of an event"
        );
        (events, ending)
    }

    /// What the rest of the stream says.
    pub async fn told(&mut self) -> Told {
        let (events, ending) = self.events().await;
        let mut told = Told::of(self.connection.speech, &events);
        told.cut = ending != Ending::Proper;
        told
    }

    /// The rest of the body.
    pub async fn whole(&mut self) -> Bytes {
        let mut all = BytesMut::new();
        while let Some(bytes) = self.bytes().await {
            all.extend_from_slice(&bytes);
        }
        all.freeze()
    }

    /// The rest of the body as text.
    pub async fn text(&mut self) -> String {
        String::from_utf8(self.whole().await.to_vec()).unwrap()
    }

    /// The rest of the body as JSON.
    pub async fn json(&mut self) -> Value {
        let text = self.text().await;
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {} {text:?}", self.status))
    }
}
