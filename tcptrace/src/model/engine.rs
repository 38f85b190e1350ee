//! The core as one machine: inputs go in through [`Engine::handle`], what is to be done comes out
//! of [`Engine::poll`], and [`Engine::next_deadline`] says when to call again at the latest.
//! A live run, a replay and the tests differ only in where inputs come from.

use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::alert::{Alert, alert_id};
use super::event::Transition;
use super::evidence::Evidence;
use super::filter::Filter;
use super::group::{GroupNotice, Groups};
use super::stay::{Ended, Stay, StayId};
use super::time::Instant;
use super::tracker::{Counts, Observed, Thresholds, Tracker};
use super::verdict::{Judgement, judge};

/// After a look that failed, when to look again.
const RETRY: Duration = Duration::from_secs(1);

/// What the core is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// A socket changed its state.
    Transition(&'a Transition),
    /// A snapshot is about to be taken.
    SnapshotBegins,
    /// And was: all transitions of before its end have been handled.
    Snapshot(&'a [Observed]),
    /// What was found out about the stays asked for; all transitions of before the look began have
    /// been handled. `None` where the look itself failed.
    Evidence(Option<Vec<(StayId, Evidence)>>),
    /// Time has passed.
    Tick,
}

/// What the core wants done.
#[derive(Debug)]
pub enum Output {
    /// Find out about these and answer with [`Input::Evidence`]. No more is asked before that.
    Examine(Vec<Stay>),
    /// Tell of one stay.
    Alert(Box<Alert>),
    /// Tell of a group.
    Group(Box<GroupNotice>),
}

/// What the core is given at its start.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// When to look.
    pub thresholds: Thresholds,
    /// What to tell of.
    pub filter: Filter,
    /// How many sockets to track at most.
    pub capacity: usize,
    /// This boot's id, part of every alert's.
    pub boot_id: String,
}

/// See the module.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    tracker: Tracker,
    firing: HashMap<StayId, Alert>,
    groups: Groups,
    examining: Option<Vec<StayId>>,
    outputs: VecDeque<Output>,
    alerts: u64,
}

impl Engine {
    /// A core that knows of no socket yet.
    pub fn new(config: EngineConfig) -> Self {
        let tracker = Tracker::new(config.thresholds, config.capacity);
        Self {
            config,
            tracker,
            firing: HashMap::new(),
            groups: Groups::default(),
            examining: None,
            outputs: VecDeque::new(),
            alerts: 0,
        }
    }

    /// Takes in one input; `now` is not before any moment it mentions.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        let namespaces = &self.config.filter.sockets;
        match input {
            Input::Transition(event) if !namespaces.admits_namespace(event.netns) => {}
            Input::Transition(event) => {
                if let Some(ended) = self.tracker.apply(event).ended {
                    self.resolve(&ended);
                }
            }
            Input::SnapshotBegins => self.tracker.snapshot_begins(),
            Input::Snapshot(observed) => {
                let wanted = observed.iter().filter(|o| namespaces.admits_namespace(o.netns));
                self.tracker.snapshot_ends(now, wanted);
            }
            Input::Evidence(evidence) => self.judge_all(now, evidence),
            Input::Tick => self.tick(now),
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.examining.is_none() {
            let due: Vec<_> = core::iter::from_fn(|| self.tracker.pop_due(now)).collect();
            if !due.is_empty() {
                self.examining = Some(due.iter().map(|stay| stay.id).collect());
                self.outputs.push_back(Output::Examine(due));
            }
        }
        for notice in self.groups.tell(now) {
            self.outputs.push_back(Output::Group(Box::new(notice)));
        }
    }

    fn judge_all(&mut self, now: Instant, evidence: Option<Vec<(StayId, Evidence)>>) {
        let asked = self.examining.take().unwrap_or_default();
        let Some(evidence) = evidence else {
            for id in asked {
                self.tracker.postpone(id, now.after(RETRY), None, now);
            }
            return;
        };
        for (id, evidence) in evidence {
            self.judge(now, id, evidence);
        }
        self.tick(now);
    }

    fn judge(&mut self, now: Instant, id: StayId, evidence: Evidence) {
        let Some(&stay) = self.tracker.get(id) else { return };
        let threshold = self.config.thresholds.of(stay.state);
        match judge(&stay, &evidence, threshold) {
            Judgement::Stuck(finding) => {
                let processes = evidence
                    .holders
                    .iter()
                    .flatten()
                    .map(|holder| &*holder.process)
                    .chain(finding.blame.iter().map(|blame| &*blame.process));
                let filter = &self.config.filter;
                if !filter.admits(stay.netns, &stay.endpoints, finding.verdict, processes) {
                    return;
                }
                self.fire(Alert {
                    id: alert_id(&self.config.boot_id, &stay),
                    group: "".into(),
                    stay,
                    at: now,
                    threshold,
                    finding: Rc::new(finding),
                    evidence: Rc::new(evidence),
                    ended_by: None,
                });
            }
            Judgement::InUse(_, again) => {
                self.tracker.postpone(id, again, evidence.progress, evidence.looked_at);
            }
            Judgement::Exempt(_) => {}
            // Its transition is on its way; if that was lost, the next look finds it vanished.
            Judgement::Gone => self.tracker.postpone(id, now.after(RETRY), None, now),
            Judgement::Vanished => {
                self.tracker.forget(id, now);
            }
        }
    }

    fn fire(&mut self, mut alert: Alert) {
        alert.group = Groups::id_for(&alert, &self.config.boot_id);
        self.alerts += 1;
        self.groups.add(&alert);
        self.firing.insert(alert.stay.id, alert.clone());
        self.outputs.push_back(Output::Alert(Box::new(alert)));
    }

    fn resolve(&mut self, ended: &Ended) {
        // Nearly every stay of a healthy host ends here.
        if self.firing.is_empty() {
            return;
        }
        if let Some(alert) = self.firing.remove(&ended.stay.id) {
            let alert = alert.resolved(ended);
            self.groups.remove(&alert);
            self.outputs.push_back(Output::Alert(Box::new(alert)));
        }
    }

    /// The next thing to be done.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to [`Input::Tick`] next, if nothing else comes in before.
    pub fn next_deadline(&self) -> Option<Instant> {
        let stays = self.tracker.next_deadline().filter(|_| self.examining.is_none());
        stays.into_iter().chain(self.groups.next_deadline()).min()
    }

    /// What the tracker has counted.
    pub const fn counts(&self) -> Counts {
        self.tracker.counts()
    }

    /// How many sockets are tracked now.
    pub fn tracked(&self) -> usize {
        self.tracker.tracked()
    }

    /// How many alerts have fired, and how many groups have formed and resolved.
    pub const fn told(&self) -> (u64, u64, u64) {
        (self.alerts, self.groups.formed, self.groups.resolved)
    }
}

#[cfg(test)]
mod tests;
