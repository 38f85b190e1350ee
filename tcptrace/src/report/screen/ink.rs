//! How things are put on the grid: cut by columns, in one of sixteen colours or in none.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;

/// Whether there is colour.
#[derive(Clone, Copy, Debug)]
pub struct Ink {
    pub color: bool,
}

impl Ink {
    pub fn color(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// What names a column or a figure.
    pub fn label(self) -> Style {
        self.color(Color::Cyan)
    }

    /// What is wrong.
    pub fn alarm(self) -> Style {
        self.color(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What to think twice about.
    pub fn doubt(self) -> Style {
        self.color(Color::Yellow)
    }

    /// What is getting better.
    pub fn relief(self) -> Style {
        self.color(Color::Green)
    }

    /// What is selected.
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}

/// Where in its columns a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// How many columns `text` takes.
pub fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// Puts `text` into the first line of `area`; what does not fit is cut, and that shows. Returns the
/// first column after it.
pub fn put(buffer: &mut Buffer, area: Rect, text: &str, style: Style, align: Align) -> u16 {
    let area = area.intersection(buffer.area);
    if area.is_empty() {
        return area.right();
    }
    let room = usize::from(area.width);
    let taken = width(text);
    if taken > room {
        let (x, y) = buffer.set_stringn(area.x, area.y, text, room - 1, style);
        return buffer.set_stringn(x, y, "…", 1, style).0;
    }
    let indent = if align == Align::Right { (room - taken) as u16 } else { 0 };
    buffer.set_stringn(area.x + indent, area.y, text, taken, style).0
}

/// Puts one piece after the other into the first line of `area`.
pub fn put_all<'a>(
    buffer: &mut Buffer,
    area: Rect,
    pieces: impl IntoIterator<Item = (&'a str, Style)>,
) {
    let mut x = area.x;
    for (text, style) in pieces {
        let rest = Rect { x, width: area.right().saturating_sub(x), ..area };
        x = put(buffer, rest, text, style, Align::Left);
    }
}

/// The line at `y` of `area`; empty if there is none.
pub fn line(area: Rect, y: usize) -> Rect {
    let y = u16::try_from(y).unwrap_or(u16::MAX).min(area.height);
    Rect { y: area.y + y, height: (area.height - y).min(1), ..area }
}
