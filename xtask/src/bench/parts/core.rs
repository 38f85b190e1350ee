//! What the pure core takes: instructions and time a transition, memory a socket, time a tick.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::bench::Bench;
use crate::bench::instructions;
use crate::bench::results::{Bound, Curve, Part};
use crate::shell::output;

const SOCKETS: [u64; 5] = [10_000, 100_000, 250_000, 500_000, 1_000_000];
const QUICK: [u64; 3] = [10_000, 100_000, 1_000_000];
const CONNECTIONS: u64 = 200_000;

const FOLD: &str = "ns a transition, decoded and folded";
const INSTRUCTIONS: &str = "instructions a transition";
/// Memory of a socket that nothing is wrong with.
pub const HEALTHY: &str = "bytes a tracked socket, established";
const STUCK: &str = "bytes a tracked socket, in CLOSE_WAIT";
const TOLD: &str = "bytes a socket that somebody was told of, evidence and alert included";
const TICK: &str = "ns a tick beside healthy sockets, median";
const TICK_P99: &str = "ns a tick beside healthy sockets, p99";

/// Measures it.
pub fn measure(bench: &Bench, part: &mut Part) -> Result<()> {
    for _ in 0..bench.rounds.clamp(1, 5) {
        let figures = run(bench, &["fold", &CONNECTIONS.to_string()])?;
        let [transitions, seconds] = fields(&figures, ["transitions", "seconds"])?;
        part.add(FOLD, "the core", seconds / transitions * 1e9);
        for sockets in sizes(bench) {
            let (who, number) = (label(*sockets), sockets.to_string());
            let figures = run(bench, &["table", &number])?;
            let [bytes, tick, p99] = fields(&figures, ["bytes", "tick_ns", "tick_p99_ns"])?;
            part.add(HEALTHY, &who, bytes / *sockets as f64);
            part.add(TICK, &who, tick);
            part.add(TICK_P99, &who, p99);
            for (fate, what) in [("stuck", STUCK), ("told", TOLD)] {
                let figures = run(bench, &["table", &number, "--fate", fate])?;
                let [bytes] = fields(&figures, ["bytes"])?;
                part.add(what, &who, bytes / *sockets as f64);
            }
        }
    }
    match instructions::of_a_transition(&bench.tools.core) {
        Ok(count) => part.add(INSTRUCTIONS, "the core", count),
        Err(why) => part.missing.push(format!("{INSTRUCTIONS}: {why:#}")),
    }
    let (first, last) = (label(SOCKETS[0]), label(SOCKETS[SOCKETS.len() - 1]));
    for (what, state) in [(HEALTHY, "established"), (STUCK, "in CLOSE_WAIT")] {
        let medians = sizes(bench).iter().filter_map(|size| part.median(what, &label(*size)));
        let most = medians.reduce(f64::max);
        let what = format!("bytes of user memory a tracked socket, {state}");
        part.target(&what, Bound::AtMost, 160.0, most);
    }
    let ticks = [last, first].map(|who| part.median(TICK, &who));
    let grows = ticks[0].zip(ticks[1]).map(|(last, first)| last / first);
    part.target("a tick beside 1,000,000 over one beside 10,000", Bound::AtMost, 1.5, grows);
    curves(bench, part);
    Ok(())
}

fn curves(bench: &Bench, part: &mut Part) {
    let line = |what: &str, name: &str| {
        let point = |size: &u64| Some([*size as f64, part.median(what, &label(*size))?]);
        (name.to_owned(), sizes(bench).iter().filter_map(point).collect())
    };
    let memory = Curve {
        file: "memory".into(),
        title: "Memory of the table".into(),
        x: "tracked sockets".into(),
        y: "bytes a socket".into(),
        lines: vec![line(HEALTHY, "established"), line(STUCK, "in CLOSE_WAIT")],
    };
    let tick = Curve {
        file: "tick".into(),
        title: "A tick beside healthy sockets".into(),
        x: "tracked sockets".into(),
        y: "ns".into(),
        lines: vec![line(TICK, "median"), line(TICK_P99, "p99")],
    };
    part.curves.extend([memory, tick]);
}

fn sizes(bench: &Bench) -> &'static [u64] {
    if bench.quick { &QUICK } else { &SOCKETS }
}

fn label(sockets: u64) -> String {
    format!("{sockets} sockets")
}

/// Runs the core by itself.
pub fn run(bench: &Bench, args: &[&str]) -> Result<Value> {
    Ok(serde_json::from_str(&output(Command::new(&bench.tools.core).args(args))?)?)
}

/// These fields of what it printed.
pub fn fields<const N: usize>(figures: &Value, names: [&str; N]) -> Result<[f64; N]> {
    let mut values = [0.0; N];
    for (value, name) in values.iter_mut().zip(names) {
        *value = figures[name].as_f64().with_context(|| format!("no {name} in {figures}"))?;
    }
    Ok(values)
}
