//! When all sockets are to be looked at, and what that shows.

use core::time::Duration;

use super::{Engine, Output};
use crate::model::snapshot::Snapshot;
use crate::model::time::Instant;
use crate::model::tracker::Counts;

/// Between two repairs at least so long, and twenty times as long as the last one kept a CPU busy.
const REPAIR_PAUSE: Duration = Duration::from_secs(1);
const REPAIR_SHARE: u32 = 20;
/// What was lost is not always known: all sockets are looked at this often in any case.
const REPAIR_ANYWAY: Duration = Duration::from_secs(300);
/// Of so many transitions some may have been lost unknown: then at least so long after the last time, and two
/// hundred times as long as that kept a CPU busy. A host where nothing happens is left alone.
const MANY: u64 = 10_000;
const MANY_PAUSE: Duration = Duration::from_secs(10);
const MANY_SHARE: u32 = 200;

/// When all sockets are to be looked at.
#[derive(Debug, Default)]
pub(super) struct Repair {
    /// What had been lost, gaps included, when the last snapshot began.
    lost_before: u64,
    /// What has been lost by now.
    pub lost: u64,
    /// When the one that is under way began.
    under_way: Option<Instant>,
    /// Not before then.
    not_before: Instant,
    /// When the last one was taken.
    taken: Option<Instant>,
    /// How long that kept a CPU busy.
    cost: Duration,
    /// Transitions when it began.
    transitions: u64,
}

impl Repair {
    /// When the next one is to begin, if it is not under way.
    pub fn due(&self, counts: Counts) -> Option<Instant> {
        if self.under_way.is_some() {
            return None;
        }
        let many = counts.transitions - self.transitions >= MANY;
        let pause = match many {
            true => MANY_PAUSE.max(self.cost.saturating_mul(MANY_SHARE)).min(REPAIR_ANYWAY),
            false => REPAIR_ANYWAY,
        };
        let anyway = self.taken.map(|taken| taken.after(pause));
        let needed = self.lost.saturating_add(counts.gaps) > self.lost_before;
        Some(anyway.filter(|_| !needed).unwrap_or(self.not_before).max(self.not_before))
    }
}

impl Engine {
    /// Asks for a look at all sockets, if it is time.
    pub(super) fn look_at_all(&mut self, now: Instant) {
        let counts = self.tracker.counts();
        if self.repair.due(counts).is_some_and(|due| now >= due) {
            self.tracker.snapshot_begins(now);
            self.repair.lost_before = self.repair.lost.saturating_add(counts.gaps);
            self.repair.transitions = counts.transitions;
            self.repair.under_way = Some(now);
            self.outputs.push_back(Output::TakeSnapshot { others: self.repair.taken.is_some() });
        }
    }

    /// Takes in what it showed.
    pub(super) fn take_in(&mut self, now: Instant, snapshot: Option<&Snapshot>) {
        let began = self.repair.under_way.take().unwrap_or(now);
        // On a busy host most of the time goes by in waiting, which costs nobody anything.
        let cost = snapshot.and_then(|snapshot| snapshot.cost).unwrap_or(now.since(began));
        self.repair.not_before = now.after(REPAIR_PAUSE.max(cost.saturating_mul(REPAIR_SHARE)));
        let Some(snapshot) = snapshot else {
            // What was lost is still lost.
            self.repair.lost_before = 0;
            return;
        };
        (self.repair.taken, self.repair.cost) = (Some(now), cost);
        let namespaces = &self.config.filter.sockets;
        let wanted = |netns| namespaces.admits_namespace(netns);
        let ended = self.tracker.snapshot_ends(now, snapshot, wanted);
        let minisockets = snapshot.half_closed.iter().filter(|s| s.minisocket.is_some());
        for orphan in minisockets.filter(|orphan| wanted(orphan.netns)) {
            let threshold = self.config.rules.of_minisocket(orphan, &self.config.thresholds);
            self.orphans.seen_first(now, orphan, threshold);
        }
        for ended in ended {
            let read = self.reads.forget(ended.stay.key);
            self.over(&ended, read);
        }
        if !snapshot.memories.is_empty() {
            let known = self.tracker.stays().filter_map(|stay| {
                let memory = snapshot.memories.get(&stay.cookie?)?;
                Some((stay.id, memory.clone()))
            });
            self.memories.extend(known);
        }
        self.tick(now);
    }
}
