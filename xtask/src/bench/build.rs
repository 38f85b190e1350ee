//! The programs that only the benchmark runs.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::tracers::Tools;
use crate::build::{BPF_TARGET, CHECKED, OBJECT, WORKSPACE, bpf_cargo, ebpf};
use crate::shell::{cargo, output, run, step, target};

/// Builds the programs that measure, and tcptrace itself, in release.
pub fn benches() -> Result<Tools> {
    let object = ebpf()?;
    step("building what is measured");
    let mut build = cargo();
    build.args(["build", "--release", "--package", "tcptrace", "--bin", "tcptrace"]);
    build.args(["--bench", "core", "--bench", "floor"]);
    build.args(["--message-format", "json-render-diagnostics"]).env(OBJECT, object);
    let messages = output(&mut build)?;
    let executable = |name: &str| executable(&messages, name);
    Ok(Tools {
        tcptrace: executable("tcptrace")?,
        core: executable("core")?,
        floor: executable("floor")?,
        floors: target().join("bpf").join(BPF_TARGET).join("release/floor"),
    })
}

/// Builds the core by itself as the tests have it, which then need not build it again.
pub fn core() -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--profile", CHECKED, "--bench", "core"]).args(WORKSPACE);
    build.args(["--message-format", "json-render-diagnostics"]).env(OBJECT, ebpf()?);
    executable(&output(&mut build)?, "core")
}

/// Where `messages` say that cargo has put `name`.
fn executable(messages: &str, name: &str) -> Result<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_it = messages.filter(|message| message["target"]["name"] == name);
    let mut paths = of_it.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    paths.next_back().with_context(|| format!("cargo did not say where {name} is"))
}

/// Builds the kernel programs that do next to nothing.
pub fn floors() -> Result<()> {
    step("building the kernel programs that do next to nothing");
    run(bpf_cargo("build")?.args(["--bin", "floor", "--features", "floor"]))
}
