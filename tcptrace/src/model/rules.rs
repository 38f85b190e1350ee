//! What somebody wants to be told of, how soon and how urgently.

use core::time::Duration;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::evidence::Evidence;
use super::filter::Filter;
use super::snapshot::Observed;
use super::socket::{Endpoints, NetNs, StayState};
use super::stay::Stay;
use super::time::Instant;
use super::tracker::Thresholds;
use super::verdict::{Finding, Verdict};

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

/// Which stays a rule is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Their states; empty: all.
    pub states: Vec<StayState>,
    /// And what else must hold.
    pub filter: Filter,
}

impl About {
    /// Whether stays in `state` can be meant.
    pub fn admits_state(&self, state: StayState) -> bool {
        self.states.is_empty() || self.states.contains(&state)
    }

    /// Whether the stay is meant, given what a look at it showed.
    pub fn admits(&self, stay: &Stay, evidence: &Evidence, finding: &Finding) -> bool {
        self.admits_state(stay.state) && self.filter.admits_finding(stay, evidence, finding)
    }

    /// Whether the stay is meant, where only the socket itself counts.
    pub fn admits_unlooked(&self, stay: &Stay) -> bool {
        self.admits_state(stay.state) && self.filter.sockets.admits(stay.netns, &stay.endpoints)
    }

    /// Whether an orphan with these ends is meant, which no process holds.
    pub fn admits_orphan(&self, netns: Option<NetNs>, endpoints: &Endpoints) -> bool {
        self.admits_state(StayState::FinWait2)
            && self.filter.admits_unheld(netns, endpoints, Verdict::Orphan)
    }
}

/// Tells of stays that last for too long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name.
    pub name: Arc<str>,
    /// How urgent it is.
    pub severity: Severity,
    /// Which stays.
    pub about: About,
    /// How long they may last; `None`: as long as any other in the same state.
    pub after: Option<Duration>,
}

/// Stays that nobody wants to hear of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ignored {
    /// Which.
    pub about: About,
    /// Until then; `None`: ever.
    pub until: Option<Instant>,
}

/// All that was configured. With none of it every stay is told of at its state's threshold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// For stays. Of those that match and whose time has come the most severe counts, of equals the
    /// first. A stay that none matches is told of at its state's threshold.
    pub stuck: Vec<Rule>,
    /// What is not told of, whatever matches.
    pub ignored: Vec<Ignored>,
    /// For many stays at once.
    pub conditions: Vec<Condition>,
}

/// What is to be said of one stay at one age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighed {
    /// By which rule to tell of it now, and how long that one lets it last.
    pub told: Option<(Urgency, Duration)>,
    /// The least time that it may last.
    pub first: Duration,
    /// The age at which there may be more to say.
    pub next: Option<Duration>,
}

impl Rules {
    /// After how long a stay in `state` may have to be told of, whoever holds it.
    pub fn soonest(&self, state: StayState, thresholds: &Thresholds) -> Duration {
        let rules = self.stuck.iter().filter(|rule| rule.about.admits_state(state));
        let soonest = rules.filter_map(|rule| rule.after).min();
        let default = thresholds.of(state);
        soonest.map_or(default, |soonest| soonest.min(default))
    }

    /// How long an orphan with these ends may last.
    pub fn of_orphan(
        &self,
        netns: Option<NetNs>,
        endpoints: &Endpoints,
        thresholds: &Thresholds,
    ) -> Duration {
        let rules = self.stuck.iter().filter(|rule| rule.about.admits_orphan(netns, endpoints));
        rules
            .map(|rule| rule.after.unwrap_or(thresholds.fin_wait2))
            .min()
            .unwrap_or(thresholds.fin_wait2)
    }

    /// Likewise of one that a look shows.
    pub fn of_minisocket(&self, socket: &Observed, thresholds: &Thresholds) -> Duration {
        self.of_orphan(Some(socket.netns), &socket.endpoints, thresholds)
    }

    /// What is to be said of `stay` at `age`, given what was found out.
    pub fn weigh(
        &self,
        stay: &Stay,
        evidence: &Evidence,
        finding: &Finding,
        age: Duration,
        thresholds: &Thresholds,
    ) -> Weighed {
        let default = thresholds.of(stay.state);
        let matching = self.stuck.iter().filter(|rule| rule.about.admits(stay, evidence, finding));
        let mut rules = matching
            .map(|rule| {
                let Rule { severity, name, after, .. } = rule;
                let urgency = Urgency { severity: *severity, rule: Some(Arc::clone(name)) };
                (urgency, after.unwrap_or(default))
            })
            .collect::<Vec<_>>();
        if rules.is_empty() {
            rules.push((Urgency::default(), default));
        }
        let first = rules.iter().map(|&(_, after)| after).min().unwrap_or(default);
        let next = rules.iter().map(|&(_, after)| after).filter(|&after| after > age).min();
        // The last of several maxima would be taken.
        let come = rules.into_iter().rev().filter(|&(_, after)| after <= age);
        let told = come.max_by_key(|(urgency, _)| urgency.severity);
        Weighed { told, first, next }
    }

    /// Whether nobody wants to hear of `stay` at `now`.
    pub fn ignores(
        &self,
        now: Instant,
        stay: &Stay,
        evidence: &Evidence,
        finding: &Finding,
    ) -> bool {
        let in_force = |ignored: &&Ignored| ignored.until.is_none_or(|until| now < until);
        let mut ignored = self.ignored.iter().filter(in_force);
        ignored.any(|ignored| ignored.about.admits(stay, evidence, finding))
    }
}
