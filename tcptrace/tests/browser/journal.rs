//! A journal in which every name wants to be more than a name.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use tcptrace::journal::recorder::Recorder;
use tcptrace::model::alert::{Alert, alert_id};
use tcptrace::model::code::{CodePath, Did, Frame, Stack};
use tcptrace::model::evidence::Evidence;
use tcptrace::model::group::{GroupNotice, GroupStatus};
use tcptrace::model::history::{Entry, Histogram, Interval, Known, ShortStays};
use tcptrace::model::process::Process;
use tcptrace::model::rules::Urgency;
use tcptrace::model::socket::StayState;
use tcptrace::model::stay::{Ended, EndedBy};
use tcptrace::model::time::{Anchor, Instant};
use tcptrace::model::verdict::{Blame, Confidence, Finding, Verdict};

use crate::fixtures::{self, settings};

const BOOT: &str = "01234567-89ab-cdef-0123-456789abcdef";
/// The journal is of this hour.
pub const HOUR: (&str, &str) = ("2026-11-24T11:00:00Z", "2026-11-24T12:00:00Z");
const MILLIS: u64 = 3_600_000;
/// So many entries are given at once: the queue has room for more.
const BATCH: u64 = 8192;
const DEADLINE: Duration = Duration::from_secs(120);

/// Names that set `window.pwned` or the title, or have something fetched from `sink`, wherever they are
/// taken for more than text.
pub fn hostile(sink: SocketAddr) -> Vec<String> {
    let mut names = vec![
        "<script>window.pwned = 'script'</script>".to_owned(),
        "</script><script>window.pwned = 'end'</script>".to_owned(),
        "</style></title></textarea><script>window.pwned = 'elsewhere'</script>".to_owned(),
        "--><script>window.pwned = 'comment'</script><!--".to_owned(),
        "\"><img src=x onerror=\"window.pwned = 'image'\">".to_owned(),
        "'><svg onload='document.title = `pwned`'></svg>".to_owned(),
        "javascript:window.pwned='link'".to_owned(),
        "\\\";window.pwned='quote';//".to_owned(),
        "${window.pwned='template'}{{constructor.constructor('window.pwned=1')()}}".to_owned(),
        "a\u{2028}window.pwned='line'\u{2029}b".to_owned(),
        "user\u{202e}txt.\u{2066}exe".to_owned(),
        "\u{fffd}(\u{fffd}".to_owned(),
        "\x1b]0;pwned\x07\r\n&lt;&#60;&".to_owned(),
        "__proto__".to_owned(),
        "constructor".to_owned(),
    ];
    names.push(format!(
        "<img src='http://{sink}/image'><iframe src='http://{sink}/frame'></iframe>"
    ));
    names.push(format!("</style><style>@import url(http://{sink}/style);</style>"));
    names.push(format!("<script>fetch('http://{sink}/fetch')</script>"));
    names
}

fn at(millis: u64) -> Anchor {
    let begin: Timestamp = HOUR.0.parse().unwrap();
    let monotonic = Duration::from_secs(1000) + Duration::from_millis(millis);
    let monotonic = Instant::from_nanos(u64::try_from(monotonic.as_nanos()).unwrap());
    Anchor { monotonic, wall: begin + Duration::from_millis(millis) }
}

/// Records `stays` of them in `dir`, whose processes, files and functions have the `names`; the first
/// one is the host's as well.
pub fn record(dir: &Path, names: &[String], stays: u64) {
    let settings = settings(dir, &names[0], BOOT, at(0));
    let recorder = Recorder::start(settings).unwrap();
    let processes: Vec<_> = names.iter().map(|name| Arc::new(process(name))).collect();
    for serial in 1..=stays {
        let process = &processes[(serial % names.len() as u64) as usize];
        let (known, ended) = stay(serial, process);
        if serial <= names.len() as u64 {
            tell(&recorder, &known);
        }
        recorder.keep(Entry::Stay(Box::new(known)));
        recorder.keep(Entry::Ended(Box::new(ended)));
        if serial.is_multiple_of(BATCH) {
            let deadline = std::time::Instant::now() + DEADLINE;
            recorder.clock(at(serial));
            while recorder.status().committed < serial * 2 {
                assert!(std::time::Instant::now() < deadline, "{:?}", recorder.status());
                thread::yield_now();
            }
        }
    }
    let (state, verdict) = (StayState::CloseWait, Some(Verdict::EofRead));
    let mut lasted = Histogram::default();
    lasted.add(Duration::from_millis(5));
    let short = names.iter().map(|name| {
        let kind = ShortStays { state, comm: Some(name.as_str().into()), verdict };
        (kind, lasted)
    });
    let (from, to) = (at(0).monotonic, at(10_000).monotonic);
    let interval = Interval { from, to, short: short.collect(), ..Interval::default() };
    recorder.keep(Entry::Interval(Box::new(interval)));
    recorder.clock(at(MILLIS));
    let status = recorder.finish();
    assert_eq!((status.left_out, status.error), (0, None));
}

fn process(name: &str) -> Process {
    Process {
        pid: 4711,
        pid_in_ns: None,
        ppid: Some(1),
        start_ticks: Some(10),
        start: None,
        comm: name.into(),
        exe: Some(format!("/opt/{name}")),
        cmdline: Some(vec![name.into()]),
        uid: Some(0),
        cgroup: None,
        unit: Some(name.into()),
        container: Some(name.into()),
        pod: None,
        descriptors: None,
    }
}

fn stay(serial: u64, process: &Arc<Process>) -> (Known, Ended) {
    let began = serial * 997 % (MILLIS - 600_000);
    let ended = began + 1000 + serial * 7919 % 500_000;
    let stay = fixtures::stay(serial, StayState::CloseWait, at(began).monotonic);
    let name = &process.comm;
    let function = |function: String| Frame {
        function: Some(function),
        module: Some(name.clone()),
        source: Some((name.clone(), Some(7))),
        ..Frame::default()
    };
    // A hundred paths for each name.
    let leak = function(format!("leak_{}", serial / 100 % 100));
    let frames = vec![leak, function(name.clone()), function("main".into())];
    let finding = Finding {
        verdict: Verdict::EofRead,
        confidence: Confidence::High,
        code: Some(CodePath { did: Did::Read, line: name.as_str().into() }),
        blame: Some(Blame {
            process: Arc::clone(process),
            why: name.clone().into(),
            candidates: vec![],
        }),
    };
    let looked_at = at(began + 1000).monotonic;
    let known = Known {
        id: alert_id(BOOT, &stay),
        stay,
        at: looked_at,
        evidence: Arc::new(Evidence {
            looked_at,
            stack: Some(Arc::new(Stack { frames, complete: true })),
            ..Evidence::default()
        }),
        finding: Arc::new(finding),
    };
    let ended = Ended { stay, at: at(ended).monotonic, by: EndedBy::ProcessExit, reset_sent: None };
    (known, ended)
}

/// Somebody was told of it and of its group.
fn tell(recorder: &Recorder, known: &Known) {
    let Known { id, stay, at, evidence, finding } = known.clone();
    let group = GroupNotice {
        urgency: Urgency::default(),
        id: finding.blame.as_ref().unwrap().process.comm.as_str().into(),
        at,
        status: GroupStatus::Firing,
        verdict: finding.verdict,
        confidence: finding.confidence,
        state: stay.state,
        code: finding.code.clone(),
        caveat: None,
        proof: None,
        threads: None,
        blame: finding.blame.clone(),
        members: 1,
        peak: 1,
        oldest: Duration::from_secs(1),
        exact: true,
        growth_per_min: None,
        forecast: None,
        examples: vec![],
        peers: vec![],
        ended: vec![],
        withdrawn: 0,
    };
    recorder.keep(Entry::Alert(Arc::new(Alert {
        urgency: Urgency::default(),
        withdrawn: false,
        id,
        group: Arc::clone(&group.id),
        stay,
        at,
        threshold: Duration::from_secs(1),
        finding,
        evidence,
        ended_by: None,
        reset_sent: None,
    })));
    recorder.keep(Entry::Group(Box::new(group)));
}
