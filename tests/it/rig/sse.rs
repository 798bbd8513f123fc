//! Server-sent events as a browser reads them, and stricter: what would crash a client of ours
//! fails the test.

/// One dispatched event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name; empty where it has none.
    pub name: String,
    /// Its data.
    pub data: String,
    /// The id it carries itself.
    pub id: Option<String>,
}

impl Event {
    /// Its data as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.data).unwrap_or_else(|e| panic!("{e} in {:?}", self.data))
    }
}

/// Reads a body piece by piece.
#[derive(Debug, Default)]
pub struct Parser {
    pending: Vec<u8>,
    /// The lines of the event that is not yet ended.
    lines: Vec<String>,
    /// Comment lines seen: heartbeats.
    pub comments: usize,
}

impl Parser {
    /// The events that `bytes` complete.
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

    /// True where nothing of an unfinished event is left.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.lines.is_empty()
    }

    fn line(&mut self, line: String) -> Option<Event> {
        assert!(
            !line.contains('\r'),
            "lines are ended by LF alone: {line:?}"
        );
        if line.starts_with(':') {
            assert!(
                self.lines.is_empty(),
                "a comment stands between events, not in one: {line:?} after {:?}",
                self.lines
            );
            self.comments += 1;
            return None;
        }
        if !line.is_empty() {
            self.lines.push(line);
            return None;
        }
        assert!(!self.lines.is_empty(), "a blank line that ends nothing");
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
