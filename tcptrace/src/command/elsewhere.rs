//! What is told to sinks, and what an earlier run told them that nobody has told the end of.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Result;

use super::{Style, notice};
use crate::alert::Alerts;
use crate::cli::config::sink::Sinks;
use crate::journal::history::Told;
use crate::model::delivery::Delivery;
use crate::model::engine::Output;
use crate::model::group::{GroupNotice, GroupStatus};
use crate::model::history::PastGroup;
use crate::model::stay::EndedBy;
use crate::model::time::{Anchor, Instant};
use crate::model::verdict::Blame;

/// By then everything that was stuck before has been looked at: it is due at once.
const SETTLED: Duration = Duration::from_secs(15);

/// See the module.
pub struct Elsewhere {
    alerts: Alerts,
    /// Groups of the run before of which nothing has been heard yet.
    pending: HashMap<Arc<str>, PastGroup>,
    began: Instant,
}

impl Elsewhere {
    /// Starts a thread for each sink.
    ///
    /// # Errors
    /// If one cannot be started, or a secret of it cannot be read.
    pub fn start(sinks: &Sinks, style: &Style, told: Told, now: Instant) -> Result<Self> {
        let known = told.groups.keys().cloned().chain(told.conditions).collect();
        let alerts = Alerts::start(sinks, &style.host, &known, notice)?;
        Ok(Self { alerts, pending: told.groups, began: now })
    }

    /// Goes on with other sinks; those that cannot be used change nothing, which is said.
    pub fn reload(&mut self, sinks: &Sinks) {
        if let Err(error) = self.alerts.reload(sinks) {
            notice(&format!("alerts go where they went before: {error:#}"));
        }
    }

    /// Tells of what is to be told.
    pub fn tell(&mut self, output: &Output, now: Anchor) {
        match output {
            Output::Group(group) => {
                self.pending.remove(&group.id);
                self.alerts.group(group, now);
            }
            Output::Condition(condition) => self.alerts.condition(condition, now),
            _ => {}
        }
    }

    /// Groups that are over without anybody having seen how.
    pub fn ended_meanwhile(&mut self, now: Instant) -> Vec<GroupNotice> {
        if self.pending.is_empty() || now.since(self.began) < SETTLED {
            return Vec::new();
        }
        self.pending.drain().map(|(_, group)| over(group, now)).collect()
    }

    /// How it goes.
    pub fn status(&self) -> Vec<Delivery> {
        self.alerts.status()
    }

    /// Has everything that waits sent, once and within some seconds.
    pub fn finish(self) -> Vec<Delivery> {
        self.alerts.finish()
    }
}

fn over(group: PastGroup, now: Instant) -> GroupNotice {
    let why = group.verdict.why().into();
    let peak = usize::try_from(group.peak).unwrap_or(usize::MAX);
    GroupNotice {
        status: GroupStatus::Resolved,
        blame: group.process.map(|process| Blame { process, why, candidates: Vec::new() }),
        peak,
        oldest: group.oldest,
        ended: vec![(EndedBy::Unknown, peak)],
        ..GroupNotice::bare(group.id, now, group.state, group.verdict)
    }
}
