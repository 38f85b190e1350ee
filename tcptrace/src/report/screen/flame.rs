//! The flame: each frame above those it consists of, as wide as its share of the time.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::ink::{Align, Ink, line, put};
use super::shown;
use crate::model::profile::{FrameKind, Measure, Node, Profile};
use crate::model::top::flame::Tile;
use crate::model::top::place::FlameCursor;
use crate::report::text::{Age, Count};

pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    (profile, cursor, tiles): (&Profile, FlameCursor, &[Tile]),
    ink: Ink,
) {
    let nodes = profile.nodes();
    put(buffer, line(area, 0), &about(profile, cursor), Style::new(), Align::Left);
    let rows = usize::from(area.height.saturating_sub(1));
    // The selected one is always to be seen.
    let depth = nodes[cursor.at].depth.saturating_sub(nodes[cursor.zoom].depth);
    let hidden = (depth + 1).saturating_sub(rows);
    for tile in tiles.iter().filter(|tile| (hidden..hidden + rows).contains(&tile.depth)) {
        let node = &nodes[tile.node];
        let place = line(area, tile.depth - hidden + 1);
        let place = Rect { x: place.x + tile.start, width: tile.width, ..place }.intersection(area);
        let mut style = paint(node.frame.kind, ink);
        if tile.node == cursor.at {
            style = style.add_modifier(Modifier::REVERSED);
        }
        buffer.set_style(place, style);
        // An edge, so that neighbours can be told apart without colours.
        let name = format!("│{}", shown(&node.frame.name));
        put(buffer, place, &name, style, Align::Left);
    }
}

/// What is selected, in a line.
fn about(profile: &Profile, cursor: FlameCursor) -> String {
    let node: &Node = &profile.nodes()[cursor.at];
    if profile.is_empty() {
        return "no socket has been stuck".to_owned();
    }
    let share = Measure::Time.value(node.total) / Measure::Time.value(profile.total()).max(1e-9);
    let (time, count) = (Age(node.total.time), Count(node.total.count));
    let plural = if node.total.count == 1 { "" } else { "s" };
    let name = shown(&node.frame.name);
    format!("{:.1} %  {time} of {count} socket{plural}  {name}", share * 100.0)
}

fn paint(kind: FrameKind, ink: Ink) -> Style {
    let color = match kind {
        FrameKind::Host | FrameKind::Unit | FrameKind::Process | FrameKind::Pid => Color::Cyan,
        FrameKind::Verdict | FrameKind::State => Color::Red,
        FrameKind::Note => Color::Yellow,
        FrameKind::Peer | FrameKind::Function | FrameKind::Other => Color::Green,
    };
    ink.color(color)
}
