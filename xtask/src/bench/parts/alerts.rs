//! How soon it is there, and how soon it tells.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::bench::Bench;
use crate::bench::results::{Bound, Figure, Part};
use crate::bench::tracers::watch;

/// Leaks of a round, and over which time they are spread.
const LEAKS: u64 = 200;
const SPREAD: Duration = Duration::from_secs(4);
const THRESHOLD: Duration = Duration::from_secs(2);
/// How long after its threshold the last alert may come.
const PATIENCE: Duration = Duration::from_secs(10);

const STARTS: &str = "ms from its start to ready";
/// What it has in memory when it is ready.
pub const RESIDENT: &str = "resident kB when it is ready";
const DELAY: &str = "ms from the threshold to the alert";
const WHO: &str = "tcptrace watch";

/// Measures it.
pub fn measure(bench: &Bench, part: &mut Part) -> Result<()> {
    for _ in 0..bench.rounds.clamp(3, 10) {
        let start = Instant::now();
        let watching = Watching::start(bench, &[])?;
        part.add(STARTS, WHO, start.elapsed().as_secs_f64() * 1000.0);
        part.add(RESIDENT, WHO, watching.resident()?);
    }
    for round in 1..=bench.rounds.div_ceil(5) {
        let watching = Watching::start(bench, &["--close-wait", "2s"])?;
        for delay in delays(&watching)? {
            part.add(DELAY, "all alerts", delay);
        }
        bench.progress(part, round, DELAY);
    }
    let p99 = part.figure(DELAY, "all alerts").map(|delays| percentile(delays, 0.99));
    if let Some(p99) = p99 {
        part.add(DELAY, "p99", p99);
    }
    part.target("p99 of ms from the threshold to the alert", Bound::AtMost, 100.0, p99);
    Ok(())
}

fn percentile(figure: &Figure, share: f64) -> f64 {
    let mut values = figure.values.clone();
    values.sort_by(f64::total_cmp);
    values[(values.len() as f64 * share) as usize]
}

/// Leaks sockets at moments of its own choice, and compares when they were told of.
fn delays(watching: &Watching) -> Result<Vec<f64>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let local = listener.local_addr()?;
    let mut leaked = HashMap::new();
    let start = Instant::now();
    // Far from even, and the same in each run.
    let mut moments: Vec<_> =
        (0..LEAKS).map(|i| SPREAD * (i * 7919 % 1009) as u32 / 1009).collect();
    moments.sort_unstable();
    for moment in moments {
        thread::sleep(moment.saturating_sub(start.elapsed()));
        let client = TcpStream::connect(local)?;
        let (server, remote) = listener.accept()?;
        drop(client);
        leaked.insert(remote.to_string(), (Instant::now(), server));
    }
    let mut delays = Vec::new();
    while !leaked.is_empty() {
        let line = watching.lines.recv_timeout(THRESHOLD + PATIENCE);
        let (at, line) =
            line.with_context(|| format!("{} leaks were not told of", leaked.len()))?;
        if line["type"] != "alert" || line["status"] != "firing" {
            continue;
        }
        let Some((closed, _)) = line["remote"].as_str().and_then(|remote| leaked.remove(remote))
        else {
            continue;
        };
        delays.push((at - closed).as_secs_f64() * 1000.0 - THRESHOLD.as_secs_f64() * 1000.0);
    }
    Ok(delays)
}

/// tcptrace with its lines, each with the moment at which it came. Dropping it ends it.
pub struct Watching {
    child: Child,
    lines: Receiver<(Instant, Value)>,
}

impl Watching {
    /// Starts it and waits until it is ready.
    pub fn start(bench: &Bench, flags: &[&str]) -> Result<Self> {
        let mut command = watch(&bench.tools, flags);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start tcptrace watch")?;
        let mut said = BufReader::new(child.stderr.take().context("no stderr")?).lines();
        let stdout = BufReader::new(child.stdout.take().context("no stdout")?);
        let (line, lines) = channel();
        let watching = Self { child, lines };
        let ready = said.any(|line| line.is_ok_and(|line| line == "ready"));
        ensure!(ready, "tcptrace watch does not get ready");
        // What it says at its end must not block it.
        thread::spawn(move || said.for_each(drop));
        thread::spawn(move || {
            for text in stdout.lines().map_while(Result::ok) {
                let Ok(value) = serde_json::from_str(&text) else { continue };
                if line.send((Instant::now(), value)).is_err() {
                    return;
                }
            }
        });
        Ok(watching)
    }

    /// Kilobytes that it has in memory.
    pub fn resident(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Ok(line.context("no VmRSS")?.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
