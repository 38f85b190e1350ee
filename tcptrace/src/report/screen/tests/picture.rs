//! The picture of `top` in the README: the very screen of these tests, as an SVG.

use core::fmt::Write as _;

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use super::{drawn, leaking};

const PICTURE: &str = "../docs/top.svg";
const CELL: (usize, usize) = (9, 19);
const MARGIN: usize = 12;
const PAPER: &str = "#16181d";
const INK: &str = "#d8dbe2";

fn svg(buffer: &Buffer) -> String {
    let (columns, rows) = (usize::from(buffer.area.width), usize::from(buffer.area.height));
    let (width, height) = (columns * CELL.0 + 2 * MARGIN, rows * CELL.1 + 2 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"15\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{PAPER}\"/>\n"
    );
    for (y, row) in buffer.content.chunks(columns).enumerate() {
        let top = MARGIN + y * CELL.1;
        let mut x = 0;
        while x < columns {
            let style = |i: usize| (row[i].fg, row[i].modifier);
            let end = (x..columns).find(|&i| style(i) != style(x)).unwrap_or(columns);
            let text: String = row[x..end].iter().map(ratatui::buffer::Cell::symbol).collect();
            let (color, modifier) = style(x);
            let (left, wide) = (MARGIN + x * CELL.0, (end - x) * CELL.0);
            x = end;
            let mut ink = name(color);
            if modifier.contains(Modifier::REVERSED) {
                _ = writeln!(
                    out,
                    "<rect x=\"{left}\" y=\"{top}\" width=\"{wide}\" height=\"{}\" fill=\"{ink}\"/>",
                    CELL.1
                );
                ink = PAPER;
            }
            if text.trim().is_empty() {
                continue;
            }
            let weight =
                if modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            // Each run is as wide as its cells, whatever the font.
            _ = writeln!(
                out,
                "<text x=\"{left}\" y=\"{}\" textLength=\"{wide}\" xml:space=\"preserve\" \
                 fill=\"{ink}\"{weight}>{text}</text>",
                top + 14
            );
        }
    }
    out + "</svg>\n"
}

fn name(color: Color) -> &'static str {
    match color {
        Color::Red => "#ff6b68",
        Color::Green => "#7fd88f",
        Color::Yellow => "#e5c07b",
        Color::Cyan => "#61c0d6",
        _ => INK,
    }
}

#[test]
fn the_readme_shows_what_the_screen_looks_like() {
    let svg = svg(&drawn(&mut leaking(), 100, 14, true));
    // As with snapshots.
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(PICTURE, &svg).unwrap();
    }
    let shown = std::fs::read_to_string(PICTURE).unwrap_or_default();
    assert!(
        shown == svg,
        "docs/top.svg is not the screen any more: INSTA_UPDATE=always makes it anew"
    );
}
