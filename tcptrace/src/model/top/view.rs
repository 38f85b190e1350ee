//! What is to be drawn: no more of it than there is room for.

use std::sync::Arc;

use super::flame::{Tile, lay_out};
use super::place::{FlameCursor, Place};
use super::pulse::Pulse;
use super::table::Row;
use super::turn::{RowKey, Turn};
use super::{Moment, Said, Top};
use crate::model::alert::Alert;
use crate::model::profile::Profile;
use crate::model::time::Anchor;

/// One screen.
#[derive(Debug)]
pub struct View<'a> {
    /// When.
    pub now: Anchor,
    /// The figures at the top.
    pub pulse: &'a Pulse,
    /// How many sockets are stuck, and how many of these the filter admits.
    pub stuck: (usize, usize),
    /// By what the rows are put together.
    pub turn: Turn,
    /// By what the list is sorted, if there is one.
    pub sort: Option<&'static str>,
    /// The filter that counts, as it was typed.
    pub filter: &'a str,
    /// The one that is being typed.
    pub prompt: Option<&'a str>,
    /// What was said last.
    pub said: Option<&'a Said>,
    /// Whether the screen stands still.
    pub frozen: bool,
    /// Whether the keys are to be explained.
    pub help: bool,
    /// What is looked at.
    pub body: Body<'a>,
}

/// What is looked at.
#[derive(Debug)]
pub enum Body<'a> {
    /// All rows.
    Table(List<(RowKey, &'a Row)>),
    /// The sockets of a row, which may have gone.
    Sockets(&'a RowKey, Option<&'a Row>, List<&'a Alert>),
    /// One socket, from which line on.
    Socket(&'a Alert, usize),
    /// The flame, what is selected in it, and its frames over the whole width.
    Flame(Profile, FlameCursor, Vec<Tile>),
}

/// A part of a list.
#[derive(Debug)]
pub struct List<T> {
    /// What there is room for.
    pub entries: Vec<T>,
    /// How many come before that.
    pub first: usize,
    /// Which one of all is selected.
    pub selected: usize,
    /// How many there are.
    pub total: usize,
}

impl Top {
    /// What is to be drawn where there is room for `rows` of `width` columns.
    pub fn view(&mut self, width: u16, rows: usize) -> View<'_> {
        self.size = (width, rows.max(1));
        let mut place = self.places.pop();
        let (mut selected, mut first, mut total) = (0, 0, 0);
        let (mut row_keys, mut ids) = (Vec::new(), Vec::new());
        match &mut place {
            None => {
                row_keys = self.row_keys();
                total = row_keys.len();
                (selected, first) = self.table.settle(&row_keys, rows);
            }
            Some(Place::Sockets { of, at }) => {
                ids = self.socket_ids(of);
                total = ids.len();
                (selected, first) = at.settle(&ids, rows);
            }
            Some(Place::Socket { .. } | Place::Flame(_)) => {}
        }
        let is_table = place.is_none();
        self.places.extend(place);
        let moment = self.frozen.as_deref().unwrap_or(&self.live);
        let Moment { board, pulse, now } = moment;
        let table = board.table(self.turn);
        let body = match self.places.last_mut().filter(|_| !is_table) {
            None => {
                let shown = row_keys.into_iter().skip(first).take(rows);
                let shown = shown.filter_map(|key| table.row(&key).map(|row| (key, row)));
                Body::Table(List { entries: shown.collect(), first, selected, total })
            }
            Some(Place::Sockets { of, .. }) => {
                let shown = ids.into_iter().skip(first).take(rows);
                let shown = shown.filter_map(|id| board.alert(id).map(Arc::as_ref));
                let list = List { entries: shown.collect(), first, selected, total };
                Body::Sockets(of, table.row(of), list)
            }
            Some(Place::Socket { alert, scroll }) => Body::Socket(alert, *scroll),
            Some(Place::Flame(cursor)) => {
                let profile = moment.profile();
                cursor.settle(&profile);
                let tiles = lay_out(&profile, cursor.zoom, width);
                Body::Flame(profile, *cursor, tiles)
            }
        };
        let sort = match &body {
            Body::Table(_) => Some(self.sort.name()),
            Body::Sockets(..) if self.youngest => Some("age, youngest first"),
            Body::Sockets(..) => Some("age"),
            Body::Socket(..) | Body::Flame(..) => None,
        };
        View {
            now: *now,
            pulse,
            stuck: board.count(),
            turn: self.turn,
            sort,
            filter: &self.filter,
            prompt: self.prompt.as_deref(),
            said: self.said.as_ref(),
            frozen: self.frozen.is_some(),
            help: self.help,
            body,
        }
    }
}
