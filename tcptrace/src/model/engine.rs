//! The core as one machine: inputs go in through [`Engine::handle`], what is to be done comes out
//! of [`Engine::poll`], and [`Engine::next_deadline`] says when to call again at the latest.
//! A live run, a replay and the tests differ only in where inputs come from.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use self::repair::Repair;
use super::alert::Alert;
use super::code::PathId;
use super::condition::{ConditionNotice, Conditions};
use super::event::{Deed, DeedKind, Lost, Transition};
use super::evidence::{Evidence, Suspect};
use super::figures::Ends;
use super::filter::Filter;
use super::group::{GroupNotice, Groups};
use super::history::Entry;
use super::ledger::Ledger;
use super::memory::Memory;
use super::orphans::{Minisockets, Namespaces, Orphans};
use super::reads::Reads;
use super::rules::Rules;
use super::snapshot::Snapshot;
use super::socket::{Identity, SocketKey, StayState, TcpState};
use super::stay::{Ended, EndedBy, Stay, StayId};
use super::time::Instant;
use super::tracker::{Counts, Thresholds, Tracker};

/// After a look that failed, when to look again.
const RETRY: Duration = Duration::from_secs(1);
/// How often a stay that was told of is looked at again: a verdict may get better, and is told again
/// no more often than that.
const AGAIN: Duration = Duration::from_secs(60);
/// How long it may take until a socket that leaves CLOSE_WAIT shows whether its descriptor stays: the
/// peer has to acknowledge, and the program to close what it has shut down.
const LEAVING: Duration = Duration::from_secs(1);
/// Outputs for which there is room at any time.
const OUTPUTS: usize = 64;

/// What the core is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// A socket changed its state.
    Transition(&'a Transition),
    /// The snapshot asked for: all transitions of before its end have been handled. `None` where
    /// it could not be taken.
    Snapshot(Option<&'a Snapshot>),
    /// The minisockets of the namespaces asked for. `None` where one of these could not be asked.
    Orphans(Option<&'a Minisockets>),
    /// A program did something with a socket. All transitions of before it have been handled, but for
    /// those whose records are held up.
    Deed(&'a Deed),
    /// How much has been lost since the start.
    Lost(Lost),
    /// What was found out about the stays asked for; all transitions of before the look began have
    /// been handled. `None` where the look itself failed.
    Evidence(Option<Vec<(StayId, Evidence)>>),
    /// What to tell of, and when, from now on.
    Configured(&'a Thresholds, &'a Rules),
    /// Time has passed.
    Tick,
}

/// What the core wants done.
#[derive(Debug)]
pub enum Output {
    /// Find out about these and answer with [`Input::Evidence`]. No more is asked before that.
    Examine(Vec<Suspect>),
    /// Look at all sockets and answer with [`Input::Snapshot`], likewise.
    TakeSnapshot {
        /// Whether those in other states count too.
        others: bool,
    },
    /// Look at the minisockets of these namespaces and answer with [`Input::Orphans`], likewise.
    FindOrphans {
        /// Where.
        namespaces: Namespaces,
        /// The code that closed them, by cookie, which is to be named.
        closers: FxHashMap<u64, PathId>,
    },
    /// Tell of one stay.
    Alert(Arc<Alert>),
    /// Tell of a group.
    Group(Box<GroupNotice>),
    /// Tell of a condition.
    Condition(Box<ConditionNotice>),
    /// Keep this, if [`Thresholds::record`] asks for a record.
    Keep(Entry),
}

/// What the core is given at its start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EngineConfig {
    /// When to look.
    pub thresholds: Thresholds,
    /// What to tell of.
    pub filter: Filter,
    /// How soon, and how urgently.
    #[serde(default)]
    pub rules: Rules,
    /// How many sockets to track at most.
    pub capacity: usize,
    /// This boot's id, part of every alert's.
    pub boot_id: String,
    /// What the probe knows sockets by.
    pub identity: Identity,
    /// Whether [`Input::Deed`] tells of reads of the end of file.
    pub eof: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    told_of: Filter,
    tracker: Tracker,
    firing: FxHashMap<StayId, Arc<Alert>>,
    reads: Reads,
    /// What an earlier run saw of stays that go on.
    memories: FxHashMap<StayId, Memory>,
    /// Stays that were told of and have ended by a close or a shutdown: which, shows a moment later.
    /// Goes round in the same order in a replay, as a map with a random seed would not.
    leaving: FxHashMap<SocketKey, Ended>,
    began: Option<Instant>,
    groups: Groups,
    conditions: Conditions,
    orphans: Orphans,
    examining: Option<Vec<StayId>>,
    repair: Repair,
    lost: Lost,
    /// `None`: nothing is kept.
    ledger: Option<Ledger>,
    /// How long stays lasted that are over.
    ends: Ends,
    outputs: VecDeque<Output>,
    alerts: u64,
}

impl Engine {
    /// A core that knows of no socket yet.
    pub fn new(config: EngineConfig) -> Self {
        let tracker = Tracker::new(configured::looks(&config), config.capacity, config.identity);
        Self {
            told_of: config.filter.clone(),
            conditions: Conditions::new(config.rules.conditions.clone()),
            config,
            tracker,
            firing: FxHashMap::default(),
            reads: Reads::default(),
            memories: FxHashMap::default(),
            leaving: FxHashMap::default(),
            began: None,
            groups: Groups::default(),
            orphans: Orphans::default(),
            examining: None,
            repair: Repair::default(),
            lost: Lost::default(),
            ledger: None,
            ends: Ends::default(),
            outputs: VecDeque::new(),
            alerts: 0,
        }
    }

    /// Tells of what `filter` admits from now on. What is tracked stays as it was configured.
    pub fn tell_of(&mut self, filter: Filter) {
        self.told_of = filter;
    }

    /// Takes in one input; `now` is not before any moment it mentions.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        let namespaces = &self.config.filter.sockets;
        match input {
            Input::Transition(event) if !namespaces.may_admit(event.netns) => {}
            Input::Transition(event) => {
                if event.new == TcpState::Close && !self.leaving.is_empty() {
                    self.has_left(event);
                }
                if let Some(ledger) = &mut self.ledger {
                    ledger.transition(event);
                }
                if let Some(ended) = &self.tracker.apply(event) {
                    self.stay_ended(ended, event);
                }
            }
            Input::Snapshot(snapshot) => self.take_in(now, snapshot),
            Input::Orphans(shown) => self.orphans_shown(now, shown),
            Input::Deed(deed) => self.take_deed(deed),
            Input::Lost(lost) => {
                self.repair.lost = lost.known();
                self.lost = lost;
            }
            Input::Evidence(evidence) => self.judge_all(now, evidence),
            Input::Configured(thresholds, rules) => self.configure(now, thresholds, rules),
            Input::Tick => self.tick(now),
        }
    }

    fn take_deed(&mut self, deed: &Deed) {
        let key = deed.key(self.config.identity);
        match deed.kind {
            DeedKind::Released => {
                // Shut down first and closed then, as Java does.
                if let Some(mut ended) = self.leaving.remove(&key) {
                    ended.by = EndedBy::of_task(deed.exiting, EndedBy::Closed);
                    self.over(&ended, None);
                }
                if let Some(ended) = self.tracker.released(key, deed.at, deed.exiting) {
                    self.over(&ended, None);
                }
            }
            DeedKind::Accepted => {
                if let Some(path) = deed.path {
                    self.tracker.accepted(key, path, deed.at);
                }
            }
            DeedKind::EofRead | DeedKind::EofPeeked => {
                self.reads.take(key, deed, self.tracker.phase(key));
            }
        }
    }

    /// A socket that was closed has lost its `struct socket` by now, one that was shut down has not.
    fn has_left(&mut self, event: &Transition) {
        let Some(ended) = self.leaving.get_mut(&event.key) else { return };
        if event.circumstances.is_some_and(|at_end| at_end.has_socket) {
            // Unless it is closed within a moment.
            ended.by = EndedBy::Shutdown;
        } else if let Some(ended) = self.leaving.remove(&event.key) {
            self.over(&ended, None);
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.began.is_none() {
            self.began = Some(now);
            self.ledger = self.config.thresholds.record.map(|_| Ledger::new(now));
        }
        self.sum_up(now, false);
        let Self { reads, tracker, .. } = self;
        reads.settle(now, |key| tracker.phase(key));
        if !self.leaving.is_empty() {
            let late: Vec<_> =
                self.leaving.extract_if(|_, ended| now.since(ended.at) >= LEAVING).collect();
            for (_, ended) in late {
                self.over(&ended, None);
            }
        }
        if self.examining.is_none() {
            let due: Vec<_> = core::iter::from_fn(|| self.tracker.pop_due(now)).collect();
            if !due.is_empty() {
                self.examining = Some(due.iter().map(|stay| stay.id).collect());
                let suspect = |stay: Stay| Suspect { stay, eof_reads: self.reads.of(stay.key) };
                let suspects = due.into_iter().map(suspect).collect();
                self.outputs.push_back(Output::Examine(suspects));
            }
        }
        self.look_at_all(now);
        if self.conditions.ask(now) {
            self.orphans.look_everywhere(now);
        }
        if let Some(namespaces) = self.orphans.due(now) {
            let closers = self.orphans.closers();
            self.outputs.push_back(Output::FindOrphans { namespaces, closers });
        }
        for notice in self.groups.tell(now, self.examining.is_some()) {
            self.outputs.push_back(Output::Group(Box::new(notice)));
        }
        let Self { conditions, tracker, config, outputs, .. } = self;
        for notice in conditions.tell(now, &config.boot_id, || tracker.stays()) {
            outputs.push_back(Output::Condition(Box::new(notice)));
        }
    }

    /// Keeps the numbers of what has happened since the last time; `at_last`, however little that is.
    pub fn sum_up(&mut self, now: Instant, at_last: bool) {
        let Self { ledger: Some(ledger), tracker, lost, .. } = self else { return };
        let half_closed = tracker.half_closed();
        let interval = ledger.interval(now, at_last, *lost, tracker.counts(), half_closed);
        self.outputs.extend(interval.map(Output::Keep));
    }

    fn stay_ended(&mut self, ended: &Ended, event: &Transition) {
        let told = self.firing.contains_key(&ended.stay.id);
        let given_up = ended.stay.state == StayState::FinWait2
            && event.new == TcpState::Close
            && match event.circumstances {
                // With the peer's FIN it is over, also where a minisocket goes on in TIME_WAIT.
                Some(at_end) => {
                    at_end.err == 0 && !at_end.done && (ended.stay.orphan || at_end.dead)
                }
                // Perhaps: a look in vain costs nothing, a second alert would be wrong.
                None => ended.stay.orphan || !told,
            };
        let read = self.reads.forget(ended.stay.key);
        let leaves = told && ended.by == EndedBy::Closed && event.new == TcpState::LastAck;
        if leaves {
            self.leaving.insert(ended.stay.key, *ended);
        } else if given_up {
            let EngineConfig { rules, thresholds, .. } = &self.config;
            let Stay { netns, endpoints, .. } = &ended.stay;
            let threshold = rules.of_orphan(*netns, endpoints, thresholds);
            self.orphans.given_up(ended, threshold, told);
            if !told {
                self.record_end(ended, read);
                self.let_go(ended.stay.id);
            }
        } else {
            self.over(ended, read);
        }
    }

    /// The next thing to be done.
    pub fn poll(&mut self) -> Option<Output> {
        let next = self.outputs.pop_front();
        if next.is_none() {
            // After many alerts at once it would stay as large as they were.
            self.outputs.shrink_to(OUTPUTS);
        }
        next
    }

    /// The stay, if it still goes on.
    pub fn stay(&self, id: StayId) -> Option<Stay> {
        self.tracker.get(id)
    }

    /// The stay that the socket with `key` is in.
    pub fn stay_of(&self, key: SocketKey) -> Option<Stay> {
        self.tracker.stay_of(key)
    }

    /// When to [`Input::Tick`] next, if nothing else comes in before.
    pub fn next_deadline(&self) -> Option<Instant> {
        let stays = self.tracker.next_deadline().filter(|_| self.examining.is_none());
        let repair = self.repair.due(self.tracker.counts());
        let leaving = self.leaving.values().map(|ended| ended.at.after(LEAVING)).min();
        let groups = self.groups.next_deadline(self.examining.is_some());
        let told = [groups, self.conditions.next_deadline()];
        [stays, self.orphans.next_deadline(), repair, leaving]
            .into_iter()
            .chain(told)
            .flatten()
            .min()
    }

    /// What the tracker has counted.
    pub const fn counts(&self) -> Counts {
        self.tracker.counts()
    }

    /// How many sockets are tracked now.
    pub fn tracked(&self) -> usize {
        self.tracker.tracked() + self.orphans.followed()
    }

    /// How many alerts have fired, and how many groups have formed and resolved.
    pub const fn told(&self) -> (u64, u64, u64) {
        (self.alerts, self.groups.formed, self.groups.resolved)
    }
}

mod configured;
mod figures;
mod judging;
mod repair;

#[cfg(test)]
mod tests;
