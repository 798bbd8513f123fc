//! A scripted model API: raw HTTP/1.1 over TCP, exactly the bytes that a test scripts, and a record
//! of all requests.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::clock::within;

/// One step of a script.
#[derive(Debug, Clone)]
pub enum Step {
    /// Sends a response head.
    Head(Head),
    /// Sends these bytes as one chunk, one packet, one counted event.
    Write(Bytes),
    /// Lets other tasks read the written bytes before the next step.
    Yield,
    /// Waits until the test opens the gate once more.
    Gate,
    /// Waits on the runtime's clock.
    Pause(Duration),
    /// Ends the body properly; the connection takes the next request where the framing allows it.
    End,
    /// Closes the connection without ending the body.
    Truncate,
    /// Resets the connection.
    Reset,
    /// Does nothing; the connection stays open until the peer closes it.
    Hang,
}

/// A response head.
#[derive(Debug, Clone)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// The header fields without `Transfer-Encoding` and `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// The framing of the body.
    pub framing: Framing,
}

/// The framing of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Chunks.
    Chunked,
    /// The end of the connection.
    Close,
    /// A length in bytes.
    Length(usize),
}

impl Head {
    /// Status 200 with a chunked body of this type.
    pub fn ok(content_type: &str) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type".into(), content_type.into())],
            framing: Framing::Chunked,
        }
    }

    /// Status 200 with a chunked event stream.
    pub fn sse() -> Self {
        Self::ok("text/event-stream")
    }

    /// Ends the body with the connection instead.
    pub fn until_close(mut self) -> Self {
        self.framing = Framing::Close;
        self
    }
}

/// The steps of a whole answer with a JSON body.
pub fn json(status: u16, body: impl Into<Bytes>) -> Vec<Step> {
    let body = body.into();
    let head = Head {
        status,
        framing: Framing::Length(body.len()),
        ..Head::ok("application/json")
    };
    vec![Step::Head(head), Step::Write(body), Step::End]
}

/// Writes `bytes` in pieces cut at these offsets, each read separately.
pub fn pieces(bytes: &Bytes, cuts: impl IntoIterator<Item = usize>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut from = 0;
    for cut in cuts.into_iter().chain([bytes.len()]) {
        let cut = cut.min(bytes.len());
        if cut > from {
            steps.extend([Step::Write(bytes.slice(from..cut)), Step::Yield]);
            from = cut;
        }
    }
    steps
}

/// The way in which a peer closed its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// A proper close.
    Fin,
    /// A reset.
    Reset,
}

/// A request that the upstream received, and its outcome.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// The request line: method, target and version.
    pub line: String,
    /// The header fields; names are in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// Number of completed `Write` steps.
    pub events: usize,
    /// True once the whole script was played.
    pub ended: bool,
    /// The peer's close, if it came before the end of the script.
    pub closed: Option<Close>,
}

impl Call {
    /// Returns the header field of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns true if the request asks for a stream, by body or by path.
    pub fn wants_stream(&self) -> bool {
        let by_path = ["streamGenerateContent", "converse-stream"]
            .iter()
            .any(|it| self.line.contains(it));
        by_path || self.json().get("stream").is_some_and(|it| it == true)
    }
}

/// Returns the steps for request number `n` (from 0).
pub type Script = dyn Fn(&Call, usize) -> Vec<Step> + Send + Sync;

struct Shared {
    script: Box<Script>,
    calls: Mutex<Vec<Call>>,
    changed: watch::Sender<()>,
    gate: Semaphore,
}

impl Shared {
    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap()
    }

    fn note(&self, call: usize, change: impl FnOnce(&mut Call)) {
        change(&mut self.calls()[call]);
        self.changed.send_replace(());
    }
}

/// A scripted upstream. Dropping it closes all its connections.
pub struct Upstream {
    /// Its address.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    /// Starts an upstream that plays `script`.
    pub async fn start(script: impl Fn(&Call, usize) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            calls: Mutex::default(),
            changed: watch::Sender::new(()),
            gate: Semaphore::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { addr, shared, task }
    }

    /// Starts an upstream that plays the same steps for every request.
    pub async fn always(steps: Vec<Step>) -> Self {
        Self::start(move |_, _| steps.clone()).await
    }

    /// Starts an upstream that accepts every request and never answers.
    pub async fn silent() -> Self {
        Self::always(vec![Step::Hang]).await
    }

    /// Opens the gate `times` times.
    pub fn open(&self, times: usize) {
        self.shared.gate.add_permits(times);
    }

    /// Returns the number of requests so far.
    pub fn count(&self) -> usize {
        self.shared.calls().len()
    }

    /// Returns a copy of request number `n`.
    pub fn call(&self, n: usize) -> Call {
        self.shared.calls()[n].clone()
    }

    /// Waits until `n` requests have come.
    pub async fn requests(&self, n: usize) {
        self.until(&format!("request {n} at the upstream"), |calls| {
            calls.len() >= n
        })
        .await;
    }

    /// Waits until `events` events of call `n` were written.
    pub async fn wrote(&self, n: usize, events: usize) {
        self.until(
            &format!("{events} events written by the upstream"),
            |calls| calls.get(n).is_some_and(|it| it.events >= events),
        )
        .await;
    }

    /// Waits until the peer has closed the connection of call `n` before it was answered in full.
    pub async fn closed(&self, n: usize) -> Close {
        self.until(
            &format!("the connection of call {n} to be closed"),
            |calls| calls.get(n).is_some_and(|it| it.closed.is_some()),
        )
        .await;
        self.call(n).closed.unwrap()
    }

    /// Waits until call `n` was answered to the end of its script.
    pub async fn ended(&self, n: usize) {
        self.until(&format!("the end of call {n}"), |calls| {
            calls.get(n).is_some_and(|it| it.ended)
        })
        .await;
    }

    async fn until(&self, what: &str, enough: impl Fn(&[Call]) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        let waiting = changed.wait_for(|()| enough(&self.shared.calls()));
        within(what, waiting).await.map(drop).unwrap();
    }
}

/// Returns an address that refuses connections.
pub async fn refusing_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// Returns an address that answers no connection attempt because its queue is full. Keep the
/// returned sockets alive.
pub fn unresponsive_address() -> (SocketAddr, Vec<socket2::Socket>) {
    use socket2::{Domain, Socket, Type};
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut held = vec![listener];
    for _ in 0..8 {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        let begun = filler.connect(&addr);
        assert!(
            begun.is_ok()
                || begun.is_err_and(
                    |e| e.raw_os_error() == Some(115) || e.kind() == io::ErrorKind::WouldBlock
                )
        );
        held.push(filler);
    }
    (addr.as_socket().unwrap(), held)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (socket, _) = accepted.unwrap();
                connections.spawn(Connection { socket, unread: BytesMut::new(), shared: Arc::clone(&shared) }.serve());
            }
            Some(done) = connections.join_next() => done.unwrap(),
        }
    }
}

/// The reason why a script stopped.
enum Stop {
    /// The script is complete; the connection takes the next request.
    Next,
    /// The script is complete, and the connection is closed.
    Over,
    /// The peer has closed.
    Closed(Close),
}

struct Connection {
    socket: TcpStream,
    unread: BytesMut,
    shared: Arc<Shared>,
}

impl Connection {
    async fn serve(mut self) {
        self.socket.set_nodelay(true).unwrap();
        while let Some(call) = self.request().await {
            let number = self.shared.calls().len();
            let steps = (self.shared.script)(&call, number);
            self.shared.calls().push(call);
            self.shared.changed.send_replace(());
            let stop = self.play(number, steps.into()).await;
            self.shared.note(number, |call| match stop {
                Stop::Closed(how) => call.closed = Some(how),
                Stop::Next | Stop::Over => call.ended = true,
            });
            if !matches!(stop, Stop::Next) {
                return;
            }
        }
    }

    async fn play(&mut self, number: usize, mut steps: VecDeque<Step>) -> Stop {
        let mut framing = Framing::Close;
        while let Some(step) = steps.pop_front() {
            let done = match step {
                Step::Head(head) => {
                    framing = head.framing;
                    self.write(&encode_head(&head)).await
                }
                Step::Write(bytes) => {
                    let written = if framing == Framing::Chunked {
                        self.write(&chunk(&bytes)).await
                    } else {
                        self.write(&bytes).await
                    };
                    if written.is_ok() {
                        self.shared.note(number, |call| call.events += 1);
                    }
                    written
                }
                Step::Yield => {
                    for _ in 0..6 {
                        tokio::task::yield_now().await;
                    }
                    Ok(())
                }
                Step::Gate => {
                    let shared = Arc::clone(&self.shared);
                    self.unless_closed(async { shared.gate.acquire().await.unwrap().forget() })
                        .await
                }
                Step::Pause(time) => self.unless_closed(tokio::time::sleep(time)).await,
                Step::Hang => self.unless_closed(std::future::pending()).await,
                Step::End => return self.end(framing).await,
                Step::Truncate => return self.truncate().await,
                Step::Reset => {
                    self.socket.set_zero_linger().unwrap();
                    return Stop::Over;
                }
            };
            if let Err(how) = done {
                return Stop::Closed(how);
            }
        }
        self.truncate().await
    }

    async fn end(&mut self, framing: Framing) -> Stop {
        match framing {
            Framing::Chunked => match self.write(b"0\r\n\r\n").await {
                Ok(()) => Stop::Next,
                Err(how) => Stop::Closed(how),
            },
            Framing::Length(_) => Stop::Next,
            Framing::Close => self.truncate().await,
        }
    }

    async fn truncate(&mut self) -> Stop {
        match self.socket.shutdown().await {
            Ok(()) => Stop::Over,
            Err(_) => Stop::Closed(Close::Reset),
        }
    }

    /// Writes, unless the peer has closed.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Close> {
        if let Some(how) = self.look() {
            return Err(how);
        }
        let mut left = bytes;
        while !left.is_empty() {
            match self.socket.try_write(left) {
                Ok(n) => left = &left[n..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(_) => return Err(Close::Reset),
            }
        }
        Ok(())
    }

    /// Waits until more can be written, or the peer closes.
    async fn writable(&mut self) -> Result<(), Close> {
        loop {
            tokio::select! {
                biased;
                ready = self.socket.writable() => return ready.map_err(|_| Close::Reset),
                ready = self.socket.readable() => ready.map_err(|_| Close::Reset)?,
            }
            if let Some(how) = self.look() {
                return Err(how);
            }
        }
    }

    async fn unless_closed(&mut self, work: impl Future<Output = ()>) -> Result<(), Close> {
        let mut work = std::pin::pin!(work);
        loop {
            if let Some(how) = self.look() {
                return Err(how);
            }
            tokio::select! {
                () = &mut work => return Ok(()),
                ready = self.socket.readable() => ready.map_err(|_| Close::Reset)?,
            }
        }
    }

    /// Reads available bytes without waiting. Returns how the peer has closed, if it has.
    fn look(&mut self) -> Option<Close> {
        loop {
            match self.socket.try_read_buf(&mut self.unread) {
                Ok(0) => return Some(Close::Fin),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => return Some(Close::Reset),
            }
        }
    }

    /// Returns the next request; `None` if the peer closes between two requests.
    async fn request(&mut self) -> Option<Call> {
        loop {
            if let Some(call) = parse(&mut self.unread) {
                return Some(call);
            }
            match self.socket.readable().await {
                Ok(()) if self.look().is_none() => {}
                _ => return parse(&mut self.unread),
            }
        }
    }
}

fn encode_head(head: &Head) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {} Scripted\r\n", head.status);
    for (name, value) in &head.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    match head.framing {
        Framing::Chunked => text.push_str("transfer-encoding: chunked\r\n\r\n"),
        Framing::Length(n) => text.push_str(&format!("content-length: {n}\r\n\r\n")),
        Framing::Close => text.push_str("connection: close\r\n\r\n"),
    }
    text.into_bytes()
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
    out
}

/// Parses the request at the front of `buf`, if it is complete.
fn parse(buf: &mut BytesMut) -> Option<Call> {
    let end = memchr::memmem::find(buf, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&buf[..end]).unwrap().to_owned();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|it| it.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = |headers: &[(String, String)]| {
        assert!(
            headers.iter().all(|(name, _)| name != "transfer-encoding"),
            "requests to upstreams have a content-length"
        );
        headers
            .iter()
            .find(|(name, _)| name == "content-length")
            .map_or(0, |(_, value)| value.parse::<usize>().unwrap())
    };
    let length = length(&headers);
    if buf.len() < end + 4 + length {
        return None;
    }
    buf.advance(end + 4);
    Some(Call {
        line,
        headers,
        body: buf.split_to(length).freeze(),
        ..Call::default()
    })
}
