//! How stays end, and what follows.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::actor::Actor;
use crate::host::{TASK, is_confidential, kernel_is, ss};
use crate::watch::{THRESHOLD, pair, watch};
use crate::watcher::{Tcptrace, ended_by, reset_sent};

pub fn trials() -> Vec<Trial> {
    crate::trials_of_both_probes![
        closed_and_resolved,
        killed_and_resolved,
        reset_by_closing_with_data_unread,
        reset_by_the_peer,
        two_thousand_in_one_process,
        reconnected_is_another_episode,
    ]
}

fn closed_and_resolved() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    let firing = watch.alert(pair.server.cookie, "firing");
    assert_eq!(server.recv(pair.server), 0);
    server.close(pair.server);
    let resolved = watch.alert(pair.server.cookie, "resolved");
    assert_eq!(resolved["id"], firing["id"]);
    assert_eq!(resolved["ended_by"], ended_by("closed"));
    assert!(resolved["age_ms"].as_u64() >= firing["age_ms"].as_u64());
    let rest = watch.stop();
    let again = |line: &&Value| line["type"] == "alert" && line["id"] == firing["id"];
    assert_eq!(rest.iter().filter(again).count(), 0, "told once each");
    let group = |status: &str| {
        let ours = |line: &&Value| line["group"] == firing["group"] && line["status"] == status;
        rest.iter().filter(|line| line["type"] == "group").filter(ours).count()
    };
    assert_eq!((group("firing"), group("resolved")), (1, 1));
}

fn killed_and_resolved() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    watch.alert(pair.server.cookie, "firing");
    server.kill();
    let resolved = watch.alert(pair.server.cookie, "resolved");
    if is_confidential() && !kernel_is(TASK) {
        // Who closes is told by kernel memory, which no program may read there.
        assert_eq!(resolved["ended_by"], "unknown");
        return;
    }
    assert_eq!(resolved["ended_by"], ended_by("process_exit"));
    assert_eq!(resolved["evidence"]["reset_sent"], reset_sent(false), "nothing was unread");
}

fn reset_by_closing_with_data_unread() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.send(pair.client, 10);
    client.shutdown_sending(pair.client);
    watch.alert(pair.server.cookie, "firing");
    watch.alert(pair.client.cookie, "firing");
    server.close(pair.server);
    let resolved = watch.alert(pair.server.cookie, "resolved");
    assert_eq!(resolved["ended_by"], ended_by("closed_with_reset"));
    assert_eq!(resolved["evidence"]["reset_sent"], reset_sent(true));
    let resolved = watch.alert(pair.client.cookie, "resolved");
    assert_eq!(resolved["ended_by"], ended_by("reset_by_peer"));
}

fn reset_by_the_peer() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    server.send(pair.server, 10);
    client.shutdown_sending(pair.client);
    watch.alert(pair.server.cookie, "firing");
    // The client closes with the server's ten bytes unread.
    client.close(pair.client);
    let resolved = watch.alert(pair.server.cookie, "resolved");
    assert_eq!(resolved["ended_by"], ended_by("reset_by_peer"));
}

fn two_thousand_in_one_process() {
    const COUNT: usize = 2000;
    let (mut server, mut client) = (Actor::start(), Actor::start());
    // Nobody asks about the other ends. These are held, since an orphan may reset its peer after a minute.
    let args = ["watch", "--close-wait", THRESHOLD, "--fin-wait-2", "1h", "--no-record"];
    let mut watch = Tcptrace::start(&args);
    let listener = server.listen("127.0.0.1");
    let began = Instant::now();
    let mut stuck = HashSet::new();
    for _ in 0..COUNT {
        let there = client.connect("127.0.0.1", listener.local_port);
        stuck.insert(server.accept(listener).cookie.to_string());
        client.shutdown_sending(there);
    }
    let mut told = HashSet::new();
    let mut groups = HashSet::new();
    while told.len() < COUNT {
        let local = format!("127.0.0.1:{}", listener.local_port);
        let alert = watch.wait_for("alert", |line| {
            line["type"] == "alert" && line["status"] == "firing" && line["local"] == local
        });
        assert_eq!(alert["blame"]["pid"], server.pid());
        groups.insert(alert["group"].as_str().unwrap().to_owned());
        let cookie = alert["cookie"].as_str().unwrap().to_owned();
        assert!(told.insert(cookie), "told twice: {alert:#}");
    }
    assert_eq!(told, stuck);
    assert_eq!(groups.len(), 1);
    let shown = ss(None, listener.local_port);
    assert_eq!(shown.iter().filter(|s| s.state == "CLOSE-WAIT").count(), COUNT);
    server.kill();
    let group = groups.into_iter().next().unwrap();
    let resolved = watch.wait_for("resolved group", |line| {
        line["type"] == "group" && line["status"] == "resolved" && line["group"] == group
    });
    let rest = watch.stop();
    let of_group = rest.iter().filter(|line| line["group"] == resolved["group"]);
    let resolved = of_group.clone().filter(|line| line["status"] == "resolved");
    assert_eq!(resolved.filter(|line| line["ended_by"] == ended_by("process_exit")).count(), COUNT);
    let messages = of_group.filter(|line| line["type"] == "group").count();
    // It grows at the most 10 s after the first, 20 s after that, and so on; and in the end it is over.
    let seconds = began.elapsed().as_secs();
    let grown = (1..).take_while(|&times| 10 * ((1 << times) - 1) <= seconds).count();
    assert!((1..=2 + grown).contains(&messages), "{messages} messages in {seconds} s");
}

fn reconnected_is_another_episode() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let listener = server.listen("127.0.0.1");
    let there = client.connect("127.0.0.1", listener.local_port);
    let here = server.accept(listener);
    server.close(here);
    let first = watch.alert(there.cookie, "firing");
    client.reconnect(there, "127.0.0.1", listener.local_port);
    let resolved = watch.alert(there.cookie, "resolved");
    assert_eq!(resolved["id"], first["id"]);
    let again = server.accept(listener);
    let began = Instant::now();
    server.close(again);
    let second = watch.alert(there.cookie, "firing");
    assert_ne!(second["id"], first["id"], "same socket, same cookie, another connection");
    let age = Duration::from_millis(second["age_ms"].as_u64().unwrap());
    assert!(age <= began.elapsed(), "its own clock");
}
