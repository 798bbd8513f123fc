//! Renders events in a terminal: the answer on standard output, everything else on standard error.
//!
//! Invariants: standard output receives only the answer's unchanged text (with `--json` one event
//! per line), and each piece is flushed at once; a terminal never receives control characters from
//! a model or a server; the memory for tool calls is bounded.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use eventsource_stream::Event;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{ChatError, hint};

/// Maximum size of one call's arguments that is buffered until they are displayed, bytes.
const MAX_ARGUMENTS: usize = 1 << 20;

/// Maximum number of tool calls displayed of one answer.
const MAX_CALLS: usize = 256;

/// Options of the display.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ScreenOptions {
    /// Also print reasoning.
    pub reasoning: bool,
    /// Print events instead of text.
    pub json: bool,
    /// True if standard output is a terminal.
    pub out_terminal: bool,
    /// True if standard error is a terminal.
    pub err_terminal: bool,
}

/// The end of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// The reason: `stop`, `length`, `tool_calls`, `content_filter`, `cancelled` or `error`.
    pub reason: String,
}

/// The terminal that an answer is printed to.
pub(super) struct Screen<O, E> {
    out: O,
    err: E,
    options: ScreenOptions,
    began: Instant,
    first: Option<Duration>,
    route: Option<String>,
    calls: Vec<Call>,
    /// True if the last line of the answer has no line break yet.
    out_open: bool,
    /// True if the last line on standard error is reasoning without a line break yet.
    reasoning_open: bool,
}

struct Call {
    index: u64,
    name: String,
    arguments: String,
}

impl<O: Write, E: Write> Screen<O, E> {
    /// Creates a screen. The time to the first token is measured from now.
    pub(super) fn new(out: O, err: E, options: ScreenOptions) -> Self {
        let began = Instant::now();
        Self {
            out,
            err,
            options,
            began,
            first: None,
            route: None,
            calls: Vec::new(),
            out_open: false,
            reasoning_open: false,
        }
    }

    /// Displays one event. Returns the end if the event is one.
    pub(super) fn show(&mut self, event: &Event) -> Result<Option<End>, ChatError> {
        if self.options.json {
            return self.print_json(event);
        }
        let data = &event.data;
        match event.event.as_str() {
            "route" => self.route = Some(read::<Route<'_>>(data)?.to_string()),
            "text" | "refusal" => self.text(&read::<Delta<'_>>(data)?.delta)?,
            "reasoning" => self.reasoning(&read::<Delta<'_>>(data)?.delta)?,
            "tool_call" => self.call(read(data)?),
            "tool_arguments" => self.arguments(&read(data)?),
            "tool_call_end" => self.call_end(read::<Index>(data)?.index)?,
            "error" => self.failure(&read(data)?)?,
            "end" => return self.end(read(data)?).map(Some),
            _ => {}
        }
        Ok(None)
    }

    /// Prints a note about the chat itself to standard error.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        self.start_new_line()?;
        let text = printable(text, self.options.err_terminal);
        writeln!(self.err, "{}", dim(&text, self.options.err_terminal))?;
        self.err.flush()
    }

    /// Prints the error that ended a chat early, and its remedy.
    pub(super) fn show_error(&mut self, error: &ChatError) -> io::Result<()> {
        self.print_error(&error.to_string(), error.hint().as_deref())?;
        if let Some(id) = error.request_id() {
            self.note(&format!("  request id: {id}"))?;
        }
        Ok(())
    }

    fn print_error(&mut self, message: &str, hint: Option<&str>) -> io::Result<()> {
        self.start_new_line()?;
        writeln!(
            self.err,
            "error: {}",
            printable(message, self.options.err_terminal)
        )?;
        if let Some(hint) = hint {
            writeln!(self.err, "  help: {hint}")?;
        }
        self.err.flush()
    }

    fn print_json(&mut self, event: &Event) -> Result<Option<End>, ChatError> {
        #[derive(serde::Serialize)]
        struct Line<'a> {
            event: &'a str,
            id: &'a str,
            data: &'a RawValue,
        }
        // A payload of several `data:` lines is one JSON value, in which a line break can only be
        // white space.
        let data = event.data.replace(['\n', '\r'], " ");
        let line = Line {
            event: &event.event,
            id: &event.id,
            data: read(&data)?,
        };
        let line = serde_json::to_string(&line)
            .map_err(|error| ChatError::MalformedEvent(error.to_string()))?;
        writeln!(self.out, "{}", printable(&line, self.options.out_terminal))?;
        self.out.flush()?;
        if event.event == "end" {
            Ok(Some(End {
                reason: read::<EndData>(&data)?.reason,
            }))
        } else {
            Ok(None)
        }
    }

    fn text(&mut self, delta: &str) -> io::Result<()> {
        self.record_first_token();
        if delta.is_empty() {
            return Ok(());
        }
        self.end_reasoning()?;
        self.out
            .write_all(printable(delta, self.options.out_terminal).as_bytes())?;
        self.out_open = !delta.ends_with('\n');
        self.out.flush()
    }

    fn reasoning(&mut self, delta: &str) -> io::Result<()> {
        self.record_first_token();
        if !self.options.reasoning || delta.is_empty() {
            return Ok(());
        }
        if !self.reasoning_open {
            self.start_new_line()?;
        }
        self.reasoning_open = true;
        let delta = printable(delta, self.options.err_terminal);
        self.err
            .write_all(dim(&delta, self.options.err_terminal).as_bytes())?;
        self.err.flush()
    }

    fn call(&mut self, begun: ToolCall) {
        self.record_first_token();
        if self.calls.len() < MAX_CALLS {
            self.calls.push(Call {
                index: begun.index,
                name: begun.name,
                arguments: String::new(),
            });
        }
    }

    fn arguments(&mut self, piece: &Arguments<'_>) {
        let call = self
            .calls
            .iter_mut()
            .rev()
            .find(|call| call.index == piece.index);
        if let Some(call) =
            call.filter(|call| call.arguments.len() + piece.delta.len() <= MAX_ARGUMENTS)
        {
            call.arguments.push_str(&piece.delta);
        }
    }

    /// Displays a complete call. Calls are not displayed in pieces, because the pieces of parallel
    /// calls arrive interleaved.
    fn call_end(&mut self, index: u64) -> io::Result<()> {
        match self.calls.iter().position(|call| call.index == index) {
            Some(at) => {
                let call = self.calls.remove(at);
                self.note(&format!("tool call: {} {}", call.name, call.arguments))
            }
            None => Ok(()),
        }
    }

    fn failure(&mut self, failure: &Failure) -> io::Result<()> {
        self.print_error(
            &format!("{}: {}", failure.code, failure.message),
            hint(&failure.code, None).as_deref(),
        )
    }

    fn end(&mut self, end: EndData) -> Result<End, ChatError> {
        // Calls whose end event never came are displayed as incomplete.
        for call in std::mem::take(&mut self.calls) {
            self.note(&format!(
                "tool call (incomplete): {} {}",
                call.name, call.arguments
            ))?;
        }
        if std::mem::take(&mut self.out_open) {
            writeln!(self.out)?;
            self.out.flush()?;
        }
        let route = self.route.take();
        let first = self
            .first
            .map(|first| format!("first token {:.2} s", first.as_secs_f64()));
        let usage = end.usage.as_ref().map(ToString::to_string);
        let facts: Vec<_> = [Some(end.reason.clone()), route, first, usage]
            .into_iter()
            .flatten()
            .collect();
        self.note(&format!("[{}]", facts.join(" · ")))?;
        Ok(End { reason: end.reason })
    }

    fn record_first_token(&mut self) {
        self.first.get_or_insert_with(|| self.began.elapsed());
    }

    /// Ends an open line, so that standard error starts on a new line, also if both streams share a
    /// terminal.
    fn start_new_line(&mut self) -> io::Result<()> {
        self.end_reasoning()?;
        let shared = self.options.out_terminal && self.options.err_terminal;
        if shared && std::mem::take(&mut self.out_open) {
            writeln!(self.err)
        } else {
            Ok(())
        }
    }

    fn end_reasoning(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.reasoning_open) {
            writeln!(self.err, "\n")
        } else {
            Ok(())
        }
    }
}

#[derive(Deserialize)]
struct Delta<'a> {
    /// Absent if a `reasoning` event carries only a signature.
    #[serde(borrow, default)]
    delta: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Route<'a> {
    #[serde(borrow)]
    provider: Cow<'a, str>,
    #[serde(borrow)]
    model: Cow<'a, str>,
}

impl std::fmt::Display for Route<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

#[derive(Deserialize)]
struct ToolCall {
    index: u64,
    name: String,
}

#[derive(Deserialize)]
struct Arguments<'a> {
    index: u64,
    #[serde(borrow)]
    delta: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Index {
    index: u64,
}

#[derive(Deserialize)]
struct Failure {
    code: String,
    message: String,
}

#[derive(Deserialize)]
struct EndData {
    reason: String,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    estimated: Option<bool>,
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let about = if self.estimated == Some(true) {
            "about "
        } else {
            ""
        };
        let number = |tokens: Option<u64>| {
            tokens.map_or_else(|| "?".to_owned(), |tokens| tokens.to_string())
        };
        write!(
            f,
            "{about}{} tokens in, {} out",
            number(self.input_tokens),
            number(self.output_tokens)
        )
    }
}

fn read<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, ChatError> {
    serde_json::from_str(data).map_err(|error| ChatError::MalformedEvent(error.to_string()))
}

/// Replaces characters that would control a terminal: escape sequences, backspaces, C1 controls,
/// bidirectional overrides.
fn printable(text: &str, terminal: bool) -> Cow<'_, str> {
    let is_control = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if terminal && text.contains(is_control) {
        Cow::Owned(text.replace(is_control, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

fn dim(text: &str, terminal: bool) -> Cow<'_, str> {
    if terminal {
        Cow::Owned(format!("\x1b[2m{text}\x1b[0m"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event {
            event: name.into(),
            data: data.into(),
            id: "s.1".into(),
            retry: None,
        }
    }

    /// Returns the text on both streams, and the end.
    fn displayed(options: ScreenOptions, events: &[(&str, &str)]) -> (String, String, Option<End>) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut screen = Screen::new(&mut out, &mut err, options);
        screen.began = Instant::now()
            .checked_add(Duration::from_secs(3600))
            .unwrap();
        let end = events
            .iter()
            .map(|(name, data)| screen.show(&event(name, data)).unwrap())
            .last()
            .flatten();
        (
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
            end,
        )
    }

    const END: (&str, &str) = (
        "end",
        r#"{"reason":"stop","native_reason":"stop","usage":{"input_tokens":3,"output_tokens":null,"estimated":true}}"#,
    );

    #[test]
    fn the_answer_is_on_standard_output_and_the_rest_on_standard_error() {
        let (out, err, end) = displayed(
            ScreenOptions::default(),
            &[
                ("start", "{}"),
                ("route", r#"{"provider":"p","model":"m/x"}"#),
                ("reasoning", r#"{"delta":"hm"}"#),
                ("text", r#"{"delta":"a\u001b[2J"}"#),
                ("something_new", "{}"),
                ("text", r#"{"delta":"b"}"#),
                END,
            ],
        );
        assert_eq!(
            out, "a\u{1b}[2Jb\n",
            "what is no terminal gets the text as it is"
        );
        assert_eq!(
            err,
            "[stop · p/m/x · first token 0.00 s · about 3 tokens in, ? out]\n"
        );
        assert_eq!(
            end,
            Some(End {
                reason: "stop".into()
            })
        );
    }

    #[test]
    fn reasoning_is_printed_to_standard_error_on_request() {
        let options = ScreenOptions {
            reasoning: true,
            ..ScreenOptions::default()
        };
        let (out, err, _) = displayed(
            options,
            &[
                ("reasoning", r#"{"delta":"h"}"#),
                ("reasoning", r#"{"delta":"m","signature":"s"}"#),
                ("text", r#"{"delta":"a"}"#),
            ],
        );
        assert_eq!((out.as_str(), err.as_str()), ("a", "hm\n\n"));
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        let options = ScreenOptions {
            out_terminal: true,
            err_terminal: true,
            reasoning: true,
            ..ScreenOptions::default()
        };
        let evil = r#"{"delta":"\u001b[2J\u009b\u202e\u0007é\t\n"}"#;
        let (out, err, _) = displayed(options, &[("reasoning", evil), ("text", evil)]);
        assert_eq!(out, "\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}é\t\n");
        assert_eq!(
            err,
            "\u{1b}[2m\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}é\t\n\u{1b}[0m\n\n"
        );
    }

    #[test]
    fn parallel_calls_are_displayed_complete() {
        let (out, err, _) = displayed(
            ScreenOptions::default(),
            &[
                ("tool_call", r#"{"index":0,"id":"c0","name":"a"}"#),
                ("tool_call", r#"{"index":1,"id":"c1","name":"b"}"#),
                ("tool_arguments", r#"{"index":0,"delta":"{\"x\":"}"#),
                ("tool_arguments", r#"{"index":1,"delta":"[]"}"#),
                ("tool_arguments", r#"{"index":0,"delta":"1}"}"#),
                ("tool_call_end", r#"{"index":0}"#),
                END,
            ],
        );
        assert_eq!(out, "");
        assert!(
            err.starts_with("tool call: a {\"x\":1}\ntool call (incomplete): b []\n[stop"),
            "{err}"
        );
    }

    #[test]
    fn the_memory_for_calls_is_bounded() {
        let mut screen = Screen::new(io::sink(), io::sink(), ScreenOptions::default());
        for index in 0..MAX_CALLS as u64 + 10 {
            screen
                .show(&event(
                    "tool_call",
                    &format!(r#"{{"index":{index},"id":"c","name":"n"}}"#),
                ))
                .unwrap();
        }
        let piece = event(
            "tool_arguments",
            &format!(
                r#"{{"index":0,"delta":"{}"}}"#,
                "x".repeat(MAX_ARGUMENTS / 2)
            ),
        );
        for _ in 0..4 {
            screen.show(&piece).unwrap();
        }
        assert_eq!(screen.calls.len(), MAX_CALLS);
        assert_eq!(screen.calls[0].arguments.len(), MAX_ARGUMENTS);
    }

    #[test]
    fn json_output_is_one_event_per_line() {
        let options = ScreenOptions {
            json: true,
            ..ScreenOptions::default()
        };
        let (out, err, end) = displayed(options, &[("text", "{\"delta\":\n\"a\"}"), END]);
        let (first, second) = out.split_once('\n').unwrap();
        assert_eq!(
            first,
            r#"{"event":"text","id":"s.1","data":{"delta": "a"}}"#
        );
        assert!(second.starts_with(r#"{"event":"end","#) && err.is_empty());
        assert_eq!(end.unwrap().reason, "stop");
    }

    #[test]
    fn an_error_is_printed_with_its_remedy() {
        let (_, err, _) = displayed(
            ScreenOptions::default(),
            &[(
                "error",
                r#"{"code":"upstream_auth","message":"no","retryable":false}"#,
            )],
        );
        assert!(
            err.starts_with("error: upstream_auth: no\n  help: the provider's api_key"),
            "{err}"
        );
    }

    #[test]
    fn a_malformed_event_is_an_error() {
        for data in ["", "{", "1", r#"{"delta":1}"#] {
            let displayed = Screen::new(io::sink(), io::sink(), ScreenOptions::default())
                .show(&event("text", data));
            assert!(
                matches!(displayed, Err(ChatError::MalformedEvent(_))),
                "{data}"
            );
        }
    }
}
