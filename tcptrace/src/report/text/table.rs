//! Columns as wide as their widest cell.

use core::fmt::{Display, Write as _};
use std::io::{self, Write};

use unicode_width::UnicodeWidthStr as _;

const BETWEEN_COLUMNS: usize = 2;
const SPACES: [u8; 64] = [b' '; 64];

/// The columns of a table.
pub(super) struct Column {
    title: &'static str,
    right: bool,
}

/// Cells begin at the left.
pub(super) const fn left(title: &'static str) -> Column {
    Column { title, right: false }
}

/// Cells end at the right.
pub(super) const fn right(title: &'static str) -> Column {
    Column { title, right: true }
}

/// A table of `N` columns. It keeps one text for all its cells.
pub(super) struct Table<const N: usize> {
    columns: [Column; N],
    widths: [usize; N],
    text: String,
    /// How many bytes of `text` each cell has.
    cells: Vec<u32>,
}

/// One line of a table.
pub(super) struct Line<'a, const N: usize> {
    table: &'a Table<N>,
    text: &'a str,
    cells: &'a [u32],
}

impl<const N: usize> Table<N> {
    pub(super) fn new(columns: [Column; N]) -> Self {
        let titles = columns.each_ref().map(|column| column.title);
        let mut table = Self { columns, widths: [0; N], text: String::new(), cells: Vec::new() };
        table.row(titles.each_ref().map(|title| title as &dyn Display));
        table
    }

    /// Whether there are only titles.
    pub(super) const fn is_empty(&self) -> bool {
        self.cells.len() == N
    }

    pub(super) fn row(&mut self, cells: [&dyn Display; N]) {
        for (cell, widest) in cells.into_iter().zip(&mut self.widths) {
            let start = self.text.len();
            // A string takes everything.
            let _ = write!(self.text, "{cell}");
            let text = &self.text[start..];
            *widest = width(text).max(*widest);
            // No cell is as long as that.
            self.cells.push(text.len() as u32);
        }
    }

    /// Adds the rows of a table with the same columns.
    pub(super) fn append(&mut self, other: &Self) {
        let (titles, rows) = other.cells.split_at(N);
        self.text.push_str(&other.text[titles.iter().map(|&len| len as usize).sum()..]);
        self.cells.extend_from_slice(rows);
        for (width, other) in self.widths.iter_mut().zip(other.widths) {
            *width = other.max(*width);
        }
    }

    /// Its lines, the titles first.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'_, N>> {
        let mut rest = &*self.text;
        self.cells.chunks_exact(N).map(move |cells| {
            let text;
            (text, rest) = rest.split_at(cells.iter().map(|&len| len as usize).sum());
            Line { table: self, text, cells }
        })
    }
}

impl<const N: usize> Line<'_, N> {
    /// Writes it. It neither begins nor ends with spaces.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Table { columns, widths, .. } = self.table;
        let mut rest = self.text.trim_end();
        // What stands before the next text.
        let mut spaces = 0;
        for ((column, &widest), &len) in columns.iter().zip(widths).zip(self.cells) {
            let text;
            (text, rest) = rest.split_at(rest.len().min(len as usize));
            let missing = widest - width(text);
            spaces += if column.right { missing } else { 0 };
            if !text.is_empty() {
                pad(out, spaces)?;
                out.write_all(text.as_bytes())?;
                spaces = 0;
            }
            spaces += BETWEEN_COLUMNS + if column.right { 0 } else { missing };
        }
        out.write_all(b"\n")
    }
}

fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.width() }
}

fn pad(out: &mut impl Write, mut width: usize) -> io::Result<()> {
    while width > 0 {
        let some = width.min(SPACES.len());
        out.write_all(&SPACES[..some])?;
        width -= some;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_a_terminal_shows() {
        let mut table = Table::new([left("NAME"), right("AGE"), left("REST")]);
        assert!(table.is_empty());
        table.row([&"名前", &"≥ 7 s", &""]);
        let mut rest = Table::new([left("NAME"), right("AGE"), left("REST")]);
        rest.row([&"a", &1000, &"x y "]);
        table.append(&rest);
        assert!(!table.is_empty());
        let mut out = Vec::new();
        for line in table.lines() {
            line.write(&mut out).unwrap();
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "NAME    AGE  REST\n名前  ≥ 7 s\na      1000  x y\n"
        );
    }
}
