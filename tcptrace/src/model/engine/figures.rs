//! The core in numbers, for those who measure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Engine;
use crate::model::figures::{Sockets, Unit, UnitFigures, bounded};
use crate::model::time::Instant;

impl Engine {
    /// Everything at `now`. Goes over all half-closed sockets and all groups once, and over nothing
    /// that is healthy.
    pub fn figures(&self, now: Instant) -> Sockets {
        let mut figures = Sockets {
            ended: self.ends.clone(),
            alerts: self.alerts,
            alerts_firing: self.firing.len() as u64,
            groups: self.groups.formed,
            groups_resolved: self.groups.resolved,
            tracked: self.tracked() as u64,
            counts: self.counts(),
            ..Sockets::default()
        };
        let orphans = self.orphans.stays().map(|stay| (stay.state, stay.since));
        for (state, since) in self.tracker.clocks().chain(orphans) {
            figures.ages[state.index()].add(now.since(since));
        }
        let mut units = BTreeMap::<_, UnitFigures>::new();
        for group in self.groups.each() {
            let key = (group.state, group.verdict, group.severity);
            *figures.stuck.entry(key).or_default() += group.members;
            let unit = group.process.and_then(|process| process.unit.as_deref());
            let unit = unit.map_or(Unit::None, |unit| Unit::Named(Arc::from(unit)));
            let figures = units.entry(unit).or_default();
            figures.stuck[group.state.index()] += group.members;
            let descriptors = group.process.and_then(|process| process.descriptors);
            figures.add_share(descriptors.map(|d| d.open as f64 / d.limit.max(1) as f64));
        }
        figures.units = bounded(units);
        figures
    }
}
