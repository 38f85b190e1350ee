//! All sockets that are stuck now, put together in every way that the screen can show.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::flame::Flame;
use super::table::Table;
use super::turn::Turn;
use crate::model::alert::Alert;
use crate::model::filter::Filter;
use crate::model::stay::StayId;
use crate::model::time::Instant;

/// See the module. A copy of it is a moment that stands still.
#[derive(Clone, Debug)]
pub struct Board {
    alerts: FxHashMap<StayId, Arc<Alert>>,
    filter: Filter,
    tables: [Table; Turn::ALL.len()],
    flame: Flame,
    admitted: usize,
    fired: u64,
    freed: u64,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            alerts: FxHashMap::default(),
            filter: Filter::default(),
            tables: Turn::ALL.map(Table::new),
            flame: Flame::default(),
            admitted: 0,
            fired: 0,
            freed: 0,
        }
    }
}

impl Board {
    /// Takes in what is told of a socket: that it is stuck, that more is known of it, or that it is over.
    pub fn tell(&mut self, alert: &Arc<Alert>, now: Instant) {
        let before = match alert.is_firing() {
            true => self.alerts.insert(alert.stay.id, Arc::clone(alert)),
            false => self.alerts.remove(&alert.stay.id),
        };
        match (alert.is_firing(), &before) {
            (true, None) => self.fired += 1,
            (false, Some(_)) => self.freed += 1,
            _ => {}
        }
        if let Some(before) = before.filter(|before| self.admits(before)) {
            self.admitted -= 1;
            self.tables.iter_mut().for_each(|table| table.remove(&before, now));
            self.flame.remove(&before, alert.at, alert.is_firing());
        }
        if alert.is_firing() && self.admits(alert) {
            self.take_in(alert, now);
        }
    }

    fn take_in(&mut self, alert: &Alert, now: Instant) {
        self.admitted += 1;
        self.tables.iter_mut().for_each(|table| table.add(alert, now));
        self.flame.add(alert);
    }

    fn admits(&self, alert: &Alert) -> bool {
        self.filter == Filter::default()
            || self.filter.admits_finding(&alert.stay, &alert.evidence, &alert.finding)
    }

    /// Shows what `filter` admits from now on. What has ended before is not in the flame any more.
    pub fn show(&mut self, filter: Filter, now: Instant) {
        self.filter = filter;
        (self.tables, self.flame) = (Turn::ALL.map(Table::new), Flame::default());
        self.admitted = 0;
        let mut alerts: Vec<_> = self.alerts.values().map(Arc::clone).collect();
        alerts.sort_unstable_by_key(|alert| alert.stay.id);
        for alert in alerts.iter().filter(|alert| self.admits(alert)).cloned().collect::<Vec<_>>() {
            self.take_in(&alert, now);
        }
    }

    /// The rows of `turn`.
    pub const fn table(&self, turn: Turn) -> &Table {
        &self.tables[turn as usize]
    }

    /// Where the time of stuck sockets went.
    pub const fn flame(&self) -> &Flame {
        &self.flame
    }

    /// What is known of a socket that is stuck.
    pub fn alert(&self, id: StayId) -> Option<&Arc<Alert>> {
        self.alerts.get(&id)
    }

    /// How many are stuck, and how many of these the filter admits.
    pub fn count(&self) -> (usize, usize) {
        (self.alerts.len(), self.admitted)
    }

    /// How many have ever been stuck, and how many of these no longer are.
    pub const fn turnover(&self) -> (u64, u64) {
        (self.fired, self.freed)
    }
}
