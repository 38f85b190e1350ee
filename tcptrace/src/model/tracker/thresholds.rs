//! How long a stay may last before somebody looks at it.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::socket::StayState;
use crate::model::time::Instant;

/// That, by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    /// For CLOSE_WAIT.
    pub close_wait: Duration,
    /// For FIN_WAIT2.
    pub fin_wait2: Duration,
    /// For a descriptor whose TCP is over. `None`: those are not followed.
    pub closed: Option<Duration>,
    /// Until it is looked at for the record. `None`: there is none.
    pub record: Option<Duration>,
}

/// Looks for the record are gathered: one of them answers for all stays that are due.
const RECORD_STEP: Duration = Duration::from_secs(1);

impl Thresholds {
    /// With these nothing falls due.
    pub const NEVER: Self =
        Self { close_wait: Duration::MAX, fin_wait2: Duration::MAX, closed: None, record: None };

    /// The one of `state`.
    pub fn of(&self, state: StayState) -> Duration {
        match state {
            StayState::CloseWait => self.close_wait,
            StayState::FinWait2 => self.fin_wait2,
            StayState::Closed => self.closed.unwrap_or(Duration::MAX),
        }
    }

    /// When a stay that began at `since` is first looked at: for the record, where that is sooner.
    pub fn first_look(&self, state: StayState, since: Instant) -> Instant {
        let threshold = self.of(state);
        match self.record {
            Some(record) if record.saturating_add(RECORD_STEP) < threshold => {
                since.after(record).rounded_up(RECORD_STEP)
            }
            _ => since.after(threshold),
        }
    }
}
