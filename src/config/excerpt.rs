//! The excerpt of a source line that a problem displays: values that could be secrets are masked,
//! control characters are replaced so that they do not reach the terminal, and a long line is cut
//! to the part around the caret.

use std::ops::Range;

use super::mask::MASK;

/// Maximum number of characters displayed of a line.
const MAX_WIDTH: usize = 150;

/// Number of characters of a long line displayed before the caret.
const LEAD: usize = 60;

/// A masked line, and the position of its caret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// The masked line.
    pub(super) line: String,
    /// Number of characters before the caret.
    pub(super) caret: usize,
    /// Number of characters that the caret underlines.
    pub(super) width: usize,
}

/// A character to display, and the offset in the file that it stands for.
type Cell = (usize, char);

impl Excerpt {
    /// Returns the excerpt of `text` at `line`, with `masks` (sorted) replaced and `span`
    /// underlined.
    pub(super) fn new(
        text: &str,
        line: Range<usize>,
        span: &Range<usize>,
        masks: &[Range<usize>],
    ) -> Self {
        let cells = cells(text, line, masks);
        // A mask has another length than the value it replaces, so columns are found by offset.
        let column = |at: usize| cells.partition_point(|(offset, _)| *offset < at);
        let (caret, end) = (column(span.start), column(span.end));
        let from = if cells.len() > MAX_WIDTH {
            caret.saturating_sub(LEAD)
        } else {
            0
        };
        let mut line: String = cells
            .iter()
            .skip(from)
            .take(MAX_WIDTH)
            .map(|(_, c)| *c)
            .collect();
        let mut caret = caret - from;
        if from > 0 {
            line.insert(0, '…');
            caret += 1;
        }
        let width = end
            .saturating_sub(from)
            .min(MAX_WIDTH + 1)
            .saturating_sub(caret);
        Self {
            line,
            caret,
            width: width.max(1),
        }
    }
}

fn cells(text: &str, line: Range<usize>, masks: &[Range<usize>]) -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut masks = masks
        .iter()
        .skip_while(|mask| mask.end <= line.start)
        .peekable();
    let mut hidden_to = line.start;
    for (offset, c) in text
        .get(line.clone())
        .unwrap_or_default()
        .char_indices()
        .map(|(n, c)| (line.start + n, c))
    {
        if offset < hidden_to {
            continue;
        }
        while masks.next_if(|mask| mask.end <= offset).is_some() {}
        match masks.next_if(|mask| mask.start <= offset) {
            Some(mask) => {
                hidden_to = mask.end;
                // A mask of a multi-line value can begin on an earlier line.
                cells.extend(MASK.chars().map(|c| (mask.start.max(line.start), c)));
            }
            None => cells.push((offset, displayable(c))),
        }
    }
    cells
}

fn displayable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{FFFD}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt_and_caret(
        text: &str,
        span: Range<usize>,
        masks: &[Range<usize>],
    ) -> (String, String) {
        let excerpt_and_caret = Excerpt::new(text, 0..text.len(), &span, masks);
        (
            excerpt_and_caret.line,
            format!(
                "{}{}",
                " ".repeat(excerpt_and_caret.caret),
                "^".repeat(excerpt_and_caret.width)
            ),
        )
    }

    #[test]
    fn the_caret_underlines_its_span_after_a_mask() {
        let text = r#"a = { secret = "sk-very-long-secret", b = 1 }"#;
        let (start, at) = (text.find("\"sk").unwrap(), text.find("b =").unwrap());
        let (line, caret) =
            excerpt_and_caret(text, at..at + 1, std::slice::from_ref(&(start..start + 21)));
        assert_eq!(line, "a = { secret = ***, b = 1 }");
        assert_eq!(caret.find('^'), line.find("b ="));
    }

    #[test]
    fn a_masked_span_is_underlined_at_its_displayed_length() {
        let (line, caret) =
            excerpt_and_caret(r#"k = "secret""#, 4..12, std::slice::from_ref(&(4..12)));
        assert_eq!((line.as_str(), caret.as_str()), ("k = ***", "    ^^^"));
    }

    #[test]
    fn a_mask_from_an_earlier_line_continues() {
        let text = "k = \"\"\"one\ntwo\"\"\" # x";
        let excerpt_and_caret = Excerpt::new(
            text,
            11..text.len(),
            &(18..19),
            std::slice::from_ref(&(4..17)),
        );
        assert_eq!(excerpt_and_caret.line, "*** # x");
    }

    #[test]
    fn long_lines_are_cut_around_the_caret_and_control_characters_replaced() {
        let text = format!("{}\u{1b}X{}", "a".repeat(300), "b".repeat(300));
        let (line, caret) = excerpt_and_caret(&text, 301..302, &[]);
        assert!(
            line.chars().count() <= MAX_WIDTH + 1
                && line.starts_with('…')
                && !line.contains('\u{1b}'),
            "{line}"
        );
        assert_eq!(line.chars().nth(caret.find('^').unwrap()), Some('X'));
        assert_eq!(caret.matches('^').count(), 1);
    }
}
