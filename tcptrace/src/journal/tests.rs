//! Ground truth goes in, and comes back.

mod crash;
mod damage;
mod round_trip;
mod scale;

use core::time::Duration;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use super::history::History;
use super::recorder::{Message, Recorder, RunInfo, Settings, Status};
use super::writer::Writer;
use crate::model::alert::alert_id;
use crate::model::code::{CodePath, Did, Frame, Stack};
use crate::model::evidence::{Evidence, ThreadState};
use crate::model::history::{Entry, Known, PastStay};
use crate::model::process::Holder;
use crate::model::process::tests::process;
use crate::model::proof::Proof;
use crate::model::socket::{Endpoints, NetNs, SocketKey, StayState};
use crate::model::stay::{Ended, EndedBy, Stay, StayId};
use crate::model::time::{Anchor, Instant};
use crate::model::tracker::Thresholds;
use crate::model::verdict::{Blame, Confidence, Finding, Verdict};

const BOOT: &str = "01234567-89ab-cdef-0123-456789abcdef";
const ALWAYS: core::ops::Range<Timestamp> = Timestamp::MIN..Timestamp::MAX;

/// `seconds` after boot; the boot was at 1,000,000,000 on the wall.
fn anchor(seconds: u64) -> Anchor {
    Anchor { monotonic: at(seconds), wall: wall(seconds) }
}

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn wall(seconds: u64) -> Timestamp {
    Timestamp::from_second(1_000_000_000 + seconds.cast_signed()).unwrap()
}

fn settings(dir: &Path, began: u64) -> Settings {
    Settings {
        dir: dir.to_owned(),
        keep: Settings::KEEP,
        keep_size: Settings::KEEP_SIZE,
        span: Settings::SPAN,
        run: RunInfo {
            host: "web-1".into(),
            boot_id: BOOT.into(),
            version: "0.1.0".into(),
            probes: vec!["tp_btf".into(), "eof".into()],
            thresholds: Thresholds {
                close_wait: Duration::from_secs(60),
                fin_wait2: Duration::from_secs(120),
                closed: None,
                record: Some(Duration::from_secs(1)),
            },
            recording: Duration::from_secs(1),
        },
        anchor: anchor(began),
    }
}

/// A writer without its thread.
fn writer(settings: Settings) -> (Writer, Arc<Mutex<Status>>) {
    let status = Arc::new(Mutex::new(Status::default()));
    (Writer::open(settings, Arc::clone(&status)).unwrap(), status)
}

/// A handle whose queue of `room` messages only the test takes from.
fn handle(room: usize, now: u64) -> (Recorder, Receiver<Message>) {
    let (queue, messages) = sync_channel(room);
    let (_, done) = channel();
    (Recorder::new(queue, done, Arc::default(), at(now)), messages)
}

impl Writer {
    fn entry(&mut self, entry: Entry) {
        self.take(Message::Entry(entry));
    }

    /// Ends in order.
    fn take_leave(mut self) {
        self.commit(true);
    }

    fn clock(&mut self, seconds: u64) {
        self.take(Message::Clock(anchor(seconds)));
    }
}

fn stay(serial: u64, since: u64) -> Stay {
    Stay {
        id: StayId::of(serial),
        key: SocketKey::new(1000 + serial, 0),
        cookie: Some(1000 + serial),
        netns: Some(NetNs(4_026_531_840)),
        endpoints: Endpoints {
            local: "10.0.3.1:41000".parse().unwrap(),
            remote: "[2001:db8::7]:443".parse().unwrap(),
        },
        state: StayState::CloseWait,
        orphan: false,
        since: at(since),
        since_earliest: at(since),
        exact: true,
        entered: at(since),
        circumstances: None,
        progress: None,
        progress_at: at(since),
        opened: None,
        accepted: false,
        shut: None,
    }
}

fn known(stay: Stay, now: u64) -> Known {
    let process = Arc::new(process(4711, 1, 10));
    let frame = |function: &str| Frame {
        address: 0x1234,
        function: Some(function.into()),
        module: Some("/bin/leak".into()),
        source: Some(("/src/leak.c".into(), Some(42))),
    };
    let stack = Stack { frames: vec![frame("handle"), frame("main")], complete: true };
    let evidence = Evidence {
        looked_at: at(now),
        holders: Some(vec![Holder { process: Arc::clone(&process), fds: vec![9, 12] }]),
        recv_queue: Some(1),
        send_queue: Some(0),
        stack: Some(Arc::new(stack)),
        proof: Some(Proof { since: at(1), all: 10_000, closed: 9786 }),
        threads: Some(ThreadState::InPoll),
        ..Evidence::default()
    };
    let finding = Finding {
        verdict: Verdict::EofRead,
        confidence: Confidence::High,
        code: Some(CodePath { did: Did::Read, line: "handle ← main".into() }),
        blame: Some(Blame { process, why: "it reads".into(), candidates: vec![] }),
    };
    Known {
        id: alert_id(BOOT, &stay),
        stay,
        at: at(now),
        evidence: Arc::new(evidence),
        finding: Arc::new(finding),
    }
}

fn kept(serial: u64, since: u64) -> Entry {
    Entry::Stay(Box::new(known(stay(serial, since), since + 1)))
}

fn ended(serial: u64, since: u64, end: u64) -> Entry {
    let by = EndedBy::Closed;
    let stay = stay(serial, since);
    Entry::Ended(Box::new(Ended { stay, at: at(end), by, reset_sent: Some(false) }))
}

fn open(path: &Path) -> History {
    History::open(&[path.to_owned()]).unwrap()
}

fn stays(history: &mut History) -> Vec<PastStay> {
    let mut stays = Vec::new();
    let mut take = |stay| {
        stays.push(stay);
        Ok(())
    };
    history.stays(ALWAYS, &mut take).unwrap();
    stays.sort_by_key(|stay| (stay.began, stay.cookie));
    stays
}

/// Begin and length in seconds, by the monotonic clock of the first boot.
fn lengths(history: &mut History) -> Vec<(i64, u64)> {
    let stays = stays(history);
    stays.iter().map(|s| (s.began.as_second() - 1_000_000_000, s.lasted.as_secs())).collect()
}
