//! Where on the screen somebody is, and how keys move them.

use std::sync::Arc;

use super::turn::RowKey;
use crate::model::alert::Alert;
use crate::model::profile::{NodeId, Profile};
use crate::model::stay::StayId;

/// What is looked at.
#[derive(Clone, Debug)]
pub enum Place {
    /// The sockets of a row.
    Sockets {
        /// Which row.
        of: RowKey,
        /// The socket selected.
        at: Cursor<StayId>,
    },
    /// One socket, as it was last known.
    Socket {
        /// What was told of it.
        alert: Arc<Alert>,
        /// Lines above the first one shown.
        scroll: usize,
    },
    /// The flame.
    Flame(FlameCursor),
}

/// The selected entry of a list whose order changes under it.
#[derive(Clone, Debug)]
pub struct Cursor<K> {
    /// Which, once one has been; it stays selected wherever it goes.
    key: Option<K>,
    /// Where that was.
    index: usize,
    /// Entries above the first one shown.
    first: usize,
}

impl<K> Default for Cursor<K> {
    fn default() -> Self {
        Self { key: None, index: 0, first: 0 }
    }
}

impl<K: Clone + PartialEq> Cursor<K> {
    /// The entry selected.
    pub const fn key(&self) -> Option<&K> {
        self.key.as_ref()
    }

    /// Follows the selected entry in `keys`; where that is gone, its place is selected. Returns where it
    /// is and the first entry to be shown of `rows` that there is room for.
    pub fn settle(&mut self, keys: &[K], rows: usize) -> (usize, usize) {
        let found = self.key.as_ref().and_then(|key| keys.iter().position(|other| other == key));
        let last = keys.len().saturating_sub(1);
        self.index = found.unwrap_or_else(|| self.index.min(last));
        // Nobody has moved yet: the top of the list is what matters.
        if self.key.is_some() {
            self.key = keys.get(self.index).cloned();
        }
        self.first = self.first.min(self.index).min(keys.len().saturating_sub(rows));
        if rows > 0 && self.index >= self.first + rows {
            self.first = self.index + 1 - rows;
        }
        (self.index, self.first)
    }

    /// Selects the entry that is `by` further down.
    pub fn go(&mut self, keys: &[K], by: isize) {
        let last = keys.len().saturating_sub(1);
        let found = self.key.as_ref().and_then(|key| keys.iter().position(|other| other == key));
        self.index = found.unwrap_or(self.index).saturating_add_signed(by).min(last);
        self.key = keys.get(self.index).cloned();
    }

    /// The entry selected of `keys`.
    pub fn of<'a>(&self, keys: &'a [K]) -> Option<&'a K> {
        let found = self.key.as_ref().and_then(|key| keys.iter().find(|&other| other == key));
        found.or_else(|| keys.get(self.index))
    }
}

/// Which frame fills the width, and which is selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlameCursor {
    /// Fills the width.
    pub zoom: NodeId,
    /// Is selected; never above the other.
    pub at: NodeId,
}

impl FlameCursor {
    /// Those that are there: a filter makes another profile.
    pub fn settle(&mut self, profile: &Profile) {
        if self.zoom.max(self.at) >= profile.nodes().len() {
            *self = Self::default();
        }
    }

    /// One up or down, or to the one beside it; `tiles` has those that are shown in the order in which
    /// they are drawn.
    pub fn go(&mut self, profile: &Profile, tiles: &[NodeId], to: Direction) {
        let nodes = profile.nodes();
        let parent = nodes[self.at].parent;
        let below = |parent: NodeId| {
            tiles
                .iter()
                .copied()
                .filter(move |&id| id != Profile::ROOT && nodes[id].parent == parent)
        };
        let next = match to {
            Direction::Up if self.at == self.zoom => {
                self.zoom = parent;
                Some(parent)
            }
            Direction::Up => Some(parent),
            Direction::Down => below(self.at).next(),
            Direction::Left => below(parent).take_while(|&id| id != self.at).last(),
            Direction::Right => below(parent).skip_while(|&id| id != self.at).nth(1),
        };
        if let Some(next) = next.filter(|_| self.at != self.zoom || to.is_vertical()) {
            self.at = next;
        }
    }
}

/// Where an arrow points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Direction {
    Up,
    Down,
    Left,
    Right,
}

impl Direction {
    const fn is_vertical(self) -> bool {
        matches!(self, Self::Up | Self::Down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_stays_with_its_entry() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.settle(&['a', 'b', 'c'], 2), (0, 0));
        assert_eq!(cursor.settle(&['x', 'a', 'b', 'c'], 2), (0, 0), "nobody has moved");
        cursor.go(&['a', 'b', 'c'], 1);
        assert_eq!(cursor.settle(&['x', 'a', 'b', 'c'], 2), (2, 1));
        assert_eq!(cursor.settle(&['x', 'a', 'c'], 2), (2, 1), "what comes after it");
        assert_eq!(cursor.key(), Some(&'c'));
        cursor.go(&['x', 'a', 'c'], -9);
        assert_eq!(cursor.of(&['x', 'a']), Some(&'x'));
        assert_eq!(cursor.settle(&[], 2), (0, 0));
        assert_eq!(cursor.of(&[]), None);
        cursor.go(&[], 1);
        assert_eq!(cursor.settle(&['a'], 0), (0, 0));
    }
}
