//! A core that runs as a script says and is recorded.

use core::time::Duration;
use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use tcptrace_common::{DeedRecord, TransitionRecord, deed, flag};

use super::super::tape::{ByteOrder, Header, Tape};
use crate::model::decode;
use crate::model::engine::{Engine, EngineConfig, Input, Output};
use crate::model::event::Lost;
use crate::model::evidence::{Evidence, Sources, Suspect, Timer};
use crate::model::filter::Filter;
use crate::model::process::tests::holder;
use crate::model::snapshot::{Observed, Snapshot};
use crate::model::socket::{Endpoints, Identity, NetNs, SocketKey, StayState, TcpState};
use crate::model::summary::Summary;
use crate::model::time::{Anchor, Instant};
use crate::model::tracker::Thresholds;

/// An output with both clocks at its time.
pub(super) type Told = (Anchor, Output);

pub(super) fn header() -> Header {
    Header {
        host: "there".into(),
        tcptrace: "0.1.0".into(),
        kernel: "6.12.0".into(),
        byte_order: ByteOrder::OWN,
        wall: "2026-01-01T00:00:00Z".parse().unwrap(),
        engine: EngineConfig {
            thresholds: Thresholds {
                close_wait: Duration::from_secs(60),
                fin_wait2: Duration::from_secs(20),
                closed: Some(Duration::from_secs(60)),
                record: None,
            },
            filter: Filter::default(),
            rules: crate::model::rules::Rules::default(),
            capacity: 1000,
            boot_id: "0123456789".into(),
            identity: Identity::Cookie,
            eof: true,
        },
    }
}

/// A core that runs and is recorded. The wall clock jumps with every hundredth second.
pub(super) struct Live {
    pub(super) now: Instant,
    pub(super) engine: Engine,
    tape: Tape,
    states: BTreeMap<u64, TcpState>,
    undecodable: u64,
    suspects: Vec<Suspect>,
    pub(super) told: Vec<Told>,
}

impl Live {
    pub(super) fn start() -> Self {
        let header = header();
        let mut live = Self {
            now: Instant::default(),
            engine: Engine::new(header.engine.clone()),
            tape: Tape::new(Instant::default(), &header),
            states: BTreeMap::new(),
            undecodable: 0,
            suspects: Vec::new(),
            told: Vec::new(),
        };
        live.tick(0);
        live.input(Input::Snapshot(Some(&Snapshot::default())));
        live
    }

    fn anchor(&self) -> Anchor {
        let seconds = self.now.as_nanos() / 1_000_000_000;
        let wall = Timestamp::from_second((seconds + seconds / 100 * 3600) as i64).unwrap();
        Anchor { monotonic: self.now, wall }
    }

    pub(super) fn input(&mut self, input: Input<'_>) {
        self.tape.input(self.anchor(), &input, &self.engine);
        self.engine.handle(self.now, input);
    }

    /// Time passes, and what there is to tell is told.
    pub(super) fn tick(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
        self.input(Input::Tick);
        while let Some(output) = self.engine.poll() {
            if let Output::Examine(suspects) = &output {
                self.suspects.clone_from(suspects);
            }
            self.told.push((self.anchor(), output));
        }
    }

    pub(super) fn record(&mut self, record: &[u8]) {
        self.tape.transition(self.now, record);
        match decode::transition(record) {
            Ok(event) => self.engine.handle(event.at, Input::Transition(&event)),
            Err(_) => self.undecodable += 1,
        }
    }

    pub(super) fn go(&mut self, cookie: u64, new: TcpState) {
        let old = self.states.insert(cookie, new).unwrap_or(TcpState::Established);
        self.record(&transition(self.now, cookie, old as u8, new as u8));
    }

    pub(super) fn read_eof(&mut self, cookie: u64) {
        let record = eof_read(self.now, cookie);
        self.tape.deed(self.now, &record);
        self.tape.place_deeds();
        let deed = decode::deed(&record).unwrap();
        self.engine.handle(deed.at, Input::Deed(&deed));
    }

    /// Answers on all suspects.
    pub(super) fn examine(&mut self) {
        let now = self.now;
        let found = |suspect: Suspect| (suspect.stay.id, evidence(now, &suspect));
        let found = core::mem::take(&mut self.suspects).into_iter().map(found).collect();
        self.input(Input::Evidence(Some(found)));
    }

    pub(super) fn end(&mut self) -> (Vec<u8>, String) {
        self.tick(1);
        let lost = Lost { ring: 3, ..Lost::default() };
        self.tape.end(self.anchor(), lost);
        let (alerts, groups, groups_resolved) = self.engine.told();
        let summary = Summary {
            elapsed: self.now.since(Instant::default()),
            counts: self.engine.counts(),
            lost,
            undecodable: self.undecodable,
            unwritten: 0,
            alerts,
            groups,
            groups_resolved,
            tracked: self.engine.tracked(),
            sinks: Vec::new(),
        };
        (core::mem::take(&mut self.tape.bytes), format!("{summary:?}"))
    }
}

pub(super) fn transition(at: Instant, cookie: u64, old: u8, new: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    for long in [at.as_nanos(), cookie, 1 << 63 | cookie] {
        bytes.extend(long.to_ne_bytes());
    }
    for word in [7u32, 0, 0, 0, 0, 0] {
        bytes.extend(word.to_ne_bytes());
    }
    let mut address = [0; 16];
    address[..4].copy_from_slice(&[127, 0, 0, 1]);
    bytes.extend([address, address].concat());
    for half in [80, 4000 + cookie as u16, 0] {
        bytes.extend(half.to_ne_bytes());
    }
    let flags = flag::DETAILS | flag::TASK | flag::HAS_SOCKET | flag::HAS_FILE;
    bytes.extend([decode::AF_INET, old, new, 0, flags, 0]);
    bytes.extend([0; 28]);
    assert_eq!(bytes.len(), size_of::<TransitionRecord>());
    bytes
}

fn eof_read(at: Instant, cookie: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for long in [at.as_nanos(), cookie, 1 << 63 | cookie, 0] {
        bytes.extend(long.to_ne_bytes());
    }
    bytes.extend([50u32.to_ne_bytes(), 50u32.to_ne_bytes()].concat());
    bytes.extend([deed::EOF_READ, flag::TASK, 0, 0, 0, 0, 0, 0]);
    bytes.extend([0; 16]);
    bytes.extend(99u64.to_ne_bytes());
    assert_eq!(bytes.len(), size_of::<DeedRecord>());
    bytes
}

/// Evidence that shows by its inode which socket it is on.
fn evidence(now: Instant, suspect: &Suspect) -> Evidence {
    Evidence {
        looked_at: now,
        state: Some(suspect.stay.state.state()),
        holders: Some(vec![holder(50, 1, 10)]),
        inode: suspect.stay.cookie,
        recv_queue: Some((suspect.stay.key.get() % 2) as u32),
        send_queue: Some(0),
        progress: suspect.stay.progress,
        last_send: Some(Duration::from_nanos(now.as_nanos() + 1)),
        timer: Timer::None,
        sources: Sources { iterator: true, sock_diag: true, ..Sources::default() },
        ..Evidence::default()
    }
}

pub(super) fn minisocket(cookie: u64) -> Observed {
    Observed {
        key: SocketKey::new(cookie, 0),
        skaddr: None,
        netns: NetNs(7),
        endpoints: Endpoints {
            local: "127.0.0.1:80".parse().unwrap(),
            remote: format!("127.0.0.1:{}", 4000 + cookie).parse().unwrap(),
        },
        state: StayState::FinWait2,
        orphan: true,
        minisocket: Some(Duration::from_secs(30)),
        age_min: Duration::from_secs(30),
        age_max: None,
        seen: None,
        progress: None,
    }
}

/// A run with something of everything.
pub(super) fn run() -> Live {
    let mut live = Live::start();
    live.record(b"not a record");
    live.tick(1);
    for cookie in 1..=40 {
        live.go(cookie, TcpState::CloseWait);
        if cookie % 2 == 0 {
            live.read_eof(cookie);
        }
    }
    live.tick(60);
    live.input(Input::Evidence(None));
    live.tick(2);
    live.examine();
    live.tick(1);
    live.input(Input::Lost(Lost { ring: 2, deeds: 1, recursion: Some(1) }));
    live.go(45, TcpState::CloseWait);
    // Something before this one was lost.
    live.record(&transition(live.now, 45, TcpState::Closing as u8, TcpState::Close as u8));
    live.tick(1);
    live.input(Input::Snapshot(None));
    // All in one moment: which it was is known a second later, of all at once.
    for cookie in 1..=30 {
        live.go(cookie, TcpState::LastAck);
    }
    live.tick(2);
    live.go(31, TcpState::FinWait2);
    live.go(31, TcpState::Close);
    live.tick(20);
    let left: Vec<_> = (50..70).map(minisocket).collect();
    live.input(Input::Orphans(Some(&(live.now, left, HashMap::new()))));
    live.tick(1);
    live.input(Input::Orphans(Some(&(live.now, vec![], HashMap::new()))));
    live
}
