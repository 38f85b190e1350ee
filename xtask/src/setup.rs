//! Installs what is missing, and nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::build::{ARM64, STATIC};
use crate::shell::{as_root, cargo, output, run, show, step, succeeds, target};

/// The compiler of the kernel programs: they need `-Z build-std`.
pub const NIGHTLY: &str = "nightly-2026-05-20";
/// The last that links with the LLVM of that compiler.
const BPF_LINKER: &str = "0.10.4";
/// What `fuzz/` is built and run with.
const CARGO_FUZZ: &str = "0.13.1";

/// The pinned nightly, with the sources of the standard library.
pub fn nightly() -> Result<()> {
    if !succeeds(Command::new("rustup").arg("--version")) {
        bail!("rustup is missing: install it from https://rustup.rs and come back");
    }
    let components = output(Command::new("rustup").args([
        "component",
        "list",
        "--installed",
        "--toolchain",
        NIGHTLY,
    ]));
    if components.is_ok_and(|list| list.lines().any(|line| line.starts_with("rust-src"))) {
        return Ok(());
    }
    step(&format!("installing {NIGHTLY} with rust-src, for the kernel programs"));
    let mut install = Command::new("rustup");
    install.args(["toolchain", "install", NIGHTLY, "--profile", "minimal"]);
    install.args(["--component", "rust-src", "--no-self-update"]);
    run(&mut install).with_context(|| format!("try by hand: {}", show(&install)))
}

/// The pinned bpf-linker, under `target/`. Returns the folder it is in.
pub fn bpf_linker() -> Result<PathBuf> {
    let tools = target().join("tools");
    let bin = tools.join("bin");
    let wanted = format!("bpf-linker {BPF_LINKER}");
    let version = Command::new(bin.join("bpf-linker")).arg("--version").output();
    if version.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).trim() == wanted) {
        return Ok(bin);
    }
    compiler()?;
    step(&format!("building {wanted} into {} (a minute)", bin.display()));
    let mut install = cargo();
    install.args(["install", "bpf-linker", "--version", BPF_LINKER, "--locked", "--root"]);
    // Outside of the workspace, so that neither its profiles nor its lockfile count.
    install.arg(&tools).current_dir("/");
    run(&mut install).with_context(|| format!("try by hand: {}", show(&install)))?;
    Ok(bin)
}

/// The pinned cargo-fuzz, under `target/`, and the C++ compiler that its library is built with.
pub fn cargo_fuzz() -> Result<()> {
    nightly()?;
    if !succeeds(Command::new("c++").arg("--version")) {
        apt(&["g++"])?;
    }
    let tools = target().join("tools");
    let wanted = format!("cargo-fuzz {CARGO_FUZZ}");
    let version = Command::new(tools.join("bin/cargo-fuzz")).arg("--version").output();
    if version.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).trim() == wanted) {
        return Ok(());
    }
    step(&format!("building {wanted} into {}", tools.join("bin").display()));
    let mut install = cargo();
    install.args(["install", "cargo-fuzz", "--version", CARGO_FUZZ, "--locked", "--root"]);
    install.arg(&tools).current_dir("/");
    run(&mut install).with_context(|| format!("try by hand: {}", show(&install)))
}

/// miri of the pinned nightly.
pub fn miri() -> Result<()> {
    nightly()?;
    let mut add = Command::new("rustup");
    add.args(["component", "add", "miri", "--toolchain", NIGHTLY]);
    run(&mut add).with_context(|| format!("try by hand: {}", show(&add)))
}

/// A C compiler, which some dependencies are built with.
pub fn compiler() -> Result<()> {
    if succeeds(Command::new("cc").arg("--version")) { Ok(()) } else { apt(&["gcc", "libc6-dev"]) }
}

/// Debian packages.
pub fn apt(packages: &[&str]) -> Result<()> {
    let installed = |package: &&str| {
        let status =
            Command::new("dpkg-query").args(["-W", "-f=${db:Status-Abbrev}", package]).output();
        status.is_ok_and(|out| out.stdout.starts_with(b"ii"))
    };
    let missing: Vec<_> = packages.iter().copied().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    step(&format!("installing with apt: {}", missing.join(" ")));
    let mut install = as_root("apt-get");
    install.args(["install", "-y", "--no-install-recommends"]).args(&missing);
    if !succeeds(Command::new("apt-get").arg("--version")) {
        bail!("these packages are missing and this machine has no apt: {}", missing.join(" "));
    }
    let by_hand = || format!("try by hand: apt-get install {}", missing.join(" "));
    // The package lists may be missing or old: try without, then bring them up to date.
    if succeeds(&mut install) {
        return Ok(());
    }
    run(as_root("apt-get").arg("update")).with_context(by_hand)?;
    run(&mut install).with_context(by_hand)
}

/// Debian packages that come with services of the same names, which are neither started now nor at
/// the next boot: tests start their own.
fn without_services(packages: &[&str]) -> Result<()> {
    const POLICY: &str = "/usr/sbin/policy-rc.d";
    if Path::new(POLICY).exists() {
        return apt(packages);
    }
    let forbid = format!("printf '#!/bin/sh\nexit 101\n' > {POLICY} && chmod 755 {POLICY}");
    run(as_root("sh").args(["-c", &forbid]))?;
    let installed = apt(packages);
    run(as_root("rm").arg(POLICY))?;
    // Where there is no systemd, there is nothing to disable.
    succeeds(as_root("systemctl").arg("disable").args(packages));
    installed
}

/// Everything that building needs.
pub fn for_building() -> Result<PathBuf> {
    compiler()?;
    nightly()?;
    bpf_linker()
}

/// Everything that packages are made with.
pub fn for_dist() -> Result<()> {
    apt(&["rpm"])
}

/// Everything that the live tests need besides.
pub fn for_testing() -> Result<()> {
    apt(&["iproute2"])?;
    // The one scrapes metrics in tests (`promtool` comes with it), the other receives alerts.
    for (program, package) in
        [("promtool", "prometheus"), ("prometheus-alertmanager", "prometheus-alertmanager")]
    {
        if !succeeds(Command::new(program).arg("--version")) {
            without_services(&[package])?;
        }
    }
    // An authority of the tests' own.
    if !succeeds(Command::new("openssl").arg("version")) {
        apt(&["openssl"])?;
    }
    // The terminal that `top` is tested in.
    if !succeeds(Command::new("tmux").arg("-V")) {
        apt(&["tmux"])?;
    }
    // DuckDB is installed into an environment of its own.
    if !succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"])) {
        apt(&["python3-venv"])?;
    }
    // Programs of the corpus are written in these.
    for (program, package) in [
        ("python3", "python3"),
        // Whose functions are shown.
        ("python3.11", "python3.11"),
        ("node", "nodejs"),
        ("javac", "default-jdk-headless"),
        // The unit is checked by the one, its filters are held against what the other sees.
        ("systemd-analyze", "systemd"),
        ("strace", "strace"),
    ] {
        if !succeeds(Command::new(program).arg("--version")) {
            apt(&[package])?;
        }
    }
    Ok(())
}

/// What building without the machine's libraries needs.
pub fn for_static_builds() -> Result<()> {
    if !succeeds(Command::new("musl-gcc").arg("--version")) {
        apt(&["musl-tools"])?;
    }
    standard_library(STATIC)
}

fn standard_library(target: &str) -> Result<()> {
    let targets = output(Command::new("rustup").args(["target", "list", "--installed"]))?;
    if !targets.lines().any(|installed| installed == target) {
        step(&format!("installing the standard library for {target}"));
        run(Command::new("rustup").args(["target", "add", target]))?;
    }
    Ok(())
}

/// What guests with another processor need besides.
pub fn for_arm64() -> Result<()> {
    apt(&["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-system-arm"])?;
    standard_library(ARM64)
}

/// What guests are booted with, and made of.
pub fn for_guests() -> Result<()> {
    apt(&["qemu-system-x86", "busybox-static", "iproute2"])
}

/// What tcptrace is measured against, and with. What is not to be had is missed where it is needed.
pub fn for_benchmarks() -> Result<()> {
    apt(&["iproute2"])?;
    let peers = [
        apt(&["libbpf-tools"]),
        apt(&["bpftrace"]),
        apt(&["lsof"]),
        valgrind(),
        without_services(&["redis-server"]),
    ];
    for why in peers.into_iter().filter_map(Result::err) {
        eprintln!("{why:#}");
    }
    Ok(())
}

/// Counts instructions.
pub fn valgrind() -> Result<()> {
    apt(&["valgrind"])
}

/// What only the tests of `--all` need: a browser, three hundred megabytes, and Spark's Java.
pub fn for_all_tests() -> Result<()> {
    for (program, package) in [("chromium", "chromium"), ("java", "default-jre-headless")] {
        if !succeeds(Command::new(program).arg("--version")) {
            apt(&[package])?;
        }
    }
    Ok(())
}
