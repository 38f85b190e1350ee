//! What it costs to decode transitions and fold them.

use std::time::Instant as Stopwatch;

use serde_json::{Value, json};
use tcptrace::model::time::Instant;

use crate::records::{CLOSING, OPENING, engine, record, take, tick};

/// Connections that are open at any time.
const OPEN: u64 = 1000;
/// Connections between two ticks: what comes in 50 ms where there are 40,000 a second.
const TICK: u64 = 2000;
/// From one transition to the next.
const STEP_NS: u64 = 2500;

/// Opens and closes so many connections.
pub fn measure(connections: u64) -> Value {
    let mut engine = engine();
    let mut now = 0;
    let mut at = || {
        now += STEP_NS;
        Instant::from_nanos(now)
    };
    let began = Stopwatch::now();
    for number in 0..connections + OPEN {
        if number < connections {
            for step in OPENING {
                take(&mut engine, &record(step, number, at()));
            }
        }
        if let Some(earlier) = number.checked_sub(OPEN) {
            for step in CLOSING {
                take(&mut engine, &record(step, earlier, at()));
            }
        }
        if number % TICK == 0 {
            tick(&mut engine, at());
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!((engine.tracked(), engine.counts().gaps), (0, 0));
    json!({ "transitions": engine.counts().transitions, "seconds": seconds })
}
