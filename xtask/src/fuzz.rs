//! What comes from outside is fed with what nobody would send: cargo-fuzz, and miri on the decoders.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::setup::{self, NIGHTLY};
use crate::shell::{root, run, step, target};

/// Overflow and debug assertions are checked in any case; `unsafe` code is not reached from here.
const SANITIZER: [&str; 2] = ["--sanitizer", "none"];
/// Megabytes that an input may take, and seconds.
const LIMITS: [&str; 2] = ["-rss_limit_mb=2048", "-timeout=10"];

/// Feeds the targets, or the one with this name, for some time each. `grow`: what shows new behaviour
/// is kept in the corpus, which is then made as small as it can be.
pub fn fuzz(each: Duration, only: Option<&str>, grow: bool) -> Result<()> {
    let names = targets()?;
    if let Some(only) = only
        && !names.iter().any(|name| name == only)
    {
        bail!("there is no target {only}: {}", names.join(", "));
    }
    let chosen: Vec<_> =
        names.iter().filter(|name| only.is_none_or(|only| only == *name)).collect();
    setup::cargo_fuzz()?;
    step("building the fuzz targets");
    run(cargo_fuzz("build")?.args(SANITIZER))?;
    for name in chosen {
        step(&format!("fuzzing {name} for {} s", each.as_secs()));
        let corpus = root().join("fuzz/corpus").join(name);
        fs::create_dir_all(&corpus)?;
        // libFuzzer adds to the first folder only.
        let scratch = target().join("fuzz-corpus").join(name);
        fs::create_dir_all(&scratch)?;
        let folders = if grow { vec![corpus] } else { vec![scratch, corpus] };
        let mut fuzz = cargo_fuzz("run")?;
        fuzz.args(SANITIZER).arg(name).args(folders).arg("--").args(LIMITS);
        run(fuzz.arg(format!("-max_total_time={}", each.as_secs())))?;
        if grow {
            // An input for each branch, not for each number of times that it is taken.
            let mut shrink = cargo_fuzz("cmin")?;
            run(shrink.args(SANITIZER).arg(name).args(["--", "-use_counters=0"]))?;
        }
    }
    Ok(())
}

/// The unit tests of the decoders and of the records, interpreted: undefined behaviour ends them.
pub fn miri() -> Result<()> {
    setup::miri()?;
    step("decoders under miri");
    let mut records = nightly_cargo();
    run(records.args(["miri", "test", "--package", "tcptrace-common"]))?;
    let mut decoders = nightly_cargo();
    decoders.args(["miri", "test", "--package", "tcptrace", "--lib", "model::decode"]);
    // Properties are tried a few times only, and what failed once is not looked for on the disk.
    decoders.env("MIRIFLAGS", "-Zmiri-disable-isolation").env("PROPTEST_CASES", "8");
    run(&mut decoders)
}

/// The names of the programs in `fuzz/targets`.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("fuzz/targets"))? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn cargo_fuzz(verb: &str) -> Result<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::iter::once(tools()).chain(std::env::split_paths(&path));
    let mut cargo = nightly_cargo();
    cargo.args(["fuzz", verb]).env("PATH", std::env::join_paths(dirs)?);
    Ok(cargo)
}

fn tools() -> PathBuf {
    target().join("tools/bin")
}

/// cargo of the pinned nightly.
fn nightly_cargo() -> Command {
    let mut cargo = Command::new("rustup");
    cargo.args(["run", NIGHTLY, "cargo"]).current_dir(root());
    // Its builds have flags of their own and share nothing with others.
    cargo.env("CARGO_TARGET_DIR", target().join("nightly"));
    // Set by the cargo that runs this, for its own toolchain.
    for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC", "RUSTDOC"] {
        cargo.env_remove(variable);
    }
    cargo
}
