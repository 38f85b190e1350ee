//! Conditions that many sockets make together: so many in one process, so fast a growth, so soon a
//! limit.

mod notice;

use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

pub use self::notice::{ConditionNotice, Measure, Scope};
use super::evidence::Evidence;
use super::forecast::{PortUse, forecast};
use super::growth::Growth;
use super::process::Process;
use super::rules::{About, Severity};
use super::snapshot::Observed;
use super::socket::StayState;
use super::stay::{Stay, StayId};
use super::time::Instant;
use super::verdict::Finding;

/// How often conditions are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How often the kernel is asked for minisockets, which make no events, if a condition counts them.
const MINISOCKETS_EVERY: Duration = Duration::from_secs(10);

/// What a condition is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// All sockets of the machine.
    #[default]
    Host,
    /// Those that processes of one systemd unit hold.
    Unit,
    /// Those that one process holds.
    Process,
}

impl Per {
    /// The name in JSON and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Unit => "unit",
            Self::Process => "process",
        }
    }
}

/// What must not be passed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Limit {
    /// More half-closed sockets than this.
    MoreThan(u64),
    /// More net growth a minute than this.
    GrowthPerMin(f64),
    /// Descriptors or ports are used up sooner than this.
    FullIn(Duration),
}

/// A rule about many sockets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// Its name.
    pub name: Arc<str>,
    /// How urgent it is.
    pub severity: Severity,
    /// Which sockets count.
    pub about: About,
    /// Which of them are counted together.
    pub per: Per,
    /// What they must not pass.
    pub limit: Limit,
}

impl Condition {
    /// Whether only a look at the holders shows which sockets count.
    pub fn needs_holders(&self) -> bool {
        self.per != Per::Host
            || self.about.filter.needs_holders()
            || matches!(self.limit, Limit::FullIn(_))
    }

    /// Whether minisockets count, which nobody holds.
    fn counts_minisockets(&self) -> bool {
        !self.needs_holders() && self.about.admits_state(StayState::FinWait2)
    }
}

/// What is counted together, of one condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Host,
    Unit(Arc<str>),
    Process(u32, Option<u64>),
}

#[derive(Debug, Default)]
struct Followed {
    growth: Growth,
    since: Option<Instant>,
    scope: Option<Scope>,
}

#[derive(Default)]
struct Counted<'a> {
    sockets: usize,
    process: Option<&'a Arc<Process>>,
    ports: PortUse,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Conditions {
    conditions: Vec<Condition>,
    /// What the last look at a stay showed, if any condition needs that.
    known: FxHashMap<StayId, (Arc<Evidence>, Arc<Finding>)>,
    followed: HashMap<(usize, Key), Followed>,
    /// Minisockets that count, by condition.
    minisockets: Vec<usize>,
    next: Instant,
    ask_next: Instant,
}

impl Conditions {
    /// Follows these.
    pub fn new(conditions: Vec<Condition>) -> Self {
        Self { minisockets: vec![0; conditions.len()], conditions, ..Self::default() }
    }

    /// Follows these instead, from the beginning.
    pub fn replace(&mut self, conditions: Vec<Condition>) {
        let Self { known, next, .. } = core::mem::take(self);
        *self = Self { known, next, ..Self::new(conditions) };
    }

    /// Whether any of them needs a look at each stay.
    pub fn need_holders(&self) -> bool {
        self.conditions.iter().any(Condition::needs_holders)
    }

    /// A look at a stay showed this.
    pub fn looked_at(&mut self, id: StayId, evidence: &Arc<Evidence>, finding: &Arc<Finding>) {
        if self.need_holders() {
            self.known.insert(id, (Arc::clone(evidence), Arc::clone(finding)));
        }
    }

    /// A stay is over.
    pub fn over(&mut self, id: StayId) {
        if !self.known.is_empty() {
            self.known.remove(&id);
        }
    }

    /// A look at all minisockets showed these.
    pub fn minisockets(&mut self, sockets: &[Observed]) {
        for (count, condition) in self.minisockets.iter_mut().zip(&self.conditions) {
            let about = &condition.about;
            let counts =
                |socket: &&Observed| about.admits_orphan(Some(socket.netns), &socket.endpoints);
            *count = match condition.counts_minisockets() {
                true => sockets.iter().filter(counts).count(),
                false => 0,
            };
        }
    }

    /// Whether all minisockets are to be looked at again.
    pub fn ask(&mut self, now: Instant) -> bool {
        let wanted = self.conditions.iter().any(Condition::counts_minisockets);
        let due = wanted && now >= self.ask_next;
        if due {
            self.ask_next = now.after(MINISOCKETS_EVERY);
        }
        due
    }

    /// When [`Self::tell`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        (!self.conditions.is_empty()).then_some(self.next)
    }

    /// What is to be told at `now`, of which `stays` go on.
    pub fn tell<I: Iterator<Item = Stay>>(
        &mut self,
        now: Instant,
        boot_id: &str,
        stays: impl Fn() -> I,
    ) -> Vec<ConditionNotice> {
        let mut notices = Vec::new();
        if self.conditions.is_empty() || now < self.next {
            return notices;
        }
        self.next = now.after(EVERY);
        let Self { conditions, known, followed, minisockets, .. } = self;
        for (index, condition) in conditions.iter().enumerate() {
            let mut counted = count(condition, known, stays());
            if condition.per == Per::Host {
                counted.entry(Key::Host).or_default().sockets += minisockets[index];
            }
            // Those that have none left still have to be told of.
            for (_, key) in followed.keys().filter(|(of, _)| *of == index) {
                counted.entry(key.clone()).or_default();
            }
            for (key, count) in counted {
                let state = followed.entry((index, key.clone())).or_default();
                notices.extend(state.take(now, (condition, boot_id), &key, &count));
                if count.sockets == 0 && state.since.is_none() && key != Key::Host {
                    followed.remove(&(index, key));
                }
            }
        }
        notices
    }
}

fn count<'a>(
    condition: &Condition,
    known: &'a FxHashMap<StayId, (Arc<Evidence>, Arc<Finding>)>,
    stays: impl Iterator<Item = Stay>,
) -> HashMap<Key, Counted<'a>> {
    let needs_holders = condition.needs_holders();
    let mut counted = HashMap::<Key, Counted<'a>>::new();
    for stay in stays {
        if !needs_holders {
            if condition.about.admits_unlooked(&stay) {
                counted.entry(Key::Host).or_default().sockets += 1;
            }
            continue;
        }
        let Some((evidence, finding)) = known.get(&stay.id) else { continue };
        if !condition.about.admits(&stay, evidence, finding) {
            continue;
        }
        let blamed = finding.blame.as_ref().map(|blame| &blame.process);
        let held = || evidence.holders.iter().flatten().map(|holder| &holder.process).next();
        let process = blamed.or_else(held);
        let key = match (condition.per, process) {
            (Per::Host, _) => Key::Host,
            (Per::Unit, Some(process)) => match &process.unit {
                Some(unit) => Key::Unit(unit.as_str().into()),
                None => continue,
            },
            (Per::Process, Some(process)) => Key::Process(process.pid, process.start_ticks),
            (Per::Unit | Per::Process, None) => continue,
        };
        let count = counted.entry(key).or_default();
        count.sockets += 1;
        count.process = process.or(count.process);
        count.ports.add(stay.endpoints, evidence.port_range);
    }
    counted
}

impl Followed {
    fn take(
        &mut self,
        now: Instant,
        (condition, boot_id): (&Condition, &str),
        key: &Key,
        counted: &Counted<'_>,
    ) -> Option<ConditionNotice> {
        let growth = self.growth.per_min(now, counted.sockets);
        self.growth.remember(now, counted.sockets);
        let measure = match condition.limit {
            Limit::MoreThan(limit) => Measure::Sockets(counted.sockets as u64, limit),
            Limit::GrowthPerMin(limit) => Measure::GrowthPerMin(growth.unwrap_or(0.0), limit),
            Limit::FullIn(limit) => {
                // The descriptors of a whole unit or host have no common limit.
                let of_one = counted.process.filter(|_| condition.per == Per::Process);
                let descriptors = of_one.and_then(|process| process.descriptors);
                let growth = growth.unwrap_or(0.0);
                Measure::FullIn(forecast(descriptors, counted.ports.most(), growth), limit)
            }
        };
        let scope = match key {
            Key::Host => Scope::Host,
            Key::Unit(unit) => Scope::Unit(Arc::clone(unit)),
            // Of one that is gone the last thing known is told.
            Key::Process(..) => match counted.process {
                Some(process) => Scope::Process(Arc::clone(process)),
                None => self.scope.clone()?,
            },
        };
        self.scope = Some(scope.clone());
        let (firing, since) = match self.since {
            None if measure.passes() => (true, now),
            Some(since) if measure.is_back() => (false, since),
            _ => return None,
        };
        self.since = firing.then_some(now);
        Some(ConditionNotice {
            id: id(boot_id, condition, key),
            rule: Arc::clone(&condition.name),
            severity: condition.severity,
            firing,
            at: now,
            since,
            scope,
            measure,
        })
    }
}

fn id(boot_id: &str, condition: &Condition, key: &Key) -> Arc<str> {
    let boot = boot_id.get(..8).unwrap_or(boot_id);
    let name = &condition.name;
    match key {
        Key::Host => format!("{boot}-{name}"),
        Key::Unit(unit) => format!("{boot}-{name}-{unit}"),
        Key::Process(pid, start) => format!("{boot}-{name}-{pid}.{}", start.unwrap_or(0)),
    }
    .into()
}
