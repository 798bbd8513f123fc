//! Bytes of the answer → characters of it.
//!
//! Invariants: text is kept only from its first character that is not ASCII, and not past a bound;
//! what cannot be counted exactly is not counted.

/// The most text that is kept to count characters in; spans behind it are left out.
const TEXT_BOUND: usize = 256 * 1024;

/// Counts the characters before a byte of the answer.
#[derive(Default)]
pub(super) struct Characters {
    ascii: usize,
    rest: String,
    full: bool,
}

impl Characters {
    /// Text of the answer, in order.
    pub(super) fn push(&mut self, delta: &str) {
        if self.rest.is_empty() && delta.is_ascii() {
            self.ascii = self.ascii.saturating_add(delta.len());
        } else if self.full || self.rest.len().saturating_add(delta.len()) > TEXT_BOUND {
            self.full = true;
        } else {
            self.rest.push_str(delta);
        }
    }

    /// From byte to byte → from character to character, the end exclusive.
    pub(super) fn span(&self, start: Option<u64>, end: Option<u64>) -> Option<(u32, u32)> {
        let end = self.before(end?)?;
        let start = self.before(start.unwrap_or(0))?;
        (start <= end).then_some((start, end))
    }

    /// The characters before that byte; `None` inside a character and behind what is kept.
    fn before(&self, byte: u64) -> Option<u32> {
        let byte = usize::try_from(byte).ok()?;
        let count = match byte.checked_sub(self.ascii) {
            None => byte,
            Some(0) => self.ascii,
            Some(beyond) => self.ascii + self.rest.get(..beyond)?.chars().count(),
        };
        u32::try_from(count).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(deltas: &[&str]) -> Characters {
        let mut all = Characters::default();
        deltas.iter().for_each(|delta| all.push(delta));
        all
    }

    #[test]
    fn bytes_become_characters() {
        let text = of(&["It is ", "20 °C", " – mild.", " Bye"]);
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
    fn what_cannot_be_counted_is_not() {
        let text = of(&["é!"]);
        assert_eq!(text.span(Some(0), Some(1)), None, "inside a character");
        assert_eq!(text.span(Some(0), Some(4)), None, "behind the text");
        assert_eq!(text.span(Some(3), Some(2)), None, "backwards");
        assert_eq!(text.span(Some(0), None), None);
        assert_eq!(text.span(Some(0), Some(u64::MAX)), None);
        assert_eq!(
            of(&["ascii"]).span(Some(0), Some(9)),
            None,
            "behind the text"
        );
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = "é".repeat(TEXT_BOUND / 2);
        let mut text = of(&["a", &long, "b", "c"]);
        assert!(text.rest.len() <= TEXT_BOUND);
        assert_eq!(text.span(Some(1), Some(3)), Some((1, 2)));
        assert_eq!(text.span(Some(1), Some(TEXT_BOUND as u64 + 2)), None);
        text.push("c");
        assert!(text.full);
    }
}
