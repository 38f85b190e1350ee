//! Journals: a shard of any bytes, and a good one with some bytes written over.

#![no_main]

#[path = "../../tcptrace/tests/fixtures/mod.rs"]
mod fixtures;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use tcptrace::journal::history::{self, History};
use tcptrace::journal::recorder::Recorder;
use tcptrace::model::code::{Frame, Stack};
use tcptrace::model::evidence::Evidence;
use tcptrace::model::history::{Entry, Known};
use tcptrace::model::socket::StayState;
use tcptrace::model::stay::{Ended, EndedBy};
use tcptrace::model::time::{Anchor, Instant};
use tcptrace::model::verdict::{Confidence, Finding, Verdict};

const BOOT: &str = "01234567-89ab-cdef-0123-456789abcdef";
const NAME: &str = "19700101T000000Z.db";

/// Where shards are read from: in memory, and one directory for each process.
static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    dir.keep()
});
static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    record(dir.path());
    let shards = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let shard = shards.into_iter().find(|path| path.extension().is_some_and(|e| e == "db"));
    fs::read(shard.expect("a shard")).unwrap()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((&mode, bytes)) = bytes.split_first() else { return };
    if mode & 1 == 0 {
        read(bytes);
    } else {
        let mut shard = GOOD.clone();
        write_over(&mut shard, bytes);
        read(&shard);
    }
});

/// Places and what is written there: 24 bits of offset, 8 of length, the bytes.
fn write_over(shard: &mut [u8], mut bytes: &[u8]) {
    while let Some((&[a, b, c, length], rest)) = bytes.split_first_chunk() {
        let at = u32::from_le_bytes([a, b, c, 0]) as usize % shard.len();
        let length = usize::from(length % 16 + 1).min(rest.len()).min(shard.len() - at);
        let (new, rest) = rest.split_at(length);
        shard[at..at + length].copy_from_slice(new);
        bytes = rest;
    }
}

fn read(shard: &[u8]) {
    fs::write(DIR.join(NAME), shard).expect("a file in memory");
    let _ = history::resume(&DIR, BOOT);
    let Ok(mut history) = History::open(std::slice::from_ref(&DIR)) else { return };
    let always = Timestamp::MIN..Timestamp::MAX;
    let _ = (history.runs(), history.span());
    let _ = history.gaps(always.clone());
    let _ = history.stays(always.clone(), &mut |_| Ok(()));
    let _ = history.alerts(always.clone(), &mut |_| Ok(()));
    let _ = history.groups(always.clone(), &mut |_| Ok(()));
    let _ = history.intervals(always.clone(), &mut |_| Ok(()));
    let _ = history.short(always, &mut |_| Ok(()));
    let _ = history.warnings();
}

fn at(seconds: u64) -> Anchor {
    let wall = Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap();
    Anchor { monotonic: Instant::from_nanos(seconds * 1_000_000_000), wall }
}

/// A short run: three stays, of which one goes on.
fn record(dir: &Path) {
    let recorder = Recorder::start(fixtures::settings(dir, "there", BOOT, at(0))).unwrap();
    for serial in 1..4 {
        let stay = fixtures::stay(serial, StayState::CloseWait, at(serial).monotonic);
        let looked_at = at(serial + 1).monotonic;
        let function = |name: &str| Frame { function: Some(name.into()), ..Frame::default() };
        let frames = vec![function("leak"), function("main")];
        let stack = Some(Arc::new(Stack { frames, complete: true }));
        recorder.keep(Entry::Stay(Box::new(Known {
            id: format!("stay-{serial}").into(),
            stay,
            at: looked_at,
            evidence: Arc::new(Evidence { looked_at, stack, ..Evidence::default() }),
            finding: Arc::new(Finding {
                verdict: Verdict::EofRead,
                confidence: Confidence::High,
                code: None,
                blame: None,
            }),
        })));
        if serial < 3 {
            let (at, by) = (at(serial + 5).monotonic, EndedBy::Closed);
            recorder.keep(Entry::Ended(Box::new(Ended { stay, at, by, reset_sent: None })));
        }
    }
    recorder.clock(at(10));
    let status = recorder.finish();
    assert_eq!((status.left_out, status.error), (0, None));
}
