//! `tcptrace watch` on the causes it knows.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::actor::{Actor, Sock};
use crate::host::{Namespace, ss};
use crate::watcher::{Tcptrace, command, ended_by};
use crate::{PROBE, Probe};

pub fn trials() -> Vec<Trial> {
    crate::trials_of_both_probes![
        eof_unread,
        drained,
        data_unread,
        never_accepted,
        shut_down_and_waiting_for_a_local_peer,
        send_blocked,
        in_another_namespace,
        never_accepted_in_another_namespace,
        ipv6_and_mapped,
        passed_to_another_process,
        inherited_by_a_child,
        a_half_close_in_use_is_left_alone,
        there_first,
        there_first_in_three_namespaces_of_which_one_goes,
        filters_match_holders,
        hostile_names,
    ]
}

/// The threshold of most tests. Nothing waits for it by sleeping.
pub const THRESHOLD: &str = "500ms";
const THRESHOLD_MS: u64 = 500;

pub fn watch(args: &[&str]) -> Tcptrace {
    let base = ["watch", "--close-wait", THRESHOLD, "--fin-wait-2", THRESHOLD, "--no-record"];
    Tcptrace::start(&[&base, args].concat())
}

/// A connection: the server's end, the client's, and the listener.
pub struct Pair {
    pub listener: Sock,
    pub server: Sock,
    pub client: Sock,
}

pub fn pair(server: &mut Actor, client: &mut Actor, address: &str) -> Pair {
    let listener = server.listen(address);
    let client = client.connect(address, listener.local_port);
    Pair { listener, server: server.accept(listener), client }
}

pub fn pids(holders: &Value) -> Vec<u64> {
    holders.as_array().unwrap().iter().map(|holder| holder["pid"].as_u64().unwrap()).collect()
}

/// Checks what every alert must say, against the actor that is to blame and the clock of the test.
pub fn check(alert: &Value, state: &str, verdict: &str, blamed: Option<u32>, began: Instant) {
    assert_eq!(alert["state"], state, "{alert:#}");
    assert_eq!(alert["verdict"], verdict, "{alert:#}");
    assert_eq!(alert["blame"]["pid"].as_u64(), blamed.map(u64::from), "{alert:#}");
    assert_eq!(alert["age_is"], "exact", "{alert:#}");
    let age = Duration::from_millis(alert["age_ms"].as_u64().unwrap());
    assert!(age >= Duration::from_millis(THRESHOLD_MS), "{alert:#}");
    assert!(age <= began.elapsed(), "older than the scenario: {alert:#}");
    assert_eq!(alert["threshold_ms"], THRESHOLD_MS);
}

fn eof_unread() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    let began = Instant::now();
    client.close(pair.client);
    let alert = watch.alert(pair.server.cookie, "firing");
    check(&alert, "CLOSE_WAIT", "eof_unread", Some(server.pid()), began);
    assert_eq!(pids(&alert["holders"]), [u64::from(server.pid())]);
    assert_eq!(alert["local"], format!("127.0.0.1:{}", pair.listener.local_port));
    assert_eq!(alert["remote"], format!("127.0.0.1:{}", pair.client.local_port));
    assert_eq!(alert["confidence"], "low");
    let shown = ss(None, pair.listener.local_port);
    assert_eq!((shown[0].state.as_str(), shown[0].recv_queue), ("CLOSE-WAIT", 1));
    assert_eq!(alert["evidence"]["recv_queue"], shown[0].recv_queue);
    assert_eq!(shown[0].pids, [server.pid()]);
    let holder = &alert["holders"][0];
    let exe = std::env::current_exe().unwrap();
    assert_eq!(holder["exe"], exe.to_str().unwrap());
    assert_eq!(holder["cmdline"][1], "actor");
    assert_eq!(holder["uid"], 0);
    assert_eq!(holder["fds"].as_array().unwrap().len(), 1);
}

fn drained() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.send(pair.client, 10);
    let began = Instant::now();
    client.close(pair.client);
    assert_eq!(server.recv(pair.server), 10);
    assert_eq!(server.recv(pair.server), 0);
    let alert = watch.alert(pair.server.cookie, "firing");
    // Without evidence of the read nobody knows whether the program saw the end of file.
    let verdict = if PROBE.get() == Probe::Btf { "eof_read" } else { "drained" };
    check(&alert, "CLOSE_WAIT", verdict, Some(server.pid()), began);
    assert_eq!(ss(None, pair.listener.local_port)[0].recv_queue, 0);
}

fn data_unread() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.send(pair.client, 10);
    let began = Instant::now();
    client.close(pair.client);
    let alert = watch.alert(pair.server.cookie, "firing");
    check(&alert, "CLOSE_WAIT", "data_unread", Some(server.pid()), began);
    let shown = ss(None, pair.listener.local_port);
    assert_eq!(shown[0].recv_queue, 11, "ten bytes and the FIN");
    assert_eq!(alert["evidence"]["recv_queue"], 11);
}

fn check_never_accepted(mut server: Actor, mut client: Actor, args: &[&str]) {
    let mut watch = watch(args);
    let listener = server.listen("127.0.0.1");
    let socket = client.connect("127.0.0.1", listener.local_port);
    let began = Instant::now();
    client.close(socket);
    let [local, remote] =
        [listener, socket].map(|socket| format!("127.0.0.1:{}", socket.local_port));
    let alert = watch.alert_between(&local, &remote, "not_accepted");
    check(&alert, "CLOSE_WAIT", "not_accepted", Some(server.pid()), began);
    assert_eq!(pids(&alert["holders"]), [0u64; 0]);
    assert_eq!(alert["inode"], Value::Null);
    assert_eq!(alert["confidence"], "high");
    // Accepted and closed after all.
    let accepted = server.accept(listener);
    assert_eq!(alert["cookie"], accepted.cookie.to_string());
    server.close(accepted);
    let resolved = watch.alert(accepted.cookie, "resolved");
    assert_eq!(resolved["id"], alert["id"]);
    assert_eq!(resolved["ended_by"], ended_by("closed"), "an unread end of file is no unread data");
}

fn never_accepted() {
    check_never_accepted(Actor::start(), Actor::start(), &[]);
}

fn never_accepted_in_another_namespace() {
    let namespace = Namespace::new();
    let inside = || Actor::start_in(&namespace);
    check_never_accepted(inside(), inside(), &["--netns", &namespace.name]);
}

fn shut_down_and_waiting_for_a_local_peer() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    let began = Instant::now();
    client.shutdown_sending(pair.client);
    let alert = watch.alert(pair.client.cookie, "firing");
    check(&alert, "FIN_WAIT2", "peer_not_closing", Some(server.pid()), began);
    assert_eq!(pids(&alert["holders"]), [u64::from(client.pid())]);
    assert_eq!(pids(&alert["peer_holders"]), [u64::from(server.pid())]);
    assert_eq!(alert["ends_by_itself"], Value::Null, "it waits for ever");
    assert_eq!(ss(None, pair.client.local_port)[0].state, "FIN-WAIT-2");
    server.close(pair.server);
    let resolved = watch.alert(pair.client.cookie, "resolved");
    assert_eq!(resolved["ended_by"], ended_by("peer_closed"));
}

fn send_blocked() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    let taken = server.fill(pair.server);
    assert!(taken > 0);
    let began = Instant::now();
    client.shutdown_sending(pair.client);
    let alert = watch.alert(pair.server.cookie, "firing");
    check(&alert, "CLOSE_WAIT", "send_blocked", Some(server.pid()), began);
    assert!(ss(None, pair.listener.local_port)[0].send_queue > 0);
    assert!(alert["evidence"]["send_queue"].as_u64().unwrap() > 0);
}

fn in_another_namespace() {
    let namespace = Namespace::new();
    let (mut server, mut client) = (Actor::start_in(&namespace), Actor::start_in(&namespace));
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    let began = Instant::now();
    client.close(pair.client);
    let alert = watch.alert(pair.server.cookie, "firing");
    check(&alert, "CLOSE_WAIT", "eof_unread", Some(server.pid()), began);
    assert_eq!(alert["netns"], namespace.inode);
}

fn ipv6_and_mapped() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let v6 = pair(&mut server, &mut client, "::1");
    let listener = server.listen("::");
    let mapped_client = client.connect("127.0.0.1", listener.local_port);
    let mapped = server.accept(listener);
    let began = Instant::now();
    client.close(v6.client);
    client.close(mapped_client);
    let alert = watch.alert(v6.server.cookie, "firing");
    check(&alert, "CLOSE_WAIT", "eof_unread", Some(server.pid()), began);
    assert_eq!(alert["local"], format!("[::1]:{}", v6.listener.local_port));
    let alert = watch.alert(mapped.cookie, "firing");
    check(&alert, "CLOSE_WAIT", "eof_unread", Some(server.pid()), began);
    assert_eq!(alert["local"], format!("[::ffff:127.0.0.1]:{}", listener.local_port));
}

fn passed_to_another_process() {
    let (mut server, mut client, mut heir) = (Actor::start(), Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    server.pass(pair.server, &mut heir);
    let began = Instant::now();
    client.close(pair.client);
    let alert = watch.alert(pair.server.cookie, "firing");
    check(&alert, "CLOSE_WAIT", "eof_unread", Some(heir.pid()), began);
    assert_eq!(pids(&alert["holders"]), [u64::from(heir.pid())]);
    assert_eq!(ss(None, pair.listener.local_port)[0].pids, [heir.pid()]);
}

fn inherited_by_a_child() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    let child = server.inherit(pair.server);
    let began = Instant::now();
    client.close(pair.client);
    let alert = watch.alert(pair.server.cookie, "firing");
    // Both hold it: the parent is the ancestor of the two.
    check(&alert, "CLOSE_WAIT", "eof_unread", Some(server.pid()), began);
    assert_eq!(alert["blame"]["candidates"], serde_json::json!([child]));
    let holders: HashSet<_> = pids(&alert["holders"]).into_iter().collect();
    assert_eq!(holders, HashSet::from([u64::from(server.pid()), u64::from(child)]));
}

fn a_half_close_in_use_is_left_alone() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let used = pair(&mut server, &mut client, "127.0.0.1");
    client.shutdown_sending(used.client);
    client.swallow(used.client);
    server.stream(used.server, Duration::from_millis(20));
    // One that is really stuck, begun later, tells when several thresholds have passed.
    for _ in 0..3 {
        let stuck = pair(&mut server, &mut client, "127.0.0.1");
        client.close(stuck.client);
        watch.alert(stuck.server.cookie, "firing");
    }
    let ours = [used.server.cookie.to_string(), used.client.cookie.to_string()];
    let accused = |line: &&Value| ours.iter().any(|cookie| line["cookie"] == *cookie);
    assert_eq!(watch.seen.iter().find(accused), None);
    // No longer in use, it is told: both ends of it.
    server.stop_streaming();
    assert_eq!(watch.alert(used.client.cookie, "firing")["verdict"], "peer_not_closing");
    assert_eq!(watch.alert(used.server.cookie, "firing")["verdict"], "eof_unread");
}

fn there_first() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    let before = Instant::now();
    client.close(pair.client);
    let after = Instant::now();
    let mut watch = watch(&[]);
    let alert = watch.alert(pair.server.cookie, "firing");
    let now = Instant::now();
    assert_eq!(alert["verdict"], "eof_unread");
    assert_eq!(alert["blame"]["pid"], server.pid());
    assert_eq!(alert["age_is"], "at_least");
    let millis = |value: &Value| Duration::from_millis(value.as_u64().unwrap());
    // The kernel counts in ticks of up to ten milliseconds.
    let tick = Duration::from_millis(10);
    assert!(millis(&alert["age_ms"]) <= now - before + tick, "{alert:#}");
    assert!(millis(&alert["age_max_ms"]) + tick >= Duration::from_millis(THRESHOLD_MS));
    assert!(after <= now);
}

fn filters_match_holders() {
    let (mut wanted, mut other) = (Actor::start(), Actor::start());
    let mut client = Actor::start();
    let pid = wanted.pid().to_string();
    let mut watch = watch(&["--pid", &pid]);
    let unwanted = pair(&mut other, &mut client, "127.0.0.1");
    client.close(unwanted.client);
    let ours = pair(&mut wanted, &mut client, "127.0.0.1");
    client.close(ours.client);
    watch.alert(ours.server.cookie, "firing");
    let rest = watch.stop();
    let alerts = rest.iter().filter(|line| line["type"] == "alert");
    assert_eq!(alerts.count(), 0, "nobody else's");
}

fn hostile_names() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    server.set_name(b"\x1b[31m\xff\"\n<b>");
    let mut json = watch(&[]);
    let mut text = Tcptrace::spawn(command().args(["watch", "--close-wait", THRESHOLD, "--each"]));
    text.wait_ready();
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    let alert = json.alert(pair.server.cookie, "firing");
    assert_eq!(alert["blame"]["comm"], "\u{1b}[31m\u{fffd}\"\n<b>");
    let port = format!("127.0.0.1:{}", pair.listener.local_port);
    let line = text.wait_for_text(|line| line.contains(&port));
    assert!(line.contains(r#"\u{1b}[31m"#) && line.contains(r"\u{a}<b>["), "{line}");
    assert!(!line.contains('\u{1b}'));
}

fn there_first_in_three_namespaces_of_which_one_goes() {
    let mut namespaces: Vec<_> = (0..3).map(|_| Namespace::new()).collect();
    let mut leaks = Vec::new();
    for namespace in &namespaces {
        let (mut server, mut client) = (Actor::start_in(namespace), Actor::start_in(namespace));
        let pair = pair(&mut server, &mut client, "127.0.0.1");
        client.close(pair.client);
        let unaccepted = client.connect("127.0.0.1", pair.listener.local_port);
        client.close(unaccepted);
        leaks.push((server, pair));
    }
    let mut watch = watch(&[]);
    for ((server, pair), namespace) in leaks.iter_mut().zip(&namespaces) {
        let alert = watch.alert(pair.server.cookie, "firing");
        assert_eq!(alert["verdict"], "eof_unread");
        assert_eq!(alert["netns"], namespace.inode);
        assert_eq!(alert["blame"]["pid"], server.pid());
        assert_eq!(alert["age_is"], "at_least");
        let unaccepted = watch.wait_for("unaccepted connection there", |line| {
            line["type"] == "alert"
                && line["verdict"] == "not_accepted"
                && line["netns"] == namespace.inode
        });
        assert_eq!(unaccepted["blame"]["pid"], server.pid());
    }
    // One goes, with everything in it. What is left is still followed, and a new one as well.
    let (mut server, gone) = leaks.remove(0);
    server.kill();
    namespaces.remove(0);
    assert_eq!(watch.alert(gone.server.cookie, "resolved")["ended_by"], ended_by("process_exit"));
    let new = Namespace::new();
    let (mut server, mut client) = (Actor::start_in(&new), Actor::start_in(&new));
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    assert_eq!(watch.alert(pair.server.cookie, "firing")["netns"], new.inode);
    // Nothing of it keeps a namespace alive: no descriptor of one but its own.
    let fds = format!("/proc/{}/fd", watch.pid().as_raw_nonzero());
    let links = std::fs::read_dir(fds).unwrap().map(|fd| std::fs::read_link(fd.unwrap().path()));
    let namespaces: Vec<_> =
        links.flatten().filter(|l| l.to_string_lossy().starts_with("net:")).collect();
    assert_eq!(namespaces, [std::fs::read_link("/proc/self/ns/net").unwrap()]);
}
