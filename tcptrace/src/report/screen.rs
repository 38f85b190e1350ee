//! The screen of `top`, from its view to a grid of characters.
//!
//! Sixteen colours at most, and nothing is told by colour alone. Names are escaped and cut by the
//! columns they take.

mod body;
mod flame;
mod head;
mod help;
mod ink;
mod socket;

use std::io::{self, Write};

use jiff::tz::TimeZone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use self::ink::Ink;
use super::escape::Escaped;
use super::message;
use crate::model::profile::{Measure, Profile};
use crate::model::top::Top;
use crate::model::top::view::{Body, View};

/// What the screen does not know of itself.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Whether to colour.
    pub color: bool,
    /// The zone in which times are shown.
    pub zone: TimeZone,
    /// The host that is looked at.
    pub host: String,
    /// Which evidence is on, or what is played.
    pub source: String,
}

/// Lines that are no body, where there is room for them.
const HEAD: u16 = 3;
/// A screen lower than this has one line of figures and no other head.
const LOW: u16 = 9;
/// Rows in a report: more of them are counted.
const REPORTED: usize = 2_000;
/// Columns of a report.
const REPORT_WIDTH: u16 = 120;

/// How a screen of this height is divided: lines above the body, and rows of it.
fn divide(height: u16) -> (u16, u16) {
    let head = if height < LOW { 1 } else { HEAD };
    // The last line says what can be done.
    (head.min(height), height.saturating_sub(head + 1))
}

/// Draws all of `area`.
pub fn draw(buffer: &mut Buffer, area: Rect, top: &mut Top, frame: &Frame) {
    let (head, rows) = divide(area.height);
    // A list has a line that names its columns.
    let view = top.view(area.width, usize::from(rows.saturating_sub(1)));
    let ink = Ink { color: frame.color };
    let line = |y: u16, height: u16| Rect { y: area.y + y, height, ..area }.intersection(area);
    head::draw(buffer, line(0, head), &view, frame, ink);
    let lines = body::draw(buffer, line(head, rows), &view, frame, ink);
    if area.height > head {
        head::foot(buffer, line(area.height - 1, 1), &view, ink);
    }
    if view.help {
        help::draw(buffer, line(head, rows), ink);
    }
    top.scroll_at_most(lines.saturating_sub(usize::from(rows)));
}

/// What is on the screen as a report.
#[derive(Debug)]
pub enum Report {
    /// The table, a list or a socket, in words.
    Text(String),
    /// The flame, for [`super::flame`].
    Flame(Profile),
}

/// Makes one, longer than the screen where there is more.
pub fn report(top: &mut Top, frame: &Frame) -> Report {
    let view = top.view(REPORT_WIDTH, REPORTED);
    let verdicts = match &view.body {
        Body::Flame(profile, ..) => return Report::Flame(profile.clone()),
        Body::Table(list) => {
            let sums = list.entries.iter().map(|(_, row)| row.sums(view.now.monotonic).verdict);
            sums.flatten().collect::<std::collections::BTreeSet<_>>()
        }
        Body::Sockets(_, _, list) => list.entries.iter().map(|a| a.finding.verdict).collect(),
        Body::Socket(..) => Default::default(),
    };
    let rows = match &view.body {
        Body::Table(list) => list.entries.len() + 1,
        Body::Sockets(_, _, list) => list.entries.len() + 1,
        Body::Socket(..) | Body::Flame(..) => REPORTED,
    };
    let area = Rect::new(0, 0, REPORT_WIDTH, HEAD + rows as u16);
    let mut buffer = Buffer::empty(area);
    let plain = Ink { color: false };
    head::draw(&mut buffer, Rect { height: HEAD, ..area }, &view, frame, plain);
    let below = Rect { y: HEAD, height: rows as u16, ..area };
    body::draw(&mut buffer, below, &view, frame, plain);
    let left_out = left_out(&view);
    let mut text = lines(&buffer);
    if left_out > 0 {
        text += &format!("and {left_out} more\n");
    }
    for verdict in verdicts {
        let (name, why, remedy) = (verdict.name(), verdict.why(), message::remedy(verdict));
        text += &format!("\n{name}\n  why  {why}\n  do   {remedy}\n");
    }
    Report::Text(text)
}

fn left_out(view: &View<'_>) -> usize {
    match &view.body {
        Body::Table(list) => list.total - list.first - list.entries.len(),
        Body::Sockets(_, _, list) => list.total - list.first - list.entries.len(),
        Body::Socket(..) | Body::Flame(..) => 0,
    }
}

/// The characters of a screen, without the blanks at the ends of lines and below the last one.
fn lines(buffer: &Buffer) -> String {
    let mut text = String::new();
    let width = usize::from(buffer.area.width).max(1);
    for row in buffer.content.chunks(width) {
        let mut line = String::new();
        let mut covered = 0;
        for cell in row {
            // A wide character takes the next cell as well.
            if covered > 0 {
                covered -= 1;
                continue;
            }
            line += cell.symbol();
            covered = ratatui::text::Span::raw(cell.symbol()).width().saturating_sub(1);
        }
        text += line.trim_end();
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Writes a flame that is on the screen as one that can be opened elsewhere.
///
/// # Errors
/// Those of `out`.
pub fn write_flame(out: &mut impl Write, profile: &Profile, frame: &Frame) -> io::Result<()> {
    let about = super::about::About {
        measure: Measure::Time,
        only: None,
        window: None,
        baseline: None,
        zone: frame.zone.clone(),
    };
    super::flame::write(out, profile, &about)
}

/// A name as it can be shown.
fn shown(name: &str) -> String {
    Escaped(name).to_string()
}

#[cfg(test)]
mod tests;
