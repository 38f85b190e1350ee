//! What is above the body, and below.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::ink::{Align, Ink, line, put, put_all, width};
use super::{Frame, body, shown};
use crate::model::figures::STATES;
use crate::model::top::Said;
use crate::model::top::view::{Body, View};
use crate::report::message;
use crate::report::text::Count;

pub fn draw(buffer: &mut Buffer, area: Rect, view: &View<'_>, frame: &Frame, ink: Ink) {
    if area.height < super::HEAD {
        figures(buffer, area, view, ink);
        return;
    }
    title(buffer, line(area, 0), view, frame, ink);
    figures(buffer, line(area, 1), view, ink);
    let place = place(view);
    put_all(
        buffer,
        line(area, 2),
        place.iter().map(|(text, is_label)| {
            (text.as_str(), if *is_label { ink.label() } else { Style::new() })
        }),
    );
}

fn title(buffer: &mut Buffer, area: Rect, view: &View<'_>, frame: &Frame, ink: Ink) {
    let time = view.now.wall.to_zoned(frame.zone.clone()).strftime("%H:%M:%S").to_string();
    let state = if view.frozen { "FROZEN " } else { "" };
    let right = format!("{state}{time}");
    let taken = (width(&right) as u16 + 1).min(area.width);
    let left = Rect { width: area.width - taken, ..area };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let text = format!(" · {} · {}", shown(&frame.host), shown(&frame.source));
    put_all(buffer, left, [("tcptrace top", bold), (&text, Style::new())]);
    let style = if view.frozen { ink.doubt().add_modifier(Modifier::BOLD) } else { Style::new() };
    put(buffer, area, &right, style, Align::Right);
}

/// How much is stuck, how fast that changes, and what was missed.
fn figures(buffer: &mut Buffer, area: Rect, view: &View<'_>, ink: Ink) {
    let (stuck, admitted) = view.stuck;
    let count = match stuck == admitted {
        true => format!("{} stuck", Count(stuck)),
        false => format!("{} of {} stuck", Count(admitted), Count(stuck)),
    };
    let stuck = if stuck > 0 { ink.alarm() } else { ink.relief() };
    let mut pieces = vec![(count, stuck)];
    let rates = view.pulse.rates().unwrap_or_default();
    if rates.fired + rates.freed >= 0.5 {
        pieces.push((format!(" +{:.0} -{:.0}/min", rates.fired, rates.freed), Style::new()));
    }
    let plain = |text: String| (text, Style::new());
    let half_closed = view.pulse.half_closed;
    pieces.push(plain(format!(" · {} half-closed", Count(half_closed.iter().sum::<u64>()))));
    let states = STATES.iter().filter(|state| half_closed[state.index()] > 0);
    let states: Vec<_> =
        states.map(|state| format!("{state} {}", Count(half_closed[state.index()]))).collect();
    if !states.is_empty() {
        pieces.push(plain(format!(" ({})", states.join(", "))));
    }
    pieces.push(plain(format!(" · {}/s", Count(rates.transitions.round() as u64))));
    let missed = [
        (view.pulse.lost, "lost"),
        (view.pulse.gaps, "gaps"),
        (view.pulse.overflow, "not tracked"),
    ];
    pieces.push(plain(" · ".to_owned()));
    if missed.iter().all(|&(count, _)| count == 0) {
        pieces.push(plain("0 lost".to_owned()));
    }
    let missed = missed.into_iter().filter(|&(count, _)| count > 0);
    let missed: Vec<_> = missed.map(|(count, what)| format!("{} {what}", Count(count))).collect();
    pieces.push((missed.join(", "), ink.doubt()));
    put_all(buffer, area, pieces.iter().map(|(text, style)| (text.as_str(), *style)));
}

/// What is looked at, and how; labels are marked.
fn place(view: &View<'_>) -> Vec<(String, bool)> {
    let label = |text: &str| (text.to_owned(), true);
    let plain = |text: String| (text, false);
    let mut pieces = vec![label("by "), plain(view.turn.name().to_owned())];
    match &view.body {
        Body::Table(list) => {
            pieces.extend([label("  rows "), plain(Count(list.total).to_string())]);
        }
        Body::Sockets(key, row, list) => pieces.extend([
            label(" ▸ "),
            plain(body::name(key, row.and_then(|row| row.process()))),
            label("  sockets "),
            plain(Count(list.total).to_string()),
        ]),
        Body::Socket(..) => pieces.push(plain(" ▸ one socket".to_owned())),
        Body::Flame(..) => {
            pieces = vec![label("where the time of stuck sockets went so far, in socket-time")];
        }
    }
    if let Some(sort) = view.sort {
        pieces.extend([label("  sort "), plain(sort.to_owned())]);
    }
    if !view.filter.is_empty() {
        pieces.extend([label("  filter "), plain(shown(view.filter))]);
    }
    pieces
}

/// The last line: what is being typed, what was said, or which keys there are.
pub fn foot(buffer: &mut Buffer, area: Rect, view: &View<'_>, ink: Ink) {
    let said = view.said.map(|said| match said {
        Said::Done(text) => (shown(text), ink.relief()),
        Said::Wrong(text) => (shown(text), ink.alarm()),
        Said::Condition(condition) if condition.firing => {
            (format!("LIMIT {}", message::condition(condition)), ink.alarm())
        }
        Said::Condition(condition) => {
            (format!("BELOW {}", message::condition(condition)), ink.relief())
        }
    });
    if let Some(prompt) = view.prompt {
        let typed = shown(prompt);
        let hint = match &said {
            Some((wrong, style)) => (format!("  {wrong}"), *style),
            None => {
                ("  like --comm java --verdict eof_read; enter to filter".to_owned(), ink.label())
            }
        };
        // What is typed last is what matters.
        let room = usize::from(area.width).saturating_sub(2);
        let mut from = 0;
        while width(&typed[from..]) > room {
            from += typed[from..].chars().next().map_or(1, char::len_utf8);
        }
        let cursor = Style::new().add_modifier(Modifier::REVERSED);
        put_all(
            buffer,
            area,
            [("/", ink.label()), (&typed[from..], Style::new()), (" ", cursor), (&hint.0, hint.1)],
        );
        return;
    }
    if let Some((text, style)) = said {
        put(buffer, area, &text, style, Align::Left);
        return;
    }
    let keys: &[(&str, &str)] = match &view.body {
        Body::Table(_) => &[
            ("?", "help"),
            ("q", "quit"),
            ("enter", "sockets"),
            ("g", "by"),
            ("s", "sort"),
            ("/", "filter"),
            ("f", "flame"),
            ("space", "freeze"),
            ("w", "write"),
        ],
        Body::Sockets(..) => &[
            ("esc", "back"),
            ("enter", "all of it"),
            ("s", "sort"),
            ("/", "filter"),
            ("space", "freeze"),
            ("w", "write"),
            ("?", "help"),
        ],
        Body::Socket(..) => {
            &[("esc", "back"), ("↑↓", "scroll"), ("space", "freeze"), ("w", "write"), ("?", "help")]
        }
        Body::Flame(..) => &[
            ("f", "table"),
            ("arrows", "move"),
            ("enter", "zoom"),
            ("esc", "out"),
            ("space", "freeze"),
            ("w", "write"),
            ("?", "help"),
        ],
    };
    let mut pieces = Vec::new();
    for (key, what) in keys {
        pieces.extend([
            (*key, ink.label().add_modifier(Modifier::BOLD)),
            (" ", Style::new()),
            (*what, Style::new()),
            ("  ", Style::new()),
        ]);
    }
    put_all(buffer, area, pieces);
}
