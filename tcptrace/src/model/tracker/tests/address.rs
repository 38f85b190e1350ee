//! Sockets that are known by their addresses.

use std::net::IpAddr;

use super::*;

/// An event of a probe that knows sockets by their addresses.
fn by_address(at: u64, skaddr: u64, port: u16, old: TcpState, new: TcpState) -> Transition {
    let mut event = event(at, 0, old, new);
    event.key = SocketKey::new(0, 1 << 63 | skaddr);
    event.endpoints.remote.set_port(port);
    Transition { netns: None, circumstances: None, progress: None, ..event }
}

fn by_addresses() -> Tracker {
    Tracker::new(THRESHOLDS, 1000, Identity::Address)
}

fn shown_by_ends(port: u16, cookie: u64) -> Observed {
    let stay = by_address(0, 0, port, Established, CloseWait);
    Observed {
        key: SocketKey::new(cookie, 0),
        skaddr: None,
        netns: NetNs(1),
        endpoints: stay.endpoints,
        state: StayState::CloseWait,
        orphan: false,
        minisocket: None,
        age_min: Duration::from_secs(5),
        age_max: None,
        seen: None,
        progress: None,
    }
}

#[test]
fn an_address_that_is_used_again_is_another_socket() {
    let mut tracker = by_addresses();
    tracker.apply(&by_address(10, 1, 4000, Established, CloseWait));
    tracker.apply(&by_address(11, 1, 4000, CloseWait, LastAck));
    tracker.apply(&by_address(12, 1, 4000, LastAck, Close));
    tracker.apply(&by_address(12, 1, 5000, Listen, SynRecv));
    tracker.apply(&by_address(12, 1, 5000, SynRecv, Established));
    tracker.apply(&by_address(13, 1, 5000, Established, CloseWait));
    let stay = tracker.stays().next().unwrap();
    assert_eq!((stay.since, stay.endpoints.remote.port()), (seconds(13), 5000));
    assert_eq!(tracker.counts().gaps, 0);
    // The end of that one is lost: its address shows with a new one.
    let ended = tracker.apply(&by_address(20, 1, 6000, Listen, SynRecv)).unwrap();
    assert_eq!((ended.by, tracker.counts().gaps), (EndedBy::Unknown, 1));
    assert_eq!((tracker.tracked(), tracker.next_deadline()), (0, None));
}

#[test]
fn what_a_snapshot_showed_gets_its_address_from_its_first_transition() {
    let mut tracker = by_addresses();
    tracker.snapshot_begins(seconds(0));
    // This one is over before the snapshot is: its address tells nothing, its ends do.
    tracker.apply(&by_address(10, 7, 4002, CloseWait, LastAck));
    let shown = [4000, 4001, 4002].map(|port| shown_by_ends(port, u64::from(port)));
    tracker.snapshot_ends(seconds(10), &snapshot_of(&shown), |_| true);
    assert_eq!(tracker.stays().count(), 2);
    assert_eq!(tracker.stays().next().unwrap().cookie, Some(4000));
    let ended = tracker.apply(&by_address(20, 1, 4000, CloseWait, LastAck)).unwrap();
    assert_eq!(ended.stay.since, seconds(5));
    tracker.apply(&by_address(20, 1, 4000, LastAck, Close));
    assert_eq!(tracker.stays().count(), 1);
    assert_eq!(tracker.counts().gaps, 0);
}

#[test]
fn the_same_connection_in_two_namespaces_is_not_confused() {
    let mut tracker = by_addresses();
    tracker.snapshot_begins(seconds(0));
    let shown = [shown_by_ends(4000, 1), Observed { netns: NetNs(2), ..shown_by_ends(4000, 2) }];
    tracker.snapshot_ends(seconds(10), &snapshot_of(&shown), |_| true);
    assert_eq!(tracker.stays().count(), 2);
    assert_eq!(tracker.apply(&by_address(20, 1, 4000, CloseWait, LastAck)), None);
    assert_eq!(tracker.stays().count(), 2, "whose end it is the next look will show");
}

#[test]
fn a_repair_knows_by_their_ends_those_that_are_still_there() {
    let mut tracker = by_addresses();
    tracker.apply(&by_address(10, 1, 4000, Established, CloseWait));
    tracker.apply(&by_address(10, 2, 4001, Established, CloseWait));
    tracker.apply(&by_address(10, 3, 4002, SynSent, Established));
    tracker.snapshot_begins(seconds(0));
    let ended =
        tracker.snapshot_ends(seconds(30), &snapshot_of(&[shown_by_ends(4000, 1)]), |_| true);
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].stay.endpoints.remote.port(), 4001);
    let left = tracker.stays().next().unwrap();
    assert_eq!((left.since, left.exact), (seconds(10), true), "it keeps its exact age");
    assert_eq!(tracker.tracked(), 1, "what no look can confirm is learnt again");
}

#[test]
fn another_socket_at_the_same_address_and_in_the_same_state_is_another_stay() {
    let mut tracker = by_addresses();
    tracker.apply(&by_address(10, 1, 4000, Established, CloseWait));
    // Its end is lost, and all of the next one's but what a look shows.
    let skaddr = Some(by_address(0, 1, 0, Established, CloseWait).key.get());
    let mut shown = [Observed { skaddr, ..shown_by_ends(5000, 8) }];
    for (at, over) in [(20, 1), (30, 0)] {
        tracker.snapshot_begins(seconds(at));
        let ended = tracker.snapshot_ends(seconds(at), &snapshot_of(&shown), |_| true);
        assert_eq!(ended.len(), over);
        assert!(ended.iter().all(|it| it.stay.endpoints.remote.port() == 4000));
        let stays: Vec<_> = tracker.stays().collect();
        assert_eq!(stays.len(), 1);
        assert_eq!((stays[0].endpoints.remote.port(), stays[0].since), (5000, seconds(15)));
        // The next look has the same ends, as IPv4-mapped.
        let Endpoints { local, remote } = &mut shown[0].endpoints;
        for end in [local, remote] {
            let IpAddr::V4(ip) = end.ip().to_canonical() else { unreachable!() };
            end.set_ip(ip.to_ipv6_mapped().into());
        }
    }
}
