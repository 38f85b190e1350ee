//! The hot path allocates nothing once its tables have grown: counted, not assumed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tcptrace::model::decode;
use tcptrace::model::engine::{Engine, EngineConfig, Input};
use tcptrace::model::filter::Filter;
use tcptrace::model::recording::tape::Tape;
use tcptrace::model::rules::Rules;
use tcptrace::model::snapshot::Snapshot;
use tcptrace::model::socket::Identity;
use tcptrace::model::time::Instant;
use tcptrace::model::tracker::Thresholds;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A record as the kernel writes it.
fn record(at_ns: u64, cookie: u64, old: u8, new: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(120);
    bytes.extend(at_ns.to_ne_bytes());
    bytes.extend(cookie.to_ne_bytes());
    bytes.extend(1u64.to_ne_bytes());
    bytes.extend([0; 24 + 32 + 6]);
    bytes.extend([2, old, new, 0, 3, 0]);
    bytes.extend([0; 28]);
    bytes
}

#[test]
fn a_transition_allocates_nothing() {
    const ESTABLISHED: u8 = 1;
    const CLOSE: u8 = 7;
    const CLOSE_WAIT: u8 = 8;
    const LAST_ACK: u8 = 9;
    const SYN_RECV: u8 = 3;
    let life = [SYN_RECV, ESTABLISHED, CLOSE_WAIT, LAST_ACK, CLOSE];
    // A thousand connections live at any time, each for a thousand rounds.
    let records = |first: u64, count: u64| -> Vec<Vec<u8>> {
        (first..first + count)
            .flat_map(|now| {
                (0..4u64).filter_map(move |step| {
                    let cookie = now.checked_sub(step * 250)?;
                    let (old, new) = (life[step as usize], life[step as usize + 1]);
                    Some(record(now * 1000 + step, cookie + 1, old, new))
                })
            })
            .collect()
    };
    let minute = Duration::from_secs(60);
    let mut engine = Engine::new(EngineConfig {
        thresholds: Thresholds {
            close_wait: minute,
            fin_wait2: minute,
            closed: Some(minute),
            record: Some(Duration::from_secs(1)),
        },
        filter: Filter::default(),
        rules: Rules::default(),
        capacity: usize::MAX,
        boot_id: String::new(),
        identity: Identity::Cookie,
        eof: true,
    });
    engine.handle(Instant::default(), Input::Tick);
    engine.handle(Instant::default(), Input::Snapshot(Some(&Snapshot::default())));
    let mut take = |record: &[u8]| {
        let event = decode::transition(record).unwrap();
        engine.handle(event.at, Input::Transition(&event));
    };
    let (warm, measured) = (records(0, 20_000), records(20_000, 50_000));
    warm.iter().for_each(|record| take(record));
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    measured.iter().for_each(|record| take(record));
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
    assert_eq!(engine.counts().gaps, 0);
    assert!(engine.tracked() >= 700);
    // Nor does recording it, once its buffer has grown.
    let mut tape = Tape::default();
    warm.iter().for_each(|record| tape.transition(Instant::default(), record));
    tape.discard();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for batch in measured.chunks(warm.len()) {
        batch.iter().for_each(|record| tape.transition(Instant::default(), record));
        assert_eq!(tape.discard(), batch.len() as u64);
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
}
