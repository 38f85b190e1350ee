//! What the configuration makes of thresholds, and a change of it while the engine runs.

use core::time::Duration;

use super::{Engine, EngineConfig};
use crate::model::condition::Condition;
use crate::model::rules::Rules;
use crate::model::socket::StayState;
use crate::model::time::Instant;
use crate::model::tracker::Thresholds;

/// When a stay is looked at for the sake of conditions, if there is no record.
const LOOK: Duration = Duration::from_secs(1);

/// When the tracker is to have stays looked at: as soon as any rule may want that.
pub(super) fn looks(config: &EngineConfig) -> Thresholds {
    let EngineConfig { rules, thresholds, .. } = config;
    let soonest = |state| rules.soonest(state, thresholds);
    let look = rules.conditions.iter().any(Condition::needs_holders).then_some(LOOK);
    Thresholds {
        close_wait: soonest(StayState::CloseWait),
        fin_wait2: soonest(StayState::FinWait2),
        closed: thresholds.closed.map(|_| soonest(StayState::Closed)),
        record: thresholds.record.or(look),
    }
}

impl Engine {
    /// What goes on is weighed anew.
    pub(super) fn configure(&mut self, now: Instant, thresholds: &Thresholds, rules: &Rules) {
        // Whether descriptors of finished connections are followed, and whether there is a record, does
        // not change in a run.
        let Thresholds { close_wait, fin_wait2, closed, .. } = *thresholds;
        let before = self.config.thresholds;
        let closed = before.closed.and(closed).or(before.closed);
        self.config.thresholds = Thresholds { close_wait, fin_wait2, closed, ..before };
        if self.config.rules.conditions != rules.conditions {
            self.conditions.replace(rules.conditions.clone());
        }
        self.config.rules = rules.clone();
        self.tracker.look_anew(now, looks(&self.config));
        self.orphans.look_everywhere(now);
        self.tick(now);
    }
}
