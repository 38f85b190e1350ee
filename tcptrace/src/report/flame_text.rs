//! A flame in the terminal: a tree whose widest branches come first, with bars.

use core::fmt::{self, Display};
use core::time::Duration;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::about::About;
use super::escape::Escaped;
use super::text::{Age, Count};
use crate::model::profile::difference::Difference;
use crate::model::profile::{FrameKind, Measure, NodeId, Profile};

/// Branches narrower than this are left out, and counted.
const NARROWEST: f64 = 0.005;
const BAR: Style = AnsiColor::Red.on_default();
const WHO: Style = AnsiColor::Cyan.on_default();
const WHY: Style = AnsiColor::Red.on_default().bold();
const NOTE: Style = AnsiColor::Yellow.on_default();
const WORSE: Style = AnsiColor::Red.on_default();
const BETTER: Style = AnsiColor::Green.on_default();

/// How it is to look.
#[derive(Clone, Copy, Debug)]
pub struct Canvas {
    /// Columns.
    pub width: usize,
    /// Whether to colour.
    pub color: bool,
}

impl Canvas {
    fn paint(self, style: Style, text: impl Display) -> Painted<impl Display> {
        Painted { style: self.color.then_some(style), text }
    }

    fn bar(self) -> usize {
        if self.width < 72 { 0 } else { (self.width / 5).min(40) }
    }
}

struct Painted<T> {
    style: Option<Style>,
    text: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = self.style.unwrap_or_default();
        write!(f, "{style}{}{style:#}", self.text)
    }
}

/// Draws `profile`.
///
/// # Errors
/// Those of `out`.
pub fn write(
    out: &mut impl Write,
    profile: &Profile,
    about: &About,
    canvas: Canvas,
) -> io::Result<()> {
    const UNKNOWN: &str = "–";
    let total = about.measure.value(profile.total());
    let shown = |measure, text: String| if about.knows(measure) { text } else { UNKNOWN.into() };
    let head = |width| format!("{:>6}  {:>9}  {:>9}  {:width$}", "", "time", "sockets", "");
    let cells = |node: NodeId| {
        let weight = profile.nodes()[node].total;
        let share = about.measure.value(weight) / total;
        let percent = share * 100.0;
        let time = shown(Measure::Time, Age(weight.time).to_string());
        let count = shown(Measure::Count, Count(weight.count).to_string());
        let bar = canvas.paint(BAR, Bar(share, canvas.bar()));
        format!("{percent:>5.1}%  {time:>9}  {count:>9}  {bar}")
    };
    let share = |node: NodeId| about.measure.value(profile.nodes()[node].total) / total;
    tree(out, profile, about, canvas, &head(canvas.bar()), share, cells)
}

/// Draws `difference`.
///
/// # Errors
/// Those of `out`.
pub fn write_difference(
    out: &mut impl Write,
    difference: &Difference,
    about: &About,
    canvas: Canvas,
) -> io::Result<()> {
    let (profile, measure) = (difference.after(), about.measure);
    let after = |node: NodeId| measure.value(profile.nodes()[node].total);
    let before = |node: NodeId| difference.total_before(node, measure);
    let total = after(Profile::ROOT).max(before(Profile::ROOT));
    let amount = |value: f64| match measure {
        _ if value == 0.0 => "0".to_owned(),
        // Not negative, and no longer than its parts together.
        Measure::Time => Age(Duration::try_from_secs_f64(value).unwrap_or_default()).to_string(),
        Measure::Count => format!("{value:.1}"),
    };
    let cells = |node: NodeId| {
        let change = after(node) - before(node);
        let (sign, style) = match change {
            0.0 => ("", Style::new()),
            worse if worse > 0.0 => ("+", WORSE),
            _ => ("-", BETTER),
        };
        let change = format!("{sign}{}", amount(change.abs()));
        let (before, after) = (amount(before(node)), amount(after(node)));
        format!("{before:>9}  {after:>9}  {}", canvas.paint(style, format!("{change:>9}")))
    };
    let share = |node: NodeId| after(node).max(before(node)) / total;
    let head = format!("{:>9}  {:>9}  {:>9}", "before", "after", "change");
    tree(out, profile, about, canvas, &head, share, cells)
}

/// Draws the nodes with a large enough `share`, each after its `cells`. A frame that only passes on
/// what its parent has repeats no numbers and is not indented further: stacks are deep.
fn tree(
    out: &mut impl Write,
    profile: &Profile,
    about: &About,
    canvas: Canvas,
    head: &str,
    share: impl Fn(NodeId) -> f64,
    cells: impl Fn(NodeId) -> String,
) -> io::Result<()> {
    writeln!(out, "{}", about.title())?;
    if let Some(compared) = about.compared() {
        writeln!(out, "{compared}")?;
    }
    // Nothing at all has no shares.
    let shown: Vec<_> = (profile.walk(about.measure).into_iter())
        .filter(|&node| share(node) >= NARROWEST)
        .collect();
    if shown.is_empty() {
        return writeln!(out, "no socket was stuck");
    }
    let mut branches = vec![0usize; profile.nodes().len()];
    for &node in &shown {
        branches[profile.nodes()[node].parent] += 1;
    }
    let name_at = head.chars().count() + 2;
    let blank = " ".repeat(name_at);
    writeln!(out, "\n{}", head.trim_end())?;
    let mut indent = vec![0; profile.nodes().len()];
    for &id in &shown {
        let node = &profile.nodes()[id];
        let numbers = cells(id) + "  ";
        let only_child = node.parent != Profile::ROOT && branches[node.parent] == 1;
        let alone = only_child && numbers == cells(node.parent) + "  ";
        indent[id] = indent[node.parent] + usize::from(node.depth > 1 && !alone);
        let room = canvas.width.saturating_sub(name_at + indent[id]).max(12);
        let name = cut(&Escaped(&node.frame.name).to_string(), room);
        let name = match node.frame.kind {
            FrameKind::Host | FrameKind::Unit | FrameKind::Process | FrameKind::Pid => {
                canvas.paint(WHO, name).to_string()
            }
            FrameKind::Verdict | FrameKind::State => canvas.paint(WHY, name).to_string(),
            FrameKind::Note => canvas.paint(NOTE, name).to_string(),
            FrameKind::Peer | FrameKind::Function | FrameKind::Other => name,
        };
        let numbers = if alone { &blank } else { &numbers };
        writeln!(out, "{numbers}{:1$}{name}", "", indent[id])?;
    }
    match profile.nodes().len() - 1 - shown.len() {
        0 => Ok(()),
        n => writeln!(out, "{n} frames narrower than {} % are left out", NARROWEST * 100.0),
    }
}

/// The first `room` characters of `name`.
pub(super) fn cut(name: &str, room: usize) -> String {
    if name.chars().count() <= room {
        return name.to_owned();
    }
    let kept = name.chars().take(room - 1);
    kept.chain(['…']).collect()
}

/// A share of so many columns, to an eighth of one.
struct Bar(f64, usize);

impl Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        let eighths = (self.0.clamp(0.0, 1.0) * (self.1 * 8) as f64).round() as usize;
        let part = EIGHTHS[eighths % 8];
        let drawn = eighths / 8 + usize::from(!part.is_empty());
        write!(f, "{}{part}{:2$}", "█".repeat(eighths / 8), "", self.1 - drawn)
    }
}

#[cfg(test)]
mod tests;
