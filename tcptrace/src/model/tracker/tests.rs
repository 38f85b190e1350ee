use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::event::{Circumstances, OnCpu};
use crate::model::snapshot::{Observed, Snapshot};
use crate::model::socket::Endpoints;
use crate::model::socket::TcpState::*;

mod address;
mod stays;

const THRESHOLDS: Thresholds = Thresholds {
    close_wait: Duration::from_secs(60),
    fin_wait2: Duration::from_secs(120),
    closed: Some(Duration::from_secs(60)),
    record: None,
};

fn tracker() -> Tracker {
    Tracker::new(THRESHOLDS, 1000, Identity::Cookie)
}

fn seconds(at: u64) -> Instant {
    Instant::from_nanos(at * 1_000_000_000)
}

fn event(at: u64, cookie: u64, old: TcpState, new: TcpState) -> Transition {
    Transition {
        at: seconds(at),
        key: SocketKey::new(cookie, 0),
        skaddr: None,
        netns: Some(NetNs(1)),
        endpoints: Endpoints {
            local: "127.0.0.1:80".parse().unwrap(),
            remote: "127.0.0.1:4000".parse().unwrap(),
        },
        old,
        new,
        circumstances: Some(Circumstances {
            has_socket: new != Close,
            has_file: new != Close,
            exiting: Some(false),
            ..Default::default()
        }),
        progress: Some(Progress::default()),
        path: None,
        on_cpu: OnCpu { pid: 1, tid: 1, comm: [0; 16] },
    }
}

#[test]
fn a_stay_has_its_exact_age_and_falls_due_at_its_threshold() {
    let mut tracker = tracker();
    tracker.apply(&event(10, 5, SynRecv, Established));
    tracker.apply(&event(20, 5, Established, CloseWait));
    assert_eq!(tracker.next_deadline(), Some(seconds(80)));
    assert_eq!(tracker.pop_due(seconds(79)), None);
    let stay = tracker.pop_due(seconds(80)).unwrap();
    assert_eq!(stay.age(seconds(80)), Duration::from_secs(60));
    assert!(stay.exact);
    assert_eq!(tracker.pop_due(seconds(1000)), None, "due once");

    let ended = tracker.apply(&event(95, 5, CloseWait, LastAck)).unwrap();
    assert_eq!((ended.stay.id, ended.by), (stay.id, EndedBy::Closed));
    assert_eq!(tracker.get(stay.id), None);
    tracker.apply(&event(95, 5, LastAck, Close));
    assert_eq!(tracker.tracked(), 0);
    assert_eq!(tracker.counts().gaps, 0);
}

#[test]
fn fin_wait2_that_becomes_an_orphan_keeps_its_clock() {
    let mut tracker = tracker();
    tracker.apply(&event(10, 5, FinWait1, FinWait2));
    let held = tracker.stays().next().unwrap();
    assert!(!held.orphan);
    let ended = tracker.apply(&event(50, 5, FinWait2, FinWait2)).unwrap();
    assert_eq!((ended.stay.id, ended.by), (held.id, EndedBy::Closed));
    let orphan = tracker.stays().next().unwrap();
    assert!(orphan.orphan);
    assert_eq!((orphan.since, orphan.entered), (seconds(10), seconds(50)));
    let ended = tracker.apply(&event(60, 5, FinWait2, Close)).unwrap();
    assert_eq!(ended.stay, orphan);
    tracker.apply(&event(70, 6, FinWait1, FinWait2));
    assert_eq!(tracker.stays().next().unwrap().entered, seconds(70), "in the same slot");
    tracker.apply(&event(71, 6, FinWait2, Close));
    tracker.apply(&event(10, 5, FinWait1, FinWait2));
    assert_eq!(tracker.next_deadline(), Some(seconds(130)));
}

#[test]
fn a_transition_that_does_not_fit_is_counted_and_accepted() {
    let mut tracker = tracker();
    tracker.apply(&event(10, 5, SynRecv, Established));
    let leaves = event(20, 5, CloseWait, LastAck);
    assert_eq!(tracker.in_state(&leaves), None, "when it entered CLOSE_WAIT is not known");
    tracker.apply(&leaves);
    assert_eq!(tracker.counts().gaps, 1);
    tracker.apply(&event(21, 5, LastAck, Close));
    assert_eq!((tracker.counts().gaps, tracker.tracked()), (1, 0));
}

#[test]
fn the_table_is_bounded_and_says_so() {
    let mut tracker = Tracker::new(THRESHOLDS, 2, Identity::Cookie);
    for cookie in 1..=5 {
        tracker.apply(&event(10, cookie, SynRecv, Established));
    }
    assert_eq!((tracker.tracked(), tracker.counts().overflow), (2, 3));
}

fn observed(cookie: u64, age_min: u64, age_max: Option<u64>) -> Observed {
    let like = event(0, cookie, Established, CloseWait);
    Observed {
        key: like.key,
        skaddr: None,
        netns: like.netns.unwrap(),
        endpoints: like.endpoints,
        state: StayState::CloseWait,
        orphan: false,
        minisocket: None,
        age_min: Duration::from_secs(age_min),
        age_max: age_max.map(Duration::from_secs),
        seen: None,
        progress: None,
    }
}

#[test]
fn a_snapshot_adds_what_was_there_first_and_nothing_that_has_gone() {
    let mut tracker = tracker();
    tracker.snapshot_begins(seconds(0));
    // 6 closes while the snapshot is taken, which still shows it.
    tracker.apply(&event(100, 6, CloseWait, LastAck));
    tracker.apply(&event(100, 6, LastAck, Close));
    let half_closed = vec![observed(5, 30, Some(45)), observed(6, 30, None)];
    let snapshot = Snapshot { half_closed, asked: [NetNs(1)].into(), ..Default::default() };
    assert_eq!(tracker.snapshot_ends(seconds(100), &snapshot, |_| true), []);
    assert_eq!(tracker.tracked(), 1);
    let stay = tracker.stays().next().unwrap();
    assert_eq!(stay.key.cookie(), Some(5));
    assert!(!stay.exact);
    assert_eq!(stay.age(seconds(100)), Duration::from_secs(30));
    assert_eq!(stay.age_max(seconds(100)), Duration::from_secs(45));
    assert_eq!(tracker.next_deadline(), Some(seconds(130)));
}

#[test]
fn an_old_record_that_is_read_late_does_not_count_as_newer_than_the_snapshot() {
    let mut tracker = tracker();
    tracker.snapshot_begins(seconds(100));
    // It waited in the ring since long before, and what came after it was lost.
    tracker.apply(&event(50, 6, SynRecv, Established));
    let snapshot = Snapshot { others: Some(FxHashSet::default()), ..Default::default() };
    tracker.snapshot_ends(seconds(101), &snapshot, |_| true);
    assert_eq!((tracker.tracked(), tracker.counts().repaired), (0, 1));
}

/// What shows of namespace 1, and nothing else.
fn snapshot_of(sockets: &[Observed]) -> Snapshot {
    Snapshot {
        half_closed: sockets.to_vec(),
        others: Some(FxHashSet::default()),
        asked: [NetNs(1)].into(),
        iterated: true,
        ..Snapshot::default()
    }
}

#[test]
fn a_snapshot_repairs_what_was_lost() {
    let mut tracker = tracker();
    for cookie in 1..=4 {
        tracker.apply(&event(10, cookie, SynRecv, Established));
    }
    tracker.apply(&event(20, 1, Established, CloseWait));
    tracker.apply(&event(20, 2, Established, CloseWait));
    // Lost: the end of 1, that 3 is half-closed, that 4 is closed.
    tracker.snapshot_begins(seconds(0));
    let snapshot = snapshot_of(&[observed(2, 1, None), observed(3, 7, Some(9))]);
    let ended = tracker.snapshot_ends(seconds(30), &snapshot, |_| true);
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].stay.key.cookie(), ended[0].by), (Some(1), EndedBy::Unknown));
    let mut stays: Vec<_> = tracker.stays().map(|s| (s.key.cookie(), s.exact)).collect();
    stays.sort();
    assert_eq!(stays, [(Some(2), true), (Some(3), false)], "2 keeps its exact age");
    assert_eq!((tracker.tracked(), tracker.counts().repaired), (2, 3));
}

#[test]
fn what_cannot_be_seen_is_not_taken_for_gone() {
    let mut tracker = tracker();
    tracker.apply(&event(20, 1, Established, CloseWait));
    tracker.apply(&event(20, 2, SynRecv, Established));
    tracker.snapshot_begins(seconds(0));
    let snapshot =
        Snapshot { others: Some(FxHashSet::default()), closed: 1, ..Snapshot::default() };
    assert_eq!(tracker.snapshot_ends(seconds(30), &snapshot, |_| true), []);
    assert_eq!(tracker.tracked(), 2);
}

#[test]
fn memory_of_a_tracked_socket_is_bounded() {
    let healthy = Sockets::BYTES_PER_SOCKET;
    let half_closed = Stays::BYTES_PER_STAY;
    assert!(healthy <= 44, "{healthy}");
    assert!(healthy + half_closed <= 160, "{healthy} + {half_closed}");
}

/// The life of one connection, as both its sockets see it.
fn life(cookie: u64) -> Vec<Transition> {
    let server = cookie + 1_000_000;
    vec![
        event(1, cookie, Close, SynSent),
        event(2, server, SynRecv, Established),
        event(2, cookie, SynSent, Established),
        event(3, cookie, Established, FinWait1),
        event(3, server, Established, CloseWait),
        event(4, cookie, FinWait1, FinWait2),
        event(5, server, CloseWait, LastAck),
        event(5, cookie, FinWait2, Close),
        event(6, server, LastAck, Close),
    ]
}

proptest! {
    /// Whatever is lost, doubled or out of order: no panic, the table holds no more sockets than
    /// have been heard of, stays and table agree, and every stay ends or goes on.
    #[test]
    fn survives_loss_duplication_and_reordering(
        connections in 1u64..30,
        drop in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
        double in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
        swap in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let mut events: Vec<_> = (1..=connections).flat_map(life).collect();
        for index in swap {
            let i = index.index(events.len() - 1);
            events.swap(i, i + 1);
        }
        for index in double {
            let i = index.index(events.len());
            events.insert(i, events[i]);
        }
        for index in drop {
            if events.len() > 1 {
                events.remove(index.index(events.len()));
            }
        }
        let mut tracker = tracker();
        let mut ended = 0;
        for event in &events {
            ended += u64::from(tracker.apply(event).is_some());
            let half_closed = tracker
                .sockets
                .iter()
                .filter(|live| StayState::half_closed(live.state).is_some())
                .count();
            prop_assert_eq!(tracker.stays().count(), half_closed);
            if event.new != Close && event.new != SynRecv {
                prop_assert_eq!(tracker.sockets.get(event.key).unwrap().state, event.new);
            }
        }
        prop_assert!(tracker.tracked() as u64 <= 2 * connections);
        prop_assert_eq!(tracker.counts().transitions, events.len() as u64);
        let begun: u64 = tracker.counts().stays.iter().sum();
        prop_assert_eq!(begun, ended + tracker.half_closed().iter().sum::<u64>());
        // Every stay that goes on falls due exactly once.
        let mut due = 0;
        while tracker.pop_due(seconds(10_000)).is_some() {
            due += 1;
        }
        prop_assert_eq!(due, tracker.stays().count());
    }

    /// Nothing lost: nothing is a gap, nothing is left.
    #[test]
    fn an_undisturbed_stream_leaves_nothing(connections in 1u64..50, seed in any::<u64>()) {
        let mut lives: Vec<_> = (1..=connections).map(life).collect();
        let mut tracker = tracker();
        let mut random = seed;
        while !lives.is_empty() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let pick = (random >> 33) as usize % lives.len();
            tracker.apply(&lives[pick].remove(0));
            lives.retain(|life| !life.is_empty());
        }
        prop_assert_eq!(tracker.tracked(), 0);
        prop_assert_eq!(tracker.counts().gaps, 0);
        prop_assert_eq!(tracker.counts().stays, [connections, connections, 0]);
    }
}

#[test]
fn a_descriptor_that_outlives_its_connection_is_a_stay_until_it_is_released() {
    let mut tracker = tracker();
    let at_end = |mut event: Transition, has_file, dead| {
        event.circumstances = Some(Circumstances { has_file, dead, ..Default::default() });
        event
    };
    // Neither a refused connect nor a listener nor a close leaves one.
    for (cookie, old, has_file) in [(1, SynSent, true), (2, Listen, true), (3, LastAck, false)] {
        tracker.apply(&event(5, cookie, Close, old));
        tracker.apply(&at_end(event(10, cookie, old, Close), has_file, false));
    }
    tracker.apply(&at_end(event(10, 4, FinWait2, Close), true, true));
    assert_eq!((tracker.stays().count(), tracker.tracked()), (0, 0));

    tracker.apply(&at_end(event(10, 5, LastAck, Close), true, false));
    assert_eq!(tracker.next_deadline(), Some(seconds(70)));
    let ended = tracker.released(SocketKey::new(5, 0), seconds(80), Some(false)).unwrap();
    assert_eq!((ended.stay.state, ended.by), (StayState::Closed, EndedBy::Closed));
    assert_eq!((tracker.tracked(), tracker.next_deadline()), (0, None));
    assert_eq!(tracker.released(SocketKey::new(5, 0), seconds(80), Some(false)), None);
}

#[test]
fn a_socket_that_is_shown_in_another_state_has_left_the_one_we_knew() {
    let mut tracker = tracker();
    tracker.apply(&event(10, 5, FinWait1, FinWait2));
    tracker.snapshot_begins(seconds(20));
    // Its namespace could not be asked, and what shows it is a descriptor.
    let closed = Observed { state: StayState::Closed, ..observed(5, 1, None) };
    let snapshot = Snapshot { half_closed: vec![closed], iterated: true, ..Default::default() };
    let ended = tracker.snapshot_ends(seconds(30), &snapshot, |_| true);
    let ended: Vec<_> = ended.iter().map(|ended| (ended.stay.state, ended.by)).collect();
    assert_eq!(ended, [(StayState::FinWait2, EndedBy::Unknown)]);
    let left: Vec<_> = tracker.stays().map(|stay| (stay.state, stay.since)).collect();
    assert_eq!(left, [(StayState::Closed, seconds(29))]);
    assert_eq!((tracker.tracked(), tracker.counts().repaired), (1, 1));
}

fn by(path: u32, event: Transition) -> Transition {
    Transition { path: PathId::new(path), ..event }
}

#[test]
fn the_code_that_opened_and_the_code_that_shut_down_stay_with_the_socket() {
    let mut tracker = tracker();
    tracker.apply(&by(7, event(1, 1, Close, SynSent)));
    tracker.apply(&event(1, 1, SynSent, Established));
    tracker.apply(&by(8, event(2, 1, Established, FinWait1)));
    tracker.apply(&event(2, 1, FinWait1, FinWait2));
    let stay = tracker.stays().next().unwrap();
    assert_eq!((stay.opened, stay.accepted), (PathId::new(7), false));
    assert_eq!(stay.shut, PathId::new(8));
    let path = PathId::new(7).unwrap();
    let opened = |tracker: &Tracker| tracker.proof(path).map(|proof| (proof.all, proof.closed));
    assert_eq!(opened(&tracker), Some((1, 0)));
    tracker.apply(&event(3, 1, FinWait2, Close));
    assert_eq!(opened(&tracker), Some((1, 1)));
    assert_eq!(tracker.proof(PathId::new(8).unwrap()), None, "it opened nothing");
}

#[test]
fn an_accept_is_known_of_a_socket_that_is_half_closed_already_and_of_one_that_is_gone() {
    let mut tracker = tracker();
    let path = PathId::new(9).unwrap();
    tracker.apply(&event(1, 2, SynRecv, Established));
    tracker.apply(&event(2, 2, Established, CloseWait));
    tracker.accepted(SocketKey::new(2, 0), path, seconds(3));
    let stay = tracker.stays().next().unwrap();
    assert_eq!((stay.opened, stay.accepted), (Some(path), true));
    tracker.accepted(SocketKey::new(3, 0), path, seconds(3));
    let proof = tracker.proof(path).unwrap();
    assert_eq!((proof.since, proof.all, proof.closed), (seconds(3), 2, 1));
}
