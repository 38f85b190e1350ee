//! What `tcptrace top` shows, and how keys change that: a pure core. What the engine tells goes in
//! through [`Top::tell`], keys through [`Top::handle`], and [`Top::view`] says what is to be drawn.
//!
//! Nothing here is proportional to healthy sockets, and a view costs the rows there are, not the stuck
//! sockets in them.

pub mod board;
pub mod flame;
pub mod key;
pub mod place;
pub mod pulse;
pub mod table;
pub mod turn;
pub mod view;

use std::sync::Arc;

use self::board::Board;
use self::key::{Effect, Faster, Key};
use self::place::{Cursor, Direction, FlameCursor, Place};
use self::pulse::Pulse;
use self::turn::{RowKey, Turn};
use super::condition::ConditionNotice;
use super::engine::Output;
use super::event::Lost;
use super::figures::Sockets;
use super::filter::Filter;
use super::stay::StayId;
use super::time::Anchor;

/// By what the rows of the table are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Sort {
    #[default]
    Count,
    Oldest,
    Growth,
    Name,
}

impl Sort {
    /// The name on the screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Oldest => "age",
            Self::Growth => "growth",
            Self::Name => "name",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Count => Self::Oldest,
            Self::Oldest => Self::Growth,
            Self::Growth => Self::Name,
            Self::Name => Self::Count,
        }
    }
}

/// What is said on the last line until the next key.
#[derive(Clone, Debug)]
pub enum Said {
    /// That something was done.
    Done(String),
    /// That something could not be done.
    Wrong(String),
    /// That a condition of the configuration holds, or no longer does.
    Condition(Box<ConditionNotice>),
}

/// A moment: all there is to show.
#[derive(Clone, Debug)]
struct Moment {
    board: Board,
    pulse: Pulse,
    now: Anchor,
}

/// See the module.
#[derive(Debug)]
pub struct Top {
    live: Moment,
    /// What is shown instead of what is.
    frozen: Option<Box<Moment>>,
    turn: Turn,
    sort: Sort,
    /// Of the sockets of a row, the youngest first.
    youngest: bool,
    table: Cursor<RowKey>,
    /// Where somebody has gone from the table.
    places: Vec<Place>,
    /// The filter that is being typed.
    prompt: Option<String>,
    /// The one that counts.
    filter: String,
    said: Option<Said>,
    help: bool,
    /// Columns, and rows of the body, when it was drawn last.
    size: (u16, usize),
}

impl Top {
    /// An empty screen at `now`.
    pub fn new(now: Anchor) -> Self {
        Self {
            live: Moment { board: Board::default(), pulse: Pulse::default(), now },
            frozen: None,
            turn: Turn::default(),
            sort: Sort::default(),
            youngest: false,
            table: Cursor::default(),
            places: Vec::new(),
            prompt: None,
            filter: String::new(),
            said: None,
            help: false,
            size: (80, 20),
        }
    }

    /// Takes in what the engine tells of.
    pub fn tell(&mut self, output: Output, now: Anchor) {
        match output {
            Output::Alert(alert) => {
                self.live.board.tell(&alert, now.monotonic);
                if self.frozen.is_none() {
                    self.know_better(&alert);
                }
            }
            Output::Condition(condition) => self.said = Some(Said::Condition(condition)),
            // The rows show what there is to know of groups.
            _ => {}
        }
    }

    /// The socket that is looked at stays on the screen when it is over.
    fn know_better(&mut self, told: &Arc<super::alert::Alert>) {
        for place in &mut self.places {
            if let Place::Socket { alert, .. } = place
                && alert.stay.id == told.stay.id
            {
                *alert = Arc::clone(told);
            }
        }
    }

    /// Takes in the figures of `now`: twice a second.
    pub fn beat(&mut self, now: Anchor, figures: &Sockets, lost: Lost) {
        let Moment { board, pulse, now: last } = &mut self.live;
        *last = now;
        pulse.beat(now.monotonic, figures, lost, board.turnover());
    }

    /// Answers [`Effect::Filter`]: the filter that `text` means, or why it means none.
    pub fn filter(&mut self, text: String, understood: Result<Filter, String>) {
        match understood {
            Err(why) => self.said = Some(Said::Wrong(why)),
            Ok(filter) => {
                (self.prompt, self.said) = (None, None);
                let moments = [Some(&mut self.live), self.frozen.as_deref_mut()];
                for moment in moments.into_iter().flatten() {
                    moment.board.show(filter.clone(), moment.now.monotonic);
                }
                for place in &mut self.places {
                    if let Place::Flame(cursor) = place {
                        *cursor = FlameCursor::default();
                    }
                }
                self.filter = text;
            }
        }
    }

    /// Says something on the last line.
    pub fn say(&mut self, said: Said) {
        self.said = Some(said);
    }

    /// Whether the screen stands still.
    pub const fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// Whether the flame is shown.
    pub fn shows_flame(&self) -> bool {
        matches!(self.places.last(), Some(Place::Flame(_)))
    }

    fn moment(&self) -> &Moment {
        self.frozen.as_deref().unwrap_or(&self.live)
    }

    /// Does what a key asks for. Returns what others are to do.
    pub fn handle(&mut self, key: Key) -> Option<Effect> {
        if key == Key::Interrupt {
            return Some(Effect::Quit);
        }
        if self.prompt.is_some() {
            return self.type_filter(key);
        }
        self.said = None;
        if core::mem::take(&mut self.help) {
            return None;
        }
        match key {
            Key::Char('q') => return Some(Effect::Quit),
            Key::Char('w') => return Some(Effect::Write),
            Key::Char('+') => return Some(Effect::Speed(Faster::Twice)),
            Key::Char('-') => return Some(Effect::Speed(Faster::Half)),
            Key::Char('?' | 'h') => self.help = true,
            Key::Char('/') => self.prompt = Some(self.filter.clone()),
            Key::Char(' ') => self.freeze(),
            Key::Char('s') => self.sort_otherwise(),
            Key::Char('g') | Key::Tab => {
                self.turn = self.turn.next();
                self.table = Cursor::default();
                self.places.clear();
            }
            Key::Char('f') => match self.shows_flame() {
                true => _ = self.places.pop(),
                false => self.places = vec![Place::Flame(FlameCursor::default())],
            },
            Key::Enter => self.go_in(),
            Key::Escape | Key::Backspace => self.go_out(),
            Key::Up | Key::Char('k') => self.go(-1, Some(Direction::Up)),
            Key::Down | Key::Char('j') => self.go(1, Some(Direction::Down)),
            Key::Left => self.go(0, Some(Direction::Left)),
            Key::Right => self.go(0, Some(Direction::Right)),
            Key::PageUp => self.go(-(self.size.1 as isize), None),
            Key::PageDown => self.go(self.size.1 as isize, None),
            Key::Home => self.go(isize::MIN, None),
            Key::End => self.go(isize::MAX, None),
            Key::Char(_) | Key::Clear | Key::Interrupt => {}
        }
        None
    }

    fn type_filter(&mut self, key: Key) -> Option<Effect> {
        let text = self.prompt.as_mut()?;
        self.said = None;
        match key {
            Key::Char(c) => text.push(c),
            Key::Backspace => _ = text.pop(),
            Key::Clear => text.clear(),
            Key::Enter => return Some(Effect::Filter(text.clone())),
            Key::Escape => self.prompt = None,
            _ => {}
        }
        None
    }

    fn freeze(&mut self) {
        if self.frozen.take().is_none() {
            self.frozen = Some(Box::new(self.live.clone()));
            return;
        }
        // What has been told of the socket that is looked at in the meantime.
        for place in &mut self.places {
            if let Place::Socket { alert, .. } = place
                && let Some(newer) = self.live.board.alert(alert.stay.id)
            {
                *alert = Arc::clone(newer);
            }
        }
    }

    fn sort_otherwise(&mut self) {
        match self.places.last() {
            None => self.sort = self.sort.next(),
            Some(Place::Sockets { .. }) => self.youngest = !self.youngest,
            Some(_) => {}
        }
    }

    /// The rows' keys as they are sorted.
    fn row_keys(&self) -> Vec<RowKey> {
        let Moment { board, now, .. } = self.moment();
        let mut rows: Vec<_> = board.table(self.turn).rows().collect();
        match self.sort {
            Sort::Name => {}
            Sort::Count => rows.sort_unstable_by_key(|&(key, row)| (row.count(), key)),
            Sort::Oldest => {
                rows.sort_unstable_by_key(|&(key, row)| (core::cmp::Reverse(row.oldest()), key));
            }
            Sort::Growth => rows.sort_by_cached_key(|&(key, row)| {
                // In tenths: a float has no order.
                let growth = row.growth(now.monotonic).unwrap_or(0.0);
                ((growth * 10.0) as i64, row.count(), key)
            }),
        }
        match self.sort {
            Sort::Name => rows.sort_unstable_by_key(|&(key, _)| key),
            _ => rows.reverse(),
        }
        rows.into_iter().map(|(key, _)| key.clone()).collect()
    }

    /// The sockets of a row as they are sorted.
    fn socket_ids(&self, of: &RowKey) -> Vec<StayId> {
        let Some(row) = self.moment().board.table(self.turn).row(of) else { return Vec::new() };
        match self.youngest {
            true => row.members().rev().collect(),
            false => row.members().collect(),
        }
    }

    fn go_in(&mut self) {
        let place = match self.places.last_mut() {
            None => {
                let Some(of) = self.table.of(&self.row_keys()).cloned() else { return };
                Place::Sockets { of, at: Cursor::default() }
            }
            Some(Place::Flame(cursor)) => {
                cursor.zoom = cursor.at;
                return;
            }
            Some(Place::Socket { .. }) => return,
            Some(Place::Sockets { of, at }) => {
                let (of, at) = (of.clone(), at.clone());
                let ids = self.socket_ids(&of);
                let alert = at.of(&ids).and_then(|&id| self.moment().board.alert(id));
                let Some(alert) = alert else { return };
                Place::Socket { alert: Arc::clone(alert), scroll: 0 }
            }
        };
        self.places.push(place);
    }

    fn go_out(&mut self) {
        if let Some(Place::Flame(cursor)) = self.places.last_mut()
            && cursor.zoom != FlameCursor::default().zoom
        {
            let profile = self.frozen.as_deref().unwrap_or(&self.live).profile();
            cursor.settle(&profile);
            cursor.zoom = profile.nodes()[cursor.zoom].parent;
            return;
        }
        self.places.pop();
    }

    fn go(&mut self, by: isize, to: Option<Direction>) {
        let mut place = self.places.pop();
        match &mut place {
            None => {
                let keys = self.row_keys();
                self.table.go(&keys, by);
            }
            Some(Place::Sockets { of, at }) => at.go(&self.socket_ids(of), by),
            Some(Place::Socket { scroll, .. }) => *scroll = scroll.saturating_add_signed(by),
            Some(Place::Flame(cursor)) => {
                let profile = self.moment().profile();
                cursor.settle(&profile);
                let tiles = flame::lay_out(&profile, cursor.zoom, self.size.0);
                let shown: Vec<_> = tiles.iter().map(|tile| tile.node).collect();
                if let Some(to) = to {
                    cursor.go(&profile, &shown, to);
                }
            }
        }
        self.places.extend(place);
    }

    /// There are no more than so many lines of a socket to scroll past.
    pub fn scroll_at_most(&mut self, lines: usize) {
        if let Some(Place::Socket { scroll, .. }) = self.places.last_mut() {
            *scroll = (*scroll).min(lines);
        }
    }
}

impl Moment {
    fn profile(&self) -> super::profile::Profile {
        self.board.flame().profile(self.now.monotonic)
    }
}

#[cfg(test)]
mod tests;
