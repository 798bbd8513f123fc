//! A client that writes its requests by hand, so that the test controls every byte and every close.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// One connection.
pub(crate) struct Raw<S = TcpStream>(pub(crate) BufReader<S>);

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Returns `error.code` of a body in OpenAI's shape.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }
}

/// Sends one request on a connection of its own.
pub(crate) async fn ask(address: SocketAddr, request: &str, fields: &[&str]) -> Answer {
    Raw::connect(address).await.ask(request, fields).await
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Sends a request without a body (`GET /path`) with these fields; `Host` is added if missing.
    pub(crate) async fn ask(&mut self, request: &str, fields: &[&str]) -> Answer {
        self.send(head(request, fields)).await;
        self.answer(request.starts_with("HEAD ")).await
    }

    pub(crate) async fn answer(&mut self, head_only: bool) -> Answer {
        let (status, headers) = self.answer_head().await;
        let length = headers
            .get("content-length")
            .map_or(0, |value| value.to_str().unwrap().parse().unwrap());
        let mut body = vec![0; if head_only { 0 } else { length }];
        self.0.read_exact(&mut body).await.unwrap();
        Answer {
            status,
            headers,
            body: String::from_utf8(body).unwrap(),
        }
    }

    pub(crate) async fn answer_head(&mut self) -> (StatusCode, HeaderMap) {
        let status = self.line().await;
        let status = status
            .split(' ')
            .nth(1)
            .unwrap_or_else(|| panic!("no status in {status:?}"))
            .parse()
            .unwrap();
        let mut headers = HeaderMap::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else {
                return (status, headers);
            };
            headers.append(
                HeaderName::try_from(name).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
    }

    /// Reads one line without its end; empty at the end of the stream.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line.trim_end().to_owned()
    }

    /// Reads everything up to the end; `None` if the connection was reset.
    pub(crate) async fn rest(&mut self) -> Option<String> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).await.ok()?;
        Some(String::from_utf8(rest).unwrap())
    }
}

pub(crate) fn head(request: &str, fields: &[&str]) -> String {
    let host = if fields
        .iter()
        .any(|field| field.to_ascii_lowercase().starts_with("host:"))
    {
        ""
    } else {
        "Host: localhost\r\n"
    };
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("{request} HTTP/1.1\r\n{host}{fields}\r\n")
}
