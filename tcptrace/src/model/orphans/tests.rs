use super::*;
use crate::model::socket::SocketKey;

const THRESHOLD: Duration = Duration::from_secs(10);

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn shown(age: u64, left: u64) -> Observed {
    Observed {
        orphan: true,
        minisocket: Some(Duration::from_secs(left)),
        age_min: Duration::from_secs(age),
        ..Observed::example(StayState::FinWait2)
    }
}

fn given_up(since: u64, now: u64) -> Ended {
    let stay = Stay { exact: true, ..first_seen(&shown(0, 0), at(since)) };
    Ended { stay, at: at(now), by: EndedBy::Unknown, reset_sent: None }
}

fn another(mut ended: Ended) -> Ended {
    ended.stay.cookie = Some(8);
    ended
}

#[test]
fn closes_that_cannot_reach_the_threshold_cost_nothing() {
    let mut orphans = Orphans::default();
    for second in 0..1000 {
        orphans.given_up(&given_up(second, second), Duration::from_secs(120), false);
    }
    assert_eq!(orphans.next_deadline(), None);
    assert!(orphans.remembered.is_empty() && orphans.looks.is_empty());
}

#[test]
fn one_look_a_namespace_when_the_first_is_due() {
    let mut orphans = Orphans::default();
    for second in 100..1000 {
        orphans.given_up(&given_up(second, second), THRESHOLD, false);
    }
    assert_eq!(orphans.next_deadline(), Some(at(110)));
    assert!(orphans.remembered.is_empty());
    assert_eq!(orphans.due(at(109)), None);
    assert_eq!(orphans.due(at(110)), Some(Namespaces::These(vec![NetNs(1)])));
    assert_eq!(orphans.next_deadline(), None, "one look at a time");
    // Nobody is left.
    let (stuck, ended) = orphans.shown(at(110), &[], |_| THRESHOLD, StayId::default);
    assert!(stuck.is_empty() && ended.is_empty());
}

#[test]
fn one_that_stays_is_told_of_and_followed_to_its_end() {
    let mut orphans = Orphans::default();
    orphans.given_up(&given_up(100, 100), THRESHOLD, false);
    orphans.due(at(110)).unwrap();
    let (stuck, _) = orphans.shown(at(110), &[shown(10, 50)], |_| THRESHOLD, StayId::default);
    assert_eq!(stuck.len(), 1);
    assert_eq!(stuck[0].since, at(100));
    orphans.due(at(150)).unwrap();
    let (stuck, ended) = orphans.shown(at(150), &[shown(50, 10)], |_| THRESHOLD, StayId::default);
    assert!(stuck.is_empty() && ended.is_empty(), "told once");
    orphans.due(at(160)).unwrap();
    let (_, ended) = orphans.shown(at(160), &[], |_| THRESHOLD, StayId::default);
    assert_eq!(ended[0].by, EndedBy::Expired);
    assert_eq!(orphans.next_deadline(), None);
}

#[test]
fn one_that_ends_before_its_time_was_closed_by_the_peer() {
    let mut orphans = Orphans::default();
    orphans.given_up(&given_up(100, 100), THRESHOLD, false);
    orphans.due(at(110)).unwrap();
    orphans.shown(at(110), &[shown(10, 50)], |_| THRESHOLD, StayId::default);
    orphans.due(at(120)).unwrap();
    let (_, ended) = orphans.shown(at(120), &[], |_| THRESHOLD, StayId::default);
    assert_eq!(ended[0].by, EndedBy::PeerClosed);
}

#[test]
fn the_clock_of_one_that_was_held_does_not_restart() {
    let mut orphans = Orphans::default();
    // Held for 5 s, then closed by its program.
    orphans.given_up(&given_up(100, 105), THRESHOLD, false);
    assert_eq!(orphans.next_deadline(), Some(at(110)));
    orphans.due(at(110)).unwrap();
    let (stuck, _) = orphans.shown(at(110), &[shown(5, 55)], |_| THRESHOLD, StayId::default);
    assert_eq!(stuck[0].since, at(100));
    assert!(stuck[0].exact);
}

#[test]
fn a_look_that_is_under_way_says_nothing_of_what_is_given_up_meanwhile() {
    let mut orphans = Orphans::default();
    orphans.look(Some(NetNs(1)), at(104));
    orphans.due(at(104)).unwrap();
    orphans.given_up(&given_up(100, 105), THRESHOLD, false);
    orphans.shown(at(106), &[], |_| THRESHOLD, StayId::default);
    orphans.due(at(110)).unwrap();
    orphans.given_up(&another(given_up(90, 111)), THRESHOLD, true);
    let (stuck, ended) = orphans.shown(at(112), &[shown(5, 55)], |_| THRESHOLD, StayId::default);
    assert_eq!((stuck.len(), stuck[0].since), (1, at(100)), "its clock did not restart");
    assert!(ended.is_empty(), "the other one may be there");
    orphans.due(at(112)).unwrap();
    let (_, ended) = orphans.shown(at(113), &[], |_| THRESHOLD, StayId::default);
    assert_eq!(ended.len(), 2);
}

#[test]
fn without_a_cookie_it_is_known_by_both_ends_and_looked_for_everywhere() {
    let mut orphans = Orphans::default();
    let mut ended = given_up(100, 105);
    ended.stay =
        Stay { key: SocketKey::new(0, 1 << 63 | 5), cookie: None, netns: None, ..ended.stay };
    orphans.given_up(&ended, THRESHOLD, false);
    assert_eq!(orphans.due(at(110)), Some(Namespaces::All));
    let (stuck, _) = orphans.shown(at(110), &[shown(5, 55)], |_| THRESHOLD, StayId::default);
    assert_eq!(stuck[0].since, at(100));
    assert_eq!((stuck[0].cookie, stuck[0].netns), (Some(7), Some(NetNs(1))));
    assert_eq!(orphans.due(at(120)), Some(Namespaces::These(vec![NetNs(1)])));
    let (_, ended) = orphans.shown(at(120), &[], |_| THRESHOLD, StayId::default);
    assert_eq!(ended[0].stay.cookie, Some(7));
}
