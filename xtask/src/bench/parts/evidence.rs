//! What the evidence beside transitions costs: who reads the end of file, and by which code. Once where
//! programs read all the time, once where one reads the end of file all the time.
//!
//! There is no flag against the former alone. The classic tracepoint does without it, and where hardly a
//! connection is opened or closed that is all the difference there is.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::bench::Bench;
use crate::bench::account::Statistics;
use crate::bench::load;
use crate::bench::namespace::Namespace;
use crate::bench::results::{Bound, Part};
use crate::bench::tracers::{Running, watch};
use crate::shell::output;

/// Name and flags of what is on.
const VARIANTS: [(&str, Option<&[&str]>); 4] = [
    ("untraced", None),
    ("transitions alone", Some(&["--probe", "tracepoint", "--stacks", "off"])),
    ("and reads of the end of file", Some(&["--stacks", "off"])),
    ("and stacks, as by default", Some(&[])),
];
const PORT: &str = "16379";
const READS: u64 = 2_000_000;

const GETS: &str = "redis GETs a second";
const GETS_LEFT: &str = "redis GETs over untraced";
const SPINS: &str = "reads of one end of file a second";
const SPINS_LEFT: &str = "reads of one end of file over untraced";
const A_READ: &str = "kernel ns a read, redis";
const SHARE: &str = "share of the processors, redis";

/// Measures it.
pub fn measure(bench: &Bench, part: &mut Part) -> Result<()> {
    let redis = Redis::start();
    if let Err(why) = &redis {
        part.missing.push(format!("a read-heavy load: {why:#}"));
    }
    for round in 1..=bench.rounds.div_ceil(2) {
        for turn in 0..VARIANTS.len() {
            let (name, flags) = VARIANTS[(turn + round - 1) % VARIANTS.len()];
            let _running = start(bench, flags)?;
            if let Ok(redis) = &redis {
                part.add(GETS, name, redis.gets(bench)?);
            }
            let reads = output(&mut load::spin_command(READS)?)?;
            part.add(SPINS, name, reads.trim().parse()?);
        }
        bench.progress(part, round, GETS);
    }
    if let Ok(redis) = &redis {
        let _statistics = Statistics::on()?;
        for (name, flags) in VARIANTS.into_iter().skip(2) {
            let Some(running) = start(bench, flags)? else { continue };
            let reads =
                || anyhow::Ok(running.runs()?.remove("sock_recv_length").unwrap_or_default());
            let (before, began) = (reads()?, Instant::now());
            redis.gets(bench)?;
            let (runs, took) = (reads()?.since(before), began.elapsed().as_nanos() as f64);
            part.add(A_READ, name, runs.nanos as f64 / runs.count as f64);
            let processors = part.setting.processors as f64;
            part.add(SHARE, name, runs.nanos as f64 / took / processors);
        }
    }
    let [untraced, transitions, eof, stacks] = VARIANTS.map(|(name, _)| name);
    for name in [transitions, eof, stacks] {
        part.compare(GETS, name, untraced, GETS_LEFT);
        part.compare(SPINS, name, untraced, SPINS_LEFT);
    }
    const EOF_ALONE: &str = "redis GETs with reads of the end of file over those without";
    let left = part.compare(GETS, eof, transitions, EOF_ALONE);
    part.target(EOF_ALONE, Bound::AtLeast, 0.99, left);
    let share = part.median(SHARE, stacks);
    part.target("share of the processors for reads, redis", Bound::AtMost, 0.01, share);
    Ok(())
}

fn start(bench: &Bench, flags: Option<&[&str]>) -> Result<Option<Running>> {
    const PATIENCE: Duration = Duration::from_secs(20);
    let Some(flags) = flags else { return Ok(None) };
    let running = Running::start("tcptrace watch", &mut watch(&bench.tools, flags))?;
    let start = Instant::now();
    while !running.says("ready")? {
        ensure!(start.elapsed() < PATIENCE, "tcptrace watch does not get ready");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(Some(running))
}

/// A server in a namespace of its own. Dropping it ends it.
struct Redis {
    namespace: Namespace,
    server: Child,
}

impl Redis {
    fn start() -> Result<Self> {
        let namespace = Namespace::new()?;
        let mut server = namespace.exec("redis-server");
        server.args(["--port", PORT, "--save", "", "--appendonly", "no"]);
        let server = server.stdout(Stdio::null()).spawn().context("cannot start redis-server")?;
        let redis = Self { namespace, server };
        let start = Instant::now();
        while !redis.client("redis-cli").arg("ping").output()?.stdout.starts_with(b"PONG") {
            ensure!(start.elapsed().as_secs() < 10, "redis-server does not answer");
        }
        Ok(redis)
    }

    fn client(&self, program: &str) -> Command {
        let mut client = self.namespace.exec(program);
        client.args(["-p", PORT]);
        client
    }

    /// Requests that it answers in a second.
    fn gets(&self, bench: &Bench) -> Result<f64> {
        let requests = if bench.quick { "100000" } else { "200000" };
        let mut client = self.client("redis-benchmark");
        client.args(["-t", "get", "-n", requests, "-c", "50", "--csv"]);
        // "GET","81234.77","0.331",…
        let said = output(&mut client)?;
        let rate = said.lines().find_map(|line| line.strip_prefix("\"GET\",\"")?.split('"').next());
        Ok(rate.with_context(|| format!("redis-benchmark says {said}"))?.parse()?)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
