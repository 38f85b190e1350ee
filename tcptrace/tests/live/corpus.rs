//! The labelled corpus: small real programs in C, Python, Node and Java that leak, or do not, and say
//! themselves what is true. Each is run alone, and all at once; the latter prints the confusion table.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::watcher::Tcptrace;

/// A program of the corpus: how it is run, and its cases.
struct Program {
    name: &'static str,
    leaks: &'static [&'static str],
    innocent: &'static [&'static str],
}

const PROGRAMS: [Program; 4] = [
    Program {
        name: "c",
        leaks: &[
            "eof_unread",
            "eof_read",
            "eof_read_threaded",
            "data_unread",
            "shared_fd_child_reads",
            "shared_fd_inherited",
            "not_accepted",
            "send_blocked",
            "peer_not_closing",
            "orphan",
            "no_fd_in_flight",
            "no_fd_blocked_call",
            "closed_not_released_shutdown",
            "closed_not_released_reset",
            "eof_peeked",
            "drained_splice",
            "passed",
            "prefork_two_holders",
        ],
        innocent: &[
            "streaming_after_half_close",
            "receiving_half_close",
            "proxy_one_direction",
            "only_created_bound_listening_refused",
            "established_idle",
            "closes_in_time",
            "spins_on_eof_then_closes",
        ],
    },
    Program {
        name: "python",
        leaks: &[
            "eof_read",
            "eof_unread_pool",
            "data_unread",
            "shared_fd_multiprocessing",
            "not_accepted",
            "send_blocked",
            "peer_not_closing",
            "closed_not_released",
            "asyncio_half_open",
            "drained_splice",
            "orphan",
        ],
        innocent: &["streaming", "http_keepalive"],
    },
    Program {
        name: "node",
        leaks: &[
            "eof_read_allow_half_open",
            "eof_unread_paused",
            "data_unread_paused",
            "end_not_closed",
        ],
        innocent: &["streaming", "http_keepalive"],
    },
    Program {
        name: "java",
        leaks: &["eof_read", "eof_unread_pool", "data_unread", "not_accepted", "nio_eof_read"],
        innocent: &["streaming"],
    },
];

/// How long any stay may last here.
const THRESHOLD: &str = "1s";

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = cases()
        .map(|case| {
            let name = format!("live::corpus::{}::{}", case.program, case.name);
            crate::trial_of(&name, move || alone(case), false)
        })
        .collect();
    trials.push(crate::trial_of("live::corpus::all_at_once", all_at_once, true));
    trials.push(crate::trial_of("live::corpus::every_case_is_here", every_case_is_here, false));
    trials
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    pub program: &'static str,
    pub name: &'static str,
    pub leaks: bool,
}

fn cases() -> impl Iterator<Item = Case> {
    PROGRAMS.iter().flat_map(|program| {
        let of = |names: &'static [&'static str], leaks| {
            names.iter().map(move |name| Case { program: program.name, name, leaks })
        };
        of(program.leaks, true).chain(of(program.innocent, false))
    })
}

fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/corpus").join(file)
}

/// The C program, compiled once.
fn compiled() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("leak");
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"]).arg(&binary);
        assert!(cc.arg(source("leak.c")).status().unwrap().success(), "{cc:?}");
        binary
    })
}

fn run(program: &str) -> Command {
    let with = |interpreter: &str, file| {
        let mut command = Command::new(interpreter);
        command.arg(source(file));
        command
    };
    match program {
        "c" => Command::new(compiled()),
        "python" => with("python3", "leak.py"),
        "node" => with("node", "leak.mjs"),
        "java" => with("java", "Leak.java"),
        other => panic!("no program {other}"),
    }
}

/// A case that is under way.
pub struct Running {
    case: Case,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    truth: Value,
}

impl Running {
    pub fn start(case: Case) -> Self {
        let mut command = run(case.program);
        command.arg(case.name).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut running = Self { case, child, stdin, stdout, truth: Value::Null };
        running.truth = running.read();
        running
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let name = self.name();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{name}: {error}: {line:?}"))
    }

    fn name(&self) -> String {
        format!("{} {}", self.case.program, self.case.name)
    }

    pub fn leaks(&self) -> &[Value] {
        self.truth["sockets"].as_array().map_or(&[], Vec::as_slice)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Every process that plays a part.
    fn pids(&self) -> BTreeSet<u64> {
        let of = |leak: &Value| {
            let holders = leak["holders"].as_array().cloned().unwrap_or_default();
            holders.iter().chain([&leak["blame"]]).filter_map(Value::as_u64).collect::<Vec<_>>()
        };
        let mut pids: BTreeSet<_> = self.leaks().iter().flat_map(of).collect();
        pids.insert(self.child.id().into());
        pids
    }

    /// Ends the situation; how it says that the stays ended.
    pub fn end(&mut self) -> Value {
        writeln!(self.stdin.as_mut().unwrap(), "end").unwrap();
        self.read()["ended_by"].take()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It ends with its standard input, and its children with it.
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

fn watch() -> Tcptrace {
    let limits = ["--close-wait", THRESHOLD, "--fin-wait-2", THRESHOLD, "--closed", THRESHOLD];
    Tcptrace::start(&[&["watch", "--no-record"], &limits[..]].concat())
}

fn is_alert(line: &Value, status: &str, socket: &Value) -> bool {
    line["type"] == "alert"
        && line["status"] == status
        && line["local"] == socket["local"]
        && line["remote"] == socket["remote"]
        && line["state"] == socket["state"]
}

/// How the stay of the `i`th socket ended: said for each, or once for all.
fn of_socket(ended_by: &Value, i: usize) -> &Value {
    if ended_by.is_array() { &ended_by[i] } else { ended_by }
}

/// What is wrong with `alert`, against the program's own word.
fn compare(alert: &Value, truth: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expect = |what: &str, told: &Value, true_: &Value| {
        if told != true_ {
            wrong.push(format!("{what}: told {told}, true is {true_}"));
        }
    };
    let evidence = &alert["evidence"];
    expect("verdict", &alert["verdict"], &truth["verdict"]);
    expect("blame", &alert["blame"]["pid"], &truth["blame"]);
    expect("held_by", &evidence["held_by"], &truth["held_by"]);
    expect("eof_read_by", &evidence["eof_read_by"], &truth["eof_read_by"]);
    expect("eof_peeked_by", &evidence["eof_peeked_by"], &truth["eof_peeked_by"]);
    let pids = |holders: Vec<&Value>| holders.into_iter().filter_map(Value::as_u64).collect();
    let told: BTreeSet<u64> =
        pids(alert["holders"].as_array().unwrap().iter().map(|holder| &holder["pid"]).collect());
    let there: BTreeSet<u64> = pids(truth["holders"].as_array().unwrap().iter().collect());
    expect("holders", &told.into_iter().collect(), &there.into_iter().collect());
    if let Some(function) = truth["function"].as_str() {
        // Or the alert says why it cannot be shown.
        let stack = evidence["stack"].as_array().map_or(&[][..], Vec::as_slice);
        let shown = stack.iter().any(|frame| frame.as_str().unwrap().contains(function));
        if !shown && evidence["stack_caveat"].is_null() {
            wrong.push(format!("{function} is not in {stack:?}"));
        }
    }
    let at: jiff::Timestamp = alert["at"].as_str().unwrap().parse().unwrap();
    let since = at.as_millisecond() - alert["age_ms"].as_i64().unwrap();
    let between = |key: &str| truth[key].as_i64().unwrap() / 1_000_000;
    // An age is told in whole milliseconds.
    let (earliest, latest) = (between("not_before_ns") - 1, between("not_after_ns") + 2);
    // A lower bound of the age is an upper one of the beginning.
    let exact = alert["age_is"] == "exact";
    if since < earliest || exact && since > latest {
        wrong.push(format!("began at {since}, in truth between {earliest} and {latest}"));
    }
    wrong
}

fn alone(case: Case) {
    let mut watch = watch();
    let mut running = Running::start(case);
    let name = running.name();
    let leaks = running.leaks().to_vec();
    assert_eq!(leaks.is_empty(), !case.leaks, "{name}");
    for leak in &leaks {
        let alert = watch.wait_for(&name, |line| is_alert(line, "firing", leak));
        assert_eq!(compare(&alert, leak), [""; 0], "{name}: {alert:#}");
    }
    // What is told of later than this one has had its time.
    let marker = Running::start(Case { program: "c", name: "eof_unread", leaks: true });
    watch.wait_for("the marker", |line| is_alert(line, "firing", &marker.leaks()[0]));
    let ended_by = running.end();
    for (i, leak) in leaks.iter().enumerate() {
        let resolved = watch.wait_for(&name, |line| is_alert(line, "resolved", leak));
        assert_eq!(resolved["ended_by"], *of_socket(&ended_by, i), "{name}: {resolved:#}");
    }
    let pids = running.pids();
    let told = watch.stop();
    let wrong = told.iter().find(|line| accuses(line, &pids, &leaks));
    assert_eq!(wrong, None, "{name} is accused of what it did not do");
}

/// Whether an alert blames one of `pids` for a socket that is none of `leaks`.
fn accuses(line: &Value, pids: &BTreeSet<u64>, leaks: &[Value]) -> bool {
    let blamed = line["blame"]["pid"].as_u64().is_some_and(|pid| pids.contains(&pid));
    line["type"] == "alert"
        && line["status"] == "firing"
        && blamed
        && !leaks.iter().any(|leak| is_alert(line, "firing", leak))
}

/// All cases at the same time, before the eyes of one tcptrace.
#[expect(clippy::print_stdout, reason = "the table is what this is for")]
fn all_at_once() {
    let mut watch = watch();
    let mut running: Vec<_> = cases().map(Running::start).collect();
    let mut table = BTreeMap::<(String, String), usize>::new();
    let mut failures = Vec::new();
    for case in &running {
        for leak in case.leaks() {
            let name = case.name();
            let alert = watch.wait_for(&name, |line| is_alert(line, "firing", leak));
            let words = |value: &Value| value.as_str().unwrap_or("?").to_owned();
            let cell = (words(&leak["verdict"]), words(&alert["verdict"]));
            *table.entry(cell).or_default() += 1;
            failures.extend(compare(&alert, leak).into_iter().map(|why| format!("{name}: {why}")));
        }
    }
    let marker = Running::start(Case { program: "c", name: "eof_unread", leaks: true });
    watch.wait_for("the marker", |line| is_alert(line, "firing", &marker.leaks()[0]));
    for case in &mut running {
        let (name, ended_by) = (case.name(), case.end());
        for (i, leak) in case.leaks().iter().enumerate() {
            let resolved = watch.wait_for(&name, |line| is_alert(line, "resolved", leak));
            let (told, truth) = (&resolved["ended_by"], of_socket(&ended_by, i));
            if told != truth {
                failures.push(format!("{name}: ended_by: told {told}, true is {truth}"));
            }
        }
    }
    let told = watch.stop();
    let leaks: Vec<_> = running.iter().flat_map(Running::leaks).cloned().collect();
    let pids = running.iter().flat_map(Running::pids).collect();
    let accused = told.iter().filter(|line| accuses(line, &pids, &leaks));
    failures.extend(accused.map(|line| format!("a wrong accusation: {line:#}")));
    println!("{:<22}{:<22}{:>5}", "true", "told", "");
    for ((truth, told), count) in &table {
        let mark = if truth == told { "" } else { "  WRONG" };
        println!("{truth:<22}{told:<22}{count:>5}{mark}");
    }
    let innocent = cases().filter(|case| !case.leaks).count();
    let accused = failures.iter().filter(|why| why.starts_with("a wrong")).count();
    println!("{innocent} innocent programs, {accused} wrong accusations");
    assert_eq!(failures, [""; 0]);
}

/// No case is left out by mistake.
fn every_case_is_here() {
    for program in &PROGRAMS {
        let output = run(program.name).arg("--list").output().unwrap();
        let listed = String::from_utf8(output.stdout).unwrap();
        let listed: BTreeSet<_> = listed.lines().map(str::to_owned).collect();
        let of = |names: &[&str], kind: &str| {
            names.iter().map(|name| format!("{name} {kind}")).collect::<Vec<_>>()
        };
        let here = [of(program.leaks, "leak"), of(program.innocent, "innocent")].concat();
        assert_eq!(listed, here.into_iter().collect(), "{}", program.name);
    }
}
