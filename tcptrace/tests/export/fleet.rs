//! Three hosts, what happened on them, and their journals.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tcptrace::journal::recorder::Recorder;
use tcptrace::model::alert::alert_id;
use tcptrace::model::code::{Frame, Stack};
use tcptrace::model::evidence::Evidence;
use tcptrace::model::history::{Entry, Known};
use tcptrace::model::process::Process;
use tcptrace::model::socket::StayState;
use tcptrace::model::stay::{Ended, EndedBy};
use tcptrace::model::time::{Anchor, Instant};
use tcptrace::model::verdict::{Blame, Confidence, Finding, Verdict};

use crate::fixtures::{self, settings};

/// Of a process that wants to break something.
pub const HOSTILE: &str = "<script>alert('\"')</script>;\n\t\x1b[31m\0\u{202e}\u{fffd} 7";

/// A release of `docs/fleet.md`: an hour before it everything begins.
const RELEASE: &str = "2026-11-24T12:00:00Z";
/// What the monotonic clocks show then.
const HOUR_BEFORE: Duration = Duration::from_secs(1000);
/// How long each host is watched.
const WATCHED: Duration = Duration::from_secs(2 * 3600);
const STAYS: u64 = 400;

/// A stay of the scenario, in milliseconds since an hour before the release.
#[derive(Clone, Copy)]
pub struct Life {
    pub host: &'static str,
    pub comm: &'static str,
    pub verdict: Verdict,
    pub began: u64,
    /// `None`: it goes on when the host is watched no longer.
    pub ended: Option<u64>,
}

impl Life {
    /// How many milliseconds of it lie between two moments.
    pub fn within(&self, from: u64, to: u64) -> u64 {
        let ended = self.ended.unwrap_or(WATCHED.as_millis() as u64);
        ended.min(to).saturating_sub(self.began.max(from))
    }
}

/// Everything that happened.
pub fn lives() -> Vec<Life> {
    let programs = [
        ("java", Verdict::EofRead),
        ("java", Verdict::DataUnread),
        ("nginx", Verdict::EofUnread),
        (HOSTILE, Verdict::EofRead),
        ("日本語 a;b", Verdict::PeerNotClosing),
    ];
    let life = |host: &'static str, i: u64| {
        let (comm, verdict) = programs[(i % 5) as usize];
        let began = i * 15_013;
        let ended = began + 1000 + i * 7919 % 900_000;
        Life { host, comm, verdict, began, ended: (!i.is_multiple_of(97)).then_some(ended) }
    };
    // No two hosts have the same sums.
    let hosts = [("web-1", 1..STAYS), ("web-2", 0..STAYS / 2), ("db;1", 3..STAYS / 3)];
    hosts.into_iter().flat_map(|(host, lives)| lives.map(move |i| life(host, i))).collect()
}

/// Milliseconds by some key.
pub fn sums<K: Ord>(lives: &[Life], of: impl Fn(&Life) -> (K, u64)) -> BTreeMap<K, u64> {
    let mut sums = BTreeMap::new();
    for (key, millis) in lives.iter().map(of) {
        *sums.entry(key).or_default() += millis;
    }
    sums
}

fn release() -> Timestamp {
    RELEASE.parse().unwrap()
}

/// A moment of the scenario, by both clocks.
fn at(millis: u64) -> Anchor {
    let wall = release() - Duration::from_secs(3600) + Duration::from_millis(millis);
    let monotonic = HOUR_BEFORE + Duration::from_millis(millis);
    Anchor { monotonic: Instant::from_nanos(monotonic.as_nanos() as u64), wall }
}

/// Records the `lives` of each host in a journal of its own below `dir`.
pub fn record(dir: &Path, lives: &[Life]) -> Vec<PathBuf> {
    let mut journals = Vec::new();
    for (n, host) in ["web-1", "web-2", "db;1"].into_iter().enumerate() {
        let boot_id = format!("{n}1234567-89ab-cdef-0123-456789abcdef");
        let journal = dir.join(format!("journal{n}"));
        let recorder = Recorder::start(settings(&journal, host, &boot_id, at(0))).unwrap();
        for (i, life) in lives.iter().filter(|life| life.host == host).enumerate() {
            let known = known(life, i as u64 + 1, &boot_id);
            let stay = known.stay;
            recorder.keep(Entry::Stay(Box::new(known)));
            if let Some(ended) = life.ended {
                let at = at(ended).monotonic;
                let ended = Ended { stay, at, by: EndedBy::Closed, reset_sent: None };
                recorder.keep(Entry::Ended(Box::new(ended)));
            }
        }
        recorder.clock(at(WATCHED.as_millis() as u64));
        let status = recorder.finish();
        assert_eq!((status.left_out, status.error), (0, None));
        journals.push(journal);
    }
    journals
}

fn known(life: &Life, serial: u64, boot_id: &str) -> Known {
    let looked_at = at(life.began + 1000).monotonic;
    let state = match life.verdict {
        Verdict::PeerNotClosing => StayState::FinWait2,
        _ => StayState::CloseWait,
    };
    let stay = fixtures::stay(serial, state, at(life.began).monotonic);
    let function = |name: &str| Frame { function: Some(name.into()), ..Frame::default() };
    let frames = vec![function("leak"), function(life.comm), function("main")];
    let evidence = Evidence {
        looked_at,
        stack: Some(Arc::new(Stack { frames, complete: true })),
        ..Evidence::default()
    };
    let blame =
        Blame { process: Arc::new(process(life.comm)), why: "it leaks".into(), candidates: vec![] };
    let finding = Finding {
        verdict: life.verdict,
        confidence: Confidence::High,
        code: None,
        blame: Some(blame),
    };
    Known {
        id: alert_id(boot_id, &stay),
        stay,
        at: looked_at,
        evidence: Arc::new(evidence),
        finding: Arc::new(finding),
    }
}

fn process(comm: &str) -> Process {
    Process {
        pid: 4711,
        pid_in_ns: None,
        ppid: Some(1),
        start_ticks: Some(10),
        start: None,
        comm: comm.into(),
        exe: Some(format!("/opt/{comm}/bin")),
        cmdline: None,
        // One that no signed number of 32 bits holds.
        uid: Some(4_294_967_294),
        cgroup: None,
        unit: Some(format!("{comm}.service")),
        container: None,
        pod: None,
        descriptors: None,
    }
}
