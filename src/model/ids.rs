//! Identities: unguessable stream ids, callers, names that callers give, positions in a journal.

use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const ID_CHARS: usize = 26;

/// The server-made id of one stream: 130 random bits as 26 characters of `[a-z2-7]`, never reused.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(ByteString);

impl StreamId {
    /// A new id from the operating system's random source.
    ///
    /// # Panics
    /// When the operating system has no randomness to give: no id would be safe then.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "five bits index thirty-two letters"
    )]
    pub fn random() -> Self {
        let mut bytes = [0u8; ID_CHARS];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        let text: String = bytes
            .iter()
            .map(|b| char::from(ALPHABET[usize::from(b & 31)]))
            .collect();
        Self(text.into())
    }

    /// The id in `text`, if it has the form of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = text.len() == ID_CHARS && text.bytes().all(|b| ALPHABET.contains(&b));
        well_formed.then(|| Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who owns streams, names and claims: the virtual key (by its configured name) and, with a token,
/// its subject. A changed secret keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallerId {
    /// Everybody, where no authentication is asked for.
    Anonymous,
    /// The holder of the virtual key of this name.
    Key(ByteString),
    /// The subject of a verified token. Shared, as it stands in every stream and name of its own.
    User(Arc<Subject>),
}

/// Who a verified token is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// The virtual key that the token names.
    pub key: Option<ByteString>,
    /// Its `sub`.
    pub sub: ByteString,
}

impl fmt::Display for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Key(name) => f.write_str(name),
            Self::User(user) => write!(f, "{}/{}", user.key.as_deref().unwrap_or("-"), user.sub),
        }
    }
}

/// The number of an entry in a journal, from 0.
pub type Seq = u64;

/// A place in a stream as an SSE event id names it: right after an entry, or inside it, after one
/// of the events that a dialect spelled for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The entry.
    pub seq: Seq,
    /// `None`: the whole entry was read. `Some(n)`: event number `n` (from 0) of that entry was the
    /// last one read.
    pub part: Option<u32>,
}

impl Position {
    /// Writes the event id `<stream>.<seq>` or `<stream>.<seq>.<part>.<dialect>`.
    #[must_use]
    pub fn event_id(self, stream: &StreamId, dialect: &str) -> String {
        match self.part {
            None => format!("{stream}.{}", self.seq),
            Some(part) => format!("{stream}.{}.{part}.{dialect}", self.seq),
        }
    }
}

/// An event id taken apart. It says nothing yet about whether the stream exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventId {
    /// The stream it names.
    pub stream: StreamId,
    /// The position in it.
    pub position: Position,
    /// The dialect that issued it, where the position is inside an entry.
    pub dialect: Option<ByteString>,
}

impl EventId {
    /// The event id in `text`, if it has the form of one: at most 128 of `[A-Za-z0-9._-]`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > 128 {
            return None;
        }
        let mut pieces = text.split('.');
        let stream = StreamId::parse(pieces.next()?)?;
        let seq = number(pieces.next()?)?;
        let part = pieces.next();
        let dialect = pieces.next();
        let whole = pieces.next().is_none() && part.is_some() == dialect.is_some();
        let part = part.map(|part| number(part).and_then(|n| u32::try_from(n).ok()));
        match part {
            _ if !whole => None,
            Some(None) => None,
            Some(Some(part)) => Some(Self {
                stream,
                position: Position {
                    seq,
                    part: Some(part),
                },
                dialect: dialect.map(Into::into),
            }),
            None => Some(Self {
                stream,
                position: Position { seq, part: None },
                dialect: None,
            }),
        }
    }
}

/// A decimal number in its one canonical spelling.
fn number(text: &str) -> Option<u64> {
    let canonical =
        text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    canonical.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_well_formed_and_differ() {
        let (a, b) = (StreamId::random(), StreamId::random());
        assert_ne!(a, b);
        assert_eq!(StreamId::parse(a.as_str()), Some(a));
        assert_eq!(StreamId::parse("short"), None);
    }

    #[test]
    fn event_ids_survive_a_round_trip() {
        let stream = StreamId::random();
        for (part, dialect) in [(None, None), (Some(3), Some("openai-chat".into()))] {
            let position = Position { seq: 42, part };
            let text = position.event_id(&stream, "openai-chat");
            assert_eq!(
                EventId::parse(&text),
                Some(EventId {
                    stream: stream.clone(),
                    position,
                    dialect
                })
            );
        }
    }

    #[test]
    fn malformed_event_ids_are_refused() {
        let id = StreamId::random();
        for tail in [
            "",
            ".",
            ".x",
            ".01",
            ".1.2",
            ".1.2.a.b",
            ".-1",
            ".99999999999999999999999",
        ] {
            assert_eq!(EventId::parse(&format!("{id}{tail}")), None, "{tail}");
        }
    }
}
