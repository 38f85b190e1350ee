//! The table of rows, and the list of a row's sockets.

use core::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::ink::{Align, Ink, line, put};
use super::{Frame, flame, shown, socket};
use crate::model::alert::Alert;
use crate::model::process::Process;
use crate::model::top::table::{POINTS, Row, Sums};
use crate::model::top::turn::RowKey;
use crate::model::top::view::{Body, List, View};
use crate::report::message::code_words;
use crate::report::text::words::Named;
use crate::report::text::{Age, Count};

/// Draws it. Returns how many lines there would be if there was room for all.
pub fn draw(buffer: &mut Buffer, area: Rect, view: &View<'_>, frame: &Frame, ink: Ink) -> usize {
    match &view.body {
        Body::Table(list) => rows(buffer, area, view, list, ink),
        Body::Sockets(_, _, list) => sockets(buffer, area, view, list, ink),
        Body::Socket(alert, scroll) => {
            return socket::draw(buffer, area, (alert, *scroll), view.now, frame, ink);
        }
        Body::Flame(profile, cursor, tiles) => {
            flame::draw(buffer, area, (profile, *cursor, tiles), ink);
        }
    }
    0
}

/// The name of a row; `process` is one of those blamed for it.
pub fn name(key: &RowKey, process: Option<&Process>) -> String {
    match (key, process) {
        (RowKey::Process(Some(_)), Some(process)) => Named(process).to_string(),
        (RowKey::Process(Some((pid, _))), None) => format!("[{pid}]"),
        (RowKey::Process(None), _) => "nobody to blame".to_owned(),
        (RowKey::Unit(Some(unit)), _) => shown(unit),
        (RowKey::Unit(None), _) => "no unit".to_owned(),
        (RowKey::Verdict(verdict), _) => verdict.name().to_owned(),
        (RowKey::Peer(peer), _) => match peer.port {
            Some(port) => core::net::SocketAddr::new(peer.ip, port).to_string(),
            None => peer.ip.to_string(),
        },
        (RowKey::Code(Some(code)), _) => shown(&code.line),
        (RowKey::Code(None), _) => "code not known".to_owned(),
    }
}

/// A column: its title, its width, and where in it texts stand.
type Column = (&'static str, u16, Align);

/// Columns that the names of rows have at least.
const LEAST: u16 = 13;

/// The columns of a table of this width; the first one takes what the others leave.
fn columns(of_rows: &'static str, width: u16) -> Vec<Column> {
    use Align::{Left, Right};
    let rest = [
        ("STUCK", 6, Right),
        ("OLDEST", 8, Right),
        ("/MIN", 6, Right),
        ("LAST MINUTE", POINTS as u16, Left),
        ("FDS", 9, Right),
        ("FULL IN", 7, Right),
        ("VERDICT", if width < 100 { 12 } else { 20 }, Left),
    ];
    // What is left out first is what the others say as well.
    let order = [3, 5, 4, 2, 6, 1, 0];
    let mut shown = [true; 7];
    let taken = |shown: &[bool; 7]| -> u16 {
        rest.iter()
            .zip(shown)
            .filter(|(_, shown)| **shown)
            .map(|((_, width, _), _)| width + 1)
            .sum()
    };
    for column in order {
        if taken(&shown) + LEAST <= width {
            break;
        }
        shown[column] = false;
    }
    let first = (of_rows, width.saturating_sub(taken(&shown)), Left);
    let rest = rest.into_iter().zip(shown).filter(|(_, shown)| *shown).map(|(column, _)| column);
    core::iter::once(first).chain(rest).collect()
}

fn rows(buffer: &mut Buffer, area: Rect, view: &View<'_>, list: &List<(RowKey, &Row)>, ink: Ink) {
    let title = match view.turn {
        crate::model::top::turn::Turn::Process => "PROCESS",
        crate::model::top::turn::Turn::Unit => "UNIT",
        crate::model::top::turn::Turn::Verdict => "WHY",
        crate::model::top::turn::Turn::Peer => "PEER",
        crate::model::top::turn::Turn::Code => "CODE PATH",
    };
    let columns = columns(title, area.width);
    heading(buffer, line(area, 0), &columns, ink);
    if list.total == 0 {
        let why = match view.stuck.0 {
            0 => "no socket is stuck",
            _ => "no stuck socket is admitted by the filter",
        };
        put(buffer, line(area, 1), why, ink.relief(), Align::Left);
    }
    for (i, (key, row)) in list.entries.iter().enumerate() {
        let sums = row.sums(view.now.monotonic);
        let mut at = line(area, i + 1);
        let selected = list.first + i == list.selected;
        for &(title, width, align) in &columns {
            let (text, style) = match title {
                "STUCK" => (Count(sums.count).to_string(), Style::new()),
                "OLDEST" => {
                    let least = if sums.exact { "" } else { "≥" };
                    (format!("{least}{}", Age(sums.oldest)), Style::new())
                }
                "/MIN" => growth(&sums, ink),
                "LAST MINUTE" => (trend(&sums.trend), ink.label()),
                "FDS" => descriptors(&sums, ink),
                "FULL IN" => match sums.forecast {
                    Some(forecast) => (soon(forecast.full_in), ink.alarm()),
                    None => (String::new(), Style::new()),
                },
                "VERDICT" => (verdict(&sums), Style::new()),
                _ => (name(key, row.process()), Style::new().add_modifier(Modifier::BOLD)),
            };
            put(buffer, Rect { width: width.min(at.width), ..at }, &text, style, align);
            let step = (width + 1).min(at.width);
            at = Rect { x: at.x + step, width: at.width - step, ..at };
        }
        if selected {
            buffer.set_style(line(area, i + 1), ink.selected());
        }
    }
}

fn heading(buffer: &mut Buffer, area: Rect, columns: &[Column], ink: Ink) {
    let mut at = area;
    for &(title, width, align) in columns {
        put(buffer, Rect { width: width.min(at.width), ..at }, title, ink.label(), align);
        let step = (width + 1).min(at.width);
        at = Rect { x: at.x + step, width: at.width - step, ..at };
    }
}

fn growth(sums: &Sums, ink: Ink) -> (String, Style) {
    match sums.growth {
        Some(growth) if growth >= 0.5 => (format!("{growth:+.0}"), ink.alarm()),
        Some(growth) if growth <= -0.5 => (format!("{growth:+.0}"), ink.relief()),
        Some(_) => ("0".to_owned(), Style::new()),
        None => (String::new(), Style::new()),
    }
}

/// How the number has changed: between its least and its most, each point an eighth of the height.
fn trend(points: &[Option<usize>]) -> String {
    const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let known = || points.iter().flatten();
    let (Some(&least), Some(&most)) = (known().min(), known().max()) else { return String::new() };
    let glyph = |point: &Option<usize>| match point {
        None => ' ',
        Some(_) if least == most => EIGHTHS[0],
        Some(count) => EIGHTHS[(count - least) * 7 / (most - least)],
    };
    points.iter().map(glyph).collect()
}

fn descriptors(sums: &Sums, ink: Ink) -> (String, Style) {
    let Some(descriptors) = sums.descriptors else { return (String::new(), Style::new()) };
    let full = descriptors.open * 10 >= descriptors.limit * 8;
    let style = if full { ink.alarm() } else { Style::new() };
    (format!("{}/{}", short(descriptors.open), short(descriptors.limit)), style)
}

/// A number in five columns.
fn short(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..1_000_000 => format!("{}k", number / 1_000),
        1_000_000..1_000_000_000 => format!("{}M", number / 1_000_000),
        _ => "many".to_owned(),
    }
}

/// A time to come, in its largest unit: a forecast is no more exact than that.
fn soon(within: Duration) -> String {
    match within.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..86_400 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

fn verdict(sums: &Sums) -> String {
    let name = sums.verdict.map_or("", |verdict| verdict.name());
    match sums.other_verdicts {
        0 => name.to_owned(),
        others => format!("{name} +{others}"),
    }
}

fn sockets(buffer: &mut Buffer, area: Rect, view: &View<'_>, list: &List<&Alert>, ink: Ink) {
    let all: [Column; 6] = [
        ("AGE", 8, Align::Right),
        ("STATE", 10, Align::Left),
        ("VERDICT", 16, Align::Left),
        ("LOCAL", 21, Align::Left),
        ("REMOTE", 21, Align::Left),
        ("HELD BY, CODE", area.width, Align::Left),
    ];
    // Without room for a name there is none.
    let columns = if area.width < 100 { &all[..5] } else { &all[..] };
    heading(buffer, line(area, 0), columns, ink);
    if list.total == 0 {
        put(buffer, line(area, 1), "none of them is stuck any more", ink.relief(), Align::Left);
    }
    for (i, alert) in list.entries.iter().enumerate() {
        let mut at = line(area, i + 1);
        for (column, &(_, width, align)) in columns.iter().enumerate() {
            let text = cell(column, alert, view);
            put(buffer, Rect { width: width.min(at.width), ..at }, &text, Style::new(), align);
            let step = (width + 1).min(at.width);
            at = Rect { x: at.x + step, width: at.width - step, ..at };
        }
        if list.first + i == list.selected {
            buffer.set_style(line(area, i + 1), ink.selected());
        }
    }
}

fn cell(column: usize, alert: &Alert, view: &View<'_>) -> String {
    let Alert { stay, finding, evidence, .. } = alert;
    match column {
        0 => {
            let least = if stay.exact { "" } else { "≥" };
            format!("{least}{}", Age(stay.age(view.now.monotonic)))
        }
        1 => stay.state.to_string(),
        2 => finding.verdict.name().to_owned(),
        3 => crate::model::socket::canonical(stay.endpoints.local).to_string(),
        4 => crate::model::socket::canonical(stay.endpoints.remote).to_string(),
        _ => {
            let holders = evidence.holders.iter().flatten().map(|holder| {
                let fds: Vec<_> = holder.fds.iter().map(u32::to_string).collect();
                format!("{} fd {}", Named(&holder.process), fds.join("+"))
            });
            let mut text = holders.collect::<Vec<_>>().join(", ");
            if let Some(code) = &finding.code {
                text += "  ";
                text += &code_words(code, finding.verdict, None);
            }
            text
        }
    }
}
