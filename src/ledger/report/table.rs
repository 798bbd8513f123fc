//! A table, as CSV or as JSON lines.

use std::borrow::Cow;
use std::io::{self, Write};

use super::Format;
use crate::model::money::Money;

/// What a line has in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Nothing,
    Text(String),
    Number(u64),
    Truth(bool),
    Money(Money),
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Nothing, Self::Text)
    }
}

impl From<Option<u64>> for Cell {
    fn from(number: Option<u64>) -> Self {
        number.map_or(Self::Nothing, Self::Number)
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
                    write!(self.out, "{comma}{}", csv(&cell))?;
                }
                self.out.write_all(b"\r\n")
            }
            Format::Json => {
                for (number, (name, cell)) in self.names.iter().zip(cells).enumerate() {
                    let before = if number == 0 { "{" } else { "," };
                    write!(self.out, "{before}\"{name}\":{}", json(&cell))?;
                }
                self.out.write_all(b"}\n")
            }
        }
    }

    pub(super) fn end(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn csv(cell: &Cell) -> Cow<'_, str> {
    match cell {
        Cell::Nothing => Cow::Borrowed(""),
        Cell::Text(text) => quoted(text),
        Cell::Number(number) => Cow::Owned(number.to_string()),
        Cell::Truth(truth) => Cow::Owned(truth.to_string()),
        Cell::Money(money) => Cow::Owned(money.to_string()),
    }
}

/// A text as RFC 4180 has it; one that a spreadsheet would run as a formula behind an apostrophe.
fn quoted(text: &str) -> Cow<'_, str> {
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

fn json(cell: &Cell) -> String {
    match cell {
        Cell::Nothing => "null".into(),
        Cell::Text(text) => serde_json::to_string(text).expect("a string is always JSON"),
        Cell::Number(number) => number.to_string(),
        Cell::Truth(truth) => truth.to_string(),
        Cell::Money(money) => money.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
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
            assert_eq!(csv(&Cell::Text(text.into())), expected);
        }
        assert_eq!(csv(&Cell::Money("0.5".parse().unwrap())), "0.5");
        assert_eq!(csv(&Cell::Nothing), "");
    }

    #[test]
    fn lines_of_json_are_json() {
        let mut out = Vec::new();
        let mut table = Table::begin(&mut out, Format::Json, ["a", "b", "c"].into_iter()).unwrap();
        table
            .line(
                [
                    Cell::Text("x\"\n".into()),
                    Cell::Nothing,
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
