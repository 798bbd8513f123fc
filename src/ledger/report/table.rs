//! Writes a table as CSV or as JSON lines.

use std::borrow::Cow;
use std::io::{self, Write};

use super::Format;
use crate::model::money::Money;

/// The content of one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Empty,
    Text(String),
    Number(u64),
    Bool(bool),
    Money(Money),
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Empty, Self::Text)
    }
}

impl From<Option<u64>> for Cell {
    fn from(number: Option<u64>) -> Self {
        number.map_or(Self::Empty, Self::Number)
    }
}

/// A table being written.
pub(super) struct Table<'a> {
    out: io::BufWriter<&'a mut dyn Write>,
    format: Format,
    names: Vec<&'static str>,
}

impl<'a> Table<'a> {
    pub(super) fn begin(
        out: &'a mut dyn Write,
        format: Format,
        names: impl Iterator<Item = &'static str>,
    ) -> io::Result<Self> {
        let mut table = Self {
            out: io::BufWriter::new(out),
            format,
            names: names.collect(),
        };
        if format == Format::Csv {
            write!(table.out, "{}\r\n", table.names.join(","))?;
        }
        Ok(table)
    }

    pub(super) fn line(&mut self, cells: impl Iterator<Item = Cell>) -> io::Result<()> {
        match self.format {
            Format::Csv => {
                for (number, cell) in cells.enumerate() {
                    let comma = if number == 0 { "" } else { "," };
                    write!(self.out, "{comma}{}", csv_text(&cell))?;
                }
                // RFC 4180 ends lines with CRLF.
                self.out.write_all(b"\r\n")
            }
            Format::Json => {
                for (number, (name, cell)) in self.names.iter().zip(cells).enumerate() {
                    let before = if number == 0 { "{" } else { "," };
                    write!(self.out, "{before}\"{name}\":{}", json_text(&cell))?;
                }
                self.out.write_all(b"}\n")
            }
        }
    }

    pub(super) fn end(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn csv_text(cell: &Cell) -> Cow<'_, str> {
    match cell {
        Cell::Empty => Cow::Borrowed(""),
        Cell::Text(text) => quote_csv(text),
        Cell::Number(number) => Cow::Owned(number.to_string()),
        Cell::Bool(value) => Cow::Owned(value.to_string()),
        Cell::Money(money) => Cow::Owned(money.to_string()),
    }
}

/// Quotes a text as RFC 4180 requires. A text that a spreadsheet would run as a formula gets a
/// leading apostrophe.
fn quote_csv(text: &str) -> Cow<'_, str> {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let special =
        text.contains(['"', ',', '\r', '\n']) || text.starts_with(' ') || text.ends_with(' ');
    match (formula, special) {
        (false, false) => Cow::Borrowed(text),
        (true, false) => Cow::Owned(format!("'{text}")),
        (formula, true) => Cow::Owned(format!(
            "\"{}{}\"",
            if formula { "'" } else { "" },
            text.replace('"', "\"\"")
        )),
    }
}

fn json_text(cell: &Cell) -> String {
    match cell {
        Cell::Empty => "null".into(),
        Cell::Text(text) => serde_json::to_string(text).expect("a string is always JSON"),
        Cell::Number(number) => number.to_string(),
        Cell::Bool(value) => value.to_string(),
        Cell::Money(money) => money.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_only_where_needed() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "'=1+1"),
            ("@SUM(A1,A2)", "\"'@SUM(A1,A2)\""),
            ("-1", "'-1"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("é€", "é€"),
        ] {
            assert_eq!(csv_text(&Cell::Text(text.into())), expected);
        }
        assert_eq!(csv_text(&Cell::Money("0.5".parse().unwrap())), "0.5");
        assert_eq!(csv_text(&Cell::Empty), "");
    }

    #[test]
    fn json_lines_are_valid_json() {
        let mut out = Vec::new();
        let mut table = Table::begin(&mut out, Format::Json, ["a", "b", "c"].into_iter()).unwrap();
        table
            .line(
                [
                    Cell::Text("x\"\n".into()),
                    Cell::Empty,
                    Cell::Money("0.000000001".parse().unwrap()),
                ]
                .into_iter(),
            )
            .unwrap();
        table.end().unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"a\":\"x\\\"\\n\",\"b\":null,\"c\":0.000000001}\n"
        );
    }
}
