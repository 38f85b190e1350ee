//! What a tracked socket takes up, and what a tick costs beside so many.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant as Stopwatch};

use clap::ValueEnum;
use serde_json::{Value, json};
use tcptrace::model::socket::TcpState;
use tcptrace::model::time::Instant;

use crate::journal::{Program, look};
use crate::records::{OPENING, Step, engine, record, take, tick};

/// Ticks that are measured.
const TICKS: usize = 2000;
/// From one tick to the next, as in `tcptrace watch`.
const PAUSE: Duration = Duration::from_millis(50);

struct Counting;

/// Bytes that are allocated.
static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// When those that are stuck are told of.
const DUE: Duration = Duration::from_secs(61);

/// What becomes of the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Fate {
    /// They stay in ESTABLISHED
    Healthy,
    /// They stay in CLOSE_WAIT, and nobody has looked at them
    Stuck,
    /// They stay in CLOSE_WAIT until somebody is told of them
    Told,
}

/// Fills a table and lets time pass.
pub fn measure(sockets: u64, fate: Fate) -> Value {
    let programs = Program::all();
    let mut engine = engine();
    let before = HELD.load(Ordering::Relaxed);
    let mut at = Instant::default();
    let closes = Step { accepted: true, old: TcpState::Established, new: TcpState::CloseWait };
    for connection in 0..sockets {
        // All of it within the second after which stays are looked at.
        at = Instant::from_nanos(connection * 500);
        for step in OPENING.into_iter().filter(|step| step.accepted) {
            take(&mut engine, &record(step, connection, at));
        }
        if fate >= Fate::Stuck {
            take(&mut engine, &record(closes, connection, at));
        }
    }
    assert_eq!(engine.tracked() as u64, sockets);
    if fate == Fate::Told {
        look(&mut engine, at.after(DUE), &programs, drop);
        assert_eq!(engine.told().0, sockets);
    }
    let bytes = HELD.load(Ordering::Relaxed) - before;
    if fate >= Fate::Stuck {
        return json!({ "sockets": sockets, "bytes": bytes });
    }
    let mut took: Vec<_> = (0..TICKS)
        .map(|_| {
            at = at.after(PAUSE);
            let began = Stopwatch::now();
            tick(&mut engine, at);
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    let nanos = |index: usize| took[index].as_nanos() as u64;
    let (median, p99) = (nanos(TICKS / 2), nanos(TICKS * 99 / 100));
    json!({ "sockets": sockets, "bytes": bytes, "tick_ns": median, "tick_p99_ns": p99 })
}
