//! The programs that only the benchmark runs.

use std::path::PathBuf;

use anyhow::Result;

use super::tracers::Tools;
use crate::build::{BPF_TARGET, CHECKED, OBJECT, WORKSPACE, bpf_cargo, ebpf, executable};
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

/// Builds the kernel programs that do next to nothing.
pub fn floors() -> Result<()> {
    step("building the kernel programs that do next to nothing");
    run(bpf_cargo("build")?.args(["--bin", "floor", "--features", "floor"]))
}
