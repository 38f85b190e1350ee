//! One cause, one message.

use super::*;

#[test]
fn a_leak_is_one_group_and_an_alert_a_stay() {
    let (mut engine, told) = stuck();
    assert_eq!(told.alerts.len(), 100);
    assert_eq!(told.groups.len(), 1);
    let group = &told.groups[0];
    assert_eq!((group.status, group.members), (GroupStatus::Firing, 100));
    assert_eq!(group.oldest, Duration::from_millis(60_100));
    assert!(told.alerts.iter().all(|alert| alert.group == group.id));
    // They are looked at again, and told of again only if there is something new.
    engine.handle(at(130), Input::Tick);
    let asked = outputs(&mut engine).examine;
    assert_eq!(asked.len(), 100);
    let found = asked.iter().map(|stay| (stay.id, evidence(130, stay))).collect();
    engine.handle(at(130), Input::Evidence(Some(found)));
    let later = outputs(&mut engine);
    assert!(later.alerts.is_empty() && later.groups.is_empty());
}

#[test]
fn each_is_resolved_once_and_the_group_when_it_is_empty() {
    let (mut engine, _) = stuck();
    for cookie in 1..=100 {
        let mut event = event(75, cookie, TcpState::CloseWait, TcpState::LastAck);
        event.circumstances.as_mut().unwrap().exiting = Some(true);
        engine.handle(event.at, Input::Transition(&event));
        engine.handle(event.at, Input::Tick);
    }
    let told = outputs(&mut engine);
    assert_eq!(told.alerts.len(), 100);
    assert!(told.alerts.iter().all(|alert| alert.ended_by == Some(EndedBy::ProcessExit)));
    assert_eq!(told.groups.len(), 1, "not one message for each that goes");
    assert_eq!(told.groups[0].status, GroupStatus::Resolved);
    assert_eq!(told.groups[0].ended, [(EndedBy::ProcessExit, 100)]);
    assert_eq!(engine.told(), (100, 1, 1));
}

#[test]
fn a_group_that_is_over_before_it_was_told_of_is_told_all_the_same() {
    let mut engine = engine();
    let begun = event(10, 1, TcpState::Established, TcpState::CloseWait);
    engine.handle(begun.at, Input::Transition(&begun));
    engine.handle(at(70), Input::Tick);
    let asked = outputs(&mut engine).examine;
    let found = vec![(asked[0].id, evidence(70, &asked[0]))];
    engine.handle(at(70), Input::Evidence(Some(found)));
    let over = event(70, 1, TcpState::CloseWait, TcpState::LastAck);
    engine.handle(over.at, Input::Transition(&over));
    let gone = event(70, 1, TcpState::LastAck, TcpState::Close);
    engine.handle(gone.at, Input::Transition(&gone));
    engine.handle(at(70), Input::Tick);
    let told = outputs(&mut engine);
    assert_eq!(told.alerts.len(), 2);
    let statuses: Vec<_> = told.groups.iter().map(|group| (group.status, group.members)).collect();
    assert_eq!(statuses, [(GroupStatus::Firing, 1), (GroupStatus::Resolved, 0)]);
    assert_eq!(engine.told(), (1, 1, 1));
}

#[test]
fn a_growing_group_is_told_of_ever_more_rarely() {
    let (mut engine, _) = stuck();
    let mut told = Vec::new();
    for second in 71..=1000u64 {
        let cookie = 1000 + second;
        let begun = event(second - 60, cookie, TcpState::Established, TcpState::CloseWait);
        engine.handle(begun.at, Input::Transition(&begun));
        engine.handle(at(second), Input::Tick);
        let mut out = outputs(&mut engine);
        let found: Vec<_> = out.examine.iter().map(|s| (s.id, evidence(second, s))).collect();
        engine.handle(at(second), Input::Evidence(Some(found)));
        out.groups.extend(outputs(&mut engine).groups);
        told.extend(out.groups.into_iter().map(|group| (second, group)));
    }
    let times: Vec<_> = told.iter().map(|(second, _)| *second).collect();
    assert_eq!(times, [81, 101, 141, 221, 381, 681, 981]);
    assert!(told.iter().all(|(_, group)| group.status == GroupStatus::Growing));
    let (_, last) = told.last().unwrap();
    assert_eq!(last.growth_per_min, Some(60.0));
}

/// One that is found stuck at 70 s, and another that a look which began 50 ms later is to judge.
fn one_and_one_in_a_look() -> (Engine, Stay) {
    let mut engine = engine();
    let second = at(10).after(Duration::from_millis(50));
    for (cookie, when) in [(1, at(10)), (2, second)] {
        let begun = event(10, cookie, TcpState::Established, TcpState::CloseWait);
        engine.handle(when, Input::Transition(&Transition { at: when, ..begun }));
    }
    engine.handle(at(70), Input::Tick);
    let asked = outputs(&mut engine).examine;
    engine.handle(at(70), Input::Evidence(Some(vec![(asked[0].id, evidence(70, &asked[0]))])));
    engine.handle(second.after(Duration::from_secs(60)), Input::Tick);
    let asked = outputs(&mut engine).examine;
    assert_eq!(asked.len(), 1);
    (engine, asked[0])
}

#[test]
fn a_new_group_waits_for_the_look_that_is_under_way() {
    let (mut engine, other) = one_and_one_in_a_look();
    let slow = at(70).after(Duration::from_millis(900));
    engine.handle(slow, Input::Tick);
    assert!(outputs(&mut engine).groups.is_empty(), "there may be more");
    let found = Evidence { looked_at: slow, ..evidence(70, &other) };
    engine.handle(slow, Input::Evidence(Some(vec![(other.id, found)])));
    let told = outputs(&mut engine).groups;
    let told: Vec<_> = told.iter().map(|group| (group.status, group.members)).collect();
    assert_eq!(told, [(GroupStatus::Firing, 2)]);
}

#[test]
fn a_new_group_does_not_wait_long() {
    let (mut engine, _) = one_and_one_in_a_look();
    assert_eq!(engine.next_deadline(), Some(at(71)));
    engine.handle(at(71), Input::Tick);
    let told = outputs(&mut engine).groups;
    assert_eq!(told.iter().map(|group| group.members).collect::<Vec<_>>(), [1]);
}
