//! Tests against the running kernel, with real processes and real sockets.
//!
//! Ground truth never comes from tcptrace: it is what the actors did (their pids, cookies and
//! clocks), what `ss` shows, and the load generator's own count. Every test makes its traffic in
//! network namespaces of its own or on ports of its own, and looks only at that.

mod actor;
mod bpf;
mod budget;
mod check;
mod code;
mod corpus;
mod deeds;
mod endings;
mod events;
mod guest;
mod host;
mod hostile;
mod lifecycle;
mod load;
mod loss;
mod ls;
mod metrics;
mod orphans;
mod past;
mod record;
mod release;
mod replay;
mod rules;
mod service;
mod sinks;
mod soak;
mod top;
mod usage;
mod watch;
mod watcher;
mod withheld;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::json;

fn main() -> ExitCode {
    // The tests' processes are this very program.
    match std::env::args().nth(1).as_deref() {
        Some("actor") => {
            actor::act();
            return ExitCode::SUCCESS;
        }
        Some("budget") => {
            budget::measure();
            return ExitCode::SUCCESS;
        }
        Some("swap") => {
            release::swap();
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let mut arguments = Arguments::from_args();
    // Two cores: more at once only disturb one another.
    arguments.test_threads.get_or_insert(2);
    let trials = [
        usage::trials(),
        budget::trials(),
        check::trials(),
        watch::trials(),
        orphans::trials(),
        endings::trials(),
        deeds::trials(),
        code::trials(),
        hostile::trials(),
        corpus::trials(),
        events::trials(),
        ls::trials(),
        metrics::trials(),
        load::trials(),
        loss::trials(),
        lifecycle::trials(),
        soak::trials(),
        record::trials(),
        past::trials(),
        release::trials(),
        replay::trials(),
        rules::trials(),
        sinks::trials(),
        service::trials(),
        top::trials(),
    ];
    let trials = guest::choose(trials.into_iter().flatten().collect());
    let _counting = withheld::begin();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A test by the name of its function. `alone` keeps others from running beside it.
fn trial(name: &str, test: fn(), alone: bool, probe: Probe) -> Trial {
    let name = match probe {
        Probe::Btf => name.to_owned(),
        Probe::Classic => format!("{name}::tracepoint"),
    };
    let test = move || {
        PROBE.set(probe);
        test();
    };
    trial_of(&name, test, alone)
}

/// How many tests may be run again.
const RERUNS: usize = 3;
static AGAIN: AtomicUsize = AtomicUsize::new(0);

/// One that fails beside others where the kernel withheld transitions meanwhile is run once more: which
/// they were, nobody can tell. That is rare: more than [`RERUNS`] mean something else. Those that are
/// alone make so many that some are always withheld, and account for them.
fn trial_of(name: &str, test: impl Fn() + Send + 'static, alone: bool) -> Trial {
    let stacks = guest::has_stacks(name);
    let named = name.to_owned();
    Trial::test(name, move || {
        STACKS.set(stacks);
        host::require_root()?;
        let _turn = host::take_turn(alone).map_err(|error| Failed::from(error.to_string()))?;
        let run = || {
            PROBE.set(Probe::Btf);
            test();
        };
        let before = withheld::so_far();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            let withheld = withheld::so_far() - before;
            if alone || withheld == 0 || AGAIN.fetch_add(1, Ordering::Relaxed) >= RERUNS {
                resume_unwind(panic);
            }
            host::report(&json!({"again": named, "withheld": withheld}));
            run();
        }
        Ok(())
    })
}

/// Which of its probes tcptrace is to use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Probe {
    Btf,
    Classic,
}

thread_local! {
    /// That of the test on this thread.
    static PROBE: Cell<Probe> = const { Cell::new(Probe::Btf) };
    /// Whether it is to copy stacks.
    static STACKS: Cell<bool> = const { Cell::new(true) };
}

/// Trials that may run side by side.
#[macro_export]
macro_rules! trials {
    ($($name:ident),* $(,)?) => {
        vec![$($crate::trial(
            concat!(module_path!(), "::", stringify!($name)), $name, false, $crate::Probe::Btf,
        )),*]
    };
}

/// The same, each with both probes.
#[macro_export]
macro_rules! trials_of_both_probes {
    ($($name:ident),* $(,)?) => {
        [$crate::Probe::Btf, $crate::Probe::Classic].into_iter().flat_map(|probe| {
            [$($crate::trial(
                concat!(module_path!(), "::", stringify!($name)), $name, false, probe,
            )),*]
        }).collect()
    };
}

/// Trials that want the machine for themselves.
#[macro_export]
macro_rules! trials_alone {
    ($($name:ident),* $(,)?) => {
        vec![$($crate::trial(
            concat!(module_path!(), "::", stringify!($name)), $name, true, $crate::Probe::Btf,
        )),*]
    };
}
