//! What the keys do.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::ink::{Ink, line, put_all};

const KEYS: [(&str, &str); 17] = [
    ("↑ ↓ j k", "move; page up and down, home and end as well"),
    ("enter", "the sockets of a row, then all that is known of one"),
    ("esc", "back"),
    ("g", "rows by process, unit, verdict, peer or code path"),
    ("s", "sort by count, age, growth or name"),
    ("/", "filter: --pid --comm --port --addr --netns --cgroup --verdict"),
    ("", "as on the command line; ctrl-u and enter to see all again"),
    ("f", "flame: where the time of stuck sockets went so far"),
    ("", "arrows move, enter makes a frame as wide as the screen, esc widens"),
    ("space", "freeze the screen; what happens meanwhile is not missed"),
    ("w", "write what is on the screen to a file in this directory"),
    ("+ -", "with --replay: twice, or half, as fast"),
    ("q", "quit"),
    ("", ""),
    ("/MIN", "how many more are stuck after a minute at this rate"),
    ("FULL IN", "until descriptors, or ports to one destination, are used up"),
    ("≥", "at least so old: it was half-closed before tcptrace began"),
];

pub fn draw(buffer: &mut Buffer, area: Rect, ink: Ink) {
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            buffer[(x, y)].reset();
        }
    }
    for (i, (key, what)) in KEYS.into_iter().enumerate() {
        put_all(
            buffer,
            line(area, i + 1),
            [(format!("  {key:<9}").as_str(), ink.label()), (what, Style::new())],
        );
    }
}
