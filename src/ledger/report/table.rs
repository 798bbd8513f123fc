//! Writes a table as CSV or as JSON lines.

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};

use serde::{Serialize, Serializer as _};

use super::Format;
use crate::model::money::Money;

/// The content of one cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
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
pub(super) enum Table<'a> {
    Csv(Box<csv::Writer<&'a mut dyn Write>>),
    Json {
        out: BufWriter<&'a mut dyn Write>,
        names: Vec<&'static str>,
    },
}

impl<'a> Table<'a> {
    pub(super) fn begin(
        out: &'a mut dyn Write,
        format: Format,
        names: impl Iterator<Item = &'static str>,
    ) -> io::Result<Self> {
        match format {
            Format::Csv => {
                // RFC 4180 ends lines with CRLF.
                let mut rows = csv::WriterBuilder::new()
                    .terminator(csv::Terminator::CRLF)
                    .from_writer(out);
                rows.write_record(names).map_err(io_error)?;
                Ok(Self::Csv(Box::new(rows)))
            }
            Format::Json => Ok(Self::Json {
                out: BufWriter::new(out),
                names: names.collect(),
            }),
        }
    }

    pub(super) fn line(&mut self, cells: impl Iterator<Item = Cell>) -> io::Result<()> {
        match self {
            Self::Csv(rows) => {
                for cell in cells {
                    rows.write_field(csv_text(&cell).as_bytes())
                        .map_err(io_error)?;
                }
                // Ends the record.
                rows.write_record(None::<&[u8]>).map_err(io_error)
            }
            Self::Json { out, names } => {
                serde_json::Serializer::new(&mut *out).collect_map(names.iter().zip(cells))?;
                out.write_all(b"\n")
            }
        }
    }

    pub(super) fn end(self) -> io::Result<()> {
        match self {
            Self::Csv(mut rows) => rows.flush(),
            Self::Json { mut out, .. } => out.flush(),
        }
    }
}

/// Returns the error of the output, whose kind says whether its reader is gone.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Returns the text of a cell. A text that a spreadsheet would run as a formula gets a leading
/// apostrophe.
fn csv_text(cell: &Cell) -> Cow<'_, str> {
    match cell {
        Cell::Empty => Cow::Borrowed(""),
        Cell::Text(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => {
            Cow::Owned(format!("'{text}"))
        }
        Cell::Text(text) => Cow::Borrowed(text),
        Cell::Number(number) => Cow::Owned(number.to_string()),
        Cell::Bool(value) => Cow::Owned(value.to_string()),
        Cell::Money(money) => Cow::Owned(money.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, cells: [Cell; 3]) -> String {
        let mut out = Vec::new();
        let mut table = Table::begin(&mut out, format, ["a", "b", "c"].into_iter()).unwrap();
        table.line(cells.into_iter()).unwrap();
        table.end().unwrap();
        String::from_utf8(out).unwrap()
    }

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
            let cells = [
                Cell::Text(text.into()),
                Cell::Empty,
                Cell::Money("0.5".parse().unwrap()),
            ];
            assert_eq!(
                written(Format::Csv, cells),
                format!("a,b,c\r\n{expected},,0.5\r\n")
            );
        }
    }

    #[test]
    fn json_lines_are_valid_json() {
        let cells = [
            Cell::Text("x\"\n".into()),
            Cell::Empty,
            Cell::Money("0.000000001".parse().unwrap()),
        ];
        assert_eq!(
            written(Format::Json, cells),
            "{\"a\":\"x\\\"\\n\",\"b\":null,\"c\":0.000000001}\n"
        );
    }

    #[test]
    fn an_error_keeps_its_kind() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for format in [Format::Csv, Format::Json] {
            let mut out = Closed;
            let mut table = Table::begin(&mut out, format, ["a"].into_iter()).unwrap();
            let long = Cell::Text("x".repeat(1 << 20));
            let error = table.line([long].into_iter()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
    }
}
