//! A day on a busy host, and a million stays: `cargo test --release journal::tests::scale -- --ignored
//! --nocapture` shows the figures.

use std::time::Instant as Stopwatch;

use super::*;
use crate::model::history::{Histogram, Interval, ShortStays};
use crate::model::process::Process;
use crate::model::socket::TcpState;

const DAY: u64 = 86_400;
/// Sockets that are stuck at any time, and how long one is.
const STUCK: u64 = 1000;
const LASTED: u64 = 100;
const INTERVAL: u64 = 10;

fn size(dir: &Path) -> u64 {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

/// One of some hundred processes and code paths, with a descriptor and a port of its own.
fn busy(serial: u64, since: u64) -> Known {
    let mut stay = stay(serial, since);
    stay.endpoints.local.set_port(u16::try_from(serial % 28_000).unwrap() + 32_768);
    let remote = format!("10.1.{}.{}:443", serial % 7, serial % 250);
    stay.endpoints.remote = remote.parse().unwrap();
    let mut known = known(stay, since + 1);
    let number = u32::try_from(serial % 100).unwrap();
    let process = Arc::new(Process { pid: 5000 + number, ..process(5000 + number, 1, 10) });
    let fds = vec![u32::try_from(serial % 60_000).unwrap()];
    let frame = |depth: u64| Frame {
        address: 0x1000 * (depth + 1) + u64::from(number),
        function: Some(format!("com::acme::service{number}::handle_request_{depth}")),
        module: Some("/usr/lib/acme/server".into()),
        source: None,
    };
    let stack = Stack { frames: (0..20).map(frame).collect(), complete: true };
    known.evidence = Arc::new(Evidence {
        holders: Some(vec![Holder { process: Arc::clone(&process), fds }]),
        stack: Some(Arc::new(stack.clone())),
        ..Evidence::clone(&known.evidence)
    });
    known.finding = Arc::new(Finding {
        code: Some(CodePath { did: Did::Read, line: stack.path().into() }),
        blame: Some(Blame { process, why: "it reads".into(), candidates: vec![] }),
        ..Finding::clone(&known.finding)
    });
    known
}

fn interval(to: u64) -> Interval {
    let short = |number: u64| {
        let mut lasted = Histogram::default();
        for millis in 0..12 {
            lasted.add(Duration::from_millis(1 << millis));
        }
        let comm = Some(format!("server{number}").into());
        (ShortStays { state: StayState::CloseWait, comm, verdict: Some(Verdict::EofRead) }, lasted)
    };
    let states =
        [TcpState::SynSent, TcpState::Established, TcpState::FinWait1, TcpState::CloseWait];
    let pairs = states.iter().flat_map(|old| states.iter().map(move |new| ((*old, *new), 12_345)));
    Interval {
        from: at(to - INTERVAL),
        to: at(to),
        transitions: pairs.collect(),
        short: (0..5).map(short).collect(),
        half_closed: [STUCK, 10, 0],
        ..Interval::default()
    }
}

#[test]
#[ignore = "takes minutes without optimization"]
fn a_day_fits_and_a_million_stays_are_read_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, status) = writer(settings(dir.path(), 100));
    let began = Stopwatch::now();
    let mut serial = 0;
    let mut stays_in_day = 0;
    let mut day = 0;
    for second in (100..).step_by(10) {
        for number in 0..STUCK * 10 / LASTED {
            writer.entry(Entry::Stay(Box::new(busy(serial, second))));
            let _ = number;
            if serial >= STUCK {
                let over = busy(serial - STUCK, second - LASTED).stay;
                let by = EndedBy::Closed;
                let end = Ended { stay: over, at: at(second), by, reset_sent: Some(false) };
                writer.entry(Entry::Ended(Box::new(end)));
            }
            serial += 1;
        }
        writer.entry(Entry::Interval(Box::new(interval(second))));
        writer.clock(second);
        if second == 100 + DAY {
            (day, stays_in_day) = (size(dir.path()), serial);
        }
        if serial >= 1_000_000 {
            break;
        }
    }
    let wrote = began.elapsed();
    assert_eq!(status.lock().unwrap().error, None);
    writer.take_leave();
    let began = Stopwatch::now();
    let mut history = open(dir.path());
    let (mut count, mut sum) = (0u64, Duration::ZERO);
    let mut take = |stay: PastStay| {
        count += 1;
        sum += stay.lasted;
        Ok(())
    };
    history.stays(ALWAYS, &mut take).unwrap();
    let read = began.elapsed();
    println(&format!(
        "a day of {stays_in_day} stays: {} MB; {count} stays in {} MB written in {wrote:?}, read in \
         {read:?}",
        day / 1_000_000,
        size(dir.path()) / 1_000_000,
    ));
    assert_eq!(count, 1_000_000);
    assert!(day < 200_000_000, "{day} bytes");
    assert!(read < Duration::from_secs(10), "{read:?}");
}

#[expect(clippy::print_stderr, reason = "the figures are what this is for")]
fn println(text: &str) {
    eprintln!("{text}");
}
