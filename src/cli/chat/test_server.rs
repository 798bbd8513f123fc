//! The server's side of the tests: requests are parsed by hand, responses are written byte for
//! byte.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n";

/// A request that the server has read.
#[derive(Debug)]
pub(super) struct ReceivedRequest {
    pub line: String,
    pub headers: Vec<String>,
    pub body: String,
}

impl ReceivedRequest {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

pub(super) async fn read_request(stream: &mut TcpStream) -> ReceivedRequest {
    let mut reader = BufReader::new(stream);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        assert_ne!(
            reader.read_line(&mut line).await.unwrap(),
            0,
            "the request ended in its head"
        );
        match line.trim_end() {
            "" => break,
            line => headers.push(line.to_owned()),
        }
    }
    let line = headers.remove(0);
    let mut request_sent = ReceivedRequest {
        line,
        headers,
        body: String::new(),
    };
    let length = request_sent
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.unwrap();
    request_sent.body = String::from_utf8(body).unwrap();
    request_sent
}

pub(super) fn chunked(body: &str) -> Vec<u8> {
    let chunk = if body.is_empty() {
        String::new()
    } else {
        format!("{:x}\r\n{body}\r\n", body.len())
    };
    format!("{HEAD}transfer-encoding: chunked\r\n\r\n{chunk}").into_bytes()
}

pub(super) fn closed(body: &str) -> Vec<u8> {
    format!("{HEAD}\r\n{body}").into_bytes()
}

pub(super) fn refusal(status: &str, code: &str) -> Vec<u8> {
    let body = format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"no\"}}}}");
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Returns a successful response that is not a stream.
pub(super) fn whole(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
