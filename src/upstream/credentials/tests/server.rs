//! A scripted HTTP server on loopback.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A received request.
#[derive(Debug, Clone)]
pub(super) struct ReceivedRequest {
    /// The request line.
    pub(super) line: String,
    head: String,
    /// The body.
    pub(super) body: String,
}

impl ReceivedRequest {
    /// Returns a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields
            .into_iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// Returns a field of the form in the body.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.body.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// Returns true when the request line starts with `line`.
    pub(super) fn is(&self, line: &str) -> bool {
        self.line.starts_with(line)
    }
}

type Answers = dyn Fn(&ReceivedRequest) -> (u16, String) + Send + Sync;

/// The server. It stops when dropped.
pub(super) struct Server {
    /// Its address.
    pub(super) addr: SocketAddr,
    requests: Arc<Mutex<Vec<ReceivedRequest>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts a server; `answers` returns status and body.
    pub(super) async fn start(
        answers: impl Fn(&ReceivedRequest) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, requests) = (
            listener.local_addr().unwrap(),
            Arc::<Mutex<Vec<ReceivedRequest>>>::default(),
        );
        let (log, answers): (_, Arc<Answers>) = (requests.clone(), Arc::new(answers));
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(socket, log.clone(), answers.clone()));
            }
        });
        Self {
            addr,
            requests,
            task,
        }
    }

    /// Starts a server that always sends the same response.
    pub(super) async fn always(status: u16, body: impl Into<String>) -> Self {
        let body = body.into();
        Self::start(move |_| (status, body.clone())).await
    }

    /// Returns a URL of the server.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Returns the requests received so far.
    pub(super) fn requests(&self) -> Vec<ReceivedRequest> {
        self.requests.lock().clone()
    }
}

async fn serve(
    mut socket: TcpStream,
    log: Arc<Mutex<Vec<ReceivedRequest>>>,
    answers: Arc<Answers>,
) {
    let Some(request) = read(&mut socket).await else {
        return;
    };
    log.lock().push(request.clone());
    let (status, body) = answers(&request);
    let text = format!(
        "HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let _gone = socket.write_all(text.as_bytes()).await;
}

async fn read(socket: &mut TcpStream) -> Option<ReceivedRequest> {
    let mut text = String::new();
    loop {
        let mut bytes = [0; 4096];
        let length = socket
            .read(&mut bytes)
            .await
            .ok()
            .filter(|length| *length > 0)?;
        text.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let (line, head) = head.split_once("\r\n").unwrap_or((head, ""));
        let request = ReceivedRequest {
            line: line.to_owned(),
            head: head.to_owned(),
            body: body.to_owned(),
        };
        let length = request
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        if body.len() >= length {
            return Some(request);
        }
    }
}
