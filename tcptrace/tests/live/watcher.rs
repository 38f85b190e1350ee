//! A running tcptrace, and what it prints.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{PROBE, Probe, STACKS};

/// Longer than anything here takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A tcptrace that has said `ready`. Dropping it kills it.
pub struct Tcptrace {
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
    /// Lines that came and were not waited for.
    pub seen: Vec<Value>,
    /// What it said before it was ready.
    pub said: Vec<String>,
}

/// The binary under test, with the probe of this test, and a record of its own if it keeps one.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcptrace"));
    command.env("TCPTRACE_RECORD", fresh_directory());
    // Whatever this machine is configured to.
    command.env("TCPTRACE_CONFIG", "/dev/null");
    let probe = match PROBE.get() {
        Probe::Btf => "btf",
        Probe::Classic => "tracepoint",
    };
    command.env("TCPTRACE_PROBE", probe);
    if !STACKS.get() {
        command.env("TCPTRACE_STACKS", "off");
    }
    command
}

/// A directory that is not there yet.
pub fn fresh_directory() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("record-{}-{number}", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// What is told of a stay that ended so: the classic tracepoint does not see what ends a full
/// socket.
pub fn ended_by(truth: &'static str) -> &'static str {
    match PROBE.get() {
        Probe::Btf => truth,
        Probe::Classic => "unknown",
    }
}

/// Likewise, whether our side sent a reset.
pub fn reset_sent(truth: bool) -> Value {
    match PROBE.get() {
        Probe::Btf => truth.into(),
        Probe::Classic => Value::Null,
    }
}

impl Tcptrace {
    /// Starts it with JSON output and waits until it is ready.
    pub fn start(args: &[&str]) -> Self {
        let mut tcptrace = Self::spawn(command().args(args).args(["-o", "json"]));
        tcptrace.wait_ready();
        tcptrace
    }

    pub fn spawn(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = reader(child.stdout.take().unwrap());
        let errors = reader(child.stderr.take().unwrap());
        Self { child, lines, errors, seen: Vec::new(), said: Vec::new() }
    }

    /// Waits until it says `ready`.
    pub fn wait_ready(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        while let Ok(line) = self.errors.recv_timeout(left(deadline)) {
            if line == "ready" {
                return;
            }
            self.said.push(line);
        }
        panic!("tcptrace did not get ready: {:?}", self.said);
    }

    /// The next line that `wanted` accepts.
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(i) = self.seen.iter().position(&wanted) {
            return self.seen.remove(i);
        }
        let deadline = Instant::now() + DEADLINE;
        while let Ok(line) = self.lines.recv_timeout(left(deadline)) {
            let value: Value = serde_json::from_str(&line)
                .unwrap_or_else(|error| panic!("not JSON: {error}: {line}"));
            if wanted(&value) {
                return value;
            }
            self.seen.push(value);
        }
        let last_words = self.last_words();
        panic!("no {what} came; what came: {:#?}\n{last_words}", self.seen);
    }

    /// Where something is amiss, what it says of itself: on stderr, and in its summary.
    fn last_words(&mut self) -> String {
        let _ = rustix::process::kill_process(self.pid(), rustix::process::Signal::INT);
        let deadline = Instant::now() + DEADLINE;
        let lines = std::iter::from_fn(|| self.lines.recv_timeout(left(deadline)).ok());
        let mut words: Vec<_> = lines.filter(|line| line.contains(r#""type":"summary""#)).collect();
        words.extend(self.errors.try_iter());
        words.join("\n")
    }

    /// The next line of text that `wanted` accepts.
    pub fn wait_for_text(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut lines = std::iter::from_fn(|| self.lines.recv_timeout(left(deadline)).ok());
        lines.find(|line| wanted(line)).expect("the line did not come")
    }

    /// The next line on stderr with `part` in it.
    pub fn wait_for_notice(&mut self, part: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut lines = std::iter::from_fn(|| self.errors.recv_timeout(left(deadline)).ok());
        lines.find(|line| line.contains(part)).expect("the notice did not come")
    }

    /// The next line on stderr that `wanted` accepts.
    pub fn wait_for_error(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut lines = std::iter::from_fn(|| self.errors.recv_timeout(left(deadline)).ok());
        lines.find(|line| wanted(line)).expect("the line did not come")
    }

    /// The alert with this status on the socket with this cookie.
    pub fn alert(&mut self, cookie: u64, status: &str) -> Value {
        let cookie = cookie.to_string();
        let what = format!("{status} alert for cookie {cookie}");
        self.wait_for(&what, |line| {
            line["type"] == "alert" && line["cookie"] == cookie && line["status"] == status
        })
    }

    /// The alert with this verdict on the connection with these ends, where the cookie is not known.
    pub fn alert_between(&mut self, local: &str, remote: &str, verdict: &str) -> Value {
        self.wait_for(&format!("{verdict} alert from {local} to {remote}"), |line| {
            let ends = [&line["local"], &line["remote"]];
            line["type"] == "alert" && ends == [local, remote] && line["verdict"] == verdict
        })
    }

    /// Asks it to end, as ^C does, and returns everything that was not waited for, the summary
    /// last.
    pub fn stop(self) -> Vec<Value> {
        let (status, lines) = self.end(rustix::process::Signal::INT);
        assert!(status.success(), "{status}");
        assert_eq!(lines.last().map(|line| &line["type"]), Some(&"summary".into()));
        lines
    }

    /// Sends it `signal` and returns how it ended and all lines left.
    pub fn end(self, signal: rustix::process::Signal) -> (ExitStatus, Vec<Value>) {
        let (status, lines, _) = self.end_with_errors(signal);
        (status, lines)
    }

    /// The same, and what was said on stderr after `ready`.
    pub fn end_with_errors(
        mut self,
        signal: rustix::process::Signal,
    ) -> (ExitStatus, Vec<Value>, Vec<String>) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
        let status = self.wait();
        let mut lines = std::mem::take(&mut self.seen);
        lines.extend(self.lines.iter().map(|line| serde_json::from_str(&line).unwrap()));
        (status, lines, self.errors.iter().collect())
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "tcptrace did not end");
            thread::yield_now();
        }
    }
}

impl Drop for Tcptrace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// The lines of a pipe, as they come.
pub fn reader(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Runs tcptrace to its end: exit code, stdout, stderr.
pub fn finish(command: &mut Command) -> (Option<i32>, String, String) {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let errors = thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text).unwrap()
    });
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    let code = child.wait().unwrap().code();
    (code, out, errors.join().unwrap())
}
