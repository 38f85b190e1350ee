//! What is done about what was lost.

use super::*;

/// At 100 s something is lost, and a look at all sockets begins.
fn begin(engine: &mut Engine, lost: Lost) {
    engine.handle(at(100), Input::Lost(lost));
    engine.handle(at(100), Input::Tick);
    assert_eq!(outputs(engine).snapshots, [true]);
}

#[test]
fn loss_is_repaired_once_and_not_too_often() {
    let mut engine = engine();
    begin(&mut engine, Lost { ring: 5, recursion: Some(1), ..Lost::default() });
    engine.handle(at(100), Input::Lost(Lost { ring: 9, recursion: Some(1), ..Lost::default() }));
    engine.handle(at(101), Input::Tick);
    assert!(outputs(&mut engine).snapshots.is_empty(), "one at a time");
    // It took a second: the next begins twenty seconds later at the earliest.
    engine.handle(at(101), Input::Snapshot(Some(&Snapshot::default())));
    assert_eq!(engine.next_deadline(), Some(at(121)));
    engine.handle(at(120), Input::Tick);
    assert!(outputs(&mut engine).snapshots.is_empty());
    engine.handle(at(121), Input::Tick);
    assert_eq!(outputs(&mut engine).snapshots, [true]);
    engine.handle(at(121), Input::Snapshot(Some(&Snapshot::default())));
    engine.handle(at(420), Input::Tick);
    assert!(outputs(&mut engine).snapshots.is_empty(), "nothing more was lost");
    engine.handle(at(421), Input::Tick);
    assert_eq!(outputs(&mut engine).snapshots, [true], "that is known: a look in any case");
}

#[test]
fn after_many_transitions_some_may_be_lost_unknown() {
    let mut engine = engine();
    begin(&mut engine, Lost { ring: 1, ..Lost::default() });
    let took = |milliseconds| {
        let cost = Some(Duration::from_millis(milliseconds));
        Snapshot { cost, ..Snapshot::default() }
    };
    engine.handle(at(100), Input::Snapshot(Some(&took(1))));
    let transitions = |engine: &mut Engine, count: u64| {
        for cookie in 1..=count / 2 {
            for (old, new) in
                [(TcpState::Close, TcpState::SynSent), (TcpState::SynSent, TcpState::Close)]
            {
                let event = event(101, cookie, old, new);
                engine.handle(event.at, Input::Transition(&event));
            }
        }
    };
    transitions(&mut engine, 9_998);
    assert_eq!(engine.next_deadline(), Some(at(400)));
    transitions(&mut engine, 2);
    assert_eq!(engine.next_deadline(), Some(at(110)));
    engine.handle(at(110), Input::Tick);
    assert_eq!(outputs(&mut engine).snapshots, [true]);
    engine.handle(at(110), Input::Snapshot(Some(&took(100))));
    assert_eq!(engine.next_deadline(), Some(at(410)), "nothing has happened since");
    transitions(&mut engine, 10_000);
    assert_eq!(engine.next_deadline(), Some(at(130)), "half a percent of a CPU");
}

#[test]
fn a_repair_that_had_to_wait_for_a_cpu_puts_off_no_other() {
    let mut engine = engine();
    begin(&mut engine, Lost { ring: 5, ..Lost::default() });
    engine.handle(at(101), Input::Lost(Lost { ring: 9, ..Lost::default() }));
    let cheap = Snapshot { cost: Some(Duration::from_millis(10)), ..Snapshot::default() };
    engine.handle(at(102), Input::Snapshot(Some(&cheap)));
    assert_eq!(engine.next_deadline(), Some(at(103)));
}

#[test]
fn an_alert_whose_end_was_lost_is_resolved_by_the_repair() {
    let (mut engine, _) = stuck();
    engine.handle(at(100), Input::Lost(Lost { ring: 1, ..Lost::default() }));
    engine.handle(at(100), Input::Tick);
    outputs(&mut engine);
    let snapshot = Snapshot { asked: [NetNs(1)].into(), ..Snapshot::default() };
    engine.handle(at(100), Input::Snapshot(Some(&snapshot)));
    let told = outputs(&mut engine);
    assert_eq!(told.alerts.len(), 100);
    assert!(told.alerts.iter().all(|alert| alert.ended_by == Some(EndedBy::Unknown)));
    assert_eq!(engine.counts().repaired, 100);
}
