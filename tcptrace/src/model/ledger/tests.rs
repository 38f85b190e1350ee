use super::*;
use crate::model::event::OnCpu;
use crate::model::socket::{Endpoints, SocketKey};
use crate::model::stay::EndedBy;
use crate::model::verdict::Confidence;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn stay(serial: u64, state: StayState, since: u64) -> Stay {
    Stay {
        id: StayId { slot: 0, serial },
        key: SocketKey::new(serial, 0),
        cookie: Some(serial),
        netns: None,
        endpoints: Endpoints {
            local: "127.0.0.1:80".parse().unwrap(),
            remote: "127.0.0.1:4000".parse().unwrap(),
        },
        state,
        orphan: false,
        since: at(since),
        since_earliest: at(since),
        exact: true,
        entered: at(since),
        circumstances: None,
        progress: None,
        progress_at: at(since),
        opened: None,
        accepted: false,
        shut: None,
    }
}

fn ended(stay: Stay, millis: u64) -> Ended {
    Ended { stay, at: at(millis), by: EndedBy::Closed, reset_sent: None }
}

fn read(comm: &[u8; 16], peeked: bool) -> Option<EofRead> {
    let by = OnCpu { pid: 7, tid: 7, comm: *comm };
    Some(EofRead { at: at(1), by, start_ticks: None, peeked, path: None })
}

fn interval(ledger: &mut Ledger, now: u64, lost: Lost, counts: Counts) -> Option<Interval> {
    match ledger.interval(at(now), false, lost, counts, [0, 1, 0])? {
        Entry::Interval(interval) => Some(*interval),
        other => panic!("{other:?}"),
    }
}

#[test]
fn short_stays_are_numbers_by_state_and_reader() {
    let mut ledger = Ledger::new(at(0));
    let nginx = b"nginx\0\0\0\0\0\0\0\0\0\0\0";
    for (serial, read) in
        [(1, read(nginx, false)), (2, read(nginx, false)), (3, read(nginx, true)), (4, None)]
    {
        assert!(ledger.ended(&ended(stay(serial, StayState::CloseWait, 10), 13), read).is_none());
    }
    let interval = interval(&mut ledger, 10_000, Lost::default(), Counts::default()).unwrap();
    let shown: Vec<_> = interval
        .short
        .iter()
        .map(|(stays, histogram)| (stays.comm.as_deref(), stays.verdict, histogram.count()))
        .collect();
    assert_eq!(shown, [(None, None, 2), (Some("nginx"), Some(Verdict::EofRead), 2)]);
    let histogram = interval.short.values().next().unwrap();
    assert_eq!(histogram.sum, Duration::from_millis(6));
    assert_eq!(histogram.buckets[2], 2, "from 2 ms to below 4 ms");
    assert_eq!(interval.half_closed, [0, 1, 0]);
}

#[test]
fn intervals_tell_what_is_new_and_follow_one_another() {
    let mut ledger = Ledger::new(at(0));
    let lost = |ring| Lost { ring, recursion: None, deeds: 0 };
    let counts = |gaps| Counts { gaps, ..Counts::default() };
    assert_eq!(interval(&mut ledger, 9_999, lost(5), counts(1)), None);
    let first = interval(&mut ledger, 10_000, lost(5), counts(1)).unwrap();
    assert_eq!((first.from, first.to, first.lost.ring, first.gaps), (at(0), at(10_000), 5, 1));
    let second = interval(&mut ledger, 25_000, lost(7), counts(1)).unwrap();
    assert_eq!((second.from, second.to), (at(10_000), at(25_000)));
    assert_eq!((second.lost.ring, second.gaps), (2, 0));
    assert!(second.transitions.is_empty() && second.short.is_empty());
}

#[test]
fn what_was_held_and_is_an_orphan_now_is_kept_from_then_on() {
    let mut ledger = Ledger::new(at(0));
    let mut kept = |stay: Stay| {
        let finding = Finding {
            verdict: Verdict::Orphan,
            confidence: Confidence::High,
            code: None,
            blame: None,
        };
        let evidence = Arc::new(Evidence::default());
        match ledger.known("id".into(), stay, &evidence, &Arc::new(finding)) {
            Some(Entry::Stay(known)) => known.stay.since,
            other => panic!("{other:?}"),
        }
    };
    let held = Stay { entered: at(10), ..stay(1, StayState::FinWait2, 10) };
    assert_eq!(kept(held), at(10));
    let orphan = Stay { orphan: true, entered: at(5000), ..stay(2, StayState::FinWait2, 10) };
    assert_eq!(kept(orphan), at(5000));
}

#[test]
fn a_program_that_goes_by_ever_new_names_takes_no_more_room() {
    let mut ledger = Ledger::new(at(0));
    let names = 10 * MOST_KINDS as u64;
    for serial in 0..names {
        let mut comm = [0; 16];
        comm[..8].copy_from_slice(&serial.to_ne_bytes());
        let ended = ended(stay(serial, StayState::CloseWait, 10), 13);
        assert!(ledger.ended(&ended, read(&comm, false)).is_none());
    }
    let interval = interval(&mut ledger, 10_000, Lost::default(), Counts::default()).unwrap();
    assert!(interval.short.len() <= MOST_KINDS + StayState::COUNT);
    let counted: u64 = interval.short.values().map(Histogram::count).sum();
    assert_eq!(counted, names, "none is lost");
}
