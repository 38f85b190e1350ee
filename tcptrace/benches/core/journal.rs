//! How fast stays get from transitions onto the disk.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant as Stopwatch};

use anyhow::{Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use tcptrace::journal::recorder::{QUEUE, Recorder, RunInfo, Settings};
use tcptrace::journal::size_on_disk;
use tcptrace::model::code::{Frame, Stack};
use tcptrace::model::engine::{Engine, Input, Output};
use tcptrace::model::evidence::{Evidence, Sources};
use tcptrace::model::history::Entry;
use tcptrace::model::process::{Holder, Process};
use tcptrace::model::socket::TcpState;
use tcptrace::model::stay::Stay;
use tcptrace::model::time::{Anchor, Instant};

use crate::records::{CLOSING, OPENING, Step, THRESHOLDS, engine, record, take};

/// Stays that begin, are looked at and end together.
const BATCH: u64 = 1000;
/// How long each lasts.
const LASTS: Duration = Duration::from_secs(3);
/// Programs that leak.
const PROGRAMS: u64 = 100;

/// Records so many stays as if a tenth of them were stuck at any time, and waits for the disk.
pub fn measure(dir: &Path, stays: u64) -> Result<Value> {
    let wall = Timestamp::now() - Duration::from_secs(86_400);
    let anchor =
        |monotonic: Instant| Anchor { monotonic, wall: wall + monotonic.since(Instant::default()) };
    let recorder = Recorder::start(Settings {
        dir: dir.to_owned(),
        keep: Settings::KEEP,
        keep_size: Settings::KEEP_SIZE,
        span: Settings::SPAN,
        run: RunInfo {
            host: "bench".into(),
            boot_id: "01234567-89ab-cdef-0123-456789abcdef".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            probes: vec!["tp_btf".into(), "eof".into()],
            thresholds: THRESHOLDS,
            recording: Duration::from_secs(1),
        },
        anchor: anchor(Instant::default()),
    })?;
    let programs = Program::all();
    let mut engine = engine();
    let mut at = Instant::default();
    let began = Stopwatch::now();
    for first in (0..stays).step_by(BATCH as usize) {
        let batch = first..(first + BATCH).min(stays);
        let run = |engine: &mut Engine, steps: &[Step], at: Instant| {
            for connection in batch.clone() {
                for &step in steps.iter().filter(|step| step.accepted) {
                    take(engine, &record(step, connection, at));
                }
            }
        };
        let (stuck, freed) = CLOSING.split_at(2);
        run(&mut engine, &OPENING, at);
        run(&mut engine, stuck, at);
        at = at.after(LASTS);
        look(&mut engine, at, &programs, |entry| recorder.keep(entry));
        run(&mut engine, freed, at);
        look(&mut engine, at, &programs, |entry| recorder.keep(entry));
        recorder.clock(anchor(at));
        while recorder.waiting() > QUEUE as u64 / 2 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    let status = recorder.finish();
    let seconds = began.elapsed().as_secs_f64();
    ensure!(status.error.is_none() && status.left_out == 0, "not all was recorded: {status:?}");
    let bytes = size_on_disk(dir);
    Ok(json!({ "stays": stays, "entries": status.committed, "seconds": seconds, "bytes": bytes }))
}

/// Does what the core asks for, until it asks no more; what is to be kept is given to `keep`.
pub fn look(engine: &mut Engine, now: Instant, programs: &[Program], keep: impl Fn(Entry)) {
    engine.handle(now, Input::Tick);
    while let Some(output) = engine.poll() {
        match output {
            Output::Keep(entry) => keep(entry),
            Output::Examine(suspects) => {
                let found = suspects.iter().map(|suspect| {
                    let stay = &suspect.stay;
                    let program = &programs[(stay.id.serial() % PROGRAMS) as usize];
                    (stay.id, program.evidence(stay, now))
                });
                engine.handle(now, Input::Evidence(Some(found.collect())));
                engine.handle(now, Input::Tick);
            }
            _ => {}
        }
    }
}

/// A program that leaks.
pub struct Program {
    process: Arc<Process>,
    stack: Arc<Stack>,
}

fn program(number: u64) -> Program {
    let frame = |depth: u64| Frame {
        address: 0x1000 * (depth + 1) + number,
        function: Some(format!("com::acme::service{number}::handle_request_{depth}")),
        module: Some("/usr/lib/acme/server".into()),
        source: None,
    };
    let process = Process {
        pid: 5000 + number as u32,
        pid_in_ns: None,
        ppid: Some(1),
        start_ticks: Some(10),
        start: None,
        comm: format!("server{number}"),
        exe: Some("/usr/lib/acme/server".into()),
        cmdline: Some(vec!["/usr/lib/acme/server".into(), format!("--shard={number}")]),
        uid: Some(0),
        cgroup: Some(format!("/system.slice/server{number}.service")),
        unit: Some(format!("server{number}.service")),
        container: None,
        pod: None,
        descriptors: None,
    };
    let stack = Stack { frames: (0..20).map(frame).collect(), complete: true };
    Program { process: Arc::new(process), stack: Arc::new(stack) }
}

impl Program {
    /// All of them.
    pub fn all() -> Vec<Self> {
        (0..PROGRAMS).map(program).collect()
    }

    fn evidence(&self, stay: &Stay, now: Instant) -> Evidence {
        Evidence {
            looked_at: now,
            state: Some(TcpState::CloseWait),
            holders: Some(vec![Holder {
                process: Arc::clone(&self.process),
                fds: vec![(stay.id.serial() % 60_000) as u32],
            }]),
            inode: Some(1_000_000 + stay.id.serial()),
            recv_queue: Some(1),
            send_queue: Some(0),
            opened: Some(Arc::clone(&self.stack)),
            sources: Sources { iterator: true, sock_diag: true, ..Sources::default() },
            ..Evidence::default()
        }
    }
}
