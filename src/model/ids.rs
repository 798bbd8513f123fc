//! Identifiers: unguessable stream ids, callers, positions in a journal, event ids.

use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const ID_CHARS: usize = 26;

/// The server-made id of one stream: 130 random bits as 26 characters of `[a-z2-7]`, never reused.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(ByteString);

impl StreamId {
    /// Returns a new id from the operating system's random source.
    ///
    /// # Panics
    /// When the operating system provides no random bytes, because no id would be safe.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "five bits index thirty-two letters"
    )]
    pub fn random() -> Self {
        let mut bytes = [0u8; ID_CHARS];
        getrandom::fill(&mut bytes).expect("the operating system provides random bytes");
        let text: String = bytes
            .iter()
            // Five bits of each byte select a character without bias: 26 × 5 = 130 bits.
            .map(|b| char::from(ALPHABET[usize::from(b & 31)]))
            .collect();
        Self(text.into())
    }

    /// Parses an id. Returns `None` if the text does not have the form of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = text.len() == ID_CHARS && text.bytes().all(|b| ALPHABET.contains(&b));
        well_formed.then(|| Self(text.into()))
    }

    /// Returns the id as text.
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

/// The owner of streams, names and claims: the virtual key (by its configured name) and, with a
/// token, its subject. It stays the same when a secret changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallerId {
    /// Every client, if authentication is disabled.
    Anonymous,
    /// The holder of the virtual key of this name.
    Key(ByteString),
    /// The subject of a verified token. Shared, because each of its streams and names contains it.
    User(Arc<Subject>),
}

/// The subject of a verified token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// The virtual key named in the token.
    pub key: Option<ByteString>,
    /// The claim `sub`.
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

/// The index of an entry in a journal, from 0.
pub type Seq = u64;

/// A position in a stream, as named by an SSE event id: after an entry, or inside it after one of
/// the events that a dialect encodes it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The entry.
    pub seq: Seq,
    /// With `None` the whole entry was read. With `Some(n)` the last event read is number `n` (from
    /// 0) of the entry.
    pub part: Option<u32>,
}

impl Position {
    /// Formats the event id `<stream>.<seq>` or `<stream>.<seq>.<part>.<dialect>`.
    #[must_use]
    pub fn event_id(self, stream: &StreamId, dialect: &str) -> String {
        match self.part {
            None => format!("{stream}.{}", self.seq),
            Some(part) => format!("{stream}.{}.{part}.{dialect}", self.seq),
        }
    }
}

/// A parsed event id. Its stream may not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventId {
    /// The id of the stream.
    pub stream: StreamId,
    /// The position in the stream.
    pub position: Position,
    /// The dialect that issued it, if the position is inside an entry.
    pub dialect: Option<ByteString>,
}

impl EventId {
    /// Parses an event id. Returns `None` if the text is longer than 128 bytes or does not have the
    /// form of one.
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
        // The number of an event is only meaningful together with its dialect.
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

/// Parses a decimal number in its canonical form, without leading zeros.
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
    fn malformed_event_ids_are_rejected() {
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
