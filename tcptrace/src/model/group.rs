//! Alerts with one cause become one message that grows.
//!
//! A group is told within a second when it forms, at once when it is empty, and in between ever more rarely:
//! after 10 s, then twice as long each time, up to 5 min, and only when its size has changed. One that
//! comes back after it was empty goes on from there, so that a leak which comes and goes is not told of
//! each time.

mod key;
mod notice;

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use self::key::GroupKey;
pub use self::key::group_id;
pub use self::notice::{GroupNotice, GroupStatus, Peer};
use super::alert::Alert;
use super::code::CodePath;
use super::evidence::ThreadState;
use super::forecast::{PortUse, forecast};
use super::growth::Growth;
use super::process::Process;
use super::proof::Proof;
use super::rules::{Severity, Urgency};
use super::socket::StayState;
use super::stay::{EndedBy, Stay, StayId};
use super::time::Instant;
use super::verdict::{Blame, Confidence, Finding, Verdict};

/// A leak rarely falls due all at once: what follows so soon goes into the first message.
const SETTLE: Duration = Duration::from_millis(100);
/// Where a look is under way that may find more, the message waits for it, but no longer than this.
const SETTLE_LOOKING: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// One that shrinks is told of when it has lost a fifth: a few that come and go say nothing.
const SHRUNK: f64 = 0.8;
const EXAMPLES: usize = 3;

#[derive(Debug)]
struct Group {
    id: Arc<str>,
    urgency: Urgency,
    verdict: Verdict,
    confidence: Confidence,
    state: StayState,
    code: Option<CodePath>,
    caveat: Option<&'static str>,
    proof: Option<Proof>,
    threads: Option<ThreadState>,
    blame: Option<Blame>,
    members: BTreeMap<StayId, Arc<Alert>>,
    peak: usize,
    formed: Instant,
    oldest_ever: Instant,
    ended: BTreeMap<&'static str, (EndedBy, usize)>,
    withdrawn: usize,
    growth: Growth,
    told: Option<Told>,
    /// What it was told of before it was empty.
    rested: Option<Told>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    members: usize,
    next: Instant,
    pause: Duration,
}

impl Told {
    /// When a group that was told of so and is empty is forgotten.
    fn over(self) -> Instant {
        self.next.after(self.pause)
    }
}

/// A group as it stands, whether or not it was told of.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The state its members are in.
    pub state: StayState,
    /// Why they are stuck.
    pub verdict: Verdict,
    /// How urgent that is.
    pub severity: Severity,
    /// The process blamed for all of them, as it was last seen.
    pub process: Option<&'a Process>,
    /// How many there are.
    pub members: u64,
}

/// All groups there are.
#[derive(Debug, Default)]
pub struct Groups {
    groups: BTreeMap<GroupKey, Group>,
    /// Those that have become empty lately.
    resting: BTreeMap<GroupKey, Told>,
    /// How many have formed.
    pub formed: u64,
    /// How many have become empty again.
    pub resolved: u64,
}

impl Groups {
    /// The id of the group that a stay with this finding belongs to; as [`group_id`], but all members
    /// have one copy of it.
    pub fn id_of(
        &self,
        boot_id: &str,
        stay: &Stay,
        finding: &Finding,
        urgency: &Urgency,
    ) -> Arc<str> {
        let key = GroupKey::of(stay, finding, urgency);
        self.groups.get(&key).map_or_else(|| key.id(boot_id), |group| Arc::clone(&group.id))
    }

    /// Takes in a firing alert.
    pub fn add(&mut self, alert: &Arc<Alert>) {
        let key = GroupKey::of_alert(alert);
        let rested = self.resting.remove(&key).filter(|rested| alert.at < rested.over());
        let group = self.groups.entry(key).or_insert_with(|| Group {
            id: Arc::clone(&alert.group),
            urgency: alert.urgency.clone(),
            verdict: alert.finding.verdict,
            confidence: alert.finding.confidence,
            state: alert.stay.state,
            code: alert.finding.code.clone(),
            caveat: alert.evidence.stack_caveat(),
            proof: None,
            threads: None,
            blame: alert.finding.blame.clone(),
            members: BTreeMap::new(),
            peak: 0,
            formed: alert.at,
            oldest_ever: alert.stay.since,
            ended: BTreeMap::new(),
            withdrawn: 0,
            growth: Growth::default(),
            told: None,
            rested,
        });
        // The newest look knows the process best.
        group.blame.clone_from(&alert.finding.blame);
        group.proof = match &alert.finding.code {
            Some(code) => alert.evidence.proof_of(code.did),
            None => None,
        };
        group.threads = alert.evidence.threads;
        group.members.insert(alert.stay.id, Arc::clone(alert));
        group.peak = group.peak.max(group.members.len());
        group.oldest_ever = group.oldest_ever.min(alert.stay.since);
        group.remember(alert.at);
    }

    /// Takes out one that is over.
    pub fn remove(&mut self, alert: &Alert) {
        if let Some(group) = self.groups.get_mut(&GroupKey::of_alert(alert))
            && group.members.remove(&alert.stay.id).is_some()
        {
            let by = alert.ended_by.unwrap_or(EndedBy::Unknown);
            group.ended.entry(by.name()).or_insert((by, 0)).1 += 1;
            group.remember(alert.at);
        }
    }

    /// Takes out one that is told of otherwise now, by `instead`.
    pub fn withdraw(&mut self, alert: &Alert, instead: &Alert) {
        if GroupKey::of_alert(alert) == GroupKey::of_alert(instead) {
            return;
        }
        self.take_out(alert, instead.at);
    }

    /// Takes out one that goes on and is no longer told of.
    pub fn take_out(&mut self, alert: &Alert, now: Instant) {
        if let Some(group) = self.groups.get_mut(&GroupKey::of_alert(alert))
            && group.members.remove(&alert.stay.id).is_some()
        {
            group.withdrawn += 1;
            group.remember(now);
        }
    }

    /// What is to be told at `now`; if `looking`, a look is under way that may find more members.
    pub fn tell(&mut self, now: Instant, looking: bool) -> Vec<GroupNotice> {
        let mut notices = Vec::new();
        let Self { groups, resting, formed, resolved } = self;
        resting.retain(|_, told| now < told.over());
        groups.retain(|key, group| {
            if let (None, Some(rested), true) = (group.told, group.rested, group.members.is_empty())
            {
                resting.insert(key.clone(), rested);
                return false;
            }
            // One that is empty before it was told of is told of twice: as it was, and that it is over.
            while let Some(status) = group.status(now, looking) {
                notices.push(group.notice(status, now));
                group.tell(now);
                match status {
                    GroupStatus::Firing => *formed += 1,
                    GroupStatus::Resolved => {
                        *resolved += 1;
                        resting.extend(group.told.map(|told| (key.clone(), told)));
                        return false;
                    }
                    GroupStatus::Growing | GroupStatus::Shrinking => {}
                }
            }
            true
        });
        notices
    }

    /// Those that have members.
    pub fn each(&self) -> impl Iterator<Item = Standing<'_>> {
        let groups = self.groups.values().filter(|group| !group.members.is_empty());
        groups.map(|group| Standing {
            state: group.state,
            verdict: group.verdict,
            severity: group.urgency.severity,
            process: group.blame.as_ref().map(|blame| &*blame.process),
            members: group.members.len() as u64,
        })
    }

    /// When a group whose size has changed is next to be told of, as things stand.
    pub fn next_deadline(&self, looking: bool) -> Option<Instant> {
        self.groups.values().filter_map(|group| group.next_deadline(looking)).min()
    }
}

impl Group {
    fn remember(&mut self, at: Instant) {
        self.growth.remember(at, self.members.len());
    }

    fn next_deadline(&self, looking: bool) -> Option<Instant> {
        match self.told {
            None => Some(self.settled(looking)),
            Some(told) => self.moved(told).map(|_| told.next),
        }
    }

    /// When it is told of first.
    fn settled(&self, looking: bool) -> Instant {
        let settled = self.formed.after(if looking { SETTLE_LOOKING } else { SETTLE });
        self.rested.map_or(settled, |rested| settled.max(rested.next))
    }

    /// How it stands against the last time, if that is worth telling.
    fn moved(&self, told: Told) -> Option<GroupStatus> {
        let members = self.members.len();
        if members > told.members {
            Some(GroupStatus::Growing)
        } else if members as f64 <= told.members as f64 * SHRUNK {
            Some(GroupStatus::Shrinking)
        } else {
            None
        }
    }

    fn status(&self, now: Instant, looking: bool) -> Option<GroupStatus> {
        let empty = self.members.is_empty();
        let Some(told) = self.told else {
            let settled = empty || now >= self.settled(looking);
            return settled.then_some(GroupStatus::Firing);
        };
        if empty {
            return Some(GroupStatus::Resolved);
        }
        self.moved(told).filter(|_| now >= told.next)
    }

    fn tell(&mut self, now: Instant) {
        let before = self.told.or(self.rested);
        let pause = before.map_or(FIRST_PAUSE, |told| (told.pause * 2).min(LONGEST_PAUSE));
        self.told = Some(Told { members: self.members.len(), next: now.after(pause), pause });
    }

    /// The ports that connections to the destination of most members use up.
    fn ports(&self) -> PortUse {
        let mut ports = PortUse::default();
        for alert in self.members.values() {
            ports.add(alert.stay.endpoints, alert.evidence.port_range);
        }
        ports
    }

    fn notice(&self, status: GroupStatus, now: Instant) -> GroupNotice {
        let mut by_age: Vec<_> = self.members.values().collect();
        by_age.sort_by_key(|alert| alert.stay.since);
        let oldest = by_age.first().map_or(self.oldest_ever, |alert| alert.stay.since);
        let growth = self.growth.per_min(now, self.members.len());
        let descriptors = self.blame.as_ref().and_then(|blame| blame.process.descriptors);
        let mut ended: Vec<_> = self.ended.values().copied().collect();
        ended.sort_by_key(|&(_, count)| core::cmp::Reverse(count));
        GroupNotice {
            id: Arc::clone(&self.id),
            at: now,
            status,
            urgency: self.urgency.clone(),
            verdict: self.verdict,
            confidence: self.confidence,
            state: self.state,
            code: self.code.clone(),
            threads: self.threads.filter(|_| nobody_looked(self.verdict)),
            proof: self.proof,
            caveat: self.caveat.filter(|_| needs_code(self.verdict)),
            blame: self.blame.clone(),
            members: if status == GroupStatus::Firing { self.peak } else { self.members.len() },
            peak: self.peak,
            oldest: now.since(oldest),
            exact: by_age.iter().all(|alert| alert.stay.exact),
            growth_per_min: growth,
            forecast: growth.and_then(|growth| forecast(descriptors, self.ports().most(), growth)),
            examples: by_age.iter().take(EXAMPLES).map(|alert| Arc::clone(&alert.id)).collect(),
            peers: peers(self.members.values()),
            ended,
            withdrawn: self.withdrawn,
        }
    }
}

/// Whether the program has not touched the sockets since their peers left.
pub const fn nobody_looked(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::EofUnread | Verdict::DataUnread)
}

/// Whether the code that read the end of file is part of the finding.
const fn needs_code(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::EofRead | Verdict::SharedFd)
}

fn peers<'a>(members: impl Iterator<Item = &'a Arc<Alert>>) -> Vec<(Peer, usize)> {
    let mut by_ip = BTreeMap::<IpAddr, (Option<u16>, usize)>::new();
    for alert in members {
        let remote = alert.stay.endpoints.remote;
        let entry = by_ip.entry(remote.ip().to_canonical()).or_insert((Some(remote.port()), 0));
        entry.0 = entry.0.filter(|&port| port == remote.port());
        entry.1 += 1;
    }
    let mut peers: Vec<_> =
        by_ip.into_iter().map(|(ip, (port, count))| (Peer { ip, port }, count)).collect();
    peers.sort_by_key(|&(peer, count)| (core::cmp::Reverse(count), peer));
    peers.truncate(EXAMPLES);
    peers
}
