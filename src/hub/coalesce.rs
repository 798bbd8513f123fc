//! Merges neighbouring deltas for a reader that has fallen behind: fewer, larger events with the
//! same content.

use bytestring::ByteString;
use smallvec::smallvec;

use crate::model::entry::Entry;
use crate::model::event::Event;
use crate::model::ids::Seq;

/// Size after which a merged delta takes no more text, bytes.
const MAX_DELTA_BYTES: usize = 16 * 1024;

/// The numbers of an entry passed to a reader. An entry merged from several has the numbers of the
/// first and the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntrySpan {
    /// Number of the first entry. Positions of events inside a merged entry count from it, as the
    /// merged entry begins like it.
    pub first: Seq,
    /// Number of the last entry.
    pub last: Seq,
    /// Number of events of the first entry that the reader already has.
    pub seen: u32,
}

impl EntrySpan {
    /// The span of one entry, `seen` of whose events the reader already has.
    pub(super) const fn one(seq: Seq, seen: u32) -> Self {
        Self {
            first: seq,
            last: seq,
            seen,
        }
    }
}

/// A merged delta to which neighbouring deltas are added.
pub(super) struct Coalesce {
    /// First and last of the entries it is merged from.
    first: Seq,
    last: Seq,
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text(u16),
    Reasoning(u16),
    Refusal(u16),
    Arguments(u16, u16),
}

impl Coalesce {
    /// Passes the entries, merged, to `visit` until it reports at least `enough` bytes. Returns the
    /// number of the first entry that was not passed. A merged entry has the numbers of its first
    /// and its last entry.
    pub(super) fn run<'a>(
        entries: impl Iterator<Item = (Seq, &'a Entry)>,
        enough: usize,
        mut visit: impl FnMut(EntrySpan, &Entry) -> usize,
    ) -> Seq {
        let mut open: Option<Self> = None;
        let mut next = 0;
        for (seq, entry) in entries {
            let delta = delta_of(entry);
            // Bounded in size, so that a long backlog does not become one huge event.
            let joins = matches!(
                (&open, &delta),
                (Some(it), Some((kind, _))) if it.kind == *kind && it.text.len() < MAX_DELTA_BYTES
            );
            if !joins && let Some(it) = open.take() {
                next = it.last + 1;
                if visit(it.span(), &it.entry()) >= enough {
                    return next;
                }
            }
            match delta {
                Some((kind, text)) => {
                    let it = open.get_or_insert_with(|| Self {
                        first: seq,
                        last: seq,
                        kind,
                        text: String::new(),
                    });
                    it.last = seq;
                    it.text.push_str(text);
                }
                None => {
                    next = seq + 1;
                    if visit(EntrySpan::one(seq, 0), entry) >= enough {
                        return next;
                    }
                }
            }
        }
        if let Some(it) = open {
            next = it.last + 1;
            visit(it.span(), &it.entry());
        }
        next
    }

    const fn span(&self) -> EntrySpan {
        EntrySpan {
            first: self.first,
            last: self.last,
            seen: 0,
        }
    }

    fn entry(self) -> Entry {
        let delta = ByteString::from(self.text);
        Entry::new(smallvec![match self.kind {
            Kind::Text(choice) => Event::Text { choice, delta },
            Kind::Reasoning(choice) => Event::Reasoning { choice, delta },
            Kind::Refusal(choice) => Event::Refusal { choice, delta },
            Kind::Arguments(choice, index) => Event::ToolArguments {
                choice,
                index,
                delta
            },
        }])
    }
}

/// Returns the delta of an entry that consists of exactly one delta.
fn delta_of(entry: &Entry) -> Option<(Kind, &str)> {
    match entry.events.as_slice() {
        [Event::Text { choice, delta }] => Some((Kind::Text(*choice), delta)),
        [Event::Reasoning { choice, delta }] => Some((Kind::Reasoning(*choice), delta)),
        [Event::Refusal { choice, delta }] => Some((Kind::Refusal(*choice), delta)),
        [
            Event::ToolArguments {
                choice,
                index,
                delta,
            },
        ] => Some((Kind::Arguments(*choice, *index), delta)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(choice: u16, delta: &'static str) -> Entry {
        Entry::new(smallvec![Event::Text {
            choice,
            delta: ByteString::from_static(delta)
        }])
    }

    #[test]
    fn neighbours_merge_and_nothing_is_lost() {
        let entries = [
            text(0, "a"),
            text(0, "b"),
            text(1, "c"),
            Entry::default(),
            text(0, "d"),
            text(0, "e"),
        ];
        let mut span = Vec::new();
        let next = Coalesce::run((10..).zip(&entries), usize::MAX, |it, entry| {
            span.push((it.first, it.last, entry.clone()));
            0
        });
        assert_eq!(next, 16);
        let expected = [
            (10, 11, text(0, "ab")),
            (12, 12, text(1, "c")),
            (13, 13, Entry::default()),
            (14, 15, text(0, "de")),
        ];
        assert_eq!(span, expected);
    }

    #[test]
    fn merging_stops_when_there_is_enough() {
        let entries = [text(0, "a"), text(1, "b"), text(0, "c")];
        let mut span = 0;
        let next = Coalesce::run((0..).zip(&entries), 1, |_, _| {
            span += 1;
            1
        });
        assert_eq!((next, span), (1, 1));
    }
}
