//! The flame graph as an interactive SVG of its own, drawn by inferno.

use std::io::{self, Write};

use inferno::flamegraph::{Direction, Options, TextTruncateDirection, from_lines};

use super::about::About;
use super::folded::{path, step_pairs, steps};
use crate::model::profile::difference::Difference;
use crate::model::profile::{Measure, Profile};

/// From so many socket-milliseconds on whole seconds are exact enough.
const SECONDS_FROM: u64 = 1_000_000;

/// Draws `profile`.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut impl Write, profile: &Profile, about: &About) -> io::Result<()> {
    let steps = steps(profile, about.measure);
    let total: u64 = steps.iter().map(|&(_, step)| step).sum();
    let mut options = options(about);
    if about.measure == Measure::Time && total >= SECONDS_FROM {
        options.count_name = Measure::Time.unit().into();
        options.factor = 0.001;
    }
    let steps = steps.into_iter().filter(|&(_, step)| step > 0);
    draw(out, steps.map(|(node, step)| format!("{} {step}", path(profile, node))), options)
}

/// Draws `difference`. A frame is as wide as it was in the wider of both times, so that what is gone
/// is still to be seen: blue for what got better, red for what got worse.
///
/// # Errors
/// Those of `out`.
pub fn write_difference(
    out: &mut impl Write,
    difference: &Difference,
    about: &About,
) -> io::Result<()> {
    let mut options = options(about);
    let compared = about.compared().unwrap_or_default();
    options.subtitle = Some(format!("{compared}: red is worse, blue is better"));
    let lines = step_pairs(difference, about.measure).into_iter().map(|(node, before, after)| {
        // inferno takes the second number for the width and its excess over the first for the colour.
        let width = before.max(after);
        let first = if after > before { before } else { before.saturating_mul(2) - after };
        format!("{} {first} {width}", path(difference.after(), node))
    });
    draw(out, lines, options)
}

fn options(about: &About) -> Options<'static> {
    let mut options = Options::default();
    options.title = about.title();
    options.subtitle = about.compared();
    options.count_name = match about.measure {
        Measure::Time => "socket-milliseconds".into(),
        Measure::Count => Measure::Count.unit().into(),
    };
    options.name_type = String::new();
    options.direction = Direction::Inverted;
    options.text_truncate_direction = TextTruncateDirection::Right;
    options.deterministic = true;
    // Sorted by their text, lines of one frame can end up apart; as a chart they stay as they are, but
    // the last one first.
    options.flame_chart = true;
    options
}

fn draw(
    out: &mut impl Write,
    lines: impl Iterator<Item = String>,
    mut options: Options<'_>,
) -> io::Result<()> {
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        let (width, height) = (1200, 60);
        return writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\">\
             <text x=\"20\" y=\"35\">{}: none</text></svg>",
            options.title
        );
    }
    from_lines(&mut options, lines.iter().rev().map(String::as_str), out)
}

#[cfg(test)]
mod tests;
