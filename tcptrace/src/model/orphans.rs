//! Orphans that the kernel keeps as minisockets.
//!
//! When a program has closed and the peer is silent, the kernel gives up the full socket at once
//! (`FIN_WAIT2 -> CLOSE`) and keeps a timed stand-in for up to a minute, which makes no events. Every
//! active close does that for a moment, so nothing is kept a socket: only when the first of a
//! namespace can have reached the threshold is the namespace looked at, and whoever is still there
//! is told of and followed to its end.
//!
//! Where the peer acknowledges while the program that closes still owns the socket, the full socket stays
//! instead (`tcp_rcv_state_process`): until the peer's FIN, or for `tcp_fin_timeout`, and then it sends a
//! reset (`tcp_keepalive_timer`).

use core::time::Duration;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::code::{PathId, Stack};
use super::snapshot::Observed;
use super::socket::{Endpoints, NetNs, StayState};
use super::stay::{Ended, EndedBy, Stay, StayId};
use super::time::Instant;

/// The longest a minisocket lives: `TCP_TIMEWAIT_LEN` (`include/net/tcp.h`). With a longer
/// `tcp_fin_timeout` the full socket stays for the excess first.
const LONGEST: Duration = Duration::from_secs(60);
/// A healthy close passes through FIN_WAIT2 within microseconds; whoever was there for longer became
/// a minisocket later, which does not show that age: it is remembered.
const WORTH_REMEMBERING: Duration = Duration::from_millis(10);
/// How often those that were told of are looked at.
const FOLLOW: Duration = Duration::from_millis(500);
/// Of how many that became minisockets at once the code that closed them is remembered.
const CLOSERS: usize = 16_384;
/// Expiry is known to the tick.
const TICK: Duration = Duration::from_millis(20);

/// See the module.
#[derive(Debug, Default)]
pub struct Orphans {
    /// When to look at which namespace; `None`: at all, for sockets whose own is not known.
    looks: BTreeMap<Option<NetNs>, Instant>,
    remembered: FxHashMap<Name, Stay>,
    closers: Closers,
    followed: FxHashMap<Name, Followed>,
    asked: Option<Look>,
}

/// One that is under way.
#[derive(Debug)]
struct Look {
    began: Instant,
    namespaces: Namespaces,
}

/// When a look ended, the minisockets in FIN_WAIT2 that there were, and the code that closed them.
pub type Minisockets = (Instant, Vec<Observed>, HashMap<PathId, Arc<Stack>>);

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// Everywhere.
    All,
    /// Only there.
    These(Vec<NetNs>),
}

impl Namespaces {
    /// Whether `netns` is one of them.
    pub fn contains(&self, netns: NetNs) -> bool {
        match self {
            Self::All => true,
            Self::These(these) => these.contains(&netns),
        }
    }
}

/// What a minisocket has in common with the socket that it stands in for: its cookie, or where that
/// is not known both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Name {
    Cookie(u64),
    Ends(Endpoints),
}

impl Name {
    fn of(stay: &Stay) -> Self {
        stay.cookie.map_or(Self::Ends(stay.endpoints.canonical()), Self::Cookie)
    }
}

/// The code that closed each of the latest, by cookie.
#[derive(Debug, Default)]
struct Closers {
    of: FxHashMap<u64, PathId>,
    order: VecDeque<u64>,
}

impl Closers {
    fn remember(&mut self, stay: &Stay) {
        let (Some(cookie), Some(path)) = (stay.cookie, stay.shut) else { return };
        if self.order.len() >= CLOSERS
            && let Some(oldest) = self.order.pop_front()
        {
            self.of.remove(&oldest);
        }
        self.order.push_back(cookie);
        self.of.insert(cookie, path);
    }
}

#[derive(Debug)]
struct Followed {
    stay: Stay,
    /// Since when it can be a minisocket.
    from: Instant,
    expires: Option<Instant>,
}

impl Orphans {
    /// A full socket in FIN_WAIT2 was given up; `told` if an alert on it is firing, which then goes
    /// on.
    pub fn given_up(&mut self, ended: &Ended, threshold: Duration, told: bool) {
        let stay = ended.stay;
        let due = stay.since.after(threshold);
        if told {
            let followed = Followed { stay, from: ended.at, expires: None };
            self.followed.insert(Name::of(&stay), followed);
            self.look(stay.netns, ended.at);
        } else if due <= ended.at.after(LONGEST) {
            if ended.at.since(stay.since) >= WORTH_REMEMBERING {
                let orphaned = Stay { entered: ended.at, ..stay };
                self.remembered.insert(Name::of(&stay), orphaned);
            } else {
                self.closers.remember(&stay);
            }
            self.look(stay.netns, due);
        }
    }

    /// A snapshot showed one.
    pub fn seen_first(&mut self, now: Instant, socket: &Observed, threshold: Duration) {
        self.look(Some(socket.netns), now.before(socket.age_min).after(threshold));
    }

    fn look(&mut self, netns: Option<NetNs>, at: Instant) {
        let look = self.looks.entry(netns).or_insert(at);
        *look = at.min(*look);
    }

    /// Looks at all namespaces at `now`.
    pub fn look_everywhere(&mut self, now: Instant) {
        self.look(None, now);
    }

    /// Whether the look under way is at all namespaces.
    pub fn asked_everywhere(&self) -> bool {
        self.asked.as_ref().is_some_and(|look| look.namespaces == Namespaces::All)
    }

    /// When to look next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.looks.values().min().copied().filter(|_| self.asked.is_none())
    }

    /// The namespaces to look at now. No more are named before [`Self::shown`].
    pub fn due(&mut self, now: Instant) -> Option<Namespaces> {
        if self.next_deadline()? > now {
            return None;
        }
        let due = self.looks.extract_if(.., |_, &mut at| at <= now).map(|(netns, _)| netns);
        let these = due.collect::<Option<_>>().map(Namespaces::These);
        let namespaces = these.unwrap_or(Namespaces::All);
        self.asked = Some(Look { began: now, namespaces: namespaces.clone() });
        Some(namespaces)
    }

    /// The code that closed the sockets which the next look may show, by their cookies.
    pub fn closers(&self) -> FxHashMap<u64, PathId> {
        let remembered = self.remembered.values().filter_map(|stay| stay.cookie.zip(stay.shut));
        self.closers.of.iter().map(|(&cookie, &path)| (cookie, path)).chain(remembered).collect()
    }

    /// What was seen there at `looked_at`: all minisockets in FIN_WAIT2 of the namespaces asked for.
    /// Returns the stays to tell of, each named by `name`, and those that are over.
    pub fn shown(
        &mut self,
        looked_at: Instant,
        sockets: &[Observed],
        threshold: impl Fn(&Observed) -> Duration,
        mut name: impl FnMut() -> StayId,
    ) -> (Vec<Stay>, Vec<Ended>) {
        let nowhere = || Look { began: looked_at, namespaces: Namespaces::These(Vec::new()) };
        let Look { began, namespaces } = self.asked.take().unwrap_or_else(nowhere);
        let mut there = FxHashSet::default();
        let mut stuck = Vec::new();
        for socket in sockets {
            let left = socket.minisocket.unwrap_or_default();
            let expires = looked_at.after(left);
            let netns = Some(socket.netns);
            let names = [Name::Cookie(socket.key.get()), Name::Ends(socket.endpoints.canonical())];
            there.extend(names);
            let followed = names.iter().find(|name| self.followed.contains_key(name));
            if let Some(followed) = followed.and_then(|name| self.followed.get_mut(name)) {
                followed.expires = Some(expires);
                self.look(netns, looked_at.after(FOLLOW.min(left.saturating_add(TICK))));
                continue;
            }
            let remembered = names.iter().find_map(|name| self.remembered.get(name));
            let since = remembered.map_or(looked_at.before(socket.age_min), |stay| stay.since);
            let due = since.after(threshold(socket));
            if due > looked_at {
                if due <= expires {
                    self.look(netns, due);
                }
                continue;
            }
            let stay = Stay {
                id: name(),
                orphan: true,
                netns,
                cookie: socket.key.cookie(),
                ..remembered.copied().unwrap_or_else(|| Stay {
                    shut: self.closers.of.get(&socket.key.get()).copied(),
                    ..first_seen(socket, since)
                })
            };
            stuck.push(stay);
            let followed = Followed { stay, from: looked_at, expires: Some(expires) };
            self.followed.insert(Name::of(&stay), followed);
            self.look(netns, looked_at.after(FOLLOW.min(left.saturating_add(TICK))));
        }
        // What was still a full socket when the look began may not have been shown.
        let gone = |name: &Name, netns: Option<NetNs>, from: Instant| {
            let looked = match netns {
                Some(netns) => namespaces.contains(netns),
                None => namespaces == Namespaces::All,
            };
            looked && from <= began && !there.contains(name)
        };
        self.remembered.retain(|name, stay| !gone(name, stay.netns, stay.entered));
        let ended = self
            .followed
            .extract_if(|name, followed| gone(name, followed.stay.netns, followed.from));
        let ended = ended.map(|(_, Followed { stay, expires, .. })| {
            let ran_out = expires.is_some_and(|expires| looked_at.after(TICK) >= expires);
            let by = match expires {
                Some(_) if ran_out => EndedBy::Expired,
                Some(_) => EndedBy::PeerClosed,
                None => EndedBy::Unknown,
            };
            Ended { stay, at: looked_at, by, reset_sent: None }
        });
        (stuck, ended.collect())
    }

    /// It could not be seen: to be asked for again at `again`, and until then nothing is over.
    pub fn not_shown(&mut self, again: Instant) {
        match self.asked.take().map(|look| look.namespaces) {
            Some(Namespaces::All) => self.look_everywhere(again),
            Some(Namespaces::These(these)) => {
                for netns in these {
                    self.look(Some(netns), again);
                }
            }
            None => {}
        }
    }

    /// Those that are followed.
    pub fn stays(&self) -> impl Iterator<Item = &Stay> {
        self.followed.values().map(|followed| &followed.stay)
    }

    /// How many are followed.
    pub fn followed(&self) -> usize {
        self.followed.len()
    }
}

fn first_seen(socket: &Observed, since: Instant) -> Stay {
    Stay {
        id: StayId::default(),
        key: socket.key,
        cookie: socket.key.cookie(),
        netns: Some(socket.netns),
        endpoints: socket.endpoints,
        state: StayState::FinWait2,
        orphan: true,
        since,
        since_earliest: Instant::default(),
        exact: false,
        entered: since,
        circumstances: None,
        progress: None,
        progress_at: since,
        opened: None,
        accepted: false,
        shut: None,
    }
}

#[cfg(test)]
mod tests;
