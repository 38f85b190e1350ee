//! What cargo alone cannot do: set the machine up, build the kernel programs, run the result.

mod bench;
mod build;
mod dist;
mod fuzz;
mod setup;
mod shell;
mod test;
mod vm;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Builds, runs and tests tcptrace; installs what is missing
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Cli {
    #[command(flatten)]
    Task(Task),
}

#[derive(Subcommand)]
enum Task {
    /// Build everything, kernel programs included, in release
    Build,
    /// Build, then run tcptrace as root: cargo xtask run watch
    Run {
        /// The command and its flags
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Set up and run all tests; those on the live kernel as root
    Test {
        /// Only what needs neither root nor the kernel programs
        #[arg(long)]
        host: bool,
        /// Also what takes minutes and has more to install: Spark, and pages in a browser
        #[arg(long, conflicts_with = "host")]
        all: bool,
        /// Only tests whose name contains this
        filter: Option<String>,
    },
    /// Run the live tests in guests, on Debian's kernels from 5.10 to 7.2
    Vm(vm::Options),
    /// Run all leaking programs of the corpus at once, and print what was told of each
    Corpus,
    /// Measure what watching costs, against what one would use instead, on this machine
    Bench(bench::Options),
    /// The loads of the benchmark, in this very namespace
    #[command(hide = true)]
    Load {
        /// How many connections, or reads
        count: usize,
        /// As many a second, rather than as many as there can be
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        rate: Option<u32>,
        /// Read the end of one connection again and again
        #[arg(long)]
        spin: bool,
        /// Keep them stuck in CLOSE_WAIT, among so many other descriptors, until stdin ends
        #[arg(long, value_name = "N")]
        stuck_among: Option<usize>,
    },
    /// Make what users install, in `target/dist`: a static binary, .deb, .rpm, a list of what is in it
    Dist {
        /// Then install the packages into a system of their own, use and remove them, as root
        #[arg(long)]
        check: bool,
    },
    /// Feed everything that reads from outside with what nobody would send
    Fuzz {
        /// How long each target is fed
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Keep what shows new behaviour in `fuzz/corpus`
        #[arg(long)]
        grow: bool,
        /// Only this one of `fuzz/targets`
        target: Option<String>,
    },
    /// Run the tests of the decoders under miri
    Miri,
    /// Check formatting, lints, licences and advisories
    Lint,
}

fn main() -> ExitCode {
    let Cli::Task(task) = Cli::parse();
    match run(task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Build => build::all(),
        Task::Run { args } => build::run(&args),
        Task::Test { host: true, filter, .. } => test::host(filter.as_deref()),
        Task::Test { all, filter, .. } => test::all(filter.as_deref(), all),
        Task::Vm(options) => vm::run(&options),
        Task::Corpus => test::corpus(),
        Task::Bench(options) => bench::all(&options),
        Task::Load { count, spin: true, .. } => bench::load::spin(count as u64),
        Task::Load { count, stuck_among: Some(others), .. } => bench::stuck::hold(count, others),
        Task::Load { count, rate, .. } => bench::load::generate(count, rate),
        Task::Dist { check } => dist::all(check),
        Task::Fuzz { seconds, grow, target } => {
            fuzz::fuzz(Duration::from_secs(seconds), target.as_deref(), grow)
        }
        Task::Miri => fuzz::miri(),
        Task::Lint => test::lint(),
    }
}
