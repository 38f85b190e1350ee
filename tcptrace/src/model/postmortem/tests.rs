use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::group::GroupStatus;
use crate::model::history::{GapKind, PastEnd};
use crate::model::process::Process;
use crate::model::process::tests::process;
use crate::model::stay::EndedBy;
use crate::model::verdict::Confidence;

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_772_366_400 + second).unwrap()
}

pub(crate) fn window(from: i64, to: i64) -> Window {
    Window { from: at(from), to: at(to) }
}

pub(crate) fn named(comm: &str, pid: u32) -> Arc<Process> {
    Arc::new(Process { comm: comm.into(), unit: None, ..process(pid, 1, u64::from(pid)) })
}

/// A stay of `process` from one second to another, closed by it.
pub(crate) fn stay(process: &Arc<Process>, from: i64, to: i64) -> PastStay {
    PastStay {
        host: "web-1".into(),
        boot_id: "0123".into(),
        id: format!("{}-{from}-{to}", process.pid).into(),
        state: StayState::CloseWait,
        orphan: false,
        verdict: Verdict::EofRead,
        confidence: Confidence::High,
        local: "10.0.0.1:8080".parse().unwrap(),
        remote: "10.0.0.2:40000".parse().unwrap(),
        netns: None,
        cookie: None,
        process: Some(Arc::clone(process)),
        began: at(from),
        lasted: Duration::from_secs((to - from).unsigned_abs()),
        exact: true,
        end: PastEnd::By(EndedBy::Closed),
        code: None,
        stack: None,
        opened: None,
        threads: None,
        held_by: None,
        eof_read_at: None,
        recv_queue: None,
        send_queue: None,
        path: None,
        alerted: false,
    }
}

fn account(window: Window, stays: &[PastStay]) -> Account {
    let mut postmortem = Postmortem::new(window, 10);
    stays.iter().for_each(|stay| postmortem.add(stay));
    postmortem.finish()
}

#[test]
fn only_the_part_within_the_window_counts() {
    let java = named("java", 1);
    let stays =
        [stay(&java, -50, 10), stay(&java, 15, 35), stay(&java, 90, 200), stay(&java, -9, -1)];
    let account = account(window(0, 100), &stays);
    assert_eq!(account.total.stays, 3);
    assert_eq!(account.total.time, Duration::from_secs(10 + 20 + 10));
    assert_eq!(account.total.since, Some((at(-50), true)));
    let values = &account.series[0].values;
    assert_eq!(values[..5], [1.0, 0.5, 1.0, 0.5, 0.0]);
    assert_eq!(values[9], 1.0);
    assert_eq!(account.steps[9], at(90));
}

#[test]
fn the_peak_is_when_most_were_open_at_once() {
    let java = named("java", 1);
    let stays = [stay(&java, 0, 60), stay(&java, 20, 40), stay(&java, 30, 35), stay(&java, 40, 50)];
    let peak = account(window(0, 100), &stays).peak.unwrap();
    assert_eq!(peak.sockets, 3);
    assert!(peak.at.duration_since(at(30)).as_secs_f64() < 100.0 / 65_536.0, "{peak:?}");
    assert_eq!(account(window(0, 100), &[]).peak, None);
    // A leak that goes on is at its worst at the end, and the last one counts.
    let mut growing: Vec<_> = (0..100).map(|second| stay(&java, second, 300)).collect();
    growing[99].began = at(100) - Duration::from_millis(1);
    let peak = account(window(0, 100), &growing).peak.unwrap();
    assert_eq!(peak, Peak { sockets: 100, at: at(100) });
}

#[test]
fn a_program_that_was_restarted_is_one_program() {
    let mut stays = [
        stay(&named("java", 1), 0, 10),
        stay(&named("java", 1), 5, 20),
        stay(&named("java", 2), 30, 50),
    ];
    stays[0].path = Some((10, 7));
    stays[1].path = Some((12, 8));
    stays[2].path = Some((100, 90));
    let account = account(window(0, 100), &stays);
    let [series] = &account.series[..] else { panic!("{:?}", account.series) };
    assert_eq!(series.processes.count(), (2, false));
    assert_eq!(series.processes.only(), None);
    assert_eq!(account.paths[0].processes.proof(), Some((112, 98)));
}

#[test]
fn ends_that_were_not_seen_are_not_made_up() {
    let java = named("java", 1);
    let mut stays =
        vec![stay(&java, 0, 10), stay(&java, 0, 20), stay(&java, 0, 30), stay(&java, 0, 150)];
    stays[1].end = PastEnd::CutOff;
    stays[2].end = PastEnd::Open;
    stays[2].exact = false;
    let total = account(window(0, 100), &stays).total;
    assert_eq!(total.ended(), [(EndedBy::Closed, 1)]);
    assert_eq!((total.cut_off, total.still, total.inexact), (1, 2, 1));
}

#[test]
fn what_is_in_use_is_not_the_headline() {
    let mut busy = stay(&named("ssh", 1), 0, 90);
    busy.verdict = Verdict::Sending;
    let account = account(window(0, 100), &[busy, stay(&named("java", 2), 0, 10)]);
    assert_eq!(account.series[0].verdict, Verdict::EofRead);
}

#[test]
fn many_programs_are_a_few_series_and_the_rest_summed_up() {
    let stays: Vec<_> =
        (0u32..12).map(|n| stay(&named(&format!("p{n}"), n), 0, 10 * i64::from(n + 1))).collect();
    let account = account(window(0, 200), &stays);
    let names: Vec<_> =
        account.series.iter().map(|s| &*s.program.process.as_ref().unwrap().comm).collect();
    assert_eq!(names, ["p11", "p10", "p9", "p8", "p7", "p6", "p5", "p4"]);
    let others = account.others.unwrap();
    assert_eq!((others.series, others.values[0], others.values[1]), (4, 3.5, 1.5));
    assert_eq!(account.paths.len(), 12);
}

#[test]
fn the_longest_are_kept_whatever_order_they_come_in() {
    let java = named("java", 1);
    let stays: Vec<_> = (0..1000).map(|n| stay(&java, 0, (n * 7919) % 1000 + 1)).collect();
    let longest = account(window(0, 100), &stays).longest;
    let lasted: Vec<_> = longest.iter().map(|stay| stay.lasted.as_secs()).collect();
    assert_eq!(lasted, (801..=1000).rev().collect::<Vec<_>>());
}

#[test]
fn gaps_are_clipped_and_small_ones_become_one() {
    let mut postmortem = Postmortem::new(window(0, 1000), 10);
    let gap = |from, to, why| Gap { host: "web-1".into(), from: at(from), to: at(to), why };
    for second in 0..20_000 {
        postmortem.add_gap(&gap(second % 500, second % 500 + 1, GapKind::Lost(2)));
    }
    postmortem.add_gap(&gap(-100, 50, GapKind::NotRunning));
    postmortem.add_gap(&gap(60, 70, GapKind::NotRunning));
    postmortem.add_gap(&gap(900, 901, GapKind::Lost(1)));
    postmortem.add_gap(&gap(1000, 2000, GapKind::Lost(5)));
    assert_eq!(
        postmortem.finish().gaps,
        [
            gap(0, 50, GapKind::NotRunning),
            gap(0, 500, GapKind::Lost(40_000)),
            gap(60, 70, GapKind::NotRunning),
            gap(900, 901, GapKind::Lost(1)),
        ]
    );
}

#[test]
fn a_group_that_fires_twice_is_one_line() {
    let mut postmortem = Postmortem::new(window(0, 100), 10);
    let told = |second, status, members| Told {
        at: at(second),
        group: "g".into(),
        status,
        program: Program { host: "web-1".into(), process: None },
        verdict: Verdict::EofRead,
        state: StayState::CloseWait,
        code: None,
        members,
        peak: members,
        oldest: Duration::from_secs(60),
        forecast: None,
    };
    postmortem.add_told(&told(-1, GroupStatus::Growing, 900));
    postmortem.add_told(&told(30, GroupStatus::Resolved, 0));
    postmortem.add_told(&told(10, GroupStatus::Firing, 5));
    postmortem.add_told(&told(20, GroupStatus::Growing, 50));
    postmortem.add_told(&told(40, GroupStatus::Firing, 7));
    let alerts = postmortem.finish().alerts;
    let [group] = &alerts[..] else { panic!("{alerts:?}") };
    assert_eq!((group.first, group.last.at), (at(10), at(40)));
    assert_eq!((group.fired, group.told, group.peak), (2, 4, 50));
    assert!(group.is_firing());
}

proptest! {
    #[test]
    fn the_area_of_the_chart_is_the_socket_time(
        stays in prop::collection::vec((0..4u32, -500..1500i64, 0..800i64), 0..60),
        length in 1..1000i64,
        split in 0..1000i64,
    ) {
        let processes: Vec<_> = (0..4).map(|n| named(&format!("p{n}"), n)).collect();
        let stays: Vec<_> = stays
            .into_iter()
            .map(|(who, from, lasted)| stay(&processes[who as usize], from, from + lasted))
            .collect();
        let whole = account(window(0, length), &stays);
        let ends = whole.steps.iter().copied().skip(1).chain([whole.window.to]);
        let steps = whole.steps.iter().zip(ends).map(|(from, to)| to.duration_since(*from).as_secs_f64());
        let steps: Vec<_> = steps.collect();
        let area: f64 = whole
            .series
            .iter()
            .map(|one| one.values.iter().zip(&steps).map(|(value, step)| value * step).sum::<f64>())
            .sum();
        prop_assert!((area - whole.total.time.as_secs_f64()).abs() < 1e-6);
        let by_path: Duration = whole.paths.iter().map(|path| path.tally.time).sum();
        prop_assert_eq!(by_path, whole.total.time);
        let split = split.min(length);
        let parts = [(0, split), (split, length)].map(|(from, to)| account(window(from, to), &stays).total.time);
        prop_assert_eq!(parts[0] + parts[1], whole.total.time);
    }
}
