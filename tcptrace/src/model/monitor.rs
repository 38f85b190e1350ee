//! Whether what is stuck is too much, for a monitoring system that asks now and then.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::evidence::Evidence;
use super::process::Process;
use super::socket::StayState;
use super::stay::Stay;
use super::time::Instant;
use super::verdict::{Finding, Verdict, find};

/// How bad it is; the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is too much.
    Ok,
    /// Somebody should look at it.
    Warning,
    /// Somebody must look at it.
    Critical,
}

impl Level {
    /// The word that monitoring systems use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }
}

/// From which value up it is too much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit<T> {
    /// For [`Level::Warning`]; `None`: never.
    pub warning: Option<T>,
    /// For [`Level::Critical`], likewise.
    pub critical: Option<T>,
}

impl<T: PartialOrd> Limit<T> {
    fn level(&self, value: T) -> Level {
        let reached = |limit: &Option<T>| limit.as_ref().is_some_and(|limit| value >= *limit);
        match (reached(&self.critical), reached(&self.warning)) {
            (true, _) => Level::Critical,
            (false, true) => Level::Warning,
            (false, false) => Level::Ok,
        }
    }

    /// Whether a warning would never be seen, since that is critical already.
    pub fn is_reversed(&self) -> bool {
        matches!((&self.warning, &self.critical), (Some(w), Some(c)) if w > c)
    }
}

/// What is too much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// How long a socket must have been half-closed to count.
    pub min_age: Duration,
    /// Of the number of stuck sockets.
    pub count: Limit<usize>,
    /// Of the age of the oldest one.
    pub age: Limit<Duration>,
}

/// All that is stuck at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// How many sockets.
    pub stuck: usize,
    /// How many in each state, by [`StayState::index`].
    pub states: [usize; 3],
    /// Age of the oldest one; `None` of none.
    pub oldest: Option<Duration>,
    /// Whom they belong to, most sockets first.
    pub culprits: Vec<Culprit>,
}

/// The stuck sockets of one process that have one verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Culprit {
    /// Who is blamed; `None`: nobody is, or holders cannot be seen.
    pub process: Option<Arc<Process>>,
    /// Why they are stuck.
    pub verdict: Verdict,
    /// How many.
    pub sockets: usize,
    /// Age of the oldest one.
    pub oldest: Duration,
}

/// What is to be said of a socket that has been half-closed for `min_age` and is not in use; `None`
/// of any other. `between_looks` lie between the two looks behind `evidence`.
pub fn stuck(
    stay: &Stay,
    evidence: &Evidence,
    (now, min_age, between_looks): (Instant, Duration, Duration),
) -> Option<Finding> {
    if stay.age(now) < min_age {
        return None;
    }
    // The kernel takes retransmissions for sending. Without any data that could be sent again its
    // account is right, and reaches back further than the first look.
    let resends = stay.state == StayState::CloseWait && evidence.send_queue != Some(0);
    let in_use = if resends { between_looks } else { min_age.max(between_looks) };
    let finding = find(stay, evidence, in_use);
    let harmless = [Verdict::Kernel, Verdict::Sending, Verdict::Receiving];
    (!harmless.contains(&finding.verdict)).then_some(finding)
}

impl Census {
    /// Counts stuck sockets, as they are at `now`.
    pub fn take<'a>(stuck: impl Iterator<Item = (&'a Stay, &'a Finding)>, now: Instant) -> Self {
        let mut census = Self::default();
        let mut culprits = BTreeMap::<_, Culprit>::new();
        for (stay, finding) in stuck {
            let age = stay.age(now);
            census.stuck += 1;
            census.states[stay.state.index()] += 1;
            census.oldest = census.oldest.max(Some(age));
            let process = finding.blame.as_ref().map(|blame| &blame.process);
            let key =
                (process.map(|process| (process.pid, process.start_ticks)), finding.verdict.name());
            let culprit = culprits.entry(key).or_insert_with(|| Culprit {
                process: process.cloned(),
                verdict: finding.verdict,
                sockets: 0,
                oldest: age,
            });
            culprit.sockets += 1;
            culprit.oldest = culprit.oldest.max(age);
        }
        census.culprits = culprits.into_values().collect();
        census
            .culprits
            .sort_by_key(|culprit| core::cmp::Reverse((culprit.sockets, culprit.oldest)));
        census
    }

    /// How bad that is.
    pub fn level(&self, limits: &Limits) -> Level {
        let age = self.oldest.map_or(Level::Ok, |oldest| limits.age.level(oldest));
        limits.count.level(self.stuck).max(age)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report::samples;

    const BETWEEN: Duration = Duration::from_millis(200);

    pub(crate) fn limits(count: [usize; 2], age: [Option<u64>; 2]) -> Limits {
        let [warning, critical] = count.map(Some);
        let count = Limit { warning, critical };
        let [warning, critical] = age.map(|age| age.map(Duration::from_secs));
        Limits { min_age: Duration::from_secs(60), count, age: Limit { warning, critical } }
    }

    #[test]
    fn a_limit_is_reached_at_its_value() {
        let census = |stuck, oldest: u64| Census {
            stuck,
            oldest: (stuck > 0).then_some(Duration::from_secs(oldest)),
            ..Census::default()
        };
        let level = |stuck, age| census(stuck, age).level(&limits([1, 3], [Some(100), Some(200)]));
        assert_eq!(level(0, 0), Level::Ok);
        assert_eq!(level(1, 60), Level::Warning);
        assert_eq!(level(2, 199), Level::Warning);
        assert_eq!(level(3, 60), Level::Critical);
        assert_eq!(level(1, 200), Level::Critical, "by its age");
        assert_eq!(census(2, 9000).level(&limits([5, 9], [None, None])), Level::Ok);
        assert!(limits([5, 3], [None, None]).count.is_reversed());
        assert!(!limits([3, 3], [None, None]).count.is_reversed());
        assert!(!limits([1, 1], [Some(5), None]).age.is_reversed());
    }

    #[test]
    fn what_is_young_or_in_use_is_not_stuck() {
        let alert = samples::alert();
        let (stay, now) = (alert.stay, alert.at);
        let verdict = |evidence: &Evidence, min_age| {
            let when = (now, Duration::from_secs(min_age), BETWEEN);
            stuck(&stay, evidence, when).map(|finding| finding.verdict)
        };
        let idle = (*alert.evidence).clone();
        assert_eq!(verdict(&idle, 60), Some(Verdict::EofUnread));
        assert_eq!(verdict(&idle, 130), Some(Verdict::EofUnread));
        assert_eq!(verdict(&idle, 131), None, "too young");
        // Half a minute ago: after the peer's end, which was 130 s ago.
        let sent = Evidence { last_send: Some(Duration::from_secs(30)), ..idle };
        assert_eq!(verdict(&sent, 60), None, "in use");
        let resent = Evidence { send_queue: Some(5), ..sent };
        assert_eq!(verdict(&resent, 60), Some(Verdict::SendBlocked), "retransmissions");
    }

    #[test]
    fn sockets_are_counted_by_process_and_verdict() {
        let alert = samples::alert();
        let younger = Stay { since: alert.at.before(Duration::from_secs(70)), ..alert.stay };
        let nobody = Finding { blame: None, ..(*alert.finding).clone() };
        let waiting = Stay { state: StayState::FinWait2, ..younger };
        let stuck =
            [(&waiting, &nobody), (&younger, &*alert.finding), (&alert.stay, &*alert.finding)];
        let census = Census::take(stuck.into_iter(), alert.at);
        assert_eq!((census.stuck, census.states.iter().sum::<usize>()), (3, 3));
        assert_eq!(census.states[StayState::FinWait2.index()], 1);
        assert_eq!(census.oldest, Some(Duration::from_secs(130)));
        let culprits = census.culprits.iter();
        let culprits = culprits.map(|c| (c.process.as_ref().map(|p| p.pid), c.sockets));
        assert_eq!(culprits.collect::<Vec<_>>(), [(Some(4711), 2), (None, 1)]);
    }
}
