//! Building and running.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::setup::{self, NIGHTLY};
use crate::shell::{as_root, cargo, root, run as run_command, show, step, target};

/// Tells the daemon's build script where the kernel programs are.
pub const OBJECT: &str = "TCPTRACE_EBPF_OBJECT";
/// What the kernel programs are built for.
pub const BPF_TARGET: &str = "bpfel-unknown-none";

/// cargo of the nightly, building for the kernel. One object serves every profile of the daemon.
pub fn bpf_cargo(verb: &str) -> Result<Command> {
    let linker = setup::for_building()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::iter::once(linker).chain(std::env::split_paths(&path));
    let mut cargo = Command::new("rustup");
    cargo.args(["run", NIGHTLY, "cargo", verb, "--package", "tcptrace-ebpf", "--release"]);
    cargo.args(["--target", BPF_TARGET, "-Z", "build-std=core", "--target-dir"]);
    cargo.arg(target().join("bpf")).current_dir(root());
    cargo.env("PATH", std::env::join_paths(dirs)?);
    cargo.env("RUSTFLAGS", "-C debuginfo=2 -C link-arg=--btf");
    // Set by the cargo that runs this, for its own toolchain.
    for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC", "RUSTDOC"] {
        cargo.env_remove(variable);
    }
    Ok(cargo)
}

/// Builds the kernel programs and returns the object file.
pub fn ebpf() -> Result<PathBuf> {
    let mut cargo = bpf_cargo("build")?;
    step("building the kernel programs");
    run_command(&mut cargo)?;
    Ok(target().join("bpf").join(BPF_TARGET).join("release/tcptrace-ebpf"))
}

/// Builds everything in release.
pub fn all() -> Result<()> {
    let object = ebpf()?;
    step("building tcptrace");
    run_command(cargo().args(["build", "--release", "--package", "tcptrace"]).env(OBJECT, object))
}

/// Builds, then becomes tcptrace.
pub fn run(args: &[String]) -> Result<()> {
    all()?;
    let mut command = as_root(target().join("release/tcptrace"));
    command.args(args);
    step(&show(&command));
    // Returns only if it could not be started.
    Err(command.exec()).with_context(|| format!("cannot run {}", show(&command)))
}
