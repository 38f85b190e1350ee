//! The programs that only the benchmark runs.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::tracers::Tools;
use crate::build::{BPF_TARGET, OBJECT, bpf_cargo, ebpf};
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
    let messages: Vec<Value> =
        messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let executable = |name: &str| {
        let of_it = messages.iter().filter(|message| message["target"]["name"] == name);
        let path = of_it.filter_map(|message| message["executable"].as_str()).next_back();
        path.map(PathBuf::from).with_context(|| format!("cargo did not say where {name} is"))
    };
    Ok(Tools {
        tcptrace: executable("tcptrace")?,
        core: executable("core")?,
        floor: executable("floor")?,
        floors: target().join("bpf").join(BPF_TARGET).join("release/floor"),
    })
}

/// Builds the kernel programs that do next to nothing.
pub fn floors() -> Result<()> {
    step("building the kernel programs that do next to nothing");
    run(bpf_cargo("build")?.args(["--bin", "floor", "--features", "floor"]))
}
