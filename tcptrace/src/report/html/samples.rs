//! An incident as a journal would give it back: two programs, four verdicts, a leak that grows and is
//! freed, and an hour of which not everything is known.

use core::time::Duration;
use std::sync::Arc;

use crate::model::code::{Frame, Stack};
use crate::model::evidence::ThreadState;
use crate::model::forecast::{Forecast, Resource};
use crate::model::group::GroupStatus;
use crate::model::history::{Gap, GapKind, PastEnd, PastStay};
use crate::model::postmortem::tests::{at, named, stay, window};
use crate::model::postmortem::{Postmortem, Program, Told};
use crate::model::process::Process;
use crate::model::profile::by::{By, path_of};
use crate::model::profile::{Profile, Weight};
use crate::model::socket::StayState;
use crate::model::stay::EndedBy;
use crate::model::verdict::Verdict;
use crate::report::samples::past;

pub const HOUR: i64 = 3600;

/// All that a page is made of, but for the page.
pub struct Incident {
    pub postmortem: Postmortem,
    pub profile: Profile,
}

impl Incident {
    pub fn new(hours: i64) -> Self {
        let postmortem = Postmortem::new(window(0, hours * HOUR), 240);
        Self { postmortem, profile: Profile::new() }
    }

    pub fn add(&mut self, hours: i64, stay: &PastStay) {
        self.postmortem.add(stay);
        if let Some(time) = window(0, hours * HOUR).clip(stay) {
            self.profile.add(path_of(stay, &By::DEFAULT), Weight { time, count: 1 });
        }
    }
}

/// The same numbers in every run (xorshift).
pub struct Chance(u64);

impl Chance {
    pub fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn seconds(&mut self, limit: i64) -> i64 {
        self.below(limit.unsigned_abs().max(1)) as i64
    }
}

fn service(comm: &str, pid: u32, unit: &str) -> Arc<Process> {
    let process = Process::clone(&named(comm, pid));
    Arc::new(Process { unit: Some(unit.into()), ..process })
}

fn stack(functions: &[&str]) -> Arc<Stack> {
    let frame = |name: &&str| Frame { function: Some((*name).into()), ..Frame::default() };
    Arc::new(Stack { frames: functions.iter().map(frame).collect(), complete: true })
}

/// Code that leaks: what a stay on it has.
struct Path {
    process: Arc<Process>,
    verdict: Verdict,
    stack: Option<Arc<Stack>>,
    code: Option<Arc<str>>,
    threads: Option<ThreadState>,
}

impl Path {
    fn new(process: &Arc<Process>, verdict: Verdict, functions: &[&str]) -> Self {
        let stack = (!functions.is_empty()).then(|| stack(functions));
        Self {
            process: Arc::clone(process),
            verdict,
            code: stack.as_ref().map(|stack| stack.path().into()),
            threads: stack.is_none().then_some(ThreadState::InPoll),
            stack,
        }
    }

    fn stay(&self, from: i64, lasted: i64) -> PastStay {
        PastStay {
            verdict: self.verdict,
            state: match self.verdict {
                Verdict::PeerNotClosing => StayState::FinWait2,
                _ => StayState::CloseWait,
            },
            stack: self.stack.clone(),
            code: self.code.clone(),
            threads: self.threads,
            path: self.stack.is_some().then_some((10_000, 9786)),
            ..stay(&self.process, from, from + lasted.max(1))
        }
    }
}

/// About `stays` of them within 12 hours.
pub fn incident(stays: u64) -> Incident {
    const HOURS: i64 = 12;
    let java = service("java", 4711, "orders.service");
    let python = service("gunicorn: worker", 815, "shop-frontend.service");
    let borrow = ["read", "com.acme.Pool.borrow", "com.acme.OrderClient.send"];
    let outer =
        ["com.acme.Orders.handle", "io.netty.Loop.run", "java.lang.Thread.run", "start_thread"];
    let leak = Path::new(&java, Verdict::EofRead, &[&borrow[..], &outer[..]].concat());
    let paths = [
        Path::new(&java, Verdict::EofUnread, &[]),
        Path::new(
            &python,
            Verdict::EofRead,
            &[
                "recv_into",
                "readinto (socket.py:706)",
                "begin (client.py:318)",
                "fetch_prices (prices.py:88)",
                "render (views.py:41)",
                "main",
            ],
        ),
        Path::new(
            &python,
            Verdict::EofRead,
            &["recv_into", "readinto (socket.py:706)", "probe (health.py:12)", "main"],
        ),
        Path::new(&python, Verdict::DataUnread, &[]),
        Path::new(
            &python,
            Verdict::PeerNotClosing,
            &["shutdown (socket.py:502)", "bye (views.py:97)", "main"],
        ),
    ];
    let mut incident = Incident::new(HOURS);
    let mut chance = Chance::new();
    // The leak grows from the third hour on and ends with its process in the eighth.
    for n in 0..stays / 50 {
        let from = 3 * HOUR + chance.seconds(5 * HOUR);
        let end = 8 * HOUR - HOUR / 6;
        if from < end {
            let mut stay = leak.stay(from, end - from);
            stay.end = PastEnd::By(EndedBy::ProcessExit);
            stay.remote = format!("10.0.3.{}:443", 7 + n % 3).parse().unwrap();
            (stay.id, stay.alerted) = (format!("leak-{n}").into(), true);
            incident.add(HOURS, &stay);
        }
    }
    for n in 0..stays - stays / 50 {
        let path = &paths[[0, 0, 1, 1, 1, 2, 3, 4][chance.below(8) as usize]];
        let lasted =
            1 + chance.seconds(20) + if chance.below(40) == 0 { chance.seconds(HOUR) } else { 0 };
        let mut stay = path.stay(chance.seconds(HOURS * HOUR), lasted);
        stay.id = format!("short-{n}").into();
        stay.exact = chance.below(50) > 0;
        if stay.began + stay.lasted > at(HOURS * HOUR) {
            stay.end = PastEnd::Open;
        } else if chance.below(7) == 0 {
            stay.end = PastEnd::By(EndedBy::PeerClosed);
        }
        incident.add(HOURS, &stay);
    }
    tell(&mut incident, &java, leak.code.as_ref());
    incident
}

fn tell(incident: &mut Incident, java: &Arc<Process>, code: Option<&Arc<str>>) {
    let notices = [
        (3 * HOUR + 90, GroupStatus::Firing, 214),
        (4 * HOUR, GroupStatus::Growing, 980),
        (8 * HOUR - HOUR / 6, GroupStatus::Resolved, 0),
    ];
    for (second, status, members) in notices {
        let full_in = Duration::from_secs(18 * 60);
        let forecast = Forecast { of: Resource::Descriptors, used: 1812, limit: 65_536, full_in };
        incident.postmortem.add_told(&Told {
            at: at(second),
            group: "01234567-4711.10-eof_read-1f2e".into(),
            status,
            program: Program { host: "web-1".into(), process: Some(Arc::clone(java)) },
            verdict: Verdict::EofRead,
            state: StayState::CloseWait,
            code: code.cloned(),
            members,
            peak: members,
            oldest: Duration::from_secs((second - 3 * HOUR).unsigned_abs()),
            forecast: (status == GroupStatus::Growing).then_some(forecast),
        });
    }
    let gap = |from, to, why| Gap { host: "web-1".into(), from: at(from), to: at(to), why };
    let gaps = [
        gap(9 * HOUR, 9 * HOUR + 2500, GapKind::NotRunning),
        gap(5 * HOUR, 5 * HOUR + 40, GapKind::Lost(1280)),
    ];
    gaps.iter().for_each(|gap| incident.postmortem.add_gap(gap));
    for (kind, lasted) in past::short().kinds {
        incident.postmortem.add_short(&kind, &lasted);
    }
}
