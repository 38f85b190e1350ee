//! Building and running.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::setup::{self, NIGHTLY};
use crate::shell::{as_root, cargo, output, root, run as run_command, show, step, target};

/// Tells the daemon's build script where the kernel programs are.
pub const OBJECT: &str = "TCPTRACE_EBPF_OBJECT";
/// What the kernel programs are built for.
pub const BPF_TARGET: &str = "bpfel-unknown-none";
/// What runs on any Linux, whatever its libraries: what is shipped.
pub const STATIC: &str = "x86_64-unknown-linux-musl";

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

/// Has a cargo build for [`STATIC`].
pub fn statically(cargo: &mut Command) -> Result<&mut Command> {
    setup::for_static_builds()?;
    cargo.args(["--target", STATIC]).env("CC_x86_64_unknown_linux_musl", "musl-gcc");
    // musl has no second name for what is 64 bits wide anyway.
    cargo.env("LIBSQLITE3_FLAGS", "-DSQLITE_DISABLE_LFS");
    Ok(cargo)
}

/// What else there is, cross-compiled.
pub const ARM64: &str = "aarch64-unknown-linux-gnu";

/// All that is built for this machine. For a part of it dependencies can have fewer features: they and
/// tcptrace would be built once more.
pub const WORKSPACE: [&str; 3] = ["--workspace", "--exclude", "tcptrace-ebpf"];

/// The profile of tests, which make more traffic than a debug build keeps up with.
pub const CHECKED: &str = "checked";

/// Builds the live tests, and with them the tcptrace that they test. Built as this user, run as root.
pub fn live(object: &Path) -> Result<PathBuf> {
    live_by(cargo(), object)
}

/// The same, for [`ARM64`].
pub fn live_for_arm64(object: &Path) -> Result<PathBuf> {
    let mut build = cargo();
    let compiler = "aarch64-linux-gnu-gcc";
    build.env("CARGO_BUILD_TARGET", ARM64);
    build.env("CC_aarch64_unknown_linux_gnu", compiler);
    build.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", compiler);
    live_by(build, object)
}

fn live_by(mut build: Command, object: &Path) -> Result<PathBuf> {
    build.args(["test", "--profile", CHECKED, "--test", "live"]).args(WORKSPACE);
    build.args(["--no-run", "--message-format", "json-render-diagnostics"]).env(OBJECT, object);
    executable(&output(&mut build)?, "live")
}

/// Where `messages` say that cargo has put `name`.
pub fn executable(messages: &str, name: &str) -> Result<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_it = messages.filter(|message| message["target"]["name"] == name);
    let mut paths = of_it.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    paths.next_back().with_context(|| format!("cargo did not say where {name} is"))
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
