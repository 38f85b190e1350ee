//! What watching costs: kernel time a transition and connections a second, against no tracer and
//! against libbpf-tools' `tcpstates`, in one run.
//!
//! Machines are noisy and shared, so rounds are interleaved, every round has a fresh network
//! namespace (past some 14,000 connections to one destination the ports in TIME_WAIT set the rate),
//! and what counts are medians of ratios within a round.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use crate::build;
use crate::setup;
use crate::shell::{is_root, output, run, step, target};

const STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";
const NAMESPACE: &str = "tcptrace-bench";
/// Transitions of one connection: five on each side.
const TRANSITIONS: f64 = 10.0;
/// Connections to one destination within the minute that TIME_WAIT lasts.
const MOST: usize = 14_000;
/// Connections under way at once, so that no accept queue overflows.
const WINDOW: usize = 64;

/// What runs beside the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tracer {
    None,
    Tcptrace,
    Tcpstates,
}

impl Tracer {
    const ALL: [Self; 3] = [Self::None, Self::Tcptrace, Self::Tcpstates];

    const fn name(self) -> &'static str {
        match self {
            Self::None => "untraced",
            Self::Tcptrace => "tcptrace watch",
            Self::Tcpstates => "tcpstates",
        }
    }

    /// Starts it and waits until it traces.
    fn start(self) -> Result<Option<Running>> {
        let mut command = match self {
            Self::None => return Ok(None),
            Self::Tcptrace => {
                let mut command = Command::new(target().join("release/tcptrace"));
                command.args(["watch", "--no-record"]);
                command
            }
            // It needs tracefs, which is mounted for it alone. What it prints goes into a file.
            Self::Tcpstates => {
                let mut command = Command::new("unshare");
                let mount = "mount -t tracefs tracefs /sys/kernel/tracing && exec tcpstates";
                command.args(["--mount", "sh", "-c", mount]);
                command
            }
        };
        let log = File::create(target().join("bench-tracer.log"))?;
        command.stdin(Stdio::null()).stdout(log).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.name()))?;
        if self == Self::Tcptrace {
            let mut lines = BufReader::new(child.stderr.take().context("no stderr")?).lines();
            lines.find(|line| line.as_ref().is_ok_and(|line| line == "ready"));
            // What it says at its end must not block it.
            thread::spawn(move || lines.for_each(drop));
        }
        let running = Running { child };
        let start = Instant::now();
        while !running.is_attached()? {
            ensure!(start.elapsed().as_secs() < 20, "{} does not attach", self.name());
        }
        Ok(Some(running))
    }
}

/// A tracer at work. Dropping it ends it.
struct Running {
    child: Child,
}

impl Running {
    /// Nanoseconds that each of its programs has run, by the kernel's own account: it stands with
    /// the programs' descriptors.
    fn run_times(&self) -> Result<BTreeMap<u32, u64>> {
        let mut programs = BTreeMap::new();
        for info in self.descriptors()? {
            let field = |name: &str| {
                let value = info.lines().find_map(|line| line.strip_prefix(name))?;
                value.trim().parse::<u64>().ok()
            };
            if let (Some(id), Some(time)) = (field("prog_id:"), field("run_time_ns:")) {
                programs.insert(id as u32, time);
            }
        }
        Ok(programs)
    }

    fn run_time(&self) -> Result<u64> {
        Ok(self.run_times()?.values().sum())
    }

    /// Whether it has a link: an attached program.
    fn is_attached(&self) -> Result<bool> {
        Ok(self.descriptors()?.iter().any(|info| info.contains("link_type:")))
    }

    /// What the kernel says of each of its descriptors.
    fn descriptors(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(format!("/proc/{}/fdinfo", self.child.id()))?;
        // One may be closed meanwhile.
        Ok(entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok()).collect())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Turns the kernel's BPF statistics on, and back to what they were.
struct Statistics(String);

impl Statistics {
    fn on() -> Result<Self> {
        let before = fs::read_to_string(STATS).with_context(|| format!("cannot read {STATS}"))?;
        fs::write(STATS, "1").with_context(|| format!("cannot write {STATS}"))?;
        Ok(Self(before))
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        let _ = fs::write(STATS, &self.0);
    }
}

/// Sets up, measures, prints a table and writes `target/bench.json`.
pub fn all(rounds: usize, connections: usize) -> Result<()> {
    build::all()?;
    setup::apt(&["iproute2", "libbpf-tools"])?;
    if !is_root() {
        let exe = std::env::current_exe()?;
        let mut sudo = Command::new("sudo");
        sudo.arg("--").arg(exe).args(["bench", "--rounds", &rounds.to_string()]);
        return Err(sudo.exec()).context("cannot become root");
    }
    step("connections a second");
    let mut rates = Vec::new();
    for round in 1..=rounds {
        let mut row = Vec::new();
        for tracer in in_turn(round) {
            let running = tracer.start()?;
            row.push((tracer, load(connections)?));
            drop(running);
        }
        row.sort_by_key(|&(tracer, _)| tracer as u8);
        eprintln!("round {round}: {}", show(&row, "/s"));
        rates.push(row);
    }
    step("kernel time a transition");
    let statistics = Statistics::on()?;
    let mut times = Vec::new();
    for round in 1..=rounds.min(5) {
        let mut row = Vec::new();
        for tracer in in_turn(round) {
            if let Some(running) = tracer.start()? {
                let before = running.run_time()?;
                load(connections)?;
                let time = running.run_time()? - before;
                row.push((tracer, time as f64 / (connections as f64 * TRANSITIONS)));
            }
        }
        row.sort_by_key(|&(tracer, _)| tracer as u8);
        eprintln!("round {round}: {}", show(&row, " ns"));
        times.push(row);
    }
    drop(statistics);
    report(&rates, &times, connections)
}

/// Each round begins with another one.
fn in_turn(round: usize) -> impl Iterator<Item = Tracer> {
    (0..Tracer::ALL.len()).map(move |i| Tracer::ALL[(i + round) % Tracer::ALL.len()])
}

type Row = Vec<(Tracer, f64)>;

fn show(row: &Row, unit: &str) -> String {
    let cell = |(tracer, figure): &(Tracer, f64)| format!("{} {figure:.0}{unit}", tracer.name());
    row.iter().map(cell).collect::<Vec<_>>().join(", ")
}

fn of(row: &Row, wanted: Tracer) -> f64 {
    row.iter().find(|(tracer, _)| *tracer == wanted).map_or(f64::NAN, |&(_, figure)| figure)
}

/// Least, median and most.
fn spread(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    [figures[0], figures[figures.len() / 2], figures[figures.len() - 1]]
}

fn report(rates: &[Row], times: &[Row], connections: usize) -> Result<()> {
    let kernel = output(Command::new("uname").arg("-r"))?;
    let mut lines = Vec::new();
    println!("\nLinux {}, {connections} connections a round", kernel.trim());
    println!("{:<42} {:>9} {:>9} {:>9}", "", "least", "median", "most");
    let mut line = |name: String, figures: Vec<f64>, digits: usize| {
        let [least, median, most] = spread(figures);
        println!("{name:<42} {least:>9.digits$} {median:>9.digits$} {most:>9.digits$}");
        lines.push(json!({ "name": name, "least": least, "median": median, "most": most }));
        median
    };
    for tracer in Tracer::ALL {
        let rate = rates.iter().map(|row| of(row, tracer)).collect();
        line(format!("{}: connections/s", tracer.name()), rate, 0);
    }
    for tracer in [Tracer::Tcptrace, Tracer::Tcpstates] {
        let time = times.iter().map(|row| of(row, tracer)).collect();
        line(format!("{}: kernel ns/transition", tracer.name()), time, 0);
    }
    let share = |tracer| rates.iter().map(|row| of(row, tracer) / of(row, Tracer::None)).collect();
    let ours = line("tcptrace / untraced, rate".into(), share(Tracer::Tcptrace), 3);
    line("tcpstates / untraced, rate".into(), share(Tracer::Tcpstates), 3);
    let ratio = |row: &Row| of(row, Tracer::Tcptrace) / of(row, Tracer::Tcpstates);
    let time =
        line("tcptrace / tcpstates, kernel time".into(), times.iter().map(ratio).collect(), 4);
    let verdict = |good: bool| if good { "met" } else { "MISSED" };
    println!("\nat least 0.88 of the untraced rate: {}", verdict(ours >= 0.88));
    println!("at most 1/20 of tcpstates' kernel time: {}", verdict(time <= 0.05));
    let path = target().join("bench.json");
    let result = json!({ "kernel": kernel.trim(), "connections": connections, "figures": lines });
    fs::write(&path, format!("{result:#}\n")).context("cannot write the result")?;
    println!("written to {}", path.display());
    Ok(())
}

/// Makes the load in a fresh namespace; connections a second by the generator's own clock.
fn load(connections: usize) -> Result<f64> {
    let _namespace = Namespace::new()?;
    let mut generator = Command::new("ip");
    generator.args(["netns", "exec", NAMESPACE]).arg(std::env::current_exe()?);
    generator.args(["load", &connections.to_string()]);
    let seconds: f64 = output(&mut generator)?.trim().parse()?;
    Ok(connections as f64 / seconds)
}

struct Namespace;

impl Namespace {
    fn new() -> Result<Self> {
        // One that a killed run has left behind.
        let _ =
            Command::new("ip").args(["netns", "delete", NAMESPACE]).stderr(Stdio::null()).status();
        run(Command::new("ip").args(["netns", "add", NAMESPACE]))?;
        run(Command::new("ip").args(["-n", NAMESPACE, "link", "set", "lo", "up"]))?;
        Ok(Self)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", NAMESPACE]).status();
    }
}

/// The load itself: `connections` connections over loopback, closed by the client first, `rate` of
/// them a second or as many as there can be. Prints how many seconds they took.
pub fn generate(connections: usize, rate: Option<u32>) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = listener.local_addr()?.port();
    let (begin, begun) = sync_channel(WINDOW);
    let start = Instant::now();
    let server = thread::spawn(move || -> Result<()> {
        for () in begun {
            let (mut stream, _) = listener.accept()?;
            while stream.read(&mut [0; 256])? > 0 {}
        }
        Ok(())
    });
    for i in 0..connections {
        if let Some(rate) = rate {
            // Sleeps last a millisecond or so: what is due by then comes in one go.
            let due = Duration::from_secs(i as u64) / rate;
            thread::sleep(due.saturating_sub(start.elapsed()));
        }
        // Past that, a destination's ports in TIME_WAIT would set the rate.
        let destination = Ipv4Addr::from(Ipv4Addr::LOCALHOST.to_bits() + (i / MOST) as u32);
        drop(TcpStream::connect((destination, port))?);
        begin.send(()).context("the server has ended")?;
    }
    drop(begin);
    match server.join() {
        Ok(result) => result?,
        Err(_) => bail!("the server of the load has panicked"),
    }
    println!("{}", start.elapsed().as_secs_f64());
    Ok(())
}
