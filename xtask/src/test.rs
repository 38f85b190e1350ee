//! Tests and checks.

use std::process::Command;

use anyhow::Result;

use crate::build::{self, OBJECT, bpf_cargo};
use crate::setup;
use crate::shell::{as_root, cargo, run, step, succeeds};
use crate::vm;

/// Tells the live tests how long the soak is to last.
const SOAK: &str = "TCPTRACE_SOAK";

/// What needs neither root nor the kernel programs: unit tests, properties, snapshots.
pub fn host(filter: Option<&str>) -> Result<()> {
    setup::compiler()?;
    pure(filter, cargo)
}

fn pure(filter: Option<&str>, cargo: impl Fn() -> Command) -> Result<()> {
    step("tests of the pure parts");
    run(cargo()
        .args(["test", "--workspace", "--exclude", "tcptrace-ebpf", "--lib", "--bins"])
        .args(filter))?;
    run(cargo().args(["test", "--package", "tcptrace", "--test", "allocations"]).args(filter))
}

/// Everything that every change must pass; with `slow`, also what takes minutes and has more to install.
pub fn all(filter: Option<&str>, slow: bool) -> Result<()> {
    let object = build::ebpf()?;
    setup::for_testing()?;
    if slow {
        setup::for_all_tests()?;
    }
    // The same for all, so that nothing is built twice.
    let with_object = || {
        let mut cargo = cargo();
        cargo.env(OBJECT, &object);
        cargo
    };
    pure(filter, with_object)?;
    let others = |name: &str| {
        let mut tests = with_object();
        tests.args(["test", "--package", "tcptrace", "--test", name]);
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
    let length = std::env::var(SOAK).unwrap_or_else(|_| if slow { "2m" } else { "40s" }.into());
    let mut tests = as_root("env");
    tests.arg(format!("{SOAK}={length}")).arg(live).args(filter);
    if slow {
        tests.arg("--include-ignored");
    }
    run(&mut tests)?;
    if !slow || filter.is_some() {
        return Ok(());
    }
    step("tests on other kernels, under emulation");
    let guests = vm::Options { all: true, jobs: 2, cpus: 1, ..vm::Options::default() };
    vm::run(&guests)?;
    step("tests where something is taken away");
    vm::run(&vm::Options { all: false, under: vm::Condition::CURTAILED.to_vec(), ..guests })
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
    step("lints");
    let deny = ["--", "-D", "warnings"];
    run(cargo()
        .args(["clippy", "--workspace", "--exclude", "tcptrace-ebpf", "--all-targets"])
        .args(deny))?;
    run(bpf_cargo("check")?.env("RUSTFLAGS", "-D warnings"))?;
    step("licences and advisories");
    if !succeeds(Command::new("cargo-deny").arg("--version")) {
        eprintln!("cargo-deny is not here: cargo install --locked cargo-deny");
        return Ok(());
    }
    run(cargo().args(["deny", "check", "licenses", "bans", "sources"]))
}
