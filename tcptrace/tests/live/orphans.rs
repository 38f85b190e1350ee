//! Sockets that were closed and wait for their peer, to their real end.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;

use crate::actor::Actor;
use crate::host::{Namespace, ss};
use crate::watch::{check, pair, watch};
use crate::watcher::ended_by;

pub fn trials() -> Vec<Trial> {
    crate::trials_of_both_probes![
        kept_as_a_socket,
        to_its_real_end,
        whose_peer_closes,
        while_nothing_can_be_looked_at,
        held_then_orphaned_keeps_its_clock,
    ]
}

fn kept_as_a_socket() {
    // Past 60 s the kernel keeps the full socket for the excess.
    let namespace = Namespace::new();
    namespace.exec(&["sysctl", "-q", "-w", "net.ipv4.tcp_fin_timeout=90"]);
    let (mut server, mut client) = (Actor::start_in(&namespace), Actor::start_in(&namespace));
    let mut watch = watch(&["--netns", &namespace.name]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    let began = Instant::now();
    client.close(pair.client);
    let alert = watch.alert(pair.client.cookie, "firing");
    check(&alert, "FIN_WAIT2", "orphan", None, began);
    assert_eq!(alert["blame"], Value::Null);
    assert_eq!(alert["ends_by_itself"]["by"], "fin_timeout");
    let shown = ss(Some(&namespace), pair.client.local_port);
    assert_eq!((shown[0].state.as_str(), shown[0].pids.len()), ("FIN-WAIT-2", 0));
    server.close(pair.server);
    let resolved = watch.alert(pair.client.cookie, "resolved");
    assert_eq!(resolved["ended_by"], ended_by("peer_closed"));
}

fn to_its_real_end() {
    let namespace = Namespace::new();
    // Long enough for an emulated `ss` to find it.
    namespace.exec(&["sysctl", "-q", "-w", "net.ipv4.tcp_fin_timeout=5"]);
    let (mut server, mut client) = (Actor::start_in(&namespace), Actor::start_in(&namespace));
    let mut watch = watch(&["--netns", &namespace.name]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    let closed = Instant::now();
    let alert = watch.alert(pair.client.cookie, "firing");
    assert_eq!((&alert["verdict"], &alert["blame"]), (&"orphan".into(), &Value::Null));
    assert_eq!(alert["ends_by_itself"]["by"], "fin_timeout");
    assert_eq!(ss(Some(&namespace), pair.client.local_port)[0].state, "FIN-WAIT-2");
    let resolved = watch.alert(pair.client.cookie, "resolved");
    assert_eq!(resolved["ended_by"], "expired");
    assert_eq!(resolved["id"], alert["id"]);
    assert!(closed.elapsed() > Duration::from_millis(4900), "{:?}", closed.elapsed());
    assert_eq!(ss(Some(&namespace), pair.client.local_port), []);
}

fn whose_peer_closes() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    assert_eq!(watch.alert(pair.client.cookie, "firing")["verdict"], "orphan");
    server.close(pair.server);
    assert_eq!(watch.alert(pair.client.cookie, "resolved")["ended_by"], "peer_closed");
}

/// Without a descriptor nothing can be looked at, which does not mean that nothing is there.
fn while_nothing_can_be_looked_at() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    assert_eq!(watch.alert(pair.client.cookie, "firing")["verdict"], "orphan");
    let (pid, usual) = (watch.pid(), getrlimit(Resource::Nofile));
    let limit = |limit| prlimit(Some(pid), Resource::Nofile, limit).unwrap();
    limit(Rlimit { current: Some(0), ..usual });
    watch.wait_for_notice("cannot look for orphans, trying again");
    limit(usual);
    let began = jiff::Timestamp::now();
    server.close(pair.server);
    let resolved = watch.alert(pair.client.cookie, "resolved");
    assert_eq!(resolved["ended_by"], "peer_closed");
    let at: jiff::Timestamp = resolved["at"].as_str().unwrap().parse().unwrap();
    assert!(at >= began, "it was over before it was: {resolved:#}");
}

fn held_then_orphaned_keeps_its_clock() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.shutdown_sending(pair.client);
    let held = watch.alert(pair.client.cookie, "firing");
    assert_eq!(held["verdict"], "peer_not_closing");
    client.close(pair.client);
    let resolved = watch.alert(pair.client.cookie, "resolved");
    assert_eq!((&resolved["id"], &resolved["ended_by"]), (&held["id"], &ended_by("closed").into()));
    let orphan = watch.alert(pair.client.cookie, "firing");
    assert_eq!((&orphan["verdict"], &orphan["blame"]), (&"orphan".into(), &Value::Null));
    assert_ne!(orphan["id"], held["id"]);
    assert!(orphan["age_ms"].as_u64() >= resolved["age_ms"].as_u64(), "the clock goes on");
}
