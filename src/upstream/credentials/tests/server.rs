//! A server on loopback that answers as it is told.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A question as it came.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// Method and target.
    pub(super) line: String,
    head: String,
    /// The body.
    pub(super) body: String,
}

impl Question {
    /// The header of that name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields
            .into_iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// The field of that name in a form.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.body.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// Whether it begins so.
    pub(super) fn is(&self, line: &str) -> bool {
        self.line.starts_with(line)
    }
}

type Answers = dyn Fn(&Question) -> (u16, String) + Send + Sync;

/// The server. It goes when it is dropped.
pub(super) struct Server {
    /// Where it is.
    pub(super) addr: SocketAddr,
    questions: Arc<Mutex<Vec<Question>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers with status and body.
    pub(super) async fn start(
        answers: impl Fn(&Question) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, questions) = (
            listener.local_addr().unwrap(),
            Arc::<Mutex<Vec<Question>>>::default(),
        );
        let (log, answers): (_, Arc<Answers>) = (questions.clone(), Arc::new(answers));
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(socket, log.clone(), answers.clone()));
            }
        });
        Self {
            addr,
            questions,
            task,
        }
    }

    /// Answers every question so.
    pub(super) async fn always(status: u16, body: impl Into<String>) -> Self {
        let body = body.into();
        Self::start(move |_| (status, body.clone())).await
    }

    /// An address of it.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// What it was asked.
    pub(super) fn questions(&self) -> Vec<Question> {
        self.questions.lock().clone()
    }
}

async fn serve(mut socket: TcpStream, log: Arc<Mutex<Vec<Question>>>, answers: Arc<Answers>) {
    let Some(question) = read(&mut socket).await else {
        return;
    };
    log.lock().push(question.clone());
    let (status, body) = answers(&question);
    let text = format!(
        "HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let _gone = socket.write_all(text.as_bytes()).await;
}

async fn read(socket: &mut TcpStream) -> Option<Question> {
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
        let question = Question {
            line: line.to_owned(),
            head: head.to_owned(),
            body: body.to_owned(),
        };
        let length = question
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        if body.len() >= length {
            return Some(question);
        }
    }
}
