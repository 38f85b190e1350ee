use core::time::Duration;
use std::collections::HashMap;

use super::*;
use crate::model::event::{Circumstances, OnCpu, Progress};
use crate::model::evidence::{Sources, Timer};
use crate::model::group::GroupStatus;
use crate::model::process::tests::holder;
use crate::model::rules::Severity;
use crate::model::socket::{Endpoints, NetNs, SocketKey, TcpState};
use crate::model::stay::EndedBy;
use crate::model::verdict::Verdict;

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

/// An engine that has taken its first snapshot, of a host without sockets.
fn engine() -> Engine {
    engine_with(None)
}

fn engine_with(record: Option<Duration>) -> Engine {
    engine_by(record, Rules::default())
}

fn engine_by(record: Option<Duration>, rules: Rules) -> Engine {
    let mut engine = Engine::new(EngineConfig {
        thresholds: Thresholds {
            close_wait: Duration::from_secs(60),
            fin_wait2: Duration::from_secs(120),
            closed: Some(Duration::from_secs(60)),
            record,
        },
        filter: Filter::default(),
        rules,
        capacity: 10_000,
        boot_id: "0123456789".into(),
        identity: Identity::Cookie,
        eof: true,
    });
    engine.handle(at(0), Input::Tick);
    assert_eq!(outputs(&mut engine).snapshots, [false], "others do not matter yet");
    engine.handle(at(0), Input::Snapshot(Some(&Snapshot::default())));
    engine
}

fn event(seconds: u64, cookie: u64, old: TcpState, new: TcpState) -> Transition {
    Transition {
        at: at(seconds),
        key: SocketKey::new(cookie, 0),
        skaddr: None,
        netns: Some(NetNs(1)),
        endpoints: Endpoints {
            local: "127.0.0.1:80".parse().unwrap(),
            remote: format!("127.0.0.1:{}", 4000 + cookie).parse().unwrap(),
        },
        old,
        new,
        circumstances: Some(Circumstances {
            has_socket: new != TcpState::Close,
            has_file: new != TcpState::Close,
            exiting: Some(false),
            ..Default::default()
        }),
        progress: Some(Progress::default()),
        path: None,
        on_cpu: OnCpu { pid: 1, tid: 1, comm: [0; 16] },
    }
}

fn evidence(now: u64, stay: &Stay) -> Evidence {
    Evidence {
        looked_at: at(now),
        state: Some(stay.state.state()),
        holders: Some(vec![holder(50, 1, 10)]),
        inode: Some(99),
        recv_queue: Some(1),
        send_queue: Some(0),
        progress: stay.progress,
        timer: Timer::None,
        sources: Sources {
            iterator: true,
            sock_diag: true,
            sock_diag_asked: true,
            ..Sources::default()
        },
        ..Evidence::default()
    }
}

#[derive(Default)]
struct Outputs {
    examine: Vec<Stay>,
    alerts: Vec<Alert>,
    groups: Vec<GroupNotice>,
    conditions: Vec<ConditionNotice>,
    snapshots: Vec<bool>,
    orphans: Option<Namespaces>,
    kept: Vec<Entry>,
}

fn outputs(engine: &mut Engine) -> Outputs {
    let mut outputs = Outputs::default();
    while let Some(output) = engine.poll() {
        match output {
            Output::Examine(suspects) => {
                outputs.examine = suspects.into_iter().map(|suspect| suspect.stay).collect();
            }
            Output::Alert(alert) => outputs.alerts.push(Arc::unwrap_or_clone(alert)),
            Output::Group(group) => outputs.groups.push(*group),
            Output::Condition(condition) => outputs.conditions.push(*condition),
            Output::TakeSnapshot { others } => outputs.snapshots.push(others),
            Output::FindOrphans { namespaces, .. } => outputs.orphans = Some(namespaces),
            Output::Keep(entry) => outputs.kept.push(entry),
        }
    }
    outputs
}

/// 100 sockets stuck at 10 s, found at 70 s.
fn stuck() -> (Engine, Outputs) {
    let mut engine = engine();
    for cookie in 1..=100 {
        let event = event(10, cookie, TcpState::Established, TcpState::CloseWait);
        engine.handle(event.at, Input::Transition(&event));
    }
    assert_eq!(engine.next_deadline(), Some(at(70)));
    engine.handle(at(70), Input::Tick);
    let asked = outputs(&mut engine).examine;
    assert_eq!(asked.len(), 100, "one look for all that are due");
    let found = asked.iter().map(|stay| (stay.id, evidence(70, stay))).collect();
    engine.handle(at(70), Input::Evidence(Some(found)));
    let settled = at(70).after(Duration::from_millis(100));
    assert_eq!(engine.next_deadline(), Some(settled));
    engine.handle(settled, Input::Tick);
    let told = outputs(&mut engine);
    (engine, told)
}

#[test]
fn figures_are_of_now_and_of_what_is_over() {
    let (mut engine, _) = stuck();
    let closing = event(80, 1, TcpState::CloseWait, TcpState::LastAck);
    engine.handle(closing.at, Input::Transition(&closing));
    let closed = event(80, 1, TcpState::LastAck, TcpState::Close);
    engine.handle(closed.at, Input::Transition(&closed));
    let figures = engine.figures(at(90));
    let ages = figures.ages[StayState::CloseWait.index()];
    assert_eq!((ages.count(), ages.oldest), (99, Some(Duration::from_secs(80))));
    let key = (StayState::CloseWait, Verdict::EofUnread, Severity::Warning);
    assert_eq!(figures.stuck.into_iter().collect::<Vec<_>>(), [(key, 99)]);
    let units: Vec<_> = figures.units.into_iter().collect();
    assert_eq!(units.len(), 1);
    assert_eq!((units[0].0.name(), units[0].1.stuck), ("program.service", [99, 0, 0]));
    assert_eq!(units[0].1.descriptors, Some(812.0 / 1024.0));
    assert_eq!((figures.alerts, figures.alerts_firing, figures.groups), (100, 99, 1));
    let ended: Vec<_> = figures.ended.each().collect();
    let [(StayState::CloseWait, EndedBy::Closed, lasted)] = ended[..] else { panic!("{ended:?}") };
    assert_eq!((lasted.count(), lasted.sum), (1, Duration::from_secs(70)));
}

#[test]
fn a_socket_closed_during_the_look_is_not_told() {
    let mut engine = engine();
    let begun = event(10, 1, TcpState::Established, TcpState::CloseWait);
    engine.handle(begun.at, Input::Transition(&begun));
    engine.handle(at(70), Input::Tick);
    let asked = outputs(&mut engine).examine;
    let over = event(70, 1, TcpState::CloseWait, TcpState::LastAck);
    engine.handle(over.at, Input::Transition(&over));
    // The same socket cannot come back, but its slot is taken by another stay.
    let other = event(70, 2, TcpState::Established, TcpState::CloseWait);
    engine.handle(other.at, Input::Transition(&other));
    let found = vec![(asked[0].id, evidence(70, &asked[0]))];
    engine.handle(at(71), Input::Evidence(Some(found)));
    let told = outputs(&mut engine);
    assert!(told.alerts.is_empty() && told.groups.is_empty());
}

/// The first look takes two minutes, and the second comes right after it.
#[test]
fn a_look_that_takes_long_accuses_nobody_whose_bytes_move() {
    let mut engine = engine();
    let begun = event(10, 1, TcpState::FinWait1, TcpState::FinWait2);
    engine.handle(begun.at, Input::Transition(&begun));
    let progress = Some(Progress { rcv_nxt: 5, ..Progress::default() });
    for (began, over) in [(130, 249), (250, 250)] {
        engine.handle(at(began), Input::Tick);
        let asked = outputs(&mut engine).examine;
        let last_recv = Some(Duration::ZERO);
        let look = Evidence { progress, last_recv, ..evidence(began, &asked[0]) };
        engine.handle(at(over), Input::Evidence(Some(vec![(asked[0].id, look)])));
    }
    assert!(outputs(&mut engine).alerts.is_empty());
}

#[test]
fn a_look_that_failed_is_repeated() {
    let mut engine = engine();
    let begun = event(10, 1, TcpState::Established, TcpState::CloseWait);
    engine.handle(begun.at, Input::Transition(&begun));
    engine.handle(at(70), Input::Tick);
    assert_eq!(outputs(&mut engine).examine.len(), 1);
    engine.handle(at(70), Input::Evidence(None));
    assert_eq!(engine.next_deadline(), Some(at(71)));
    engine.handle(at(71), Input::Tick);
    assert_eq!(outputs(&mut engine).examine.len(), 1);
}

#[test]
fn a_socket_that_the_kernel_does_not_show_is_forgotten() {
    let mut engine = engine();
    let begun = event(10, 1, TcpState::Established, TcpState::CloseWait);
    engine.handle(begun.at, Input::Transition(&begun));
    engine.handle(at(70), Input::Tick);
    let asked = outputs(&mut engine).examine;
    let vanished = Evidence { state: None, ..evidence(70, &asked[0]) };
    engine.handle(at(70), Input::Evidence(Some(vec![(asked[0].id, vanished)])));
    assert!(outputs(&mut engine).alerts.is_empty());
    assert_eq!((engine.tracked(), engine.counts().repaired), (0, 1));
}

fn read_eof(seconds: u64, cookie: u64, pid: u32) -> Deed {
    Deed {
        at: at(seconds),
        cookie: Some(cookie),
        skaddr: 0,
        kind: DeedKind::EofRead,
        exiting: Some(false),
        by: OnCpu { pid, tid: pid, comm: [0; 16] },
        start_ticks: None,
        path: None,
    }
}

#[test]
fn a_verdict_that_gets_better_is_told_again_under_the_same_id() {
    let (mut engine, before) = stuck();
    for cookie in 1..=100 {
        engine.handle(at(80), Input::Deed(&read_eof(80, cookie, 50)));
    }
    engine.handle(at(80), Input::Tick);
    assert!(outputs(&mut engine).examine.is_empty(), "no more often than once a minute");
    engine.handle(at(130), Input::Tick);
    let asked = outputs(&mut engine).examine;
    let drained = |stay: &Stay| Evidence { recv_queue: Some(0), ..evidence(130, stay) };
    let found = asked.iter().map(|stay| (stay.id, drained(stay))).collect();
    engine.handle(at(130), Input::Evidence(Some(found)));
    engine.handle(at(131), Input::Tick);
    let told = outputs(&mut engine);
    assert!(told.alerts.iter().all(|alert| alert.finding.verdict == Verdict::EofRead));
    let ids = |alerts: &[Alert]| alerts.iter().map(|alert| alert.id.clone()).collect::<Vec<_>>();
    let (mut old, mut new) = (ids(&before.alerts), ids(&told.alerts));
    old.sort();
    new.sort();
    assert_eq!(old, new);
    let mut groups: Vec<_> = told.groups.iter().map(|g| (g.status, g.withdrawn)).collect();
    groups.sort_by_key(|&(_, withdrawn)| withdrawn);
    assert_eq!(groups, [(GroupStatus::Firing, 0), (GroupStatus::Resolved, 100)]);
    assert_eq!(engine.told().0, 100, "no alert counts twice");
}

#[test]
fn a_shutdown_that_keeps_the_descriptor_is_told_from_a_close() {
    let (mut engine, _) = stuck();
    for cookie in 1..=2 {
        let over = event(75, cookie, TcpState::CloseWait, TcpState::LastAck);
        engine.handle(over.at, Input::Transition(&over));
    }
    assert!(outputs(&mut engine).alerts.is_empty(), "which it was is not known yet");
    let mut kept = event(75, 1, TcpState::LastAck, TcpState::Close);
    *kept.circumstances.as_mut().unwrap() =
        Circumstances { has_socket: true, has_file: true, ..Default::default() };
    engine.handle(kept.at, Input::Transition(&kept));
    // The peer of the other does not answer: what is known is told after a second.
    assert!(outputs(&mut engine).alerts.is_empty());
    assert_eq!(engine.next_deadline(), Some(at(76)));
    engine.handle(at(76), Input::Tick);
    let mut told: Vec<_> = outputs(&mut engine).alerts.iter().map(|a| a.ended_by).collect();
    told.sort_by_key(|by| by.map(EndedBy::name));
    assert_eq!(told, [Some(EndedBy::Closed), Some(EndedBy::Shutdown)]);
}

#[test]
fn shut_down_and_closed_right_after_is_closed() {
    let (mut engine, _) = stuck();
    let over = event(75, 1, TcpState::CloseWait, TcpState::LastAck);
    engine.handle(over.at, Input::Transition(&over));
    let mut kept = event(75, 1, TcpState::LastAck, TcpState::Close);
    *kept.circumstances.as_mut().unwrap() =
        Circumstances { has_socket: true, has_file: true, ..Default::default() };
    engine.handle(kept.at, Input::Transition(&kept));
    let released = Deed { kind: DeedKind::Released, ..read_eof(75, 1, 50) };
    engine.handle(released.at, Input::Deed(&released));
    assert_eq!(outputs(&mut engine).alerts[0].ended_by, Some(EndedBy::Closed));
}

#[test]
fn a_descriptor_that_outlives_its_connection_is_told_of_until_it_is_released() {
    let mut engine = engine();
    let mut over = event(10, 1, TcpState::LastAck, TcpState::Close);
    *over.circumstances.as_mut().unwrap() =
        Circumstances { has_socket: true, has_file: true, ..Default::default() };
    engine.handle(over.at, Input::Transition(&over));
    engine.handle(at(70), Input::Tick);
    let asked = outputs(&mut engine).examine;
    engine.handle(at(70), Input::Evidence(Some(vec![(asked[0].id, evidence(70, &asked[0]))])));
    let alert = &outputs(&mut engine).alerts[0];
    assert_eq!(alert.finding.verdict, Verdict::ClosedNotReleased);
    let released = Deed { kind: DeedKind::Released, exiting: Some(true), ..read_eof(80, 1, 50) };
    engine.handle(at(80), Input::Deed(&released));
    assert_eq!(outputs(&mut engine).alerts[0].ended_by, Some(EndedBy::ProcessExit));
}

/// At 1.5 s of its life a stay is due for the record: at the next full second.
#[test]
fn what_lasts_for_a_second_is_kept_long_before_anybody_is_told() {
    let mut engine = engine_with(Some(Duration::from_millis(1500)));
    for (cookie, old, new) in [
        (1, TcpState::Established, TcpState::CloseWait),
        (2, TcpState::Established, TcpState::CloseWait),
        (2, TcpState::CloseWait, TcpState::LastAck),
    ] {
        let event = event(10, cookie, old, new);
        engine.handle(event.at, Input::Transition(&event));
    }
    engine.handle(at(11), Input::Tick);
    assert!(outputs(&mut engine).examine.is_empty());
    engine.handle(at(12), Input::Tick);
    let asked = outputs(&mut engine).examine;
    assert_eq!(asked.len(), 1);
    let stay = asked[0];
    engine.handle(at(12), Input::Evidence(Some(vec![(stay.id, evidence(12, &stay))])));
    let out = outputs(&mut engine);
    assert!(out.alerts.is_empty());
    let [Entry::Stay(known)] = &out.kept[..] else { panic!("{:?}", out.kept) };
    assert_eq!((known.stay.id, known.finding.verdict), (stay.id, Verdict::EofUnread));
    assert_eq!(engine.next_deadline(), Some(at(70)), "it is told of at its threshold");
    engine.handle(at(70), Input::Tick);
    let asked = outputs(&mut engine).examine;
    engine.handle(at(70), Input::Evidence(Some(vec![(stay.id, evidence(70, &asked[0]))])));
    let out = outputs(&mut engine);
    assert_eq!(out.alerts.len(), 1);
    let said = out.kept.iter().filter(|entry| matches!(entry, Entry::Stay(_))).count();
    assert_eq!(said, 0, "it was said before");
    let close = event(80, 1, TcpState::CloseWait, TcpState::LastAck);
    engine.handle(close.at, Input::Transition(&close));
    engine.handle(at(82), Input::Tick);
    let kept = outputs(&mut engine).kept;
    let ended = kept.iter().find_map(|entry| match entry {
        Entry::Ended(ended) => Some((ended.stay.id, ended.at, ended.by)),
        _ => None,
    });
    assert_eq!(ended, Some((stay.id, at(80), EndedBy::Closed)));
    engine.sum_up(at(82), true);
    let kept = outputs(&mut engine).kept;
    assert!(matches!(&kept[..], [Entry::Interval(last)] if last.to == at(82)), "{kept:?}");
}

#[test]
fn without_a_record_nothing_is_kept() {
    let (mut engine, told) = stuck();
    engine.sum_up(at(100), true);
    assert!(told.kept.is_empty() && outputs(&mut engine).kept.is_empty());
}

mod groups;
mod orphans;
mod repair;
mod ruled;
