//! Tests and checks.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::bench::instructions;
use crate::build::{self, CHECKED, OBJECT, bpf_cargo};
use crate::fuzz;
use crate::setup;
use crate::shell::{as_root, cargo, run, step, succeeds, target};
use crate::vm;

/// Tells the live tests how long the soak is to last.
const SOAK: &str = "TCPTRACE_SOAK";

/// A workspace of its own.
const FUZZ: &str = "fuzz/Cargo.toml";

/// What needs neither root nor the kernel programs: unit tests, properties, snapshots.
pub fn host(filter: Option<&str>) -> Result<()> {
    setup::compiler()?;
    pure(filter, || {
        let mut test = cargo();
        test.arg("test");
        test
    })
}

fn pure(filter: Option<&str>, test: impl Fn() -> Command) -> Result<()> {
    step("tests of the pure parts");
    run(test().args(build::WORKSPACE).args(["--lib", "--bins"]).args(filter))?;
    run(test().args(build::WORKSPACE).args(["--test", "allocations"]).args(filter))
}

/// Everything that every change must pass; with `slow`, also what takes minutes and has more to install.
pub fn all(filter: Option<&str>, slow: bool) -> Result<()> {
    let object = build::ebpf()?;
    setup::for_testing()?;
    if slow {
        setup::for_all_tests()?;
    }
    // The same for all, so that nothing is built twice.
    let test = || {
        let mut test = cargo();
        test.args(["test", "--profile", CHECKED]).env(OBJECT, &object);
        test
    };
    pure(filter, test)?;
    let others = |name: &str| {
        let mut tests = test();
        tests.args(build::WORKSPACE).args(["--test", name]);
        tests.args(filter);
        if slow {
            tests.args(["--", "--include-ignored"]);
        }
        run(&mut tests)
    };
    step("exports, read by another engine");
    others("export")?;
    if slow {
        step("pages, opened in a browser");
        others("browser")?;
    }
    step("tests on the live kernel");
    let live = build::live(&object)?;
    // What becomes root may do so without this environment.
    let length = std::env::var(SOAK).ok().or_else(|| slow.then(|| "1h".into()));
    let mut tests = as_root("env");
    tests.args(length.map(|length| format!("{SOAK}={length}"))).arg(live).args(filter);
    if slow {
        tests.arg("--include-ignored");
    }
    run(&mut tests)?;
    if filter.is_some() {
        return Ok(());
    }
    instructions::guard()?;
    step("tests on other kernels, under emulation");
    let guests = vm::Options { all: slow, jobs: 2, cpus: 1, ..vm::Options::default() };
    vm::run(&guests)?;
    if !slow {
        return Ok(());
    }
    fuzz::miri()?;
    fuzz::fuzz(Duration::from_secs(20), None, false)?;
    step("tests where something is taken away");
    vm::run(&vm::Options {
        all: false,
        under: vm::Condition::CURTAILED.to_vec(),
        ..guests.clone()
    })?;
    step("tests on another processor");
    vm::run(&vm::Options {
        all: false,
        kernels: vec!["arm64-6.1".into(), "arm64".into()],
        ..guests
    })
}

/// The corpus, all at once: its last words are the confusion table.
pub fn corpus() -> Result<()> {
    let object = build::ebpf()?;
    setup::for_testing()?;
    run(as_root(build::live(&object)?).arg("corpus::all_at_once"))
}

/// Formatting, lints, licences and advisories.
pub fn lint() -> Result<()> {
    step("formatting");
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["fmt", "--manifest-path", FUZZ, "--check"]))?;
    step("lints");
    let deny = ["--", "-D", "warnings"];
    // By the profile of the tests, which then need not build C libraries and macros again.
    run(cargo()
        .args(["clippy", "--profile", CHECKED, "--all-targets"])
        .args(build::WORKSPACE)
        .args(deny))?;
    // Not of this workspace; with what it shares of it, and without the fuzzer, which is C++.
    run(cargo()
        .args(["clippy", "--profile", CHECKED, "--bins", "--no-default-features"])
        .args(["--manifest-path", FUZZ, "--target-dir"])
        .arg(target())
        .args(deny))?;
    run(bpf_cargo("check")?.arg("--all-features").env("RUSTFLAGS", "-D warnings"))?;
    step("licences and advisories");
    if !succeeds(Command::new("cargo-deny").arg("--version")) {
        eprintln!("cargo-deny is not here: cargo install --locked cargo-deny");
        return Ok(());
    }
    run(cargo().args(["deny", "check", "licenses", "bans", "sources"]))
}
