//! Stays that were too short to be kept, in numbers.

use core::fmt::{self, Display};
use std::io::{self, Write};

use super::escape::Escaped;
use super::flame_text::{Canvas, cut};
use super::text::{Age, Count};
use crate::model::history::{Bounds, ShortStays};
use crate::model::postmortem::Short;

/// So many kinds have a row in the terminal.
const MOST_ROWS: usize = 12;
/// The lengths that are told: the median, that of 99 in 100, and the longest.
pub(super) const SHARES: [f64; 3] = [0.5, 0.99, 1.0];

/// Writes the kinds that there are most of, below a flame; nothing where there are none.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut impl Write, short: &Short, canvas: Canvas) -> io::Result<()> {
    let all = short.count();
    if all == 0 {
        return Ok(());
    }
    writeln!(out, "\n{} shorter stays, of which only numbers are kept\n", Count(all))?;
    let head = format!("{:>9}  {:>8}  {:>8}  {:>8}  ", "sockets", "median", "99 %", "longest");
    writeln!(out, "{}", head.trim_end())?;
    let room = canvas.width.saturating_sub(head.chars().count()).max(12);
    let mut shown = 0;
    for (kind, lasted) in short.kinds.iter().take(MOST_ROWS) {
        shown += lasted.count();
        let [median, most, longest] = SHARES.map(|share| lasted.quantile(share).map(Below));
        let below = |bounds: Option<Below>| bounds.map_or_else(String::new, |b| b.to_string());
        let who = Who(kind).to_string();
        writeln!(
            out,
            "{:>9}  {:>8}  {:>8}  {:>8}  {}",
            Count(lasted.count()).to_string(),
            below(median),
            below(most),
            below(longest),
            cut(&format!("{who:<17}  {:<10}  {}", kind.state.state().name(), why(kind)), room),
        )?;
    }
    match all - shown {
        0 => Ok(()),
        rest => writeln!(out, "{:>9}  others", Count(rest).to_string()),
    }
}

/// Who read the end of file.
pub(super) struct Who<'a>(pub(super) &'a ShortStays);

impl Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.comm {
            Some(comm) => Escaped(comm).fmt(f),
            None => f.write_str("process not known"),
        }
    }
}

/// The verdict, where there is one.
pub(super) fn why(kind: &ShortStays) -> &'static str {
    kind.verdict.map_or("–", |verdict| verdict.name())
}

/// The upper bound.
struct Below(Bounds);

impl Display for Below {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.below {
            Some(below) => write!(f, "< {}", Age(below)),
            None => write!(f, "≥ {}", Age(self.0.from)),
        }
    }
}

/// Both bounds.
pub(super) struct Between(pub(super) Bounds);

impl Display for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Bounds { from, below: Some(below) } if from.is_zero() => {
                write!(f, "under {}", Age(below))
            }
            Bounds { from, below: Some(below) } => write!(f, "{} to {}", Age(from), Age(below)),
            Bounds { from, below: None } => write!(f, "{} or more", Age(from)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::past;

    fn text(short: &Short, width: usize) -> String {
        let mut out = Vec::new();
        write(&mut out, short, Canvas { width, color: false }).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_most_have_a_row_and_the_rest_is_counted() {
        insta::assert_snapshot!(text(&past::short(), 84));
    }

    #[test]
    fn nothing_is_said_of_none() {
        assert_eq!(text(&Short::default(), 72), "");
    }
}
