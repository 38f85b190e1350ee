//! What is held against what: tcptrace, what one would use instead, and the least there can be.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::account::{self, Runs};
use super::load::Load;
use super::namespace::Namespace;
use crate::shell::{run, target};

/// Where tools find tracepoints: mounted for each alone, unless it is mounted for all.
const MOUNT: &str =
    "{ mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing; }";
/// The same as `tcpstates` prints.
const SCRIPT: &str = r#"tracepoint:sock:inet_sock_set_state /args->protocol == 6/ {
    printf("%lx %d %s %s %d %s %d %d -> %d\n", args->skaddr, pid, comm, ntop(args->family, args->saddr),
        args->sport, ntop(args->family, args->daddr), args->dport, args->oldstate, args->newstate);
}"#;
/// Looks every second at what is half-closed and who holds it.
const LOOP: &str = "while :; do ss -tanpe state close-wait state fin-wait-2; sleep 1; done";
/// How long a tool may take until it traces, and until it has ended.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);
/// A tool whose output has not grown for so long has printed all that it will.
const QUIET: Duration = Duration::from_millis(500);

/// The programs that are started.
pub struct Tools {
    /// tcptrace itself, in release.
    pub tcptrace: PathBuf,
    /// What attaches one program of `floors`.
    pub floor: PathBuf,
    /// The object with the programs that do next to nothing.
    pub floors: PathBuf,
    /// The pure core by itself.
    pub core: PathBuf,
}

/// What runs beside the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tracer {
    Untraced,
    Empty,
    Submit,
    Watch,
    WithoutStacks,
    Tcpstates,
    Tcplife,
    Bpftrace,
    Ss,
}

impl Tracer {
    /// All of them, the first first in tables.
    pub const ALL: [Self; 9] = [
        Self::Untraced,
        Self::Empty,
        Self::Submit,
        Self::Watch,
        Self::WithoutStacks,
        Self::Tcpstates,
        Self::Tcplife,
        Self::Bpftrace,
        Self::Ss,
    ];
    /// What others use.
    pub const PEERS: [Self; 3] = [Self::Tcpstates, Self::Tcplife, Self::Bpftrace];

    /// As tables name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Untraced => "untraced",
            Self::Empty => "floor: an empty program",
            Self::Submit => "floor: reserve and submit, read by nobody",
            Self::Watch => "tcptrace watch",
            Self::WithoutStacks => "tcptrace watch --stacks off",
            Self::Tcpstates => "tcpstates",
            Self::Tcplife => "tcplife",
            Self::Bpftrace => "bpftrace",
            Self::Ss => "ss every second",
        }
    }

    /// Whether it is one of ours.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Watch | Self::WithoutStacks)
    }

    fn command(self, tools: &Tools, namespace: &Namespace) -> Option<Command> {
        let floor = |program: &str| {
            let mut command = Command::new(&tools.floor);
            command.arg(&tools.floors).arg(program);
            command
        };
        let with_tracefs = |program: &str| {
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", &format!("{MOUNT} && exec {program}")]);
            command
        };
        Some(match self {
            Self::Untraced => return None,
            Self::Empty => floor("empty"),
            Self::Submit => floor("submit"),
            Self::Watch => watch(tools, &[]),
            Self::WithoutStacks => watch(tools, &["--stacks", "off"]),
            Self::Tcpstates => with_tracefs("tcpstates"),
            Self::Tcplife => with_tracefs("tcplife"),
            Self::Bpftrace => {
                let mut command = with_tracefs(r#"bpftrace -e "$SCRIPT""#);
                command.env("SCRIPT", SCRIPT);
                command
            }
            Self::Ss => {
                let mut command = namespace.enter("sh");
                command.args(["-c", LOOP]);
                command
            }
        })
    }

    /// Starts it and waits until it traces. `None` where there is nothing to start.
    pub fn start(self, tools: &Tools, namespace: &Namespace) -> Result<Option<Running>> {
        let Some(mut command) = self.command(tools, namespace) else { return Ok(None) };
        let running = Running::start(self.name(), &mut command)?;
        let traces = || match self {
            Self::Ss => Ok(true),
            Self::Tcpstates | Self::Tcplife | Self::Bpftrace => running.has_attached(),
            _ => running.says("ready"),
        };
        let start = Instant::now();
        while !traces()? {
            ensure!(
                start.elapsed() < PATIENCE,
                "{} does not attach: {}",
                self.name(),
                running.said()
            );
            thread::sleep(PAUSE);
        }
        Ok(Some(running))
    }

    /// How many it should tell of where the load has made so many connections and transitions.
    pub const fn expected(self, load: &Load) -> u64 {
        match self {
            // One when a socket is over.
            Self::Tcplife => 2 * load.connections,
            _ => load.transitions,
        }
    }
}

/// `tcptrace watch` as it is without any flags, but with a record of its own.
pub fn watch(tools: &Tools, flags: &[&str]) -> Command {
    let mut command = Command::new(&tools.tcptrace);
    command.args(["watch", "--output", "json", "--record"]).arg(record()).args(flags);
    command
}

/// Where it records, which is empty when it starts.
fn record() -> PathBuf {
    let dir = target().join("bench-record");
    let _ = fs::remove_dir_all(&dir);
    dir
}

/// A tracer at work, and what it has said. Dropping it ends it.
pub struct Running {
    name: &'static str,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    /// Starts `command`.
    pub fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let [out, err] = ["out", "err"].map(|end| target().join(format!("bench-tracer.{end}")));
        command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(&err)?);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child, out, err })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What its programs in the kernel have done, by tracepoint.
    pub fn runs(&self) -> Result<BTreeMap<String, Runs>> {
        account::runs(self.pid())
    }

    /// Nanoseconds on a processor, system calls included.
    pub fn processor_time(&self) -> Result<u64> {
        account::processor_time(self.pid())
    }

    fn has_attached(&self) -> Result<bool> {
        account::has_attached(self.pid(), thread::available_parallelism()?.get())
            .with_context(|| format!("{} has ended: {}", self.name, self.said()))
    }

    /// Whether it has said this line on stderr.
    pub fn says(&self, line: &str) -> Result<bool> {
        if !Path::new(&format!("/proc/{}/fd/0", self.pid())).exists() {
            bail!("{} has ended: {}", self.name, self.said());
        }
        Ok(read(&self.err).lines().any(|said| said == line))
    }

    fn said(&self) -> String {
        let said = read(&self.err);
        said.lines().next_back().unwrap_or("it says nothing").to_owned()
    }

    /// Waits until it prints no more, ends it in order, and takes what it has printed.
    pub fn finish(mut self) -> Result<Printed> {
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let (mut last, mut since) = (size(&self.out), Instant::now());
        while since.elapsed() < QUIET {
            thread::sleep(PAUSE);
            let now = size(&self.out);
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        run(Command::new("kill").args(["-INT", &self.pid().to_string()]))?;
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(start.elapsed() < PATIENCE, "{} does not end", self.name);
            thread::sleep(PAUSE);
        }
        Ok(Printed { out: read(&self.out), err: read(&self.err) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a tool has printed from its start to its end.
pub struct Printed {
    out: String,
    err: String,
}

/// What became of the transitions that there were.
#[derive(Clone, Copy, Debug)]
pub struct Delivered {
    /// Those that were told of.
    pub told: u64,
    /// Those that found no room on their way to user space, by the tool's own account.
    pub ring: u64,
    /// All that are missing, by its own account.
    pub admitted: u64,
}

impl Printed {
    /// Lines about the connections of a listener at `port`, and what `tracer` says is missing.
    pub fn delivered(&self, tracer: Tracer, port: u16) -> Result<Delivered> {
        if tracer.is_ours() {
            let summary = self.out.lines().next_back().context("tcptrace has said nothing")?;
            let summary: Value = serde_json::from_str(summary)?;
            let count = |value: &Value| value.as_u64().context("a summary without its counts");
            let told = count(&summary["transitions"])?;
            let ring = count(&summary["lost"]["ring"])?;
            let skipped = summary["lost"]["recursion"].as_u64().unwrap_or(0);
            return Ok(Delivered { told, ring, admitted: ring + skipped });
        }
        let port = port.to_string();
        let about = |line: &&str| line.split_whitespace().any(|word| word == port);
        let told = self.out.lines().filter(about).count() as u64;
        // "Lost 128 events", "lost 128 events on CPU #1!"
        let lost = |line: &str| {
            let rest = line.to_lowercase();
            rest.split_once("lost ")?.1.split(' ').next()?.parse::<u64>().ok()
        };
        let lines = self.err.lines().chain(self.out.lines().filter(|line| !about(line)));
        let ring = lines.filter_map(lost).sum();
        Ok(Delivered { told, ring, admitted: ring })
    }
}

fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
    read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(tracer: Tracer, out: &str, err: &str) -> Delivered {
        let printed = Printed { out: out.to_owned(), err: err.to_owned() };
        printed.delivered(tracer, 4711).unwrap()
    }

    #[test]
    fn lines_of_other_connections_do_not_count() {
        let out = "SKADDR PID COMM LADDR LPORT RADDR RPORT OLDSTATE -> NEWSTATE MS\n\
                   ffff8880 12 load 127.0.0.1 4711 127.0.0.1 40000 SYN_RECV -> ESTABLISHED 0.000\n\
                   ffff8881 12 load 127.0.0.1 40000 127.0.0.1 4711 CLOSE -> SYN_SENT 0.000\n\
                   ffff8882 13 curl 10.0.0.1 40001 10.0.0.2 443 CLOSE -> SYN_SENT 0.000\n";
        let seen = delivered(Tracer::Tcpstates, out, "lost 128 events on CPU #1\nlost 2 events\n");
        assert_eq!((seen.told, seen.ring, seen.admitted), (2, 130, 130));
        let out = format!("Attaching 1 probe...\n{out}Lost 7 events\n");
        let seen = delivered(Tracer::Bpftrace, &out, "");
        assert_eq!((seen.told, seen.admitted), (2, 7));
    }

    #[test]
    fn tcptrace_says_itself_what_it_has_seen() {
        let out = r#"{"type":"group"}
{"type":"summary","transitions":90,"lost":{"ring":7,"recursion":3}}
"#;
        let seen = delivered(Tracer::Watch, out, "ready\n");
        assert_eq!((seen.told, seen.ring, seen.admitted), (90, 7, 10));
    }
}
