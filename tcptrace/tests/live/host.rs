//! The machine the tests run on: privileges, turns, namespaces, and what `ss` and /proc say.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use rustix::process::Pid;

use crate::watcher::DEADLINE;

/// Fails, loudly, where the tests cannot run.
pub fn require_root() -> Result<(), Failed> {
    if rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err("the live tests need root: cargo xtask test".into())
    }
}

/// Keeps heavy tests and light ones apart, also across processes. Held until dropped.
pub fn take_turn(alone: bool) -> io::Result<File> {
    let turn = File::create(std::env::temp_dir().join("tcptrace-live.lock"))?;
    if alone {
        turn.lock()?;
    } else {
        turn.lock_shared()?;
    }
    Ok(turn)
}

/// A network namespace of a test's own, with loopback up.
pub struct Namespace {
    pub name: String,
    pub inode: u32,
}

impl Namespace {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tcptrace-live-{}-{count}", std::process::id());
        run(&["ip", "netns", "add", &name]);
        let inode = fs::metadata(format!("/run/netns/{name}")).unwrap().ino() as u32;
        let namespace = Self { name, inode };
        namespace.exec(&["ip", "link", "set", "lo", "up"]);
        namespace
    }

    /// Waits until every connection in it is over, by `ss`: the last packets of a connection are
    /// handled some time after both programs have closed it.
    pub fn wait_until_quiet(&self) {
        let open = || self.exec(&["ss", "-Htan", "exclude", "time-wait"]);
        wait_until("still open", open, String::is_empty);
    }

    /// Runs a command in it and returns what it printed.
    pub fn exec(&self, command: &[&str]) -> String {
        run(&[&["ip", "netns", "exec", &self.name], command].concat())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

/// Asks `question` again and again until its answer is `wanted`.
pub fn wait_until<T>(
    what: &str,
    mut question: impl FnMut() -> T,
    mut wanted: impl FnMut(&T) -> bool,
) -> T
where
    T: core::fmt::Debug,
{
    let deadline = Instant::now() + DEADLINE;
    loop {
        let answer = question();
        if wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: {answer:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What `/proc/PID/status` has under `name`.
pub fn status(pid: Pid, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().to_owned()
}

/// Memory of a process in kilobytes: what is resident (`VmRSS`), at most was (`VmHWM`), or what of it
/// the process has for itself (`RssAnon`).
pub fn memory(pid: Pid, which: &str) -> u64 {
    status(pid, which).trim_end_matches(" kB").parse().unwrap()
}

/// Runs a command that must succeed and returns what it printed.
pub fn run(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; cargo xtask test installs what the tests need")
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// One of the kernel's counters in `namespace`, by `nstat`.
pub fn counter(namespace: &Namespace, name: &str) -> u64 {
    let shown = namespace.exec(&["nstat", "-asz", name]);
    let line = shown.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// How many sockets there are by state, by `ss`, without those that only stand in for one that is
/// gone or not there yet.
pub fn census(namespace: Option<&Namespace>) -> BTreeMap<String, u64> {
    let command = ["ss", "-Htano", "exclude", "syn-recv", "exclude", "time-wait"];
    let shown = match namespace {
        Some(namespace) => namespace.exec(&command),
        None => run(&command),
    };
    let mut census = BTreeMap::new();
    for line in shown.lines().filter(|line| !line.contains("timer:(timewait")) {
        let state = line.split_whitespace().next().unwrap();
        *census.entry(state.to_owned()).or_default() += 1;
    }
    census
}

/// A line beside the tests' own, for whoever keeps what is found here.
#[expect(clippy::print_stdout, reason = "where the tests report")]
pub fn report(line: &serde_json::Value) {
    println!("{line}");
}

/// Since then `iter/task_file` shows what socket a descriptor is of.
pub const ITERATOR: (u32, u32) = (5, 11);
/// Since then programs are told the current task, and need not read it from memory.
pub const TASK: (u32, u32) = (5, 11);
/// Since then programs may ask for a socket's cookie.
pub const COOKIES: (u32, u32) = (5, 12);
/// Since then they may read a task's registers, which a copied stack is unwound from.
const STACKS: (u32, u32) = (5, 15);
/// Since then there is a tracepoint for what `recv` returned.
pub const RECV_LENGTH: (u32, u32) = (6, 3);

/// Whether the kernel is at least `version`, by its own word.
pub fn kernel_is(version: (u32, u32)) -> bool {
    let release = run(&["uname", "-r"]);
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().unwrap().parse().unwrap();
    (next(), next()) >= version
}

/// What was said on stderr, without the line about holders that comes first where only /proc tells of them.
pub fn besides_holders(said: &str) -> &str {
    if kernel_is(ITERATOR) {
        return said;
    }
    let (notice, rest) = said.split_once('\n').unwrap_or((said, ""));
    assert!(notice.starts_with("holders are read from /proc"), "{said}");
    rest
}

/// Whether a program can be seen to read the end of what its peer sent. Without the tracepoint that takes
/// the end of a function, and on ARM programs cannot be attached to functions before 6.4.
pub fn sees_reads() -> bool {
    cfg!(target_arch = "x86_64") || kernel_is(RECV_LENGTH)
}

/// Whether stacks are copied.
pub fn copies_stacks() -> bool {
    cfg!(target_arch = "x86_64") && kernel_is(STACKS) && !is_confidential()
}

/// Whether the kernel is locked down so far that no program may read its memory.
pub fn is_confidential() -> bool {
    let shown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    shown.contains("[confidentiality]")
}

/// Raises the flag when it goes, also where a test fails.
pub struct OnDrop<'a>(pub &'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A socket as `ss` shows it.
#[derive(Debug, PartialEq, Eq)]
pub struct SsSocket {
    pub state: String,
    pub recv_queue: u32,
    pub send_queue: u32,
    pub pids: Vec<u32>,
}

/// The connections whose local port is `port`, without those that are past their end, by `ss` in
/// `namespace`.
pub fn ss(namespace: Option<&Namespace>, port: u16) -> Vec<SsSocket> {
    let source = format!("sport = :{port}");
    let command = ["ss", "-Htanp", "state", "connected", "exclude", "time-wait", &source];
    let shown = match namespace {
        Some(namespace) => namespace.exec(&command),
        None => run(&command),
    };
    let sockets = shown.lines().map(|line| {
        let mut fields = line.split_whitespace();
        let mut next = || fields.next().unwrap();
        let (state, recv, send) = (next(), next(), next());
        let pids = line
            .split("pid=")
            .skip(1)
            .map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap());
        SsSocket {
            state: state.to_owned(),
            recv_queue: recv.parse().unwrap(),
            send_queue: send.parse().unwrap(),
            pids: pids.collect(),
        }
    });
    sockets.collect()
}
