//! What watching costs while connections come and go as fast as they can.
//!
//! Machines are noisy and shared, so rounds are interleaved, every round has a fresh network
//! namespace, and what counts are medians of ratios within a round. The kernel's statistics cost
//! something themselves, so times and rates are measured in rounds of their own.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::bench::Bench;
use crate::bench::account::{self, Statistics};
use crate::bench::load;
use crate::bench::namespace::Namespace;
use crate::bench::results::{Bound, Part};
use crate::bench::tracers::{Running, Tracer};

const RATE: &str = "connections a second";
const P50: &str = "connect to close, p50, µs";
const P99: &str = "connect to close, p99, µs";
/// Kernel time of all its programs.
pub const KERNEL: &str = "kernel ns a transition, all its programs";
const STATE: &str = "kernel ns a transition, programs at transitions alone";
const BY_TRACEPOINT: &str = "kernel ns a connection, by tracepoint";
const TRACEPOINT: &str = "inet_sock_set_state";
const CONNECTION: &str = "kernel ns a connection, all its programs";
/// Time of its process.
pub const PROCESSOR: &str = "processor ns a transition in its process, system calls included";
const SKIPPED: &str = "runs that the kernel skipped, a million transitions";

/// Rounds in which times are measured are fewer: they differ less.
const TIMES: usize = 4;
/// Until what is in the rings has been drained.
const DRAINED: Duration = Duration::from_millis(300);

/// Measures it.
pub fn measure(bench: &Bench, part: &mut Part) -> Result<()> {
    let tracers = bench.those_that_start(&Tracer::ALL, part)?;
    for round in 1..=bench.rounds {
        for &tracer in in_turn(&tracers, round) {
            let namespace = Namespace::new()?;
            let running = tracer.start(&bench.tools, &namespace)?;
            let load = load::make(&namespace, bench.connections, None)?;
            drop(running);
            part.add(RATE, tracer.name(), load.rate());
            part.add(P50, tracer.name(), load.p50_us);
            part.add(P99, tracer.name(), load.p99_us);
        }
        bench.progress(part, round, RATE);
    }
    let statistics = Statistics::on()?;
    for round in 1..=bench.rounds.div_ceil(TIMES) {
        for &tracer in in_turn(&tracers, round) {
            let namespace = Namespace::new()?;
            if let Some(running) = tracer.start(&bench.tools, &namespace)? {
                times(bench, part, tracer, &namespace, &running)?;
            }
        }
        bench.progress(part, round, KERNEL);
    }
    drop(statistics);
    compare(part, &tracers);
    Ok(())
}

fn times(
    bench: &Bench,
    part: &mut Part,
    tracer: Tracer,
    namespace: &Namespace,
    running: &Running,
) -> Result<()> {
    let account = || anyhow::Ok((running.runs()?, running.processor_time()?));
    let before = account()?;
    let load = load::make(namespace, bench.connections, None)?;
    thread::sleep(DRAINED);
    let after = account()?;
    let (transitions, connections) = (load.transitions as f64, load.connections as f64);
    if tracer != Tracer::Ss {
        let all = account::sum(&after.0).since(account::sum(&before.0));
        part.add(KERNEL, tracer.name(), all.nanos as f64 / transitions);
        part.add(CONNECTION, tracer.name(), all.nanos as f64 / connections);
        part.add(SKIPPED, tracer.name(), all.skipped as f64 / transitions * 1e6);
    }
    if tracer.is_ours() {
        for (tracepoint, runs) in &after.0 {
            let nanos = runs.since(before.0.get(tracepoint).copied().unwrap_or_default()).nanos;
            if tracepoint == TRACEPOINT {
                part.add(STATE, tracer.name(), nanos as f64 / transitions);
            }
            if nanos > 0 {
                let name = if tracepoint.is_empty() { "the iterator" } else { tracepoint };
                let who = format!("{}: {name}", tracer.name());
                part.add(BY_TRACEPOINT, &who, nanos as f64 / connections);
            }
        }
    }
    if !matches!(tracer, Tracer::Empty | Tracer::Submit) {
        part.add(PROCESSOR, tracer.name(), (after.1 - before.1) as f64 / transitions);
    }
    Ok(())
}

fn compare(part: &mut Part, tracers: &[Tracer]) {
    const LEAVES: &str = "connection rate over the untraced";
    const LEAVES_OF_FLOOR: &str = "connection rate over that of the reserve-and-submit floor";
    const LATENCY: &str = "p99 of connect to close over the untraced";
    let [untraced, floor, watch, tcpstates] =
        [Tracer::Untraced, Tracer::Submit, Tracer::Watch, Tracer::Tcpstates].map(Tracer::name);
    for tracer in tracers.iter().filter(|&&tracer| tracer != Tracer::Untraced) {
        part.compare(RATE, tracer.name(), untraced, LEAVES);
        part.compare(P99, tracer.name(), untraced, LATENCY);
    }
    let leaves = part.compare(RATE, watch, floor, LEAVES_OF_FLOOR);
    // The floor's only program is at transitions.
    let of = |part: &Part, what, who| part.median(what, who);
    let ratio = |mine: Option<f64>, theirs: Option<f64>| Some(mine? / theirs?);
    let state = of(part, STATE, watch);
    let over_floor = ratio(state, of(part, KERNEL, floor));
    let over_peer = ratio(state, of(part, KERNEL, tcpstates));
    let all = ratio(of(part, CONNECTION, watch), of(part, CONNECTION, tcpstates));
    let processor = of(part, PROCESSOR, watch);
    part.target(
        "the state programs' time over the reserve-and-submit floor",
        Bound::AtMost,
        1.5,
        over_floor,
    );
    part.target("the state programs' time over tcpstates", Bound::AtMost, 1.0 / 30.0, over_peer);
    part.target("all default evidence over tcpstates, a connection", Bound::AtMost, 0.1, all);
    part.target(LEAVES_OF_FLOOR, Bound::AtLeast, 0.95, leaves);
    part.target("processor ns a transition in user space", Bound::AtMost, 300.0, processor);
}

/// Each round begins with another one.
fn in_turn(tracers: &[Tracer], round: usize) -> impl Iterator<Item = &Tracer> {
    tracers.iter().cycle().skip((round - 1) % tracers.len()).take(tracers.len())
}
