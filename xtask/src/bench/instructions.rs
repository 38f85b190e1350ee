//! How many instructions a transition takes in user space. Counts do not depend on what else a machine
//! does, so they can be a limit where times cannot.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::build;
use crate::setup;
use crate::shell::{show, step};

/// Connections of the shorter run; the longer one has twice as many.
const CONNECTIONS: u64 = 20_000;
/// Transitions of a connection.
const TRANSITIONS: f64 = 10.0;
/// What a transition takes at most as the tests are built, with a tenth to spare for another compiler.
/// Whoever makes it take more on purpose says so in docs/decisions, and here.
const AT_MOST: f64 = 1380.0;

/// Fails if decoding and folding a transition has become dearer. Optimised as what is shipped it takes
/// less than half (docs/benchmarks.md); but that would have to be built for this alone.
pub fn guard() -> Result<()> {
    setup::valgrind()?;
    let core = build::core()?;
    step("instructions a transition");
    let count = of_a_transition(&core)?;
    println!("{count:.1} instructions a transition, of {AT_MOST} at most");
    ensure!(
        count <= AT_MOST,
        "decoding and folding a transition takes {count:.1} instructions, more than {AT_MOST}: \
         valgrind --tool=callgrind {} fold {CONNECTIONS} shows where",
        core.display()
    );
    Ok(())
}

/// Instructions to decode and fold one transition: what twice as many take longer.
pub fn of_a_transition(core: &Path) -> Result<f64> {
    let [once, twice] = [count(core, CONNECTIONS)?, count(core, 2 * CONNECTIONS)?];
    Ok((twice - once) as f64 / (CONNECTIONS as f64 * TRANSITIONS))
}

fn count(core: &Path, connections: u64) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(core).args(["fold", &connections.to_string()]);
    let output = command.output().context("cannot run valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {said}", show(&command));
    // ==4711== Collected : 123456789
    let count = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    count.with_context(|| format!("valgrind did not say how many there were: {said}"))
}
