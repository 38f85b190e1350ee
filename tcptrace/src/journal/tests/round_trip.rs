//! What goes in comes out, whatever the clocks, shards and queues do.

use super::*;
use crate::journal::Error;
use crate::journal::history::{open_stays, resume};
use crate::model::alert::Alert;
use crate::model::code::PathId;
use crate::model::condition::ConditionNotice;
use crate::model::event::{Lost, OnCpu};
use crate::model::forecast::{Forecast, Resource};
use crate::model::group::{GroupNotice, GroupStatus};
use crate::model::history::{GapKind, Histogram, Interval, OpenStay, PastEnd, RunEnd, ShortStays};
use crate::model::memory::{Memory, Remembered};
use crate::model::reads::EofRead;
use crate::model::rules::Urgency;
use crate::model::socket::TcpState;

const HOSTILE: &str = "<script>alert('\"')</script>;\n\t\x1b[31m\0\u{202e}\u{fffd}";

fn alert(known: &Known, now: u64, ended_by: Option<EndedBy>) -> Entry {
    Entry::Alert(Arc::new(Alert {
        urgency: Urgency::default(),
        id: Arc::clone(&known.id),
        group: "01234567-4711.10-eof_read".into(),
        stay: known.stay,
        at: at(now),
        threshold: Duration::from_secs(60),
        finding: Arc::clone(&known.finding),
        evidence: Arc::clone(&known.evidence),
        ended_by,
        reset_sent: None,
        withdrawn: false,
    }))
}

#[test]
fn a_stay_comes_back_with_all_that_was_known() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, status) = writer(settings(dir.path(), 100));
    let mut hostile = process(7, 1, 10);
    hostile.comm = HOSTILE.into();
    hostile.cmdline = Some(vec![HOSTILE.into()]);
    let mut it = known(Stay { exact: false, since_earliest: at(50), ..stay(3, 110) }, 111);
    let by = OnCpu { pid: 7, tid: 7, comm: [0; 16] };
    let read = EofRead { at: at(110), by, start_ticks: None, peeked: false, path: None };
    let stack = Stack {
        frames: vec![Frame { function: Some(HOSTILE.into()), ..Frame::default() }],
        complete: false,
    };
    it.evidence = Arc::new(Evidence {
        eof_reads: vec![read],
        stack: Some(Arc::new(stack.clone())),
        ..Evidence::clone(&it.evidence)
    });
    it.finding = Arc::new(Finding {
        code: Some(CodePath { did: Did::Read, line: HOSTILE.into() }),
        blame: Some(Blame {
            process: Arc::new(hostile.clone()),
            why: "it reads".into(),
            candidates: vec![],
        }),
        ..Finding::clone(&it.finding)
    });
    writer.entry(Entry::Stay(Box::new(it.clone())));
    writer.entry(alert(&it, 170, None));
    let end =
        Ended { stay: it.stay, at: at(175), by: EndedBy::ProcessExit, reset_sent: Some(true) };
    writer.entry(Entry::Ended(Box::new(end)));
    writer.entry(alert(&it, 175, Some(EndedBy::ProcessExit)));
    writer.clock(176);
    assert_eq!(status.lock().unwrap().committed, 4);

    let mut history = open(dir.path());
    let expected = PastStay {
        host: "web-1".into(),
        boot_id: BOOT.into(),
        id: (&*it.id).into(),
        state: StayState::CloseWait,
        orphan: false,
        verdict: Verdict::EofRead,
        confidence: Confidence::High,
        local: it.stay.endpoints.local,
        remote: it.stay.endpoints.remote,
        netns: it.stay.netns,
        cookie: Some(1003),
        process: Some(Arc::new(crate::model::process::Process { descriptors: None, ..hostile })),
        began: wall(110),
        lasted: Duration::from_secs(65),
        exact: false,
        end: PastEnd::By(EndedBy::ProcessExit),
        code: Some(HOSTILE.into()),
        stack: Some(Arc::new(stack)),
        opened: None,
        threads: Some(ThreadState::InPoll),
        held_by: None,
        eof_read_at: Some(wall(110)),
        recv_queue: Some(1),
        send_queue: Some(0),
        path: Some((10_000, 9786)),
        alerted: true,
    };
    assert_eq!(stays(&mut history), [expected]);
    let mut alerts = Vec::new();
    history
        .alerts(ALWAYS, &mut |alert| {
            alerts.push(alert);
            Ok(())
        })
        .unwrap();
    let told: Vec<_> = alerts.iter().map(|a| (&*a.id, &*a.group, a.at, a.ended_by)).collect();
    let group = "01234567-4711.10-eof_read";
    let by = Some(EndedBy::ProcessExit);
    assert_eq!(told, [(&*it.id, group, wall(170), None), (&*it.id, group, wall(175), by)]);
    assert_eq!(history.warnings(), []);
}

#[test]
fn groups_and_intervals_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = writer(settings(dir.path(), 100));
    let mut lasted = Histogram::default();
    lasted.add(Duration::from_millis(3));
    lasted.add(Duration::from_secs(100_000));
    let short = ShortStays {
        state: StayState::FinWait2,
        comm: Some(HOSTILE.into()),
        verdict: Some(Verdict::EofRead),
    };
    let interval = Interval {
        from: at(100),
        to: at(110),
        transitions: [((TcpState::SynSent, TcpState::Established), 7)].into(),
        short: [(short, lasted)].into(),
        half_closed: [1, 2, 3],
        lost: Lost { ring: 5, recursion: None, deeds: 9 },
        gaps: 1,
        repaired: 2,
    };
    let forecast =
        Forecast { of: Resource::Ports, used: 1, limit: 2, full_in: Duration::from_secs(9) };
    writer.entry(Entry::Interval(Box::new(interval.clone())));
    writer.entry(Entry::Group(Box::new(GroupNotice {
        urgency: Urgency::default(),
        at: at(105),
        status: GroupStatus::Growing,
        members: 214,
        growth_per_min: Some(1.5),
        forecast: Some(forecast),
        ..crate::report::samples::group()
    })));
    writer.clock(111);

    let mut history = open(dir.path());
    let (mut groups, mut intervals) = (Vec::new(), Vec::new());
    history
        .groups(ALWAYS, &mut |group| {
            groups.push(group);
            Ok(())
        })
        .unwrap();
    history
        .intervals(ALWAYS, &mut |interval| {
            intervals.push(interval);
            Ok(())
        })
        .unwrap();
    assert_eq!(intervals.len(), 1);
    assert_eq!((intervals[0].from, intervals[0].to), (wall(100), wall(110)));
    assert_eq!(intervals[0].of, interval);
    assert_eq!(groups.len(), 1);
    let group = &groups[0];
    assert_eq!((group.at, group.status, group.members), (wall(105), GroupStatus::Growing, 214));
    assert_eq!((group.forecast, group.growth_per_min), (Some(forecast), Some(1.5)));
    let gaps = history.gaps(ALWAYS).unwrap();
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].from, &gaps[0].why), (wall(100), &GapKind::Lost(6)));
    let later = wall(111)..wall(120);
    history.intervals(later.clone(), &mut |_| panic!("it is over")).unwrap();
    history.groups(later, &mut |_| panic!("it was told before")).unwrap();
}

#[test]
fn a_stay_across_shards_counts_once_and_each_shard_stands_alone() {
    let dir = tempfile::tempdir().unwrap();
    let span = Duration::from_secs(60);
    let (mut writer, _) = writer(Settings { span, ..settings(dir.path(), 100) });
    writer.entry(kept(1, 100));
    writer.entry(kept(2, 101));
    writer.clock(110);
    writer.clock(165);
    writer.entry(ended(1, 100, 170));
    writer.clock(171);
    writer.clock(240);
    writer.take_leave();
    let shards = crate::journal::shard::list(dir.path()).unwrap();
    assert_eq!(shards.len(), 3);
    let mut all = open(dir.path());
    assert_eq!(lengths(&mut all), [(100, 70), (101, 139)]);
    let ends: Vec<_> = stays(&mut all).iter().map(|stay| stay.end).collect();
    assert_eq!(ends, [PastEnd::By(EndedBy::Closed), PastEnd::Open]);
    assert_eq!(all.runs().unwrap().len(), 1);
    // The first one alone: both went on when it ended.
    let mut first = open(&shards[0]);
    assert_eq!(lengths(&mut first), [(100, 65), (101, 64)]);
    assert!(stays(&mut first).iter().all(|stay| stay.end == PastEnd::Open));
    assert_eq!(lengths(&mut open(&shards[2])), [(101, 139)]);
    // Without the last one the second has the last word.
    std::fs::remove_file(&shards[2]).unwrap();
    assert_eq!(lengths(&mut open(dir.path())), [(100, 70), (101, 70)]);
}

#[test]
fn a_step_of_the_wall_clock_bends_no_duration() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = writer(settings(dir.path(), 100));
    writer.entry(kept(1, 100));
    writer.clock(110);
    // An hour back, and then a night's sleep.
    let set = |seconds, wall: Timestamp| Message::Clock(Anchor { monotonic: at(seconds), wall });
    writer.take(set(120, Timestamp::from_second(wall(120).as_second() - 3600).unwrap()));
    writer.entry(kept(2, 121));
    writer.entry(ended(1, 100, 130));
    writer.take(set(131, wall(131 + 30_000)));
    writer.entry(ended(2, 121, 140));
    writer.take(set(141, wall(141 + 30_000)));
    writer.take_leave();
    let lengths = lengths(&mut open(dir.path()));
    assert_eq!(lengths, [(121 - 3600, 19), (100, 30)]);
}

#[test]
fn a_restarted_recorder_takes_over_what_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut first, _) = writer(settings(dir.path(), 100));
    let by = OnCpu { pid: 50, tid: 50, comm: [7; 16] };
    let path = PathId::new(7);
    let read = EofRead { at: at(100), by, start_ticks: Some(1), peeked: false, path };
    let mut read_once = known(stay(1, 100), 101);
    read_once.evidence =
        Arc::new(Evidence { eof_reads: vec![read], ..Evidence::clone(&read_once.evidence) });
    let stack = read_once.evidence.stack.clone();
    first.entry(Entry::Stay(Box::new(read_once)));
    first.entry(kept(2, 105));
    first.entry(kept(3, 106));
    first.entry(ended(3, 106, 108));
    first.clock(120);
    // Beside the one that runs.
    let open_now = open_stays(dir.path(), BOOT).unwrap();
    assert_eq!(open_now.len(), 2);
    let expected = OpenStay {
        cookie: 1001,
        state: StayState::CloseWait,
        orphan: false,
        since: at(100),
        since_earliest: at(100),
        exact: true,
    };
    let reads = vec![EofRead { path: None, ..read }];
    let memory = Memory { reads, stack, ..Memory::default() };
    assert_eq!(open_now[0], Remembered { stay: expected, memory });
    assert_eq!(open_stays(dir.path(), "another boot").unwrap(), []);
    drop(first);
    assert_eq!(open_stays(dir.path(), BOOT).unwrap(), open_now);

    let (mut second, _) = writer(settings(dir.path(), 130));
    // The first is still there, with its age taken over; of the second only a bound is known.
    second.entry(Entry::Stay(Box::new(known(
        Stay { key: SocketKey::new(1001, 0), cookie: Some(1001), ..stay(9, 100) },
        131,
    ))));
    second.entry(Entry::Stay(Box::new(known(
        Stay { key: SocketKey::new(1002, 0), cookie: Some(1002), exact: false, ..stay(10, 110) },
        131,
    ))));
    second.clock(140);
    let mut history = open(dir.path());
    assert_eq!(lengths(&mut history), [(100, 40), (105, 5), (106, 2), (110, 30)]);
    let runs: Vec<_> = history.runs().unwrap().iter().map(|run| run.end).collect();
    assert_eq!(runs, [RunEnd::Died, RunEnd::Running]);
    let gaps = history.gaps(ALWAYS).unwrap();
    let gaps: Vec<_> = gaps.iter().map(|gap| (gap.from, gap.to, gap.why.clone())).collect();
    assert_eq!(gaps, [(wall(120), wall(130), GapKind::NotRunning)]);
    assert_eq!(history.span().unwrap(), wall(100)..wall(140));

    // Nor is anything known of the time before it, and after it once it has ended.
    let beyond = |mut history: History| {
        let gaps = history.gaps(wall(50)..wall(500)).unwrap();
        gaps.iter().map(|gap| (gap.from, gap.to)).collect::<Vec<_>>()
    };
    let (before, between) = ((wall(50), wall(100)), (wall(120), wall(130)));
    assert_eq!(beyond(history), [before, between]);
    drop(second);
    assert_eq!(beyond(open(dir.path())), [before, between, (wall(140), wall(500))]);
}

#[test]
fn what_the_queue_has_no_room_for_is_counted_and_no_end_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = writer(settings(dir.path(), 100));
    let (recorder, queue) = handle(3, 100);
    recorder.keep(kept(1, 100));
    recorder.keep(kept(2, 100));
    recorder.clock(anchor(101));
    // Nobody takes anything from the queue.
    recorder.keep(ended(1, 100, 102));
    recorder.keep(kept(3, 102));
    recorder.keep(kept(4, 102));
    recorder.clock(anchor(103));
    assert_eq!(recorder.status().left_out, 2);
    queue.try_iter().for_each(|message| writer.take(message));
    recorder.clock(anchor(104));
    recorder.keep(ended(4, 102, 104));
    queue.try_iter().for_each(|message| writer.take(message));
    recorder.clock(anchor(105));
    queue.try_iter().for_each(|message| writer.take(message));
    assert_eq!(recorder.status().left_out, 2);

    let mut history = open(dir.path());
    assert_eq!(lengths(&mut history), [(100, 2), (100, 5)]);
    let gaps = history.gaps(ALWAYS).unwrap();
    let gaps: Vec<_> = gaps.iter().map(|gap| (gap.from, gap.to, gap.why.clone())).collect();
    assert_eq!(gaps, [(wall(101), wall(104), GapKind::LeftOut(2))]);
}

#[test]
fn a_second_recorder_is_told_who_has_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let first = Recorder::start(settings(dir.path(), 100)).unwrap();
    let Err(Error::Busy { pid, .. }) = Recorder::start(settings(dir.path(), 101)) else {
        panic!("there are two");
    };
    assert_eq!(pid, Some(std::process::id()));
    first.keep(kept(1, 100));
    first.clock(anchor(110));
    let status = first.finish();
    assert_eq!((status.committed, status.left_out, status.error), (1, 0, None));
    let history = open(dir.path());
    assert_eq!(history.runs().unwrap()[0].end, RunEnd::InOrder);
    Recorder::start(settings(dir.path(), 120)).unwrap().finish();
}

#[test]
fn any_split_of_a_window_has_the_same_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = writer(settings(dir.path(), 100));
    for serial in 0..20 {
        writer.entry(kept(serial, 100 + serial));
        writer.entry(ended(serial, 100 + serial, 105 + 3 * serial));
    }
    writer.clock(200);
    let mut history = open(dir.path());
    let mut seconds = |window: core::ops::Range<Timestamp>| {
        let mut sum = 0;
        let mut take = |stay: PastStay| {
            let end = stay.began.checked_add(stay.lasted)?;
            sum += end.min(window.end).duration_since(stay.began.max(window.start)).as_secs();
            Ok(())
        };
        history.stays(window.clone(), &mut take).unwrap();
        sum
    };
    let whole = seconds(wall(0)..wall(1000));
    assert_eq!(whole, (0..20).map(|serial| 5 + 2 * serial).sum::<i64>());
    for split in 95..170 {
        assert_eq!(seconds(wall(0)..wall(split)) + seconds(wall(split)..wall(1000)), whole);
    }
}

#[test]
fn what_is_recorded_is_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = writer(settings(dir.path(), 100));
    writer.entry(kept(1, 100));
    writer.clock(101);
    let mut names = Vec::new();
    for file in std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap) {
        let mode = file.metadata().unwrap().permissions().mode();
        // The umask may take away more.
        assert_eq!((mode & 0o600, mode & 0o137), (0o600, 0), "{mode:o} {:?}", file.path());
        names.push(file.file_name().into_string().unwrap());
    }
    for end in [".db", ".db-wal", ".db-shm", "lock"] {
        assert!(names.iter().any(|name| name.ends_with(end)), "{end}: {names:?}");
    }
}

#[test]
fn what_was_told_and_is_not_over_is_known_to_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    assert!(resume(dir.path(), BOOT).unwrap().1.groups.is_empty(), "there is nothing yet");
    let sample = crate::report::samples::group;
    let group = |id: &str, status| {
        Entry::Group(Box::new(GroupNotice { id: id.into(), at: at(105), status, ..sample() }))
    };
    let condition = |id: &str, firing| {
        let sample = crate::report::samples::condition();
        Entry::Condition(Box::new(ConditionNotice { id: id.into(), firing, ..sample }))
    };
    let (mut first, _) = writer(settings(dir.path(), 100));
    first.entry(group("a", GroupStatus::Firing));
    first.entry(group("b", GroupStatus::Firing));
    first.entry(group("a", GroupStatus::Growing));
    first.entry(condition("c", true));
    first.entry(condition("d", true));
    first.clock(110);
    drop(first);
    let (mut second, _) = writer(settings(dir.path(), 120));
    second.entry(group("b", GroupStatus::Resolved));
    second.entry(condition("d", false));
    second.clock(130);
    let (_, known) = resume(dir.path(), BOOT).unwrap();
    assert_eq!(known.groups.keys().map(|id| &**id).collect::<Vec<_>>(), ["a"]);
    assert_eq!(known.groups["a"].status, GroupStatus::Growing);
    assert_eq!(known.conditions, ["c".into()].into());
    assert!(resume(dir.path(), "another boot").unwrap().1.conditions.is_empty());
}

#[test]
fn the_sign_of_life_is_renewed_each_second_only_for_stays_that_would_end_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = writer(settings(dir.path(), 100));
    let alive = || {
        let history = open(dir.path());
        (history.runs().unwrap()[0].alive.as_second() - 1_000_000_000).cast_unsigned()
    };
    for (second, on_disk) in [(101, 101), (102, 101), (110, 101), (111, 111), (112, 111)] {
        writer.clock(second);
        assert_eq!(alive(), on_disk, "at {second}");
    }
    writer.entry(kept(1, 112));
    for second in [113, 114] {
        writer.clock(second);
        assert_eq!(alive(), second);
    }
    writer.entry(ended(1, 112, 115));
    for (second, on_disk) in [(115, 115), (116, 115), (125, 125)] {
        writer.clock(second);
        assert_eq!(alive(), on_disk, "at {second}");
    }
    writer.clock(126);
    writer.take_leave();
    assert_eq!(alive(), 126);
}
