//! Finds runs of equal lines that stand twice.
//!
//! Blank lines, comments, imports, and lines of punctuation do not count, and do not break a run.

use std::collections::HashMap;
use std::path::PathBuf;

use super::code::Source;

/// Minimum number of lines of a run.
const MIN_RUN: usize = 6;

/// A run of equal lines, with the file and line where each of the two begins.
pub(crate) struct Copy {
    pub(crate) length: usize,
    pub(crate) first: (PathBuf, usize),
    pub(crate) second: (PathBuf, usize),
}

/// Returns all runs that stand twice. A line belongs to one run at most.
pub(crate) fn find(sources: &[Source]) -> Vec<Copy> {
    let files: Vec<Vec<(usize, &str)>> = sources.iter().map(counted_lines).collect();
    let same = |(file, at): (usize, usize), (other, there): (usize, usize)| {
        let pair = files[file].get(at).zip(files[other].get(there));
        pair.is_some_and(|(a, b)| a.1 == b.1)
    };
    let mut seen: HashMap<Vec<&str>, (usize, usize)> = HashMap::new();
    let mut copies = Vec::new();
    for (file, lines) in files.iter().enumerate() {
        let mut at = 0;
        while at + MIN_RUN <= lines.len() {
            let window: Vec<&str> = lines[at..at + MIN_RUN].iter().map(|it| it.1).collect();
            let (other, there) = *seen.entry(window).or_insert((file, at));
            // A run must not overlap itself.
            let apart = if other == file {
                at - there
            } else {
                usize::MAX
            };
            if apart < MIN_RUN {
                at += 1;
                continue;
            }
            let length = (0..apart)
                .take_while(|it| same((file, at + it), (other, there + it)))
                .count();
            let place = |file: usize, at: usize| (sources[file].path.clone(), files[file][at].0);
            copies.push(Copy {
                length,
                first: place(other, there),
                second: place(file, at),
            });
            at += length;
        }
    }
    copies
}

/// Returns the lines of a file that count, trimmed, with their numbers.
fn counted_lines(source: &Source) -> Vec<(usize, &str)> {
    let mut inside_use = false;
    let mut counted = Vec::new();
    for (number, line) in &source.lines {
        let line = line.trim();
        let code = line.strip_prefix("pub").map_or(line, |it| {
            it.trim_start_matches("(crate)")
                .trim_start_matches("(super)")
        });
        inside_use |= code.trim_start().starts_with("use ");
        if !inside_use && !line.starts_with("//") && line.contains(char::is_alphanumeric) {
            counted.push((*number, line));
        }
        inside_use &= !line.ends_with(';');
    }
    counted
}
