//! What people and machines are told: of one stay each.

use core::time::Duration;
use std::sync::Arc;

use super::evidence::Evidence;
use super::rules::Urgency;
use super::stay::{Ended, EndedBy, Stay};
use super::time::Instant;
use super::verdict::Finding;

/// A stuck socket, told once when it is found and once when it is over.
#[derive(Clone, Debug)]
pub struct Alert {
    /// The same for the same stay, in every run of the same boot.
    pub id: Arc<str>,
    /// The group it belongs to.
    pub group: Arc<str>,
    /// The stay.
    pub stay: Stay,
    /// When this is told, or when it ended.
    pub at: Instant,
    /// How long the stay may last.
    pub threshold: Duration,
    /// By which rule, and how urgent it is.
    pub urgency: Urgency,
    /// Why it is stuck, and who is to blame.
    pub finding: Arc<Finding>,
    /// What that rests on.
    pub evidence: Arc<Evidence>,
    /// What ended it; `None` while it is firing.
    pub ended_by: Option<EndedBy>,
    /// Whether our side ended it with a reset rather than a FIN.
    pub reset_sent: Option<bool>,
    /// It goes on, and nobody wants to hear of it any more.
    pub withdrawn: bool,
}

impl Alert {
    /// Whether it is firing.
    pub const fn is_firing(&self) -> bool {
        self.ended_by.is_none() && !self.withdrawn
    }

    /// The same alert, withdrawn at `now`.
    pub fn withdrawn(self, now: Instant) -> Self {
        Self { at: now, withdrawn: true, ..self }
    }

    /// The same alert, resolved.
    pub fn resolved(self, ended: &Ended) -> Self {
        Self {
            stay: ended.stay,
            at: ended.at,
            ended_by: Some(ended.by),
            reset_sent: ended.reset_sent,
            ..self
        }
    }
}

/// An id for `stay`: made of what stays the same when tcptrace is restarted, and differs between
/// two episodes of one socket (a reconnect takes a new local port or meets another peer) and
/// between its held and its orphaned part.
pub fn alert_id(boot_id: &str, stay: &Stay) -> Arc<str> {
    let boot = boot_id.get(..8).unwrap_or(boot_id);
    let state = if stay.orphan { "orphan" } else { stay.state.state().name() };
    let (local, remote) = (stay.endpoints.local.port(), stay.endpoints.remote.port());
    let socket = stay.cookie.unwrap_or(stay.key.get());
    format!("{boot}-{socket:x}-{state}-{local}-{remote}").into()
}
