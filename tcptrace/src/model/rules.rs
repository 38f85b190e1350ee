//! What somebody wants to be told of, how soon and how urgently.

use core::time::Duration;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::process::Process;
use super::time::Instant;

/// How urgent it is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look when there is time.
    #[default]
    Warning,
    /// Somebody should look now.
    Critical,
}

impl Severity {
    /// The name in JSON, in labels and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// How urgent something is, and which rule says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Urgency {
    /// How urgent.
    pub severity: Severity,
    /// The name of the rule; `None`: what is told of without any.
    pub rule: Option<Arc<str>>,
}

/// What a condition is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All sockets of the machine.
    Host,
    /// Those that processes of one systemd unit hold.
    Unit(Arc<str>),
    /// Those that one process holds.
    Process(Arc<Process>),
}

/// What is compared with a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// So many half-closed sockets, and how many there may be.
    Sockets(u64, u64),
    /// Their net growth a minute, and the limit.
    GrowthPerMin(f64, f64),
    /// When descriptors or ports will be used up, and how far away that should be at least.
    FullIn(Option<Duration>, Duration),
}

impl Measure {
    /// The name in JSON and in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sockets(..) => "sockets",
            Self::GrowthPerMin(..) => "growth_per_min",
            Self::FullIn(..) => "full_in",
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
    /// What it is about.
    pub scope: Scope,
    /// What was found.
    pub measure: Measure,
}
