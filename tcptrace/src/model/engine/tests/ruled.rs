//! What rules change.

use super::*;
use crate::model::condition::{Condition, Limit, Measure, Per};
use crate::model::rules::{About, Ignored, Rule, Severity};

const RECORD: Option<Duration> = Some(Duration::from_millis(1500));

fn comm(name: &str) -> About {
    let filter = Filter { comms: vec![name.into()], ..Filter::default() };
    About { states: vec![], filter }
}

fn rule(name: &str, severity: Severity, about: About, after: u64) -> Rule {
    Rule { name: name.into(), severity, about, after: Some(Duration::from_secs(after)) }
}

/// Plays time second by second until `until`; every look shows what [`evidence`] has.
fn play(engine: &mut Engine, from: u64, until: u64) -> Outputs {
    let mut all = Outputs::default();
    for second in from..=until {
        engine.handle(at(second), Input::Tick);
        // What one look shows may make another one due.
        loop {
            let out = outputs(engine);
            let found: Vec<_> = out.examine.iter().map(|s| (s.id, evidence(second, s))).collect();
            all.alerts.extend(out.alerts);
            all.groups.extend(out.groups);
            all.conditions.extend(out.conditions);
            all.kept.extend(out.kept);
            if found.is_empty() {
                break;
            }
            engine.handle(at(second), Input::Evidence(Some(found)));
        }
    }
    all
}

fn begin(engine: &mut Engine, second: u64, cookies: impl Iterator<Item = u64>) {
    for cookie in cookies {
        let event = event(second, cookie, TcpState::Established, TcpState::CloseWait);
        engine.handle(event.at, Input::Transition(&event));
    }
}

fn end(engine: &mut Engine, second: u64, cookies: impl Iterator<Item = u64>) {
    for cookie in cookies {
        let event = event(second, cookie, TcpState::CloseWait, TcpState::LastAck);
        engine.handle(event.at, Input::Transition(&event));
    }
}

fn told(alerts: &[Alert]) -> Vec<(u64, Severity, Option<&str>)> {
    let seconds = |alert: &Alert| alert.at.as_nanos() / 1_000_000_000;
    alerts.iter().map(|a| (seconds(a), a.urgency.severity, a.urgency.rule.as_deref())).collect()
}

#[test]
fn a_rule_has_its_own_threshold_and_the_most_severe_that_has_come_counts() {
    let rules = Rules {
        stuck: vec![
            rule("soon", Severity::Info, comm("program50"), 10),
            rule("late", Severity::Critical, comm("program50"), 30),
            rule("others", Severity::Warning, comm("program51"), 1),
        ],
        ..Rules::default()
    };
    for record in [None, RECORD] {
        let mut engine = engine_by(record, rules.clone());
        begin(&mut engine, 10, 1..=1);
        let out = play(&mut engine, 11, 200);
        let expect = [(20, Severity::Info, Some("soon")), (40, Severity::Critical, Some("late"))];
        assert_eq!(told(&out.alerts), expect, "{record:?}: and not by the state's threshold");
        assert_eq!(out.alerts[0].id, out.alerts[1].id);
        assert_eq!(out.alerts[1].threshold, Duration::from_secs(30));
        let groups: Vec<_> = out.groups.iter().map(|g| (g.status, g.urgency.severity)).collect();
        let (info, critical) = (Severity::Info, Severity::Critical);
        assert_eq!(groups.len(), 3);
        assert!(groups.contains(&(GroupStatus::Firing, info)));
        assert!(groups.contains(&(GroupStatus::Firing, critical)));
        assert!(groups.contains(&(GroupStatus::Resolved, info)), "it is in the other one now");
        assert_eq!(engine.told().0, 1);
    }
}

#[test]
fn whom_no_rule_matches_the_threshold_of_the_state_is_for() {
    let stuck = vec![rule("others", Severity::Critical, comm("program51"), 5)];
    let mut engine = engine_by(RECORD, Rules { stuck, ..Rules::default() });
    begin(&mut engine, 10, 1..=1);
    assert_eq!(told(&play(&mut engine, 11, 200).alerts), [(70, Severity::Warning, None)]);
}

/// It sends every 20 s: no leak for whoever waits for a minute, whatever other rules wait for.
#[test]
fn a_half_close_in_use_is_judged_by_its_own_threshold() {
    let stuck = vec![rule("others", Severity::Critical, comm("program51"), 5)];
    let mut engine = engine_by(None, Rules { stuck, ..Rules::default() });
    begin(&mut engine, 10, 1..=1);
    let mut asked = 0;
    for second in 11..=200 {
        engine.handle(at(second), Input::Tick);
        let out = outputs(&mut engine);
        assert!(out.alerts.is_empty(), "at {second}: {:?}", told(&out.alerts));
        let sending = |stay: &Stay| Evidence {
            progress: Some(Progress { snd_una: 1 + (second / 20) as u32, ..Progress::default() }),
            ..evidence(second, stay)
        };
        let found: Vec<_> = out.examine.iter().map(|stay| (stay.id, sending(stay))).collect();
        asked += found.len();
        if !found.is_empty() {
            engine.handle(at(second), Input::Evidence(Some(found)));
        }
    }
    assert!((3..=10).contains(&asked), "{asked}");
}

#[test]
fn what_is_ignored_is_recorded_and_not_told_and_a_silence_ends() {
    let ignored = |until| vec![Ignored { about: comm("program50"), until }];
    let rules = |until| Rules { ignored: ignored(until), ..Rules::default() };
    let mut engine = engine_by(RECORD, rules(None));
    begin(&mut engine, 10, 1..=1);
    let out = play(&mut engine, 11, 500);
    assert!(out.alerts.is_empty());
    assert_eq!(out.kept.iter().filter(|e| matches!(e, Entry::Stay(_))).count(), 1);

    let mut engine = engine_by(RECORD, rules(Some(at(200))));
    begin(&mut engine, 10, 1..=1);
    let out = play(&mut engine, 11, 500);
    let [(second, ..)] = told(&out.alerts)[..] else { panic!("{:?}", told(&out.alerts)) };
    assert!((200..=260).contains(&second), "{second}");
}

#[test]
fn new_rules_count_at_once_for_what_goes_on() {
    let mut engine = engine_by(RECORD, Rules::default());
    begin(&mut engine, 10, 1..=2);
    assert!(play(&mut engine, 11, 20).alerts.is_empty());
    let thresholds = engine.config.thresholds;
    let stuck = vec![rule("soon", Severity::Critical, comm("program50"), 5)];
    let rules = Rules { stuck, ..Rules::default() };
    engine.handle(at(21), Input::Configured(&thresholds, &rules));
    let out = play(&mut engine, 21, 22);
    assert_eq!(told(&out.alerts), [(21, Severity::Critical, Some("soon")); 2]);

    let rules = Rules {
        ignored: vec![Ignored { about: comm("program50"), until: None }],
        ..Rules::default()
    };
    engine.handle(at(30), Input::Configured(&thresholds, &rules));
    let out = play(&mut engine, 30, 31);
    assert!(out.alerts.iter().all(|alert| alert.withdrawn && !alert.is_firing()));
    assert_eq!((out.alerts.len(), out.groups.len()), (2, 1));
    assert_eq!(out.groups[0].status, GroupStatus::Resolved);
    end(&mut engine, 40, 1..=2);
    let out = play(&mut engine, 40, 50);
    assert!(out.alerts.is_empty(), "nobody has heard of them since");
}

#[test]
fn a_condition_comes_above_its_limit_and_goes_well_below_it() {
    let condition = |per, about| Condition {
        name: "many".into(),
        severity: Severity::Critical,
        about,
        per,
        limit: Limit::MoreThan(10),
    };
    let conditions =
        vec![condition(Per::Host, About::default()), condition(Per::Process, comm("program50"))];
    for record in [None, RECORD] {
        let conditions = conditions.clone();
        let mut engine = engine_by(record, Rules { conditions, ..Rules::default() });
        begin(&mut engine, 10, 1..=10);
        assert!(play(&mut engine, 10, 20).conditions.is_empty());
        begin(&mut engine, 20, 11..=11);
        let out = play(&mut engine, 21, 30).conditions;
        let of = |notice: &ConditionNotice| (notice.scope.name(), notice.firing, notice.measure);
        let told: Vec<_> = out.iter().map(of).collect();
        let eleven = Measure::Sockets(11, 10);
        assert_eq!(told, [("host", true, eleven), ("process", true, eleven)], "{record:?}");
        end(&mut engine, 30, 1..=2);
        begin(&mut engine, 32, 12..=13);
        assert!(play(&mut engine, 31, 40).conditions.is_empty(), "nine are not a fifth less");
        end(&mut engine, 40, 3..=13);
        let over = play(&mut engine, 40, 45).conditions;
        let told: Vec<_> = over.iter().map(of).collect();
        let none = Measure::Sockets(0, 10);
        assert_eq!(told, [("host", false, none), ("process", false, none)]);
        let ids = |all: &[ConditionNotice]| all.iter().map(|n| n.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&out), ids(&over));
    }
}

#[test]
fn growth_and_what_it_uses_up_are_conditions_too() {
    let condition = |limit| Condition {
        name: format!("{limit:?}").into(),
        severity: Severity::Warning,
        about: About::default(),
        per: Per::Process,
        limit,
    };
    let limits = [
        Limit::GrowthPerMin(50.0),
        Limit::FullIn(Duration::from_secs(3600)),
        Limit::GrowthPerMin(70.0),
    ];
    let rules = Rules { conditions: limits.map(condition).into(), ..Rules::default() };
    let mut engine = engine_by(RECORD, rules);
    let mut told = Vec::new();
    for second in 10..=100 {
        begin(&mut engine, second, second..=second);
        told.extend(play(&mut engine, second, second).conditions);
    }
    // Its process has 100 of 1,024 descriptors, and one more each second.
    let measures: Vec<_> = told.iter().map(|notice| notice.measure).collect();
    let [Measure::GrowthPerMin(growth, _), Measure::FullIn(Some(full), _)] = measures[..] else {
        panic!("{measures:?}")
    };
    assert!((50.0..=70.0).contains(&growth), "{growth}");
    assert!(full.full_in < Duration::from_secs(3600), "{full:?}");
}

#[test]
fn a_leak_that_comes_and_goes_is_told_of_ever_more_rarely() {
    let stuck = vec![rule("at once", Severity::Warning, About::default(), 1)];
    let mut engine = engine_by(None, Rules { stuck, ..Rules::default() });
    let mut firing = Vec::new();
    for round in 0..60 {
        let second = 10 + round * 10;
        begin(&mut engine, second, round + 1..=round + 1);
        let out = play(&mut engine, second, second + 5);
        end(&mut engine, second + 5, round + 1..=round + 1);
        let later = play(&mut engine, second + 6, second + 9);
        let groups = out.groups.into_iter().chain(later.groups);
        firing.extend(groups.filter(|group| group.status == GroupStatus::Firing).map(|_| second));
    }
    assert!((3..=12).contains(&firing.len()), "{firing:?}");
    assert_eq!(engine.told().0, 60, "each of them is an alert");
}
