//! Durations, sizes and counts.

use std::num::NonZeroU32;
use std::time::Duration;

use toml::de::DeValue;

use super::node::{Node, Text};
use crate::codec::quantity::{parse_duration, split};

/// Maximum duration: longer ones could overflow when added to a clock.
pub(super) const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);

const DURATION: &str = "a duration like \"500ms\", \"15s\", \"5m\" or \"1h\"";
const SIZE: &str = "a size like \"8MiB\", \"512KiB\" or a number of bytes";

/// Reads a duration, zero included.
pub(super) fn duration(node: &Node<'_, '_>) -> Option<Duration> {
    // A number without a unit is a common mistake, so the remedy repeats it with a unit.
    if let DeValue::Integer(digits) = node.value.get_ref() {
        node.doc.publish(node.place());
        return node.refuse_with(
            format!("expected {DURATION}, found a number"),
            format!("add a unit: \"{}s\"", digits.as_str()),
        );
    }
    let text = node.text_or(DURATION)?;
    let Some(duration) = parse_duration(&text.value) else {
        return node.refuse(format!("expected {DURATION}, found {}", text.quoted()));
    };
    if duration > MAX_DURATION {
        return node.refuse("must be at most 366 days");
    }
    Some(duration)
}

/// Reads a duration above zero.
pub(super) fn positive_duration(node: &Node<'_, '_>) -> Option<Duration> {
    let duration = duration(node)?;
    if duration.is_zero() {
        node.refuse("must be longer than zero")
    } else {
        Some(duration)
    }
}

/// Reads a number of bytes, at least one.
pub(super) fn size(node: &Node<'_, '_>) -> Option<usize> {
    if matches!(node.value.get_ref(), DeValue::Integer(_)) {
        return node
            .number(1, u64::try_from(isize::MAX).ok()?)
            .and_then(|size| usize::try_from(size).ok());
    }
    let text = node.text_or(SIZE)?;
    match parse_size(&text.value) {
        Ok(size) if size > 0 => Some(size),
        Ok(_) => node.refuse("must be larger than zero"),
        Err(help) => refuse_size(node, &text, help),
    }
}

fn refuse_size<T>(node: &Node<'_, '_>, text: &Text, help: Option<String>) -> Option<T> {
    let message = format!("expected {SIZE}, found {}", text.quoted());
    match help {
        Some(help) => node.refuse_with(message, help),
        None => node.refuse(message),
    }
}

/// Parses a size like `8MiB`. The error is the remedy, if there is a specific one.
fn parse_size(text: &str) -> Result<usize, Option<String>> {
    let (count, unit) = split(text).ok_or(None)?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(binary_unit(unit).map(|unit| format!("write \"{count}{unit}\""))),
    };
    // A Rust allocation has at most `isize::MAX` bytes.
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= isize::MAX.unsigned_abs() >> shift);
    count.map(|count| count << shift).ok_or_else(|| {
        Some("choose a smaller size: this one exceeds the machine's address space".into())
    })
}

/// Suggests the binary unit for a decimal or short one.
fn binary_unit(unit: &str) -> Option<&'static str> {
    match unit.to_ascii_lowercase().as_str() {
        "k" | "kb" | "kib" => Some("KiB"),
        "m" | "mb" | "mib" => Some("MiB"),
        "g" | "gb" | "gib" => Some("GiB"),
        _ => None,
    }
}

/// Reads a count of at least one.
pub(super) fn count(node: &Node<'_, '_>) -> Option<usize> {
    node.number(1, u32::MAX.into())
        .and_then(|count| usize::try_from(count).ok())
}

/// Reads the figure of a limit, at least one.
pub(super) fn nonzero(node: &Node<'_, '_>) -> Option<NonZeroU32> {
    node.number(1, u32::MAX.into())
        .and_then(|count| u32::try_from(count).ok())
        .and_then(NonZeroU32::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_two_or_plain_bytes() {
        for (text, expected) in [
            ("8MiB", Ok(8 << 20)),
            ("512KiB", Ok(512 << 10)),
            ("2 GiB", Ok(2 << 30)),
            ("100", Ok(100)),
            ("7B", Ok(7)),
            ("8MB", Err(Some("write \"8MiB\"".to_owned()))),
            ("8k", Err(Some("write \"8KiB\"".to_owned()))),
            (
                "18446744073709551615GiB",
                Err(Some(
                    "choose a smaller size: this one exceeds the machine's address space"
                        .to_owned(),
                )),
            ),
            ("8 elephants", Err(None)),
            ("MiB", Err(None)),
        ] {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }
}
