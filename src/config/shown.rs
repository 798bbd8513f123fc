//! A source line as a problem may show it: what could be a secret is masked, control characters are
//! not passed on to the terminal, and a long line is cut to the part that matters.

use std::ops::Range;

use super::mask::MASK;

/// The most characters of a line that are shown.
const WIDTH: usize = 150;

/// How much of a long line is shown before the caret.
const LEAD: usize = 60;

/// A line ready to be shown, and where its caret goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// The line.
    pub(super) line: String,
    /// Characters before the caret.
    pub(super) caret: usize,
    /// How many characters the caret underlines.
    pub(super) width: usize,
}

/// A character to show, and the place in the file that it stands for.
type Cell = (usize, char);

impl Shown {
    /// The part of `text` in `line` with `masks` (sorted) left out and `span` underlined.
    pub(super) fn new(
        text: &str,
        line: Range<usize>,
        span: &Range<usize>,
        masks: &[Range<usize>],
    ) -> Self {
        let cells = cells(text, line, masks);
        let column = |at: usize| cells.partition_point(|(offset, _)| *offset < at);
        let (caret, end) = (column(span.start), column(span.end));
        let from = if cells.len() > WIDTH {
            caret.saturating_sub(LEAD)
        } else {
            0
        };
        let mut line: String = cells
            .iter()
            .skip(from)
            .take(WIDTH)
            .map(|(_, c)| *c)
            .collect();
        let mut caret = caret - from;
        if from > 0 {
            line.insert(0, '…');
            caret += 1;
        }
        let width = end
            .saturating_sub(from)
            .min(WIDTH + 1)
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
                cells.extend(MASK.chars().map(|c| (mask.start.max(line.start), c)));
            }
            None => cells.push((offset, plain(c))),
        }
    }
    cells
}

fn plain(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{FFFD}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, span: Range<usize>, masks: &[Range<usize>]) -> (String, String) {
        let shown = Shown::new(text, 0..text.len(), &span, masks);
        (
            shown.line,
            format!("{}{}", " ".repeat(shown.caret), "^".repeat(shown.width)),
        )
    }

    #[test]
    fn the_caret_stands_under_its_span_also_behind_a_mask() {
        let text = r#"a = { secret = "sk-very-long-secret", b = 1 }"#;
        let (start, at) = (text.find("\"sk").unwrap(), text.find("b =").unwrap());
        let (line, caret) = shown(text, at..at + 1, std::slice::from_ref(&(start..start + 21)));
        assert_eq!(line, "a = { secret = ***, b = 1 }");
        assert_eq!(caret.find('^'), line.find("b ="));
    }

    #[test]
    fn a_masked_span_is_underlined_as_it_is_shown() {
        let (line, caret) = shown(r#"k = "secret""#, 4..12, std::slice::from_ref(&(4..12)));
        assert_eq!((line.as_str(), caret.as_str()), ("k = ***", "    ^^^"));
    }

    #[test]
    fn a_mask_that_began_on_an_earlier_line_hides_its_part_of_this_one() {
        let text = "k = \"\"\"one\ntwo\"\"\" # x";
        let shown = Shown::new(
            text,
            11..text.len(),
            &(18..19),
            std::slice::from_ref(&(4..17)),
        );
        assert_eq!(shown.line, "*** # x");
    }

    #[test]
    fn long_lines_are_cut_around_the_caret_and_control_characters_replaced() {
        let text = format!("{}\u{1b}X{}", "a".repeat(300), "b".repeat(300));
        let (line, caret) = shown(&text, 301..302, &[]);
        assert!(
            line.chars().count() <= WIDTH + 1 && line.starts_with('…') && !line.contains('\u{1b}'),
            "{line}"
        );
        assert_eq!(line.chars().nth(caret.find('^').unwrap()), Some('X'));
        assert_eq!(caret.matches('^').count(), 1);
    }
}
