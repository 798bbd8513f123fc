//! `sluicegate chat`: a terminal client that streams, resumes and cancels.
//!
//! Invariants: no token is lost and none is printed twice, whatever happens to the connection;
//! Ctrl-C stops the generation, not only the printing; no server input can cause a panic, a stall
//! or unbounded memory.

mod error;
mod follow;
mod lines;
mod screen;
mod session;
#[cfg(test)]
mod test_server;

use std::io::{IsTerminal as _, Read as _, Write};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::model::ids::StreamId;
use error::ChatError;
use follow::{ChatRequest, Follower, Interrupt, RetryPolicy};
use screen::{End, Screen, ScreenOptions};
use session::Session;

/// The exit code that shells use for programs ended by Ctrl-C.
const EXIT_INTERRUPTED: u8 = 130;

/// Maximum size of a message read from standard input, bytes: the server's default for `max_body`.
const MAX_MESSAGE: u64 = 20 << 20;

/// Send a message to a running Sluicegate and print the answer as it streams
///
/// The answer is printed to standard output, everything else to standard error. After a lost
/// connection the answer continues where it stopped. Ctrl-C stops the generation at the provider; a
/// second Ctrl-C exits at once.
#[derive(Debug, Clone, clap::Args)]
pub struct ChatArgs {
    /// The message to send; `-` reads it from standard input
    #[arg(value_name = "MESSAGE")]
    pub message: String,

    /// The model to use [default: the first one that the server lists]
    #[arg(long, short, value_name = "NAME")]
    pub model: Option<String>,

    /// The address of the Sluicegate server
    #[arg(
        long,
        value_name = "URL",
        env = "SLUICEGATE_URL",
        default_value = "http://127.0.0.1:8484"
    )]
    pub url: String,

    /// The virtual key or token; prefer the environment variable, which other users of the machine
    /// cannot see
    #[arg(
        long,
        value_name = "KEY",
        env = "SLUICEGATE_KEY",
        hide_env_values = true
    )]
    pub key: Option<SecretString>,

    /// Also print the model's reasoning, to standard error
    #[arg(long, conflicts_with = "json")]
    pub reasoning: bool,

    /// Print the events of the stream, one JSON object per line, instead of the text
    #[arg(long)]
    pub json: bool,
}

/// Sends the message and prints the answer. The exit code is 0 for an answer, 130 after Ctrl-C,
/// else 1.
///
/// # Errors
/// Returns an error if the message cannot be read or the signal handler cannot be installed. Every
/// other failure is printed to standard error.
pub async fn run(args: ChatArgs) -> anyhow::Result<ExitCode> {
    let (out, err) = (std::io::stdout(), std::io::stderr());
    let options = ScreenOptions {
        reasoning: args.reasoning,
        json: args.json,
        out_terminal: out.is_terminal(),
        err_terminal: err.is_terminal(),
    };
    let message = message(&args.message)?;
    let interrupt = Interrupt::new(interrupts()?);
    let code = chat(
        &args,
        &message,
        interrupt,
        &mut Screen::new(out, err, options),
        RetryPolicy::default(),
    )
    .await;
    Ok(ExitCode::from(code))
}

async fn chat<O: Write, E: Write>(
    args: &ChatArgs,
    message: &str,
    mut interrupt: Interrupt,
    screen: &mut Screen<O, E>,
    retry: RetryPolicy,
) -> u8 {
    let ended = ask(args, message, &mut interrupt, screen, retry).await;
    if let Err(error) = &ended {
        // If standard error is closed as well, the exit code alone reports the failure.
        let _ = screen.show_error(error);
    }
    match ended {
        // A stream can complete just before its cancel; the user has still interrupted.
        _ if interrupt.is_cancelled() => EXIT_INTERRUPTED,
        Ok(end) if !matches!(end.reason.as_str(), "cancelled" | "error") => 0,
        Ok(_) | Err(_) => 1,
    }
}

async fn ask<O: Write, E: Write>(
    args: &ChatArgs,
    message: &str,
    interrupt: &mut Interrupt,
    screen: &mut Screen<O, E>,
    retry: RetryPolicy,
) -> Result<End, ChatError> {
    // An empty environment variable counts as no key.
    let key = args
        .key
        .as_ref()
        .filter(|key| !key.expose_secret().is_empty());
    let session = Session::new(&args.url, key)?;
    let model = match &args.model {
        Some(model) => model.clone(),
        None => tokio::select! {
            model = session.first_model() => model?,
            () = interrupt.pressed() => return Ok(End { reason: "cancelled".into() }),
        },
    };
    let request = ChatRequest {
        claim: StreamId::random().to_string(),
        body: body(&model, message),
    };
    Follower::new(&session, &request, interrupt, screen, retry)
        .until_end()
        .await
}

fn body(model: &str, message: &str) -> Bytes {
    let message = serde_json::json!({ "role": "user", "content": message });
    serde_json::json!({ "model": model, "messages": [message], "stream": true })
        .to_string()
        .into()
}

fn message(given: &str) -> anyhow::Result<String> {
    let mut message = given.to_owned();
    if given == "-" {
        message.clear();
        let read = std::io::stdin()
            .take(MAX_MESSAGE + 1)
            .read_to_string(&mut message);
        let size = read.context("cannot read the message from standard input")?;
        ensure!(
            size as u64 <= MAX_MESSAGE,
            "the message on standard input is larger than {MAX_MESSAGE} bytes"
        );
    }
    ensure!(
        !message.trim().is_empty(),
        "the message is empty: pass a message, or `-` to read it from standard input"
    );
    Ok(message)
}

/// Returns a channel that receives the first Ctrl-C. The second one ends the process, whatever it
/// is waiting for.
fn interrupts() -> anyhow::Result<mpsc::Receiver<()>> {
    let signals = signal(SignalKind::interrupt()).context("cannot listen to Ctrl-C")?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(forward_signals(signals, sender));
    Ok(receiver)
}

async fn forward_signals(mut signals: Signal, sender: mpsc::Sender<()>) {
    signals.recv().await;
    // If the chat has ended and receives nothing, the first Ctrl-C ends the process.
    if sender.send(()).await.is_ok() {
        signals.recv().await;
    }
    std::process::exit(EXIT_INTERRUPTED.into());
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::test_server::{closed, read_request, whole};
    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        chat: ChatArgs,
    }

    fn args(line: &[&str]) -> ChatArgs {
        Line::try_parse_from([&["chat"], line].concat())
            .unwrap()
            .chat
    }

    async fn code(line: &[&str], interrupt: Interrupt) -> (u8, String) {
        let mut err = Vec::new();
        let mut screen = Screen::new(std::io::sink(), &mut err, ScreenOptions::default());
        let code = chat(
            &args(line),
            "hello",
            interrupt,
            &mut screen,
            RetryPolicy::default(),
        )
        .await;
        (code, String::from_utf8(err).unwrap())
    }

    #[test]
    fn the_command_line_is_read() {
        let args = args(&[
            "hello",
            "--model",
            "m",
            "--url",
            "http://a",
            "--key",
            "sk-secret",
        ]);
        assert_eq!(
            (
                args.message.as_str(),
                args.model.as_deref(),
                args.url.as_str()
            ),
            ("hello", Some("m"), "http://a")
        );
        assert!(!format!("{args:?}").contains("sk-secret"));
        assert!(Line::try_parse_from(["chat", "hello", "--json", "--reasoning"]).is_err());
    }

    #[test]
    fn an_empty_message_is_rejected() {
        assert!(message(" \n").is_err());
        assert_eq!(message("hello").unwrap(), "hello");
    }

    #[tokio::test]
    async fn an_error_is_printed_with_its_help() {
        let (_tell, pressed) = mpsc::channel(1);
        let (code, err) = code(&["hello", "--url", "ftp://a"], Interrupt::new(pressed)).await;
        assert_eq!(code, 1);
        assert_eq!(
            err,
            "error: `ftp://a` is not an http or https address: its scheme is ftp\n  help: use an address like --url http://127.0.0.1:8484\n"
        );
    }

    #[tokio::test]
    async fn an_interrupt_before_the_request_ends_the_chat() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (sender, pressed) = mpsc::channel(1);
        let url = format!("http://{}", listener.local_addr().unwrap());
        let press = async {
            let silent = listener.accept().await.unwrap();
            sender.send(()).await.unwrap();
            silent
        };
        let line = ["hello", "--url", &url];
        let (_silent, (code, err)) = tokio::join!(press, code(&line, Interrupt::new(pressed)));
        assert_eq!((code, err.as_str()), (EXIT_INTERRUPTED, ""));
    }

    #[tokio::test]
    async fn the_first_model_is_the_default() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (_tell, pressed) = mpsc::channel(1);
        let failed = "event: error\ndata: {\"code\":\"upstream_error\",\"message\":\"no\"}\nid: s.1\n\n\
                      event: end\ndata: {\"reason\":\"error\"}\nid: s.2\n\n";
        let serve = async {
            let mut request_sent = Vec::new();
            for answer in [
                whole(r#"{"data":[{"id":"one"},{"id":"two"}]}"#),
                closed(failed),
            ] {
                let (mut stream, _) = listener.accept().await.unwrap();
                request_sent.push(read_request(&mut stream).await);
                stream.write_all(&answer).await.unwrap();
                stream.shutdown().await.unwrap();
            }
            request_sent
        };
        let line = ["hello", "--url", &url];
        let (request_sent, (code, err)) = tokio::join!(serve, code(&line, Interrupt::new(pressed)));
        assert_eq!(request_sent[0].line, "GET /v1/models HTTP/1.1");
        assert_eq!(
            request_sent[1].body,
            r#"{"messages":[{"content":"hello","role":"user"}],"model":"one","stream":true}"#
        );
        assert_eq!(code, 1);
        assert!(
            err.starts_with("error: upstream_error: no\n  help: "),
            "{err}"
        );
    }
}
