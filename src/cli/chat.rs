//! `sluicegate chat`: a terminal client that streams, resumes and cancels.
//!
//! Invariants: whatever happens to the connection, no token is lost and none is printed twice;
//! Ctrl-C stops the generation, not only the printing; nothing that a server sends can panic it,
//! stall it or make it grow without bound.

mod follow;
mod lines;
mod screen;
#[cfg(test)]
mod scripted;
mod session;
mod trouble;

use std::io::{IsTerminal as _, Read as _, Write};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::model::ids::StreamId;
use follow::{Follow, Interrupt, Patience, Question};
use screen::{End, Look, Screen};
use session::Session;
use trouble::Trouble;

/// What a shell calls a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

/// The largest message that is read from standard input, bytes: what a server takes by default.
const MESSAGE_BOUND: u64 = 20 << 20;

/// Ask a running Sluicegate, and watch the answer arrive
///
/// The answer goes to standard output, everything else to standard error. A connection that is cut
/// is resumed where it left off. Ctrl-C stops the generation at the provider; pressed twice, it
/// leaves at once.
#[derive(Debug, Clone, clap::Args)]
pub struct ChatArgs {
    /// What to ask; `-` reads it from standard input
    #[arg(value_name = "MESSAGE")]
    pub message: String,

    /// The model to ask [default: the first one the server lists]
    #[arg(long, short, value_name = "NAME")]
    pub model: Option<String>,

    /// Where Sluicegate is
    #[arg(
        long,
        value_name = "URL",
        env = "SLUICEGATE_URL",
        default_value = "http://127.0.0.1:8484"
    )]
    pub url: String,

    /// Your key; better given in the environment, where other users of the machine do not see it
    #[arg(
        long,
        value_name = "KEY",
        env = "SLUICEGATE_KEY",
        hide_env_values = true
    )]
    pub key: Option<SecretString>,

    /// Show what the model thinks, too
    #[arg(long, conflicts_with = "json")]
    pub reasoning: bool,

    /// Print the stream's events, one JSON object a line, instead of the text
    #[arg(long)]
    pub json: bool,
}

/// Asks, prints, and says how it went: 0 for an answer, 130 when interrupted, else 1.
///
/// # Errors
/// When the message cannot be read or signals cannot be listened to. All else is told on standard
/// error.
pub async fn run(args: ChatArgs) -> anyhow::Result<ExitCode> {
    let (out, err) = (std::io::stdout(), std::io::stderr());
    let look = Look {
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
        &mut Screen::new(out, err, look),
        Patience::default(),
    )
    .await;
    Ok(ExitCode::from(code))
}

async fn chat<O: Write, E: Write>(
    args: &ChatArgs,
    message: &str,
    mut interrupt: Interrupt,
    screen: &mut Screen<O, E>,
    patience: Patience,
) -> u8 {
    let ended = ask(args, message, &mut interrupt, screen, patience).await;
    if let Err(trouble) = &ended {
        // Where standard error is closed as well, only the exit code is left to tell it.
        let _ = screen.trouble(trouble);
    }
    match ended {
        _ if interrupt.is_cancelled() => INTERRUPTED,
        Ok(end) if !matches!(end.reason.as_str(), "cancelled" | "error") => 0,
        Ok(_) | Err(_) => 1,
    }
}

async fn ask<O: Write, E: Write>(
    args: &ChatArgs,
    message: &str,
    interrupt: &mut Interrupt,
    screen: &mut Screen<O, E>,
    patience: Patience,
) -> Result<End, Trouble> {
    // An empty variable in the environment is no key.
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
    let question = Question {
        claim: StreamId::random().to_string(),
        body: body(&model, message),
    };
    Follow::new(&session, &question, interrupt, screen, patience)
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
            .take(MESSAGE_BOUND + 1)
            .read_to_string(&mut message);
        let size = read.context("cannot read the message from standard input")?;
        ensure!(
            size as u64 <= MESSAGE_BOUND,
            "the message on standard input is larger than {MESSAGE_BOUND} bytes"
        );
    }
    ensure!(
        !message.trim().is_empty(),
        "the message is empty: say what to ask, or `-` to read it from standard input"
    );
    Ok(message)
}

/// Tells of the first Ctrl-C; the second one ends the process, whatever it is waiting for.
fn interrupts() -> anyhow::Result<mpsc::Receiver<()>> {
    let signals = signal(SignalKind::interrupt()).context("cannot listen to Ctrl-C")?;
    let (tell, told) = mpsc::channel(1);
    tokio::spawn(pass_on(signals, tell));
    Ok(told)
}

async fn pass_on(mut signals: Signal, tell: mpsc::Sender<()>) {
    signals.recv().await;
    if tell.send(()).await.is_ok() {
        signals.recv().await;
    }
    std::process::exit(INTERRUPTED.into());
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::scripted::{closed, read_request, whole};
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
        let mut screen = Screen::new(std::io::sink(), &mut err, Look::default());
        let code = chat(
            &args(line),
            "hello",
            interrupt,
            &mut screen,
            Patience::default(),
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
    fn an_empty_message_is_refused() {
        assert!(message(" \n").is_err());
        assert_eq!(message("hello").unwrap(), "hello");
    }

    #[tokio::test]
    async fn trouble_is_told_with_what_to_do() {
        let (_tell, pressed) = mpsc::channel(1);
        let (code, err) = code(&["hello", "--url", "ftp://a"], Interrupt::new(pressed)).await;
        assert_eq!(code, 1);
        assert_eq!(
            err,
            "error: `ftp://a` is not an http or https address: its scheme is ftp\n  help: for example --url http://127.0.0.1:8484\n"
        );
    }

    #[tokio::test]
    async fn an_interrupt_before_anything_was_asked_ends_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (tell, pressed) = mpsc::channel(1);
        let url = format!("http://{}", listener.local_addr().unwrap());
        let press = async {
            let silent = listener.accept().await.unwrap();
            tell.send(()).await.unwrap();
            silent
        };
        let line = ["hello", "--url", &url];
        let (_silent, (code, err)) = tokio::join!(press, code(&line, Interrupt::new(pressed)));
        assert_eq!((code, err.as_str()), (INTERRUPTED, ""));
    }

    #[tokio::test]
    async fn the_first_model_is_asked_where_none_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (_tell, pressed) = mpsc::channel(1);
        let failed = "event: error\ndata: {\"code\":\"upstream_error\",\"message\":\"no\"}\nid: s.1\n\n\
                      event: end\ndata: {\"reason\":\"error\"}\nid: s.2\n\n";
        let serve = async {
            let mut asked = Vec::new();
            for answer in [
                whole(r#"{"data":[{"id":"one"},{"id":"two"}]}"#),
                closed(failed),
            ] {
                let (mut stream, _) = listener.accept().await.unwrap();
                asked.push(read_request(&mut stream).await);
                stream.write_all(&answer).await.unwrap();
                stream.shutdown().await.unwrap();
            }
            asked
        };
        let line = ["hello", "--url", &url];
        let (asked, (code, err)) = tokio::join!(serve, code(&line, Interrupt::new(pressed)));
        assert_eq!(asked[0].line, "GET /v1/models HTTP/1.1");
        assert_eq!(
            asked[1].body,
            r#"{"messages":[{"content":"hello","role":"user"}],"model":"one","stream":true}"#
        );
        assert_eq!(code, 1);
        assert!(
            err.starts_with("error: upstream_error: no\n  help: "),
            "{err}"
        );
    }
}
