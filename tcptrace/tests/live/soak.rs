//! Everything at once and for long: what is told is what happened, and nothing of tcptrace grows.
//!
//! Round after round, programs leak in every way among connections that come and go, and end each leak
//! again. `TCPTRACE_SOAK` says for how long, as 2m or 1h.

mod round;

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::Pid;
use serde_json::{Value, json};

use crate::actor::Actor;
use crate::host::{Namespace, OnDrop, census, memory, report, ss, wait_until};
use crate::metrics::Served;
use crate::watch::pair;
use crate::watcher::Tcptrace;
use crate::withheld;
use round::{Script, Watches, round};

pub fn trials() -> Vec<Trial> {
    crate::trials_alone![nothing_grows_and_all_is_told]
}

/// How long, unless the environment says otherwise.
const LENGTH: Duration = Duration::from_secs(120);
/// Rounds until everything is there that tcptrace keeps for good.
const WARM_UP: usize = 4;
/// How much more memory than then the core may have, in kilobytes: a table that has grown once.
const GROWTH: u64 = 2048;
/// And the whole: it keeps 512 copies of stacks, of 16 KiB each, the record remembers what it has
/// written, and what was read to name stacks is given back once a minute.
const GROWTH_WITH_STACKS: u64 = 32 * 1024;

fn length() -> Duration {
    let Ok(text) = std::env::var("TCPTRACE_SOAK") else { return LENGTH };
    let length = text.parse::<jiff::SignedDuration>().ok();
    let length = length.and_then(|length| Duration::try_from(length).ok());
    length.unwrap_or_else(|| panic!("TCPTRACE_SOAK={text}: a duration like 2m or 1h"))
}

fn nothing_grows_and_all_is_told() {
    let length = length();
    let (quiet, busy) = (Namespace::new(), Namespace::new());
    let args = ["--close-wait", "1s", "--fin-wait-2", "1s", "--closed", "1s"];
    let everywhere = Tcptrace::start(&[&["watch"], &args[..]].concat());
    let here = ["--no-record", "--stacks", "off", "--netns", &quiet.name, "--netns", &busy.name];
    let before = withheld::so_far();
    let here = Served::start(&[&args[..], &here].concat());
    let mut churner = Actor::start_in(&busy);
    let (mut server, mut client) = (Actor::start_in(&quiet), Actor::start_in(&quiet));
    // One leak lasts, and one half-close is in use all the time.
    let lasting = pair(&mut server, &mut client, "127.0.0.1");
    client.shutdown_sending(lasting.client);
    let mut last = Script::default();
    last.held(&quiet, &lasting, server.pid());
    let mut watches = Watches { everywhere, here, netns: quiet.inode };
    last.is_told(&mut watches);
    let used = pair(&mut server, &mut client, "127.0.0.1");
    client.shutdown_sending(used.client);
    client.swallow(used.client);
    server.stream(used.server, Duration::from_millis(20));

    let began = Instant::now();
    let (mut told, mut told_here) = (last.len(), last.len());
    let mut sizes = [
        Sizes::of(watches.everywhere.pid(), GROWTH_WITH_STACKS),
        Sizes::of(watches.here.tcptrace.pid(), GROWTH),
    ];
    let (mut rounds, mut forgotten) = (0, 0);
    while began.elapsed() < length || rounds <= WARM_UP {
        let over = AtomicBool::new(false);
        let script = thread::scope(|threads| {
            threads.spawn(|| churn(&mut churner, &over));
            let _over = OnDrop(&over);
            round(&mut watches, &quiet)
        });
        forgotten += check_orphans(&mut watches.here.tcptrace, &busy);
        // Others may leak on this host, in namespaces of their own.
        for watch in [&mut watches.everywhere, &mut watches.here.tcptrace] {
            let besides = watch.seen.drain(..).find(|line| script.is_about(line));
            assert_eq!(besides, None, "in round {rounds}");
        }
        check_tracked(&watches.here, [&quiet, &busy], before);
        sizes.iter_mut().for_each(Sizes::check);
        told += script.len();
        told_here += script.len_in(&quiet);
        rounds += 1;
    }
    server.close(lasting.server);
    last.is_over(&mut watches);
    let Watches { everywhere, here, .. } = watches;
    let (mut left, everywhere) = (here.tcptrace.stop(), everywhere.stop());
    assert_eq!(everywhere.iter().find(|line| last.is_about(line)), None);
    let (here, everywhere) = (left.pop().unwrap(), everywhere.last().unwrap());
    forgotten += orphans_told(&left, &busy).count();
    assert_eq!(here["alerts"], told_here + forgotten, "{here:#}");
    assert!(everywhere["alerts"].as_u64().unwrap() >= told as u64, "{everywhere:#}");
    let memory = |sizes: &Sizes| {
        let kb = &sizes.memory;
        json!({"first_kb": kb.first(), "most_kb": kb.iter().max(), "last_kb": kb.last()})
    };
    report(&json!({
        "rounds": rounds,
        "forgotten": forgotten,
        "seconds": began.elapsed().as_secs(),
        "alerts": told,
        "transitions": here["transitions"],
        "lost": here["lost"],
        "withheld": withheld::so_far() - before,
        "memory": sizes.each_ref().map(memory),
        "descriptors": sizes.each_ref().map(|sizes| sizes.descriptors.iter().max()),
    }));
}

/// Connections until the round is over, with pauses: as much as a busy server makes.
fn churn(churner: &mut Actor, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        churner.churn("127.0.0.1", 100);
        thread::sleep(Duration::from_millis(50));
    }
}

/// As many sockets are known as `ss` shows, now that nothing moves, but for healthy ones whose end the
/// kernel has withheld, of what it `withheld_before` none.
fn check_tracked(watch: &Served, namespaces: [&Namespace; 2], withheld_before: u64) {
    let half_closed = |state: &str| {
        let sample = format!("tcptrace_half_closed_sockets{{state=\"{state}\"}}");
        watch.value(&sample) as u64
    };
    let look = || {
        let known = ["CLOSE_WAIT", "FIN_WAIT2", "CLOSE"].map(half_closed);
        let all_known = watch.value("tcptrace_tracked_sockets") as u64;
        let there = namespaces.map(|namespace| census(Some(namespace)));
        let of = |state| there.iter().filter_map(|census| census.get(state)).sum::<u64>();
        let all = there.iter().flat_map(BTreeMap::values).sum::<u64>();
        let forgotten = namespaces.map(orphans).iter().sum::<u64>();
        // A descriptor whose connection is over is no socket to `ss`; none is left.
        let half_closed = (known, [of("CLOSE-WAIT"), of("FIN-WAIT-2") + forgotten, 0]);
        (half_closed, all_known, all..=all + withheld::so_far() - withheld_before)
    };
    wait_until("other sockets are known than there are", look, |(half_closed, known, there)| {
        half_closed.0 == half_closed.1 && there.contains(known)
    });
}

/// Those whose program is gone and whose peer is too: on two CPUs a FIN can come in just as the kernel gives
/// up the full socket, and is answered by a reset. What stands in for the socket then waits for a minute.
fn orphans(namespace: &Namespace) -> u64 {
    let shown = namespace.exec(&["ss", "-Htano", "state", "fin-wait-2"]);
    shown.lines().filter(|line| line.contains("timer:(timewait")).count() as u64
}

/// Those that were told of where connections only come and go, and nothing else leaks.
fn orphans_told<'a>(told: &'a [Value], busy: &Namespace) -> impl Iterator<Item = &'a Value> {
    let netns = busy.inode;
    told.iter().filter(move |line| {
        line["netns"] == netns && line["verdict"] == "orphan" && line["status"] == "firing"
    })
}

/// Each is there by `ss`, or its peer was late, and closed.
fn check_orphans(watch: &mut Tcptrace, busy: &Namespace) -> usize {
    let told: Vec<_> = orphans_told(&watch.seen, busy).cloned().collect();
    for line in &told {
        let port = line["local"].as_str().unwrap().rsplit(':').next().unwrap();
        let shown = ss(Some(busy), port.parse().unwrap());
        if !shown.iter().any(|socket| socket.state == "FIN-WAIT-2") {
            let over = watch.alert(line["cookie"].as_str().unwrap().parse().unwrap(), "resolved");
            assert_eq!(over["ended_by"], "peer_closed", "{over:#}");
        }
    }
    told.len()
}

/// What a process has, round by round.
struct Sizes {
    pid: Pid,
    growth: u64,
    memory: Vec<u64>,
    descriptors: Vec<usize>,
}

impl Sizes {
    fn of(pid: Pid, growth: u64) -> Self {
        Self { pid, growth, memory: Vec::new(), descriptors: Vec::new() }
    }

    /// Has another look: it has no more than after the warm-up.
    fn check(&mut self) {
        let dir = format!("/proc/{}/fd", self.pid.as_raw_nonzero());
        let descriptors = || fs::read_dir(&dir).unwrap().count();
        let memory = memory(self.pid, "RssAnon");
        if let Some(warm) = self.memory.get(..WARM_UP) {
            let most = warm.iter().max().unwrap() + self.growth;
            assert!(memory <= most, "{memory} kB, after {:?}", self.memory);
            let most = *self.descriptors[..WARM_UP].iter().max().unwrap();
            // The last scrape's may take a moment, and so may a look at namespaces.
            wait_until("more descriptors than before", descriptors, |&now| now <= most);
        }
        self.memory.push(memory);
        self.descriptors.push(descriptors());
    }
}
