//! The server's edge with a scripted handler.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use sluicegate::gateway::RequestContext;
use sluicegate::gateway::lifecycle::Lifecycle;
use sluicegate::gateway::refuse::refuse;
use sluicegate::gateway::reply::Reply;
use sluicegate::model::fault::{Code, Fault};
use sluicegate::model::limit::Limit;
use sluicegate::model::wire::DialectId;
use sluicegate::server::edge::Handler;
use sluicegate::server::{self, Listen, Origins, Settings, Shared};
use sluicegate::telemetry::metrics::Format;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A test that hangs is reported after this long, in real time.
const WATCHDOG: Duration = Duration::from_secs(20);

/// A token at which the body of an answer panics.
pub(crate) const PANIC: &str = "panic";

pub(crate) struct TestServer {
    pub(crate) clients: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) shared: Arc<Shared<Script>>,
    pub(crate) serving: JoinHandle<std::io::Result<()>>,
    /// Each request to `/live` hands over the tokens of its answer here.
    pub(crate) live: mpsc::UnboundedReceiver<mpsc::Sender<Bytes>>,
    pub(crate) refused: Refused,
}

pub(crate) fn settings() -> Settings {
    let anywhere = Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
    Settings {
        listen: vec![anywhere.clone()],
        admin_listen: anywhere,
        admin_token: None,
        hosts: vec![],
        allowed_origins: Origins::Exact(vec!["https://chat.example".into()]),
        trusted_proxies: vec![],
        max_connections: 100,
        drain: Duration::from_secs(30),
        tls: None,
    }
}

pub(crate) fn per_minute(requests: u32) -> Limit {
    Limit {
        requests_per_minute: NonZeroU32::new(requests),
        ..Limit::default()
    }
}

impl TestServer {
    pub(crate) fn open(settings: &Settings, ip: &Limit) -> Self {
        start_watchdog();
        let bound = server::bind(settings, 1).unwrap();
        let (clients, admin) = (
            bound.client_addresses().first().copied(),
            bound.admin_address().unwrap(),
        );
        let lifecycle = Lifecycle::new();
        let (tokens, live) = mpsc::unbounded_channel();
        let refused = Refused::default();
        let shared = Arc::new(Shared::new(
            settings,
            ip,
            Script(tokens, Arc::clone(&refused)),
            Arc::clone(&lifecycle),
        ));
        let listeners = bound.split().pop().unwrap();
        let serving = tokio::spawn(server::serve(listeners, Arc::clone(&shared)));
        Self {
            clients: clients.unwrap_or(admin),
            admin,
            lifecycle,
            shared,
            serving,
            live,
            refused,
        }
    }

    pub(crate) fn plain() -> Self {
        Self::open(&settings(), &Limit::default())
    }
}

/// Ends the process of a hanging test in real time, whatever the test's clock says. One thread per
/// test; it ends with the test.
fn start_watchdog() {
    let (alive, gone) = std::sync::mpsc::channel::<()>();
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::spawn(move || {
        if gone.recv_timeout(WATCHDOG) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            // Write to stderr directly: the test harness would capture a print.
            std::io::stderr()
                .write_all(format!("{test} hangs\n").as_bytes())
                .unwrap();
            std::process::exit(101);
        }
    });
    thread_local!(static ALIVE: std::cell::RefCell<Vec<std::sync::mpsc::Sender<()>>> = const { std::cell::RefCell::new(vec![]) });
    ALIVE.with_borrow_mut(|all| all.push(alive));
}

/// Answers by path, and records what the edge has refused.
pub(crate) struct Script(
    pub(crate) mpsc::UnboundedSender<mpsc::Sender<Bytes>>,
    pub(crate) Refused,
);

/// The codes of the requests that the edge has refused, in order.
pub(crate) type Refused = Arc<Mutex<Vec<Code>>>;

impl Handler for Script {
    async fn stop(&self, id: &str) -> Result<Response<Reply>, Fault> {
        Ok(Response::new(Reply::whole(format!("{id} stopped"))))
    }

    async fn handle(&self, context: RequestContext, request: Request<Incoming>) -> Response<Reply> {
        match request.uri().path() {
            "/panic" => panic!("with a secret in it"),
            "/live" => self.live(),
            "/unauthenticated" | "/v1/streams/a/cancel"
                if request.headers().contains_key("x-wrong-key") =>
            {
                refuse(
                    &Fault::new(Code::Unauthenticated, "wrong key"),
                    DialectId::OpenaiChat,
                    &context.request_id,
                )
            }
            "/too-large" => refuse(
                &Fault::new(Code::BodyTooLarge, "too much"),
                DialectId::OpenaiChat,
                &context.request_id,
            ),
            "/swallow" => {
                let size = request
                    .into_body()
                    .collect()
                    .await
                    .map(|body| body.to_bytes().len());
                Response::new(Reply::whole(format!("{size:?}")))
            }
            _ => echo(&context, &request),
        }
    }

    fn refused(&self, fault: &Fault) {
        self.1.lock().unwrap().push(fault.code);
    }

    fn scrape(&self, format: Format) -> Result<String, Fault> {
        Ok(format!("{format:?}"))
    }
}

impl Script {
    fn live(&self) -> Response<Reply> {
        let (sender, mut tokens) = mpsc::channel::<Bytes>(1);
        self.0.send(sender).unwrap();
        let frames = stream::poll_fn(move |cx| tokens.poll_recv(cx).map(|token| token.map(frame)));
        stream_response(StreamBody::new(frames))
    }
}

fn frame(token: Bytes) -> Result<Frame<Bytes>, Infallible> {
    assert!(token != PANIC, "a panic with a secret in it");
    Ok(Frame::data(token))
}

fn stream_response(
    body: impl http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
) -> Response<Reply> {
    let mut response = Response::new(Reply::live(body));
    response.headers_mut().insert(
        "content-type",
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    response.headers_mut().insert(
        "cache-control",
        HeaderValue::from_static("no-cache, no-transform"),
    );
    response
}

fn echo(context: &RequestContext, request: &Request<Incoming>) -> Response<Reply> {
    let RequestContext {
        request_id,
        client,
        loopback,
        forwarded,
        ..
    } = context;
    let seen = serde_json::json!({
        "id": &**request_id, "client": client, "loopback": loopback, "forwarded": forwarded,
        "uri": request.uri().to_string(), "version": format!("{:?}", request.version()),
    });
    let mut response = Response::new(Reply::whole(seen.to_string()));
    *response.status_mut() = StatusCode::OK;
    response
}
