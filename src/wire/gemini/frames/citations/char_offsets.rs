//! Converts byte offsets of the answer into character offsets.
//!
//! Invariants: text is kept only from its first non-ASCII character on, and only up to a bound; an
//! offset that cannot be converted exactly is not converted.

/// Maximum size of the text that is kept for counting characters, bytes. Spans beyond it are left
/// out.
const MAX_TEXT_BYTES: usize = 256 * 1024;

/// Converts byte offsets of the answer into character offsets.
#[derive(Default)]
pub(super) struct CharOffsets {
    /// Length of the ASCII text before `rest`, where bytes and characters are the same.
    ascii: usize,
    /// The text from the first delta with a non-ASCII character on.
    rest: String,
    /// True once a delta did not fit: text after a gap must not be kept.
    full: bool,
}

impl CharOffsets {
    /// Adds the next text delta of the answer.
    pub(super) fn push(&mut self, delta: &str) {
        if self.rest.is_empty() && delta.is_ascii() {
            // ASCII text is not kept: each of its bytes is one character.
            self.ascii = self.ascii.saturating_add(delta.len());
        } else if self.full || self.rest.len().saturating_add(delta.len()) > MAX_TEXT_BYTES {
            // Nothing after a skipped delta may be kept, because its offsets would be wrong.
            self.full = true;
        } else {
            self.rest.push_str(delta);
        }
    }

    /// Converts a byte span into a character span with an exclusive end. A missing start is 0.
    /// Returns `None` if the span cannot be converted exactly.
    pub(super) fn span(&self, start: Option<u64>, end: Option<u64>) -> Option<(u32, u32)> {
        let end = self.char_offset(end?)?;
        let start = self.char_offset(start.unwrap_or(0))?;
        (start <= end).then_some((start, end))
    }

    /// Returns the number of characters before that byte, or `None` inside a character and beyond
    /// the kept text.
    fn char_offset(&self, byte: u64) -> Option<u32> {
        let byte = usize::try_from(byte).ok()?;
        let count = match byte.checked_sub(self.ascii) {
            None => byte,
            Some(0) => self.ascii,
            // `get` returns `None` for an offset inside a character or beyond the text.
            Some(beyond) => self.ascii + self.rest.get(..beyond)?.chars().count(),
        };
        u32::try_from(count).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(deltas: &[&str]) -> CharOffsets {
        let mut all = CharOffsets::default();
        deltas.iter().for_each(|delta| all.push(delta));
        all
    }

    #[test]
    fn byte_offsets_become_character_offsets() {
        let text = offsets(&["It is ", "20 °C", " – mild.", " Bye"]);
        let whole = "It is 20 °C – mild. Bye";
        for (at, (byte, _)) in whole.char_indices().enumerate() {
            assert_eq!(
                text.span(None, Some(byte as u64)),
                Some((0, u32::try_from(at).unwrap()))
            );
        }
        assert_eq!(text.span(Some(9), Some(whole.len() as u64)), Some((9, 23)));
    }

    #[test]
    fn inexact_spans_are_left_out() {
        let text = offsets(&["é!"]);
        assert_eq!(text.span(Some(0), Some(1)), None, "inside a character");
        assert_eq!(text.span(Some(0), Some(4)), None, "beyond the text");
        assert_eq!(text.span(Some(3), Some(2)), None, "backwards");
        assert_eq!(text.span(Some(0), None), None);
        assert_eq!(text.span(Some(0), Some(u64::MAX)), None);
        assert_eq!(
            offsets(&["ascii"]).span(Some(0), Some(9)),
            None,
            "beyond the text"
        );
    }

    #[test]
    fn the_kept_text_is_bounded() {
        let long = "é".repeat(MAX_TEXT_BYTES / 2);
        let mut text = offsets(&["a", &long, "b", "c"]);
        assert!(text.rest.len() <= MAX_TEXT_BYTES);
        assert_eq!(text.span(Some(1), Some(3)), Some((1, 2)));
        assert_eq!(text.span(Some(1), Some(MAX_TEXT_BYTES as u64 + 2)), None);
        text.push("c");
        assert!(text.full);
    }
}
