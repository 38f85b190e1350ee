//! Losing on purpose: what is lost is counted, all is as the kernel shows it two seconds later, and
//! nobody is accused of a socket that is gone. These tests have the machine for themselves.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::actor::{Actor, Sock};
use crate::bpf::recursion_misses;
use crate::host::{Namespace, census, counter, report, wait_until};
use crate::load::{accounted, churn, made};
use crate::metrics::Served;
use crate::watcher::DEADLINE;
use crate::{PROBE, Probe, withheld};

pub fn trials() -> Vec<Trial> {
    crate::trials_alone![
        a_tiny_ring,
        a_tiny_ring_of_the_classic_probe,
        ten_seconds_without_a_reader,
        softirqs_that_interrupt_the_program,
    ]
}

/// So long after the flood everything is known again.
const REPAIRED: Duration = Duration::from_secs(2);
/// Longer than it takes to look once, and not long enough for other figures.
const SCRAPE: Duration = Duration::from_millis(800);
/// How many leaks there are of each kind: begun before the flood, ended in it, begun in it.
const EACH: usize = 20;
/// When the flood is under way, in connections.
const UNDER_WAY: u64 = 1_000;

/// Who leaks, and who watches, in a namespace of their own.
struct Scene<'a> {
    namespace: &'a Namespace,
    served: Served,
    server: Actor,
    client: Actor,
    listener: Sock,
    /// What they have made so far.
    transitions: u64,
    /// What the kernel had withheld before.
    withheld: u64,
}

impl<'a> Scene<'a> {
    fn start(namespace: &'a Namespace, args: &[&str]) -> Self {
        let withheld = withheld::so_far();
        let base = ["--netns", &namespace.name, "--close-wait", "1s", "--no-record"];
        let served = Served::start(&[&base, args].concat());
        let (mut server, client) = (Actor::start_in(namespace), Actor::start_in(namespace));
        let listener = server.listen("127.0.0.1");
        Self { namespace, served, server, client, listener, transitions: 1, withheld }
    }

    fn pid(&self) -> Pid {
        self.served.tcptrace.pid()
    }

    /// A connection whose client has closed.
    fn leak(&mut self) -> Sock {
        let there = self.client.connect("127.0.0.1", self.listener.local_port);
        let here = self.server.accept(self.listener);
        self.client.close(there);
        self.transitions += 8;
        here
    }

    fn leaks(&mut self) -> Vec<Sock> {
        (0..EACH).map(|_| self.leak()).collect()
    }

    fn end(&mut self, socket: Sock) {
        self.server.close(socket);
        self.transitions += 2;
    }

    /// Waits until it is told of, and looks whether it is there.
    fn is_told(&mut self, socket: Sock) {
        let alert = self.served.tcptrace.alert(socket.cookie, "firing");
        let (pid, fd) = (&alert["blame"]["pid"], &alert["holders"][0]["fds"][0]);
        assert_eq!(*pid, self.server.pid(), "{alert:#}");
        let there = fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
        assert_eq!(there.to_str(), Some(&*format!("socket:[{}]", alert["inode"])), "{alert:#}");
    }

    /// What is tracked: half-closed sockets by state, then all; and the same by `ss`.
    fn tracked(&self) -> ([u64; 3], [u64; 3]) {
        let half_closed =
            |state: &str| format!("tcptrace_half_closed_sockets{{state=\"{state}\"}}");
        let all = "tcptrace_tracked_sockets".to_owned();
        let known = [half_closed("CLOSE_WAIT"), half_closed("FIN_WAIT2"), all];
        let known = known.map(|sample| self.served.value(&sample) as u64);
        let there = census(Some(self.namespace));
        let of = |state: &str| there.get(state).copied().unwrap_or_default();
        (known, [of("CLOSE-WAIT"), of("FIN-WAIT-2"), there.values().sum()])
    }
}

/// Connections that were made, and the listeners that took them.
type Made = (usize, u64);

/// Leaks that begin, leaks that end and leaks that are over before anybody need be told of them,
/// while `flood` goes on; if `unread`, nobody reads what the kernel has to tell of it.
///
/// All events were seen or are known to be lost, but for those that the kernel withheld; the classic
/// probe can know of others besides. Returns the summary.
fn lose(mut scene: Scene<'_>, unread: bool, flood: impl FnOnce() -> Made + Send) -> Value {
    let old = scene.leaks();
    for &socket in &old {
        scene.is_told(socket);
    }
    let brief = scene.leaks();
    if unread {
        kill_process(scene.pid(), Signal::STOP).unwrap();
    }
    let (mut new, namespace) = (Vec::new(), scene.namespace);
    let opened = || counter(namespace, "TcpActiveOpens");
    let enough = opened() + UNDER_WAY;
    let (connections, listeners) = thread::scope(|threads| {
        let flood = threads.spawn(flood);
        wait_until("no flood", opened, |&opened| opened >= enough);
        for &socket in brief.iter().chain(&old) {
            scene.end(socket);
        }
        new = scene.leaks();
        flood.join().unwrap()
    });
    kill_process(scene.pid(), Signal::CONT).unwrap();
    let by_address = PROBE.get() == Probe::Classic;
    let over = Instant::now();
    for &socket in &new {
        scene.is_told(socket);
    }
    for socket in &old {
        scene.served.tcptrace.alert(socket.cookie, "resolved");
    }
    let told = over.elapsed();
    assert!(told <= REPAIRED, "told of all after {told:?}");
    thread::sleep(REPAIRED.saturating_sub(told));
    let look = || scene.tracked();
    wait_until("other sockets than there are", look, |(known, there)| {
        // The classic probe does not say where a socket is: those are all.
        known == there || by_address
    });
    let repaired = over.elapsed();
    assert!(repaired <= REPAIRED + SCRAPE, "as it is after {repaired:?}");
    let made = made(namespace, connections as u64, listeners) + scene.transitions;
    let mut rest = scene.served.tcptrace.stop();
    let summary = rest.pop().unwrap();
    let alerts: Vec<_> = rest.iter().filter(|line| line["type"] == "alert").collect();
    assert_eq!(alerts, [&Value::Null; 0], "nobody else is accused");
    assert_eq!(summary["alerts"], 2 * EACH, "{summary:#}");
    let accounted = accounted(&summary);
    let withheld = withheld::so_far() - scene.withheld;
    // Others may be lost as well, and the classic probe sees those of all namespaces.
    let seen = summary["transitions"].as_u64().unwrap();
    assert!(by_address || seen <= made, "{seen} of {made}: {summary:#}");
    assert!(
        accounted + withheld >= made,
        "{accounted} of {made}, {withheld} withheld: {summary:#}"
    );
    report(&json!({
        "made": made,
        "accounted": accounted,
        "withheld": withheld,
        "lost": summary["lost"],
        "repaired": summary["repaired"],
        "told_after_ms": told.as_millis() as u64,
    }));
    summary
}

/// Connections for at least so long.
fn flood(namespace: &Namespace, at_least: Duration) -> Made {
    const AT_ONCE: usize = 10_000;
    let began = Instant::now();
    let (mut connections, mut listeners) = (0, 0);
    while began.elapsed() < at_least {
        listeners += churn(namespace, AT_ONCE, true);
        connections += AT_ONCE;
    }
    (connections, listeners)
}

fn check_most_is_lost(summary: &Value) {
    let count = |value: &Value| value.as_u64().unwrap();
    assert!(count(&summary["lost"]["ring"]) > 10_000, "little was lost: {summary:#}");
    assert!(count(&summary["repaired"]) > 0, "{summary:#}");
}

fn a_tiny_ring() {
    let namespace = Namespace::new();
    let scene = Scene::start(&namespace, &["--ring-size", "4096"]);
    check_most_is_lost(&lose(scene, false, || flood(&namespace, Duration::from_secs(2))));
}

fn a_tiny_ring_of_the_classic_probe() {
    let namespace = Namespace::new();
    PROBE.set(Probe::Classic);
    let scene = Scene::start(&namespace, &["--ring-size", "4096"]);
    check_most_is_lost(&lose(scene, false, || flood(&namespace, Duration::from_secs(2))));
}

fn ten_seconds_without_a_reader() {
    let namespace = Namespace::new();
    let scene = Scene::start(&namespace, &[]);
    check_most_is_lost(&lose(scene, true, || flood(&namespace, Duration::from_secs(10))));
}

fn softirqs_that_interrupt_the_program() {
    let namespace = Namespace::new();
    // What is sent is taken in on any CPU, in the middle of whatever it does.
    let cpus = thread::available_parallelism().unwrap().get().min(32);
    let all = (1u64 << cpus) - 1;
    let spread = format!("echo {all:x} > /sys/class/net/lo/queues/rx-0/rps_cpus");
    namespace.exec(&["sh", "-c", &spread]);
    // So much room that what is missing was skipped, however late the ring is read.
    let scene = Scene::start(&namespace, &["--ring-size", "16777216"]);
    let pid = scene.pid();
    let skipped = || recursion_misses(pid, "transition");
    let summary = lose(scene, false, || {
        let deadline = Instant::now() + DEADLINE;
        let mut made = (0, 0);
        while made.0 == 0 || skipped() == 0 {
            assert!(Instant::now() < deadline, "{} connections, nothing was skipped", made.0);
            let flood = || flood(&namespace, Duration::from_secs(1));
            let (one, other) = thread::scope(|threads| {
                let other = threads.spawn(flood);
                (flood(), other.join().unwrap())
            });
            made = (made.0 + one.0 + other.0, made.1 + one.1 + other.1);
        }
        made
    });
    assert_eq!(summary["lost"]["ring"], 0, "{summary:#}");
}
