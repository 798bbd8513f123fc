//! A parser of server-sent events, stricter than a browser: input that would crash one of our
//! clients fails the test.

/// One dispatched event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name; empty if it has none.
    pub name: String,
    /// Its data.
    pub data: String,
    /// Its own id.
    pub id: Option<String>,
}

impl Event {
    /// Returns the data as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.data).unwrap_or_else(|e| panic!("{e} in {:?}", self.data))
    }
}

/// Parses a body piece by piece.
#[derive(Debug, Default)]
pub struct Parser {
    pending: Vec<u8>,
    /// Lines of the unfinished event.
    lines: Vec<String>,
    /// Number of comment lines: heartbeats.
    pub comments: usize,
}

impl Parser {
    /// Returns the events that `bytes` complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.pending.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut from = 0;
        while let Some(at) = memchr::memchr(b'\n', &self.pending[from..]) {
            let line = std::str::from_utf8(&self.pending[from..from + at])
                .unwrap()
                .to_owned();
            from += at + 1;
            events.extend(self.line(line));
        }
        self.pending.drain(..from);
        events
    }

    /// Returns true if no unfinished event is left.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.lines.is_empty()
    }

    fn line(&mut self, line: String) -> Option<Event> {
        assert!(!line.contains('\r'), "lines end with LF only: {line:?}");
        if line.starts_with(':') {
            assert!(
                self.lines.is_empty(),
                "a comment must not be inside an event: {line:?} after {:?}",
                self.lines
            );
            self.comments += 1;
            return None;
        }
        if !line.is_empty() {
            self.lines.push(line);
            return None;
        }
        assert!(!self.lines.is_empty(), "a blank line without an event");
        Some(dispatch(&std::mem::take(&mut self.lines)))
    }
}

fn dispatch(lines: &[String]) -> Event {
    let field = |name: &str| {
        let of = move |line: &String| {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            (field == name).then(|| value.strip_prefix(' ').unwrap_or(value).to_owned())
        };
        lines.iter().filter_map(of).collect::<Vec<_>>()
    };
    let known = |line: &String| {
        ["data:", "event:", "id:", "retry:"]
            .iter()
            .any(|it| line.starts_with(it))
    };
    assert!(lines.iter().all(known), "an unknown field in {lines:?}");
    let data = field("data");
    assert!(
        !data.is_empty(),
        "a block without data crashes clients: {lines:?}"
    );
    Event {
        name: field("event").pop().unwrap_or_default(),
        data: data.join("\n"),
        id: field("id").pop(),
    }
}
