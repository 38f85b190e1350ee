//! The account given at the end of a run.

use core::time::Duration;

use super::delivery::Delivery;
use super::event::Lost;
use super::tracker::Counts;

/// What a run saw, lost and told.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How long it lasted.
    pub elapsed: Duration,
    /// The tracker's counts.
    pub counts: Counts,
    /// Events that did not arrive.
    pub lost: Lost,
    /// Records that arrived and could not be understood.
    pub undecodable: u64,
    /// Lines that a slow reader of stdout made us leave out.
    pub unwritten: u64,
    /// Alerts fired.
    pub alerts: u64,
    /// Groups formed.
    pub groups: u64,
    /// Of these, groups that have become empty again.
    pub groups_resolved: u64,
    /// Sockets in the table at the end.
    pub tracked: usize,
    /// How it went with each sink.
    pub sinks: Vec<Delivery>,
}
