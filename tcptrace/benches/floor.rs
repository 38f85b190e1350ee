//! Attaches one program of an object to `inet_sock_set_state`, says `ready` and stays until it is
//! killed. `cargo xtask bench` measures with it what a program costs that does next to nothing.

use std::path::PathBuf;
use std::thread;

use anyhow::{Context as _, Result};
use aya::programs::BtfTracePoint;
use aya::{Btf, EbpfLoader};
use clap::Parser;

const TRACEPOINT: &str = "inet_sock_set_state";

#[derive(Parser)]
struct Args {
    /// The object file
    object: PathBuf,
    /// Which of its programs
    program: String,
}

#[expect(clippy::print_stderr, reason = "who waits for it reads stderr, as of tcptrace itself")]
fn main() -> Result<()> {
    let Args { object, program } = Args::parse();
    let btf = Btf::from_sys_fs()?;
    let mut ebpf = EbpfLoader::new().btf(Some(&btf)).load_file(&object)?;
    let found = ebpf.program_mut(&program);
    let program: &mut BtfTracePoint =
        found.with_context(|| format!("{} has no {program}", object.display()))?.try_into()?;
    program.load(TRACEPOINT, &btf)?;
    program.attach()?;
    eprintln!("ready");
    loop {
        thread::park();
    }
}
