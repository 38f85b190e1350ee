//! A past to report on: an hour with every kind of name in it, hostile ones too.

use core::time::Duration;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::code::{Frame, Stack};
use crate::model::evidence::{HeldBy, ThreadState};
use crate::model::history::{Histogram, PastEnd, PastStay, ShortStays};
use crate::model::postmortem::{Short, ShortTally};
use crate::model::process::Process;
use crate::model::process::tests::process;
use crate::model::profile::by::{By, Paths};
use crate::model::profile::difference::Difference;
use crate::model::profile::window::Window;
use crate::model::profile::{Measure, Profile, Weight};
use crate::model::socket::{NetNs, StayState};
use crate::model::stay::EndedBy;
use crate::model::verdict::{Confidence, Verdict};
use crate::report::about::About;

/// The hour.
pub fn window() -> Window {
    Window { from: at("12:00:00"), to: at("13:00:00") }
}

/// The four hours before it.
pub fn baseline() -> Window {
    Window { from: at("08:00:00"), to: at("12:00:00") }
}

/// What reports on that hour say of themselves.
pub fn about() -> About {
    let window = Some(window());
    About { measure: Measure::Time, only: None, window, baseline: None, zone: TimeZone::UTC }
}

fn at(time: &str) -> Timestamp {
    format!("2026-03-01T{time}Z").parse().unwrap()
}

/// A stack, the outermost function first.
pub fn stack(functions: &[&str]) -> Arc<Stack> {
    let frame = |function: &&str| Frame {
        address: 0x1234,
        function: Some((*function).to_owned()),
        module: Some("/usr/bin/program".into()),
        source: None,
    };
    Arc::new(Stack { frames: functions.iter().rev().map(frame).collect(), complete: true })
}

/// A stay of java's, with all that can be known of one; others are made from it.
pub fn stay() -> PastStay {
    let java = Process {
        comm: "java".into(),
        unit: Some("orders.service".into()),
        ..process(4711, 1, 10)
    };
    PastStay {
        host: "web-3".into(),
        boot_id: "0123456789".into(),
        id: "01234567-1".into(),
        state: StayState::CloseWait,
        orphan: false,
        verdict: Verdict::EofRead,
        confidence: Confidence::High,
        local: "10.0.3.1:41000".parse().unwrap(),
        remote: "10.0.3.7:443".parse().unwrap(),
        netns: Some(NetNs(4_026_531_840)),
        cookie: Some(1 << 60),
        process: Some(Arc::new(java)),
        began: at("12:03:00"),
        lasted: Duration::from_secs(600),
        exact: true,
        end: PastEnd::By(EndedBy::ProcessExit),
        code: Some("com.acme.Pool.borrow ← com.acme.OrderClient.send".into()),
        stack: Some(stack(&["main", "com.acme.OrderClient.send", "com.acme.Pool.borrow"])),
        opened: None,
        threads: Some(ThreadState::InPoll),
        held_by: None,
        eof_read_at: Some(at("12:03:00")),
        recv_queue: Some(1),
        send_queue: Some(0),
        path: Some((10_000, 9786)),
        alerted: true,
    }
}

fn by(comm: &str, unit: Option<&str>, pid: u32) -> Option<Arc<Process>> {
    let unit = unit.map(str::to_owned);
    Some(Arc::new(Process { comm: comm.into(), unit, cgroup: None, ..process(pid, 1, 10) }))
}

/// What happened.
pub fn stays() -> Vec<PastStay> {
    let blind = PastStay { stack: None, code: None, path: None, eof_read_at: None, ..stay() };
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let mut long = (*stack(&["event_loop", "on_read"])).clone();
    long.complete = false;
    vec![
        stay(),
        PastStay { lasted: minutes(20), ..stay() },
        // Goes on beyond the hour.
        PastStay { began: at("12:50:00"), lasted: minutes(60), end: PastEnd::Open, ..stay() },
        PastStay {
            stack: Some(stack(&["main", "com.acme.Mailer.poll"])),
            lasted: minutes(5),
            ..stay()
        },
        PastStay { verdict: Verdict::EofUnread, lasted: minutes(12), ..blind.clone() },
        PastStay {
            verdict: Verdict::EofUnread,
            opened: Some(stack(&["main", "com.acme.OrderClient.connect"])),
            lasted: minutes(4),
            ..blind.clone()
        },
        PastStay {
            verdict: Verdict::NotAccepted,
            process: by("nginx", None, 80),
            threads: Some(ThreadState::Stopped),
            lasted: minutes(7),
            ..blind.clone()
        },
        PastStay {
            verdict: Verdict::Orphan,
            state: StayState::FinWait2,
            process: None,
            lasted: minutes(1),
            ..blind.clone()
        },
        PastStay {
            verdict: Verdict::NoFd,
            process: None,
            held_by: Some(HeldBy::UnixSocket),
            lasted: minutes(3),
            end: PastEnd::CutOff,
            ..blind.clone()
        },
        PastStay {
            process: by("<script>alert(1)</script>", Some("a;b\nc 12"), 13),
            stack: Some(stack(&[
                "std::vec::Vec<T;3>::\"push'",
                "\u{1b}[31m\u{202e}gnp\u{7}",
                "]]> & <!-- 5",
                "\u{fffd}\u{ffff}",
                "# comment 17",
            ])),
            lasted: minutes(9),
            ..stay()
        },
        PastStay { stack: Some(Arc::new(long)), process: by("node", None, 14), ..stay() },
        // Over before the hour begins.
        PastStay { began: at("11:00:00"), lasted: minutes(10), ..blind },
    ]
}

/// What of them lies in `window`, as the command folds it.
pub fn profile(window: Window) -> Profile {
    let (mut profile, mut paths) = (Profile::new(), Paths::new(&By::DEFAULT));
    for stay in stays() {
        if let Some(time) = window.clip(&stay) {
            profile.add(paths.of(&stay), Weight { time, count: 1 });
        }
    }
    profile
}

/// The hour against the four before it.
pub fn difference() -> Difference {
    let mut before = profile(baseline());
    let new = PastStay { stack: Some(stack(&["main", "gone"])), ..stay() };
    for stay in [stay(), new] {
        let weight = Weight { time: Duration::from_secs(9000), count: 3 };
        before.add(Paths::new(&By::DEFAULT).of(&stay), weight);
    }
    Difference::new((&before, baseline().length()), (profile(window()), window().length()))
}

/// Stays of the hour that were too short to be kept: more kinds than a terminal has rows for.
pub fn short() -> Short {
    let mut tally = ShortTally::default();
    let mut add = |comm: Option<&str>, state, lasted: &[(u64, u64)]| {
        let verdict = comm.map(|_| Verdict::EofRead);
        let kind = ShortStays { state, comm: comm.map(Into::into), verdict };
        let mut histogram = Histogram::default();
        for &(count, millis) in lasted {
            (0..count).for_each(|_| histogram.add(Duration::from_millis(millis)));
        }
        tally.add(&kind, &histogram);
    };
    add(Some("java"), StayState::CloseWait, &[(1900, 5), (80, 200), (20, 700)]);
    add(None, StayState::CloseWait, &[(3000, 0), (2, 4_000_000_000)]);
    add(None, StayState::FinWait2, &[(1, 900)]);
    add(Some("<script>\u{202e};\n"), StayState::CloseWait, &[(7, 1)]);
    for worker in 0..12 {
        add(Some(&format!("worker-{worker}")), StayState::CloseWait, &[(1, 30)]);
    }
    tally.finish()
}
