use core::time::Duration;

use super::view::{Body, View};
use super::*;
use crate::model::alert::Alert;
use crate::model::evidence::Evidence;
use crate::model::process::Process;
use crate::model::stay::{Ended, EndedBy, Stay, StayId};
use crate::model::time::Instant;
use crate::model::verdict::{Blame, Finding, Verdict};
use crate::report::samples;

fn after(seconds: u64) -> Anchor {
    let start = samples::anchor();
    let monotonic = start.monotonic.after(Duration::from_secs(seconds));
    Anchor { monotonic, wall: start.wall_at(monotonic) }
}

/// A socket of process `pid`, half-closed `age` seconds before `now`.
fn stuck(serial: u64, pid: u32, age: u64, now: Anchor) -> Alert {
    let alert = samples::alert();
    let since = now.monotonic.before(Duration::from_secs(age));
    let blame = alert.finding.blame.clone().unwrap();
    let process = Process { pid, comm: format!("program{pid}"), ..(*blame.process).clone() };
    let blame = Some(Blame { process: Arc::new(process), ..blame });
    Alert {
        stay: Stay { id: StayId::of(serial), since, since_earliest: since, ..alert.stay },
        at: now.monotonic,
        finding: Arc::new(Finding { blame, ..(*alert.finding).clone() }),
        evidence: Arc::new(Evidence { holders: None, ..(*alert.evidence).clone() }),
        ..alert
    }
}

fn freed(alert: &Alert, at: Anchor) -> Alert {
    let ended = Ended { stay: alert.stay, at: at.monotonic, by: EndedBy::Closed, reset_sent: None };
    alert.clone().resolved(&ended)
}

fn tell(top: &mut Top, alert: &Alert, now: Anchor) {
    top.tell(Output::Alert(Arc::new(alert.clone())), now);
    top.beat(now, &Sockets::default(), Lost::default());
}

/// What the rows stand for and how many sockets they have.
fn rows(view: &View<'_>) -> Vec<(RowKey, usize)> {
    let Body::Table(list) = &view.body else { panic!("no table: {:?}", view.body) };
    list.entries.iter().map(|(key, row)| (key.clone(), row.count())).collect()
}

fn of(pid: u32) -> RowKey {
    RowKey::Process(Some((pid, Some(10))))
}

fn three() -> (Top, [Alert; 3]) {
    let now = after(0);
    let mut top = Top::new(now);
    let alerts = [stuck(1, 1, 70, now), stuck(2, 2, 90, now), stuck(3, 1, 80, now)];
    alerts.iter().for_each(|alert| tell(&mut top, alert, now));
    (top, alerts)
}

#[test]
fn rows_follow_what_is_told() {
    let (mut top, [one, two, three]) = three();
    assert_eq!(rows(&top.view(80, 10)), [(of(1), 2), (of(2), 1)]);
    assert_eq!(top.view(80, 10).stuck, (3, 3));
    // More is known of one: it belongs to another process.
    tell(&mut top, &stuck(3, 2, 80, after(5)), after(5));
    assert_eq!(rows(&top.view(80, 10)), [(of(2), 2), (of(1), 1)]);
    for alert in [&one, &two, &three] {
        tell(&mut top, &freed(alert, after(6)), after(6));
    }
    let view = top.view(80, 10);
    assert_eq!((rows(&view), view.stuck), (vec![], (0, 0)));
    tell(&mut top, &freed(&one, after(7)), after(7));
    assert_eq!(top.view(80, 10).stuck, (0, 0), "told twice");
}

#[test]
fn rows_are_sorted_by_what_is_asked_for() {
    let (mut top, _) = three();
    let orders: Vec<_> = (0..4)
        .map(|_| {
            let view = top.view(80, 10);
            let order = (view.sort.unwrap(), rows(&view).into_iter().map(|(key, _)| key).collect());
            top.handle(Key::Char('s'));
            order
        })
        .collect::<Vec<(_, Vec<_>)>>();
    assert_eq!(
        orders,
        [
            ("count", vec![of(1), of(2)]),
            ("age", vec![of(2), of(1)]),
            ("growth", vec![of(1), of(2)]),
            ("name", vec![of(1), of(2)]),
        ]
    );
}

#[test]
fn each_turn_counts_the_same_sockets() {
    let (mut top, _) = three();
    for turn in Turn::ALL {
        let view = top.view(80, 10);
        assert_eq!(view.turn, turn);
        assert_eq!(rows(&view).iter().map(|(_, count)| count).sum::<usize>(), 3, "{turn:?}");
        top.handle(Key::Char('g'));
    }
    assert_eq!(top.view(80, 10).turn, Turn::Process);
}

#[test]
fn one_goes_in_to_one_socket_and_out_again() {
    let (mut top, [one, _, three]) = three();
    top.handle(Key::Enter);
    let view = top.view(80, 10);
    let Body::Sockets(key, Some(row), list) = &view.body else { panic!("{:?}", view.body) };
    assert_eq!((*key, row.count(), list.total), (&of(1), 2, 2));
    let ids: Vec<_> = list.entries.iter().map(|alert| alert.stay.id).collect();
    assert_eq!(ids, [three.stay.id, one.stay.id], "the oldest first");
    top.handle(Key::Down);
    top.handle(Key::Enter);
    let shown = |top: &mut Top| match top.view(80, 10).body {
        Body::Socket(alert, _) => (alert.stay.id, alert.ended_by),
        body => panic!("{body:?}"),
    };
    assert_eq!(shown(&mut top), (one.stay.id, None));
    // It stays on the screen when it is over.
    tell(&mut top, &freed(&one, after(9)), after(9));
    assert_eq!(shown(&mut top), (one.stay.id, Some(EndedBy::Closed)));
    top.handle(Key::Escape);
    tell(&mut top, &freed(&three, after(9)), after(9));
    let view = top.view(80, 10);
    assert!(matches!(&view.body, Body::Sockets(_, None, list) if list.total == 0), "{view:?}");
    top.handle(Key::Enter);
    top.handle(Key::Escape);
    assert_eq!(rows(&top.view(80, 10)).len(), 1);
    assert_eq!(top.handle(Key::Escape), None, "there is nowhere else to go");
}

#[test]
fn a_filter_is_typed_and_may_be_wrong() {
    let (mut top, alerts) = three();
    top.handle(Key::Char('/'));
    for c in "--pid 2q".chars() {
        assert_eq!(top.handle(Key::Char(c)), None, "q is a letter here");
    }
    top.handle(Key::Backspace);
    let Some(Effect::Filter(text)) = top.handle(Key::Enter) else { panic!("no filter") };
    assert_eq!(text, "--pid 2");
    top.filter(text.clone(), Err("no such thing".into()));
    let view = top.view(80, 10);
    assert!(view.prompt.is_some() && matches!(view.said, Some(Said::Wrong(_))), "{view:?}");
    top.filter(text, Ok(Filter { pids: vec![2], ..Filter::default() }));
    let view = top.view(80, 10);
    assert_eq!((rows(&view), view.stuck), (vec![(of(2), 1)], (3, 1)));
    assert_eq!((view.prompt, view.filter), (None, "--pid 2"));
    // What is not shown is followed all the same.
    tell(&mut top, &freed(&alerts[0], after(1)), after(1));
    top.filter(String::new(), Ok(Filter::default()));
    assert_eq!(rows(&top.view(80, 10)), [(of(2), 1), (of(1), 1)]);
    top.handle(Key::Char('/'));
    top.handle(Key::Escape);
    assert_eq!(top.view(80, 10).prompt, None);
}

#[test]
fn a_frozen_screen_stands_still_and_misses_nothing() {
    let (mut top, [one, ..]) = three();
    top.handle(Key::Char(' '));
    tell(&mut top, &freed(&one, after(60)), after(60));
    let view = top.view(80, 10);
    assert!(view.frozen);
    assert_eq!((view.now.monotonic, view.stuck.0), (after(0).monotonic, 3));
    top.handle(Key::Char(' '));
    let view = top.view(80, 10);
    assert_eq!((view.frozen, view.now.monotonic, view.stuck.0), (false, after(60).monotonic, 2));
}

#[test]
fn a_flame_is_walked_and_zoomed() {
    let (mut top, _) = three();
    top.handle(Key::Char('f'));
    let state = |top: &mut Top| match top.view(80, 10).body {
        Body::Flame(profile, cursor, _) => {
            let name = |node: usize| profile.nodes()[node].frame.name.to_string();
            (name(cursor.zoom), name(cursor.at), profile.total().time.as_secs())
        }
        body => panic!("{body:?}"),
    };
    let now = |zoom: &str, at: &str| (zoom.to_owned(), at.to_owned(), 240);
    assert_eq!(state(&mut top), now("all", "all"));
    top.handle(Key::Down);
    top.handle(Key::Down);
    assert_eq!(state(&mut top), now("all", "program1"), "the widest");
    top.handle(Key::Right);
    assert_eq!(state(&mut top), now("all", "program2"));
    top.handle(Key::Right);
    top.handle(Key::Enter);
    assert_eq!(state(&mut top), now("program2", "program2"));
    top.handle(Key::Left);
    assert_eq!(state(&mut top), now("program2", "program2"), "its sisters are not to be seen");
    top.handle(Key::Escape);
    assert_eq!(state(&mut top), now("orders.service", "program2"));
    top.filter("--pid 1".into(), Ok(Filter { pids: vec![1], ..Filter::default() }));
    assert_eq!(state(&mut top), ("all".into(), "all".into(), 150));
    top.handle(Key::Char('f'));
    assert_eq!(rows(&top.view(80, 10)), [(of(1), 2)]);
}

#[test]
fn growth_shows_after_some_seconds() {
    let (mut top, _) = three();
    for second in 1..=30 {
        tell(&mut top, &stuck(100 + second, 1, 70, after(second)), after(second));
    }
    let view = top.view(80, 10);
    let Body::Table(list) = &view.body else { panic!("no table") };
    let sums = list.entries[0].1.sums(view.now.monotonic);
    assert_eq!((sums.count, sums.growth, sums.verdict), (32, Some(60.0), Some(Verdict::EofUnread)));
    let known: Vec<_> = sums.trend.iter().flatten().collect();
    assert!(known.is_sorted() && known.last() == Some(&&32), "{:?}", sums.trend);
    // 192 of 1,024 descriptors, less than one a second.
    assert_eq!(sums.forecast.unwrap().full_in, Duration::from_secs(212));
}

#[test]
fn keys_in_any_order_never_panic() {
    use proptest::prelude::*;
    const KEYS: [Key; 24] = [
        Key::Up,
        Key::Down,
        Key::Left,
        Key::Right,
        Key::PageUp,
        Key::PageDown,
        Key::Home,
        Key::End,
        Key::Enter,
        Key::Enter,
        Key::Escape,
        Key::Tab,
        Key::Backspace,
        Key::Clear,
        Key::Char('f'),
        Key::Char('s'),
        Key::Char('/'),
        Key::Char(' '),
        Key::Char('?'),
        Key::Char('w'),
        Key::Char('g'),
        Key::Char('j'),
        Key::Char('+'),
        Key::Char('é'),
    ];
    let step = (0usize..KEYS.len() + 3, 0u16..100, 0usize..12);
    proptest!(|(steps in proptest::collection::vec(step, 0..60))| {
        let (mut top, alerts) = three();
        for (i, (key, width, height)) in steps.into_iter().enumerate() {
            match KEYS.get(key) {
                Some(&key) => {
                    if let Some(Effect::Filter(text)) = top.handle(key) {
                        top.filter(text, Ok(Filter::default()));
                    }
                }
                None => tell(&mut top, &freed(&alerts[key - KEYS.len()], after(9)), after(i as u64)),
            }
            let view = top.view(width, height);
            if let Body::Table(list) = &view.body {
                prop_assert!(list.entries.len() <= height);
            }
        }
    });
}

/// A view of very many costs little: it goes through rows, not through the sockets in them.
#[test]
fn fifty_thousand_are_one_row() {
    let now = after(0);
    let mut top = Top::new(now);
    for serial in 0..50_000 {
        tell_only(&mut top, stuck(serial, 1, 70 + serial % 900, now), now);
    }
    let began = std::time::Instant::now();
    for _ in 0..10 {
        assert_eq!(rows(&top.view(80, 20)), [(of(1), 50_000)]);
    }
    let each = began.elapsed() / 10;
    assert!(each < Duration::from_millis(50), "{each:?}");
    let oldest = match &top.view(80, 20).body {
        Body::Table(list) => list.entries[0].1.oldest(),
        body => panic!("{body:?}"),
    };
    assert_eq!(oldest, Instant::from_nanos(now.monotonic.as_nanos() - 969_000_000_000));
}

fn tell_only(top: &mut Top, alert: Alert, now: Anchor) {
    top.tell(Output::Alert(Arc::new(alert)), now);
}
