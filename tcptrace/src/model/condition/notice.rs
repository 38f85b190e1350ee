//! What is told of a condition.

use core::time::Duration;
use std::sync::Arc;

use super::Per;
use crate::model::forecast::Forecast;
use crate::model::process::Process;
use crate::model::rules::Severity;
use crate::model::time::Instant;

/// A condition is over when it is this far from its limit, so that it does not come and go.
const BACK: f64 = 0.8;

/// What was found of a condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// So many half-closed sockets, and how many there may be.
    Sockets(u64, u64),
    /// Their net growth a minute, and the limit.
    GrowthPerMin(f64, f64),
    /// When descriptors or ports will be used up, and how far away that should be at least.
    FullIn(Option<Forecast>, Duration),
}

impl Measure {
    /// The name in JSON and in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sockets(..) => "sockets",
            Self::GrowthPerMin(..) => "growth_per_min",
            Self::FullIn(..) => "full_in_ms",
        }
    }

    /// What was found, in the unit that its name says, and the limit. `None`: there is no trend.
    pub fn figures(self) -> (Option<f64>, f64) {
        let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
        match self {
            Self::Sockets(count, limit) => (Some(count as f64), limit as f64),
            Self::GrowthPerMin(growth, limit) => (Some(growth), limit),
            Self::FullIn(forecast, limit) => (forecast.map(|f| millis(f.full_in)), millis(limit)),
        }
    }

    pub(super) fn passes(self) -> bool {
        match self {
            Self::Sockets(count, limit) => count > limit,
            Self::GrowthPerMin(growth, limit) => growth > limit,
            Self::FullIn(forecast, limit) => forecast.is_some_and(|f| f.full_in < limit),
        }
    }

    pub(super) fn is_back(self) -> bool {
        match self {
            Self::Sockets(count, limit) => count as f64 <= limit as f64 * BACK,
            Self::GrowthPerMin(growth, limit) => growth <= limit * BACK,
            Self::FullIn(forecast, limit) => {
                forecast.is_none_or(|f| f.full_in.as_secs_f64() * BACK >= limit.as_secs_f64())
            }
        }
    }
}

/// Whose sockets were counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of the machine.
    Host,
    /// One systemd unit's.
    Unit(Arc<str>),
    /// One process's.
    Process(Arc<Process>),
}

impl Scope {
    /// The name in JSON and in the configuration.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Host => Per::Host.name(),
            Self::Unit(_) => Per::Unit.name(),
            Self::Process(_) => Per::Process.name(),
        }
    }
}

/// A condition that has come about, or is over.
#[derive(Clone, Debug, PartialEq)]
pub struct ConditionNotice {
    /// The same for the same rule and scope, in every run of the same boot.
    pub id: Arc<str>,
    /// The name of the rule.
    pub rule: Arc<str>,
    /// How urgent it is.
    pub severity: Severity,
    /// Whether it holds; else it is over.
    pub firing: bool,
    /// When this is told.
    pub at: Instant,
    /// Since when it has held.
    pub since: Instant,
    /// Whose sockets were counted.
    pub scope: Scope,
    /// What was found.
    pub measure: Measure,
}
