//! Folded stacks: a line a path, its frames separated by semicolons, a space and a whole number. Every
//! flame graph tool reads them, and every engine with a `GROUP BY` can make them.

use core::fmt::{self, Write as _};
use core::time::Duration;
use std::io::{self, BufRead, Write};

use super::escape::reorders;
use crate::model::profile::difference::Difference;
use crate::model::profile::{FrameKind, FrameName, Measure, NodeId, Profile, Weight};

/// Shows a frame's name as a field of a folded line, which has no way to escape: what would end the
/// field or the line is replaced. So is a space before a number that ends the name, which some tools
/// take for a column of its own, and a `#` that begins it, which they take for a comment.
pub(super) struct Field<'a>(pub(super) &'a str);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.trim();
        if name.is_empty() {
            return f.write_str("?");
        }
        let number = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        for (at, c) in name.char_indices() {
            f.write_char(match c {
                ';' => ':',
                '#' if at == 0 => '_',
                ' ' if at + 1 == number && number < name.len() => '_',
                ' ' => ' ',
                // The last two are no characters of XML.
                c if c.is_control() || c.is_whitespace() || reorders(c) => '\u{fffd}',
                '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
                c => c,
            })?;
        }
        Ok(())
    }
}

/// The path of `node` as a folded line without its number.
pub(super) fn path(profile: &Profile, node: NodeId) -> String {
    line(profile.path(node))
}

/// `frames`, the outermost first, as a folded line without its number.
pub(super) fn line<'a>(frames: impl IntoIterator<Item = &'a FrameName>) -> String {
    let mut path = String::new();
    for (i, frame) in frames.into_iter().enumerate() {
        let separator = if i == 0 { "" } else { ";" };
        // A string takes everything.
        let _ = write!(path, "{separator}{}", Field(&frame.name));
    }
    path
}

/// What ends at each node, in socket-milliseconds or stays, in the order in which they are drawn.
/// Rounded so that the sum is that of the whole.
pub(super) fn steps(profile: &Profile, measure: Measure) -> Vec<(NodeId, u64)> {
    let unit = match measure {
        Measure::Time => Duration::from_millis(1).as_nanos(),
        Measure::Count => 1,
    };
    let (mut sum, mut told) = (0, 0);
    let mut step = |node: NodeId| {
        sum += measure.units(profile.nodes()[node].own);
        let step = sum / unit - told;
        told += step;
        (node, u64::try_from(step).unwrap_or(u64::MAX))
    };
    profile.walk(measure).into_iter().map(&mut step).collect()
}

/// Writes `profile`, in socket-milliseconds or stays. What rounds to nothing is left out.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut impl Write, profile: &Profile, measure: Measure) -> io::Result<()> {
    for (node, step) in steps(profile, measure).into_iter().filter(|&(_, step)| step > 0) {
        writeln!(out, "{} {step}", path(profile, node))?;
    }
    Ok(())
}

/// What ended at each node before and after, in socket-milliseconds or stays, rounded each.
pub(super) fn step_pairs(difference: &Difference, measure: Measure) -> Vec<(NodeId, u64, u64)> {
    let per_unit = match measure {
        Measure::Time => 1000.0,
        Measure::Count => 1.0,
    };
    // Positive, and too large a number becomes the largest.
    let whole = |value: f64| (value * per_unit).round() as u64;
    let profile = difference.after();
    let pair = |node: NodeId| {
        let after = measure.value(profile.nodes()[node].own);
        (node, whole(difference.own_before(node, measure)), whole(after))
    };
    let pairs = profile.walk(measure).into_iter().map(pair);
    pairs.filter(|&(_, before, after)| before > 0 || after > 0).collect()
}

/// Writes `difference` with two numbers a line, before and after, as differential flame graphs are made
/// from.
///
/// # Errors
/// Those of `out`.
pub fn write_difference(
    out: &mut impl Write,
    difference: &Difference,
    measure: Measure,
) -> io::Result<()> {
    for (node, before, after) in step_pairs(difference, measure) {
        writeln!(out, "{} {before} {after}", path(difference.after(), node))?;
    }
    Ok(())
}

/// A line that is no folded stack.
#[derive(Debug, thiserror::Error)]
pub enum FoldedError {
    /// It could not be read.
    #[error("cannot read line {line}: {source}")]
    Read {
        /// Which, from 1.
        line: usize,
        /// Why.
        source: io::Error,
    },
    /// It is not of the form.
    #[error("line {line} {what}: expected frames and a number, like `java;eof_read;main 1500`")]
    Malformed {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Reads folded lines whose numbers are socket-milliseconds or stays. Empty lines are skipped; invalid
/// UTF-8 is replaced.
///
/// # Errors
/// If `input` cannot be read, or a line is of another form: nothing is left out silently.
pub fn read(mut input: impl BufRead, measure: Measure) -> Result<Profile, FoldedError> {
    let mut profile = Profile::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let read = input.read_until(b'\n', &mut bytes);
        if read.map_err(|source| FoldedError::Read { line, source })? == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        let (path, weight) =
            parse(text, measure).map_err(|what| FoldedError::Malformed { line, what })?;
        let frames = path.split(';').map(|name| FrameName::new(FrameKind::Other, name));
        profile.add(frames, weight);
    }
    Ok(profile)
}

fn parse(text: &str, measure: Measure) -> Result<(&str, Weight), &'static str> {
    let (path, number) = text.rsplit_once([' ', '\t']).ok_or("has no number after its frames")?;
    let path = path.trim_end();
    if path.split(';').any(str::is_empty) {
        return Err("has a frame without a name");
    }
    const SIZE: &str = "does not end in a number from 0 up";
    match measure {
        Measure::Count => {
            let count = number.parse().map_err(|_| "does not end in a whole number of sockets")?;
            Ok((path, Weight { time: Duration::ZERO, count }))
        }
        Measure::Time => {
            // Engines sum up as floating point what was whole.
            let time = match number.parse() {
                Ok(millis) => Duration::from_millis(millis),
                Err(_) => {
                    let millis: f64 = number.parse().map_err(|_| SIZE)?;
                    Duration::try_from_secs_f64(millis / 1000.0).map_err(|_| SIZE)?
                }
            };
            Ok((path, Weight { time, count: 0 }))
        }
    }
}

#[cfg(test)]
mod tests;
