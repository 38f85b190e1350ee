//! What watching costs, against no tracer, against what one would use instead, and against the least
//! there can be: one command, one table, `target/bench.json`, and `docs/benchmarks.md` from it.

mod account;
mod build;
mod curves;
mod docs;
pub mod instructions;
pub mod load;
mod namespace;
mod parts;
mod results;
pub mod stuck;
mod table;
mod tracers;

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Args;
use clap::ValueEnum as _;

use self::namespace::Namespace;
use self::parts::Question;
use self::results::{Part, Results, Setting, show};
use self::tracers::{Tools, Tracer};
use crate::setup;
use crate::shell::{is_root, step};

/// Flags of `bench`.
#[derive(Debug, Args)]
pub struct Options {
    /// Interleaved rounds; some parts have fewer [default: 20, or 4 with --quick]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Connections a round, under 14,000
    #[arg(long, default_value_t = 12_000, value_parser = clap::value_parser!(u64).range(1..14_000))]
    connections: u64,
    /// Only these parts; the others stay as they were measured last
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    only: Vec<Question>,
    /// Three minutes instead of twenty: fewer rounds, smaller tables
    #[arg(long)]
    quick: bool,
    /// Then write docs/benchmarks.md and its pictures
    #[arg(long)]
    write_docs: bool,
    /// Measure nothing: write them from what was measured last
    #[arg(long, conflicts_with_all = ["only", "quick", "rounds"])]
    from_last: bool,
}

/// What all parts are measured with.
pub struct Bench {
    tools: Tools,
    rounds: usize,
    connections: usize,
    quick: bool,
}

/// Sets up, measures, prints tables and writes `target/bench.json`.
pub fn all(options: &Options) -> Result<()> {
    let mut results = Results::read();
    if options.from_last {
        return docs::write(&results);
    }
    let tools = build::benches()?;
    build::floors()?;
    setup::for_benchmarks()?;
    if !is_root() {
        let mut sudo = Command::new("sudo");
        sudo.arg("--").arg(std::env::current_exe()?).args(std::env::args_os().skip(1));
        return Err(sudo.exec()).context("cannot become root");
    }
    let rounds = options.rounds.map_or(if options.quick { 4 } else { 20 }, usize::from);
    let (connections, quick) = (options.connections as usize, options.quick);
    let bench = Bench { tools, rounds, connections, quick };
    let setting = Setting::here(rounds, quick)?;
    for &question in Question::value_variants() {
        if !options.only.is_empty() && !options.only.contains(&question) {
            continue;
        }
        step(question.title());
        let (name, title, method) = (question.name(), question.title(), question.method());
        let mut part = Part::new(name, title, method, setting.clone());
        let start = Instant::now();
        question.measure(&bench, &mut part).with_context(|| format!("cannot measure {name}"))?;
        part.seconds = start.elapsed().as_secs();
        table::print(&part);
        results.put(part, Question::place)?;
    }
    if options.write_docs { docs::write(&results) } else { Ok(()) }
}

impl Bench {
    /// Those of `tracers` that this machine can start; `part` says why the others are missing.
    fn those_that_start(&self, tracers: &[Tracer], part: &mut Part) -> Result<Vec<Tracer>> {
        let namespace = Namespace::new()?;
        let mut good = Vec::new();
        for &tracer in tracers {
            match tracer.start(&self.tools, &namespace) {
                Ok(_) => good.push(tracer),
                Err(why) => part.missing.push(format!("{}: {why:#}", tracer.name())),
            }
        }
        Ok(good)
    }

    /// Says how far it has come: the last value of `what`.
    fn progress(&self, part: &Part, round: usize, what: &str) {
        let figures = part.figures.iter().filter(|figure| figure.what == what);
        let last = |figure: &results::Figure| {
            let value = figure.values.last().copied().unwrap_or_default();
            format!("{} {}", figure.who, show(value))
        };
        let shown: Vec<_> = figures.map(last).collect();
        eprintln!("round {round}: {what}: {}", shown.join(", "));
    }
}
