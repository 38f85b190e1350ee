//! Much at once. These tests have the machine for themselves.

use std::collections::HashSet;
use std::process::Stdio;

use libtest_mimic::Trial;
use rustix::process::Pid;
use serde_json::Value;

use crate::actor::Actor;
use crate::host::{Namespace, counter, memory, ss, status, wait_until};
use crate::watcher::{Tcptrace, command};
use crate::withheld;

pub fn trials() -> Vec<Trial> {
    crate::trials_alone![
        churn_is_accounted_for,
        a_reader_that_stops_reading,
        addresses_are_used_again,
        a_thousand_namespaces,
        active_closes_leave_nothing,
    ]
}

/// Events of one connection that the client closes first: five on each side.
const TRANSITIONS: u64 = 10;

/// Events that `connections` connections through `listeners` listeners have made in `namespace`, by
/// the generator's count. A listener makes two. A connection that is reset goes from CLOSE_WAIT
/// straight to CLOSE, one event less: on a busy loopback a packet can find neither the socket nor
/// the minisocket that is taking its place. The kernel counts those.
pub fn made(namespace: &Namespace, connections: u64, listeners: u64) -> u64 {
    TRANSITIONS * connections + 2 * listeners - counter(namespace, "TcpEstabResets")
}

/// Makes `connections` connections inside `namespace` and, unless there are `others`, waits until all
/// are over. Few enough to each port that its TIME_WAITs do not use up the local ports. Returns how many
/// listeners there were.
pub fn churn(namespace: &Namespace, connections: usize, others: bool) -> u64 {
    const TO_ONE_PORT: usize = 10_000;
    let listeners = churn_in_bursts(namespace, connections, TO_ONE_PORT, || ());
    if !others {
        namespace.wait_until_quiet();
    }
    listeners
}

/// As [`churn`], without others and with a rest after each half of what the ring has room for: once
/// tcptrace (`reader`) is asleep, at most a quarter of it is full. However slow this machine is, the
/// ring loses nothing, unless its reader waits for something else. Returns how many listeners there
/// were.
fn churn_with_rests(namespace: &Namespace, connections: usize, reader: Pid) -> u64 {
    /// That of `watch`, and that of `events`, which is twice as large and whose records are.
    const RECORDS: usize = 1 << 14;
    let listeners =
        churn_in_bursts(namespace, connections, RECORDS / 2 / TRANSITIONS as usize, || {
            let state = || status(reader, "State");
            wait_until("not asleep", state, |state| state.starts_with('S'));
        });
    namespace.wait_until_quiet();
    listeners
}

fn churn_in_bursts(
    namespace: &Namespace,
    connections: usize,
    at_once: usize,
    mut rest: impl FnMut(),
) -> u64 {
    // A port in TIME_WAIT for a second may be taken again on loopback, and then events are fewer.
    namespace.exec(&["sh", "-c", "echo 0 > /proc/sys/net/ipv4/tcp_tw_reuse"]);
    let mut actor = Actor::start_in(namespace);
    for begun in (0..connections).step_by(at_once) {
        actor.churn("127.0.0.1", at_once.min(connections - begun));
        rest();
    }
    connections.div_ceil(at_once) as u64
}

/// Transitions that were seen, and those that are known to be lost.
pub fn accounted(summary: &Value) -> u64 {
    let count = |value: &Value| value.as_u64().unwrap();
    let lost = &summary["lost"];
    // Before Linux 6.7 the kernel does not tell of the classic tracepoint.
    let skipped = lost["recursion"].as_u64().unwrap_or(0);
    count(&summary["transitions"]) + count(&lost["ring"]) + skipped
}

/// All that were made were seen or are known to be lost, but for those that the kernel `withheld`.
pub fn check_account(accounted: u64, made: u64, withheld: u64, summary: &Value) {
    let account = format!("{accounted} of {made}, {withheld} withheld: {summary:#}");
    assert!((made.saturating_sub(withheld)..=made).contains(&accounted), "{account}");
}

/// It is nobody's fault here what the kernel skipped (as it does with one processor) or `withheld`.
pub fn check_gaps(summary: &Value, withheld: u64) {
    let lost = |kind: &str| summary["lost"][kind].as_u64().unwrap();
    assert!(lost("gaps") <= lost("recursion") + withheld, "{withheld} withheld: {summary:#}");
}

fn churn_is_accounted_for() {
    const CONNECTIONS: usize = 200_000;
    let namespace = Namespace::new();
    let before = withheld::so_far();
    let watch = Tcptrace::start(&["watch", "--netns", &namespace.name, "--no-record"]);
    let listeners = churn_with_rests(&namespace, CONNECTIONS, watch.pid());
    let lines = watch.stop();
    let summary = lines.last().unwrap();
    let made = made(&namespace, CONNECTIONS as u64, listeners);
    check_account(accounted(summary), made, withheld::so_far() - before, summary);
    assert_eq!(summary["lost"]["ring"], 0, "{summary:#}");
    assert_eq!(lines.len(), 1, "nothing was stuck: {lines:#?}");
}

fn a_reader_that_stops_reading() {
    const CONNECTIONS: usize = 20_000;
    let namespace = Namespace::new();
    let mut events = command();
    events.args(["events", "--netns", &namespace.name, "-o", "json"]);
    let before = withheld::so_far();
    // Nobody reads this pipe until the run is over.
    let mut child = events.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while line.trim() != "ready" {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut stderr, &mut line).unwrap() > 0);
    }
    let pid = Pid::from_child(&child);
    let listeners = churn_with_rests(&namespace, CONNECTIONS, pid);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let mut said = String::new();
    std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("summary"), "the last line is missing: {said}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.last().unwrap();
    let count = |value: &Value| value.as_u64().unwrap();
    let written = lines.len() as u64 - 1;
    let made = made(&namespace, CONNECTIONS as u64, listeners);
    let lost = count(&summary["lost"]["ring"]) + count(&summary["lost"]["recursion"]);
    assert!(count(&summary["unwritten"]) > 0, "{summary:#}");
    let accounted = written + count(&summary["unwritten"]) + lost;
    check_account(accounted, made, withheld::so_far() - before, summary);
    assert_eq!(count(&summary["lost"]["ring"]), 0, "{summary:#}");
}

/// Thousands of sockets share a few addresses, some of which leak: the classic probe, which knows
/// sockets by nothing else, mistakes none for another.
fn addresses_are_used_again() {
    const ROUNDS: usize = 20;
    let namespace = Namespace::new();
    let before = withheld::so_far();
    let mut watch = Tcptrace::start(&[
        "watch",
        "--probe",
        "tracepoint",
        "--netns",
        &namespace.name,
        "--close-wait",
        "500ms",
        "--no-record",
    ]);
    let mut events = Tcptrace::start(&["events", "--probe", "tracepoint"]);
    let (mut server, mut client) = (Actor::start_in(&namespace), Actor::start_in(&namespace));
    let listener = server.listen("127.0.0.1");
    let mut leaked = HashSet::new();
    for round in 0..ROUNDS {
        let there = client.connect("127.0.0.1", listener.local_port);
        let here = server.accept(listener);
        client.close(there);
        churn(&namespace, 500, true);
        let alert = watch.alert(here.cookie, "firing");
        assert_eq!(
            (&alert["blame"]["pid"], &alert["age_is"]),
            (&server.pid().into(), &"exact".into())
        );
        leaked.insert(here.cookie);
        if round % 2 == 0 {
            server.close(here);
            watch.alert(here.cookie, "resolved");
            leaked.remove(&here.cookie);
        }
    }
    let last = format!("127.0.0.1:{}", listener.local_port);
    events.wait_for("last event", |line| line["local"] == last && line["new"] == "CLOSE");
    let addresses: HashSet<_> = events.seen.iter().map(|line| line["skaddr"].to_string()).collect();
    assert!(addresses.len() < ROUNDS * 500, "no address was used again: {}", addresses.len());
    let rest = watch.stop();
    let summary = rest.last().unwrap();
    assert_eq!(summary["alerts"], ROUNDS, "{summary:#}");
    let firing = rest.iter().filter(|line| line["type"] == "alert");
    assert_eq!(firing.count(), 0, "nobody else was accused: {rest:#?}");
    assert_eq!(ss(Some(&namespace), listener.local_port).len(), leaked.len());
    check_gaps(summary, withheld::so_far() - before);
}

fn a_thousand_namespaces() {
    let namespaces: Vec<_> = (0..1000).map(|_| Namespace::new()).collect();
    let last = namespaces.last().unwrap();
    let (mut server, mut client) = (Actor::start_in(last), Actor::start_in(last));
    let listener = server.listen("127.0.0.1");
    let unaccepted = client.connect("127.0.0.1", listener.local_port);
    client.close(unaccepted);
    let mut watch = Tcptrace::start(&["watch", "--close-wait", "500ms", "--no-record"]);
    let alert = watch.wait_for("unaccepted connection", |line| {
        line["type"] == "alert" && line["netns"] == last.inode
    });
    assert_eq!(alert["verdict"], "not_accepted");
    assert_eq!(alert["blame"]["pid"], server.pid());
}

fn active_closes_leave_nothing() {
    let namespace = Namespace::new();
    let watch = Tcptrace::start(&["watch", "--netns", &namespace.name, "--no-record"]);
    // The ring's own pages show as resident once they have been written to.
    churn(&namespace, 30_000, false);
    let before = memory(watch.pid(), "VmRSS");
    churn(&namespace, 100_000, false);
    let after = memory(watch.pid(), "VmRSS");
    assert!(after < before + 2048, "grew from {before} kB to {after} kB");
    let lines = watch.stop();
    assert_eq!(lines.len(), 1, "nothing to tell: {lines:#?}");
}
