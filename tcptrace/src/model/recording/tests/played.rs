//! A core that was recorded as it ran, against the same one played back.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::player::{Missing, Player, Unplayable};
use super::super::tape::{ByteOrder, Header, left_out};
use super::super::{Flaw, Frame, Frames, Kind};
use super::scripted::{Live, Told, header, minisocket, run};
use crate::model::alert::Alert;
use crate::model::engine::{Input, Output};
use crate::model::event::Lost;
use crate::model::filter::{Filter, SocketFilter};
use crate::model::snapshot::Snapshot;
use crate::model::socket::{NetNs, SocketKey, TcpState};
use crate::model::time::Instant;
use crate::model::verdict::Verdict;
use crate::report::{json, text};

struct Played {
    told: Vec<Told>,
    flaws: Vec<Flaw>,
    missing: Missing,
    summary: String,
}

fn play(bytes: &[u8], filter: Option<Filter>) -> Played {
    let mut frames = Frames::open(bytes).unwrap();
    let first = frames.next_frame().unwrap().unwrap().unwrap();
    let mut player = Player::new(&first).unwrap();
    if let Some(filter) = filter {
        player.engine_mut().tell_of(filter);
    }
    let (mut told, mut flaws) = (Vec::new(), Vec::new());
    while let Some(frame) = frames.next_frame().unwrap() {
        match frame {
            Ok(frame) => {
                if let Some(now) = player.play(&frame).unwrap() {
                    told.extend(core::iter::from_fn(|| player.poll()).map(|output| (now, output)));
                }
            }
            Err(flaw) => flaws.push(flaw),
        }
    }
    let summary = format!("{:?}", player.summary());
    Played { told, flaws, missing: player.missing(), summary }
}

fn alerts(told: &[Told]) -> impl Iterator<Item = &Alert> {
    told.iter().filter_map(|(_, output)| match output {
        Output::Alert(alert) => Some(&**alert),
        _ => None,
    })
}

#[test]
fn what_is_told_is_told_again_line_for_line() {
    let mut live = run();
    let (bytes, summary) = live.end();
    assert_eq!(alerts(&live.told).filter(|alert| alert.ended_by.is_none()).count(), 60);
    assert_eq!(alerts(&live.told).filter(|alert| alert.ended_by.is_some()).count(), 51);
    assert_eq!(live.engine.counts().gaps, 1);
    let played = play(&bytes, None);
    assert_eq!(format!("{:#?}", played.told), format!("{:#?}", live.told));
    assert_eq!((played.summary, played.flaws), (summary, vec![]));
    assert_eq!(played.missing, Missing::default());
}

#[test]
fn another_filter_tells_of_others() {
    let (bytes, _) = run().end();
    let only = |verdict| Filter { verdicts: vec![verdict], ..Filter::default() };
    let count = |filter| {
        let played = play(&bytes, Some(filter));
        let firing: Vec<_> = alerts(&played.told).filter(|a| a.ended_by.is_none()).collect();
        assert!(firing.iter().all(|alert| alert.evidence.inode.unwrap_or(0) <= 40));
        firing.len()
    };
    assert_eq!(count(only(Verdict::EofRead)), 20);
    assert_eq!(count(only(Verdict::EofUnread)), 20);
    // What lay elsewhere is tracked all the same, and not told of.
    let elsewhere = Filter {
        sockets: SocketFilter { namespaces: vec![NetNs(8)], ..Default::default() },
        ..Filter::default()
    };
    assert_eq!(count(elsewhere), 0);
}

/// Where each frame begins, with its kind.
fn frames_of(bytes: &[u8]) -> Vec<(usize, Kind)> {
    let mut frames = Frames::open(bytes).unwrap();
    let mut places = Vec::new();
    loop {
        let offset = frames.offset() as usize;
        let Some(frame) = frames.next_frame().unwrap() else { return places };
        places.push((offset, Kind::of(frame.unwrap().kind).unwrap()));
    }
}

#[test]
fn whatever_is_missing_no_socket_gets_the_evidence_of_another() {
    let (bytes, _) = run().end();
    for &(offset, kind) in &frames_of(&bytes)[1..] {
        let mut damaged = bytes.clone();
        // In the time that every frame has.
        damaged[offset + 5] ^= 0x10;
        let played = play(&damaged, None);
        assert_eq!(played.flaws.len(), 1, "{kind} at {offset}");
        assert_eq!(played.missing.end, kind == Kind::End);
        for alert in alerts(&played.told).filter(|alert| !alert.stay.orphan) {
            assert_eq!(alert.evidence.inode, alert.stay.cookie, "{kind} at {offset}");
        }
        if matches!(kind, Kind::Transition | Kind::Deed | Kind::Tick | Kind::Lost) {
            let firing = alerts(&played.told).filter(|alert| alert.ended_by.is_none()).count();
            assert!((58..=60).contains(&firing), "{firing} without {kind} at {offset}");
        }
    }
}

#[test]
fn what_is_missing_is_counted() {
    let (bytes, _) = run().end();
    let (end, _) = *frames_of(&bytes).last().unwrap();
    let mut short = bytes[..end].to_vec();
    short.extend(left_out(Instant::default(), 7));
    let mut foreign = vec![200];
    foreign.extend([0; 12]);
    let checksum = crc32fast::hash(&foreign).to_le_bytes();
    short.extend([&foreign[..], &checksum].concat());
    let missing = play(&short, None).missing;
    assert_eq!(missing, Missing { left_out: 7, unknown: 1, end: true });
}

#[test]
fn frames_that_say_nothing_are_errors() {
    let whole = Header { byte_order: ByteOrder::Little, ..header() };
    let first = |payload| Frame { kind: Kind::Header as u8, at: Instant::default(), payload };
    let json = serde_json::to_vec(&whole).unwrap();
    assert!(matches!(Player::new(&first(b"{}")), Err(Unplayable::Payload { .. })));
    let other = String::from_utf8(json.clone()).unwrap().replace("\"little\"", "\"big\"");
    assert!(matches!(Player::new(&first(other.as_bytes())), Err(Unplayable::ByteOrder)));
    let mut player = Player::new(&first(&json)).unwrap();
    for kind in Kind::ALL {
        let frame = Frame { kind: kind as u8, at: Instant::default(), payload: b"[" };
        let expected = !matches!(kind, Kind::Header | Kind::Transition | Kind::Deed);
        assert_eq!(player.play(&frame).is_err(), expected, "{kind}");
    }
    let tick = Frame { kind: Kind::Tick as u8, at: Instant::default(), payload: &[0xff; 16] };
    assert!(player.play(&tick).is_ok(), "a nanosecond before 1970");
    let tick = Frame { payload: &[0x7f; 16], ..tick };
    assert!(matches!(player.play(&tick), Err(Unplayable::Length(Kind::Tick))));
}

/// `bytes` with the payload of one frame replaced, and a checksum that fits.
fn with_payload(bytes: &[u8], chosen: usize, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    super::super::open(&mut out);
    let mut frames = Frames::open(bytes).unwrap();
    let (mut i, mut change) = (0, Some(change));
    while let Some(frame) = frames.next_frame().unwrap() {
        let Frame { kind, at, payload } = frame.unwrap();
        let mut payload = payload.to_vec();
        if i == chosen
            && let Some(change) = change.take()
        {
            change(&mut payload);
        }
        super::super::frame(&mut out, Kind::of(kind).unwrap(), at, &payload).unwrap();
        i += 1;
    }
    out
}

/// Plays all that can be played of a recording that nobody has made.
fn play_anything(bytes: &[u8]) {
    let mut frames = Frames::open(bytes).unwrap();
    let first = frames.next_frame().unwrap().unwrap().unwrap();
    let Ok(mut player) = Player::new(&first) else { return };
    while let Some(frame) = frames.next_frame().unwrap() {
        if let Ok(Some(now)) = player.play(&frame.unwrap()) {
            while let Some(output) = player.poll() {
                // As it would be printed.
                let context = json::Context { host: "", boot_id: "", anchor: now };
                let mut out = Vec::new();
                match output {
                    Output::Alert(alert) => json::alert(&mut out, context, &alert).unwrap(),
                    Output::Group(group) => json::group(&mut out, context, &group).unwrap(),
                    _ => {}
                }
            }
        }
    }
    let _ = text::summary(&player.summary());
}

proptest! {
    #[test]
    fn whatever_a_frame_says_nothing_panics(
        // Few frames hold text; those are chosen as often as the rest.
        of_text in any::<bool>(),
        chosen in any::<proptest::sample::Index>(),
        place in any::<proptest::sample::Index>(),
        number in proptest::sample::select(vec![
            "0", "1", "255", "999999999", "4294967295", "9223372036854775807", "18446744073709551615",
        ]),
        raw in any::<[u8; 8]>(),
    ) {
        let (bytes, _) = run().end();
        let raw_kind = |kind| matches!(kind, Kind::Transition | Kind::Deed | Kind::Tick);
        let all = frames_of(&bytes);
        let like = |i: &usize| raw_kind(all[*i].1) != of_text;
        let alike: Vec<_> = (0..all.len()).filter(like).collect();
        let chosen = alike[chosen.index(alike.len())];
        let changed = with_payload(&bytes, chosen, |payload| {
            if of_text {
                // One of its numbers becomes another.
                let text = String::from_utf8(payload.clone()).unwrap();
                let digit = |i: usize| text.as_bytes().get(i).is_some_and(u8::is_ascii_digit);
                let begins = |&i: &usize| digit(i) && (i == 0 || !digit(i - 1));
                let numbers: Vec<_> = (0..text.len()).filter(begins).collect();
                if numbers.is_empty() {
                    return;
                }
                let from = numbers[place.index(numbers.len())];
                let to = (from..).find(|&i| !digit(i)).unwrap();
                *payload = format!("{}{number}{}", &text[..from], &text[to..]).into_bytes();
            } else {
                let from = place.index(payload.len());
                let to = payload.len().min(from + raw.len());
                payload[from..to].copy_from_slice(&raw[..to - from]);
            }
        });
        play_anything(&changed);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Go(u64, TcpState),
    Read(u64),
    Tick(u64),
    Examine,
    Fail,
    Lose(u64),
    Snapshot(Vec<u64>),
    Orphans(Vec<u64>),
}

fn step() -> impl Strategy<Value = Step> {
    let state = proptest::sample::select(vec![
        TcpState::SynRecv,
        TcpState::Established,
        TcpState::CloseWait,
        TcpState::FinWait2,
        TcpState::LastAck,
        TcpState::Close,
    ]);
    prop_oneof![
        8 => (1..20u64, state).prop_map(|(cookie, state)| Step::Go(cookie, state)),
        2 => (1..20u64).prop_map(Step::Read),
        6 => (0..40u64).prop_map(Step::Tick),
        4 => Just(Step::Examine),
        1 => Just(Step::Fail),
        1 => (0..9u64).prop_map(Step::Lose),
        1 => vec(1..20u64, 0..9).prop_map(Step::Snapshot),
        1 => vec(1..20u64, 0..9).prop_map(Step::Orphans),
    ]
}

proptest! {
    #[test]
    fn any_run_is_told_again_line_for_line(steps in vec(step(), 0..120)) {
        let mut live = Live::start();
        for step in steps {
            match step {
                Step::Go(cookie, state) => live.go(cookie, state),
                Step::Read(cookie) => live.read_eof(cookie),
                Step::Tick(seconds) => live.tick(seconds),
                Step::Examine => live.examine(),
                Step::Fail => live.input(Input::Evidence(None)),
                Step::Lose(ring) => live.input(Input::Lost(Lost { ring, ..Lost::default() })),
                Step::Snapshot(there) => {
                    let snapshot = Snapshot {
                        half_closed: there.iter().map(|&cookie| minisocket(cookie)).collect(),
                        others: Some(there.into_iter().map(|c| SocketKey::new(c, 0)).collect()),
                        asked: [NetNs(7)].into(),
                        iterated: true,
                        closed: 0,
                        cost: Some(core::time::Duration::from_millis(20)),
                        memories: HashMap::new(),
                    };
                    live.input(Input::Snapshot(Some(&snapshot)));
                }
                Step::Orphans(there) => {
                    let there: Vec<_> = there.into_iter().map(minisocket).collect();
                    live.input(Input::Orphans(Some(&(live.now, there, HashMap::new()))));
                }
            }
        }
        let (bytes, summary) = live.end();
        let played = play(&bytes, None);
        prop_assert_eq!(format!("{:?}", played.told), format!("{:?}", live.told));
        prop_assert_eq!(played.summary, summary);
    }
}
