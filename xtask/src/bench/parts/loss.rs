//! How many transitions each tool tells of as there are more and more of them.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};

use crate::bench::Bench;
use crate::bench::account::{self, Statistics};
use crate::bench::load;
use crate::bench::namespace::Namespace;
use crate::bench::results::{Bound, Curve, Part};
use crate::bench::tracers::Tracer;

/// Connections a second; the last: as many as there can be.
const RATES: [Option<u32>; 6] =
    [Some(2000), Some(5000), Some(10_000), Some(20_000), Some(30_000), None];
const QUICK: [Option<u32>; 3] = [Some(5000), Some(15_000), None];
/// How long the load of one rate lasts.
const SECONDS: u32 = 2;
/// Connections at full speed.
const FULL: usize = 40_000;
const DRAINED: Duration = Duration::from_millis(300);

const SHARE: &str = "processors taken, kernel programs and process";
const MADE: &str = "connections a second that there were";
const TOLD: &str = "share of the transitions that it told of";
const UNTOLD: &str = "share that it left out without saying so";
const RING: &str = "transitions lost in the ring, by its own account";

/// Measures it.
pub fn measure(bench: &Bench, part: &mut Part) -> Result<()> {
    let rates = if bench.quick { &QUICK[..] } else { &RATES[..] };
    let ours = [Tracer::Watch];
    let tracers = bench.those_that_start(&[&ours[..], &Tracer::PEERS[..]].concat(), part)?;
    let _statistics = Statistics::on()?;
    for round in 1..=bench.rounds.div_ceil(10) {
        for &rate in rates {
            for &tracer in &tracers {
                one(bench, part, tracer, rate)?;
            }
        }
        bench.progress(part, round, TOLD);
    }
    let fastest = label(None);
    let at = |tracer: Tracer| format!("{}, {fastest}", tracer.name());
    let lost = part.median(RING, &at(Tracer::Watch));
    part.target(
        "transitions that the ring of tcptrace loses at full speed",
        Bound::AtMost,
        0.0,
        lost,
    );
    let peers = tracers.iter().filter(|tracer| !tracer.is_ours());
    let best = peers.filter_map(|&peer| part.median(TOLD, &at(peer))).reduce(f64::max);
    part.target(
        "the largest share that a peer tells of at full speed",
        Bound::AtMost,
        0.9999,
        best,
    );
    for (file, what, title) in [
        ("told", TOLD, "Told of, as there are more and more"),
        ("share", SHARE, "What it takes of the machine"),
    ] {
        let line = |tracer: &Tracer| {
            let point = |rate: &Option<u32>| {
                let who = format!("{}, {}", tracer.name(), label(*rate));
                Some([part.median(MADE, &who)?, part.median(what, &who)?])
            };
            let mut points: Vec<_> = rates.iter().filter_map(point).collect();
            // A tool that slows the load down may have fewer where more were wanted.
            points.sort_by(|a, b| a[0].total_cmp(&b[0]));
            (tracer.name().to_owned(), points)
        };
        let lines = tracers.iter().map(line).collect();
        part.curves.push(Curve {
            file: file.into(),
            title: title.into(),
            x: MADE.into(),
            y: what.into(),
            lines,
        });
    }
    Ok(())
}

fn one(bench: &Bench, part: &mut Part, tracer: Tracer, rate: Option<u32>) -> Result<()> {
    let namespace = Namespace::new()?;
    let Some(running) = tracer.start(&bench.tools, &namespace)? else { return Ok(()) };
    let connections = rate.map_or(FULL, |rate| (rate * SECONDS) as usize);
    let spent = || Ok::<_, Error>(running.processor_time()? + account::sum(&running.runs()?).nanos);
    let (before, began) = (spent()?, Instant::now());
    let load = load::make(&namespace, connections, rate)?;
    thread::sleep(DRAINED);
    // What is left to be done after the load was made while it lasted.
    let took = began.elapsed().as_secs_f64().min(load.seconds);
    let spent = spent()? - before;
    let delivered = running.finish()?.delivered(tracer, load.port)?;
    let expected = tracer.expected(&load) as f64;
    let who = format!("{}, {}", tracer.name(), label(rate));
    // Other namespaces have transitions too.
    let told = (delivered.told as f64 / expected).min(1.0);
    part.add(MADE, &who, load.rate());
    part.add(TOLD, &who, told);
    part.add(UNTOLD, &who, (1.0 - told - delivered.admitted as f64 / expected).max(0.0));
    part.add(RING, &who, delivered.ring as f64);
    part.add(SHARE, &who, spent as f64 / 1e9 / took);
    Ok(())
}

fn label(rate: Option<u32>) -> String {
    rate.map_or_else(|| "full speed".to_owned(), |rate| format!("{rate}/s"))
}
