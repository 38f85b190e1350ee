//! What programs do with sockets whose peer is done: who has read the end of file, who keeps what.

use std::time::Instant;

use libtest_mimic::Trial;

use crate::actor::Actor;
use crate::host::{COOKIES, ITERATOR, copies_stacks, kernel_is, sees_reads};
use crate::watch::{check, pair, pids, watch};
use crate::watcher::Tcptrace;

pub fn trials() -> Vec<Trial> {
    crate::trials![
        read_to_the_end_and_kept,
        what_became_of_the_others_on_the_same_path,
        the_child_reads_and_the_parent_keeps,
        the_parent_reads_and_the_child_keeps,
        shut_down_and_kept,
        reset_and_kept,
        shut_down_after_the_alert,
        never_connected_is_no_leak,
        a_program_that_spins_on_the_end,
        read_again_after_it_was_there_first,
    ]
}

fn read_to_the_end_and_kept() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    let began = Instant::now();
    client.close(pair.client);
    assert_eq!(server.recv(pair.server), 0);
    let alert = watch.alert(pair.server.cookie, "firing");
    if !sees_reads() {
        check(&alert, "CLOSE_WAIT", "drained", Some(server.pid()), began);
        assert_eq!(alert["evidence"]["eof_read_by"], serde_json::Value::Null, "{alert:#}");
        return;
    }
    check(&alert, "CLOSE_WAIT", "eof_read", Some(server.pid()), began);
    assert_eq!(alert["evidence"]["eof_read_by"], server.pid());
    assert!(alert["evidence"]["eof_read_at"].is_string());
    assert_eq!(alert["confidence"], "high");
    if !copies_stacks() {
        assert_eq!(alert["evidence"]["stack"], serde_json::Value::Null, "{alert:#}");
        return;
    }
    // The function that called read, in this very program.
    let stack = alert["evidence"]["stack"].as_array().unwrap();
    let ours = |frame: &serde_json::Value| frame.as_str().unwrap().starts_with("obey (stage.rs:");
    assert!(stack.iter().any(ours), "{stack:#?}");
}

fn what_became_of_the_others_on_the_same_path() {
    const ALL: usize = 8;
    const LEAKED: usize = 3;
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pairs: Vec<_> = (0..ALL).map(|_| pair(&mut server, &mut client, "127.0.0.1")).collect();
    for (i, pair) in pairs.iter().enumerate() {
        client.close(pair.client);
        assert_eq!(server.recv(pair.server), 0);
        if i >= LEAKED {
            server.close(pair.server);
        }
    }
    for pair in &pairs[..LEAKED] {
        let alert = watch.alert(pair.server.cookie, "firing");
        let proof = &alert["evidence"]["proof"];
        if !copies_stacks() {
            assert_eq!(*proof, serde_json::Value::Null, "{alert:#}");
            continue;
        }
        assert_eq!(proof["read"], ALL, "{alert:#}");
        assert_eq!(proof["closed"], ALL - LEAKED, "{alert:#}");
    }
}

fn the_child_reads_and_the_parent_keeps() {
    let (mut server, mut other, mut client) = (Actor::start(), Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    let began = Instant::now();
    // The other one gets a copy, reads to the end and exits; the first keeps its own.
    server.share(pair.server, &mut other);
    client.close(pair.client);
    assert_eq!(other.recv_received(), 0);
    let reader = other.pid();
    other.kill();
    let alert = watch.alert(pair.server.cookie, "firing");
    check(&alert, "CLOSE_WAIT", "shared_fd", Some(server.pid()), began);
    assert_eq!(alert["evidence"]["eof_read_by"], reader);
    assert!(alert["blame"]["why"].as_str().unwrap().contains(&format!("[{reader}]")));
}

fn the_parent_reads_and_the_child_keeps() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    let child = server.inherit(pair.server);
    let began = Instant::now();
    client.close(pair.client);
    assert_eq!(server.recv(pair.server), 0);
    server.close(pair.server);
    let alert = watch.alert(pair.server.cookie, "firing");
    check(&alert, "CLOSE_WAIT", "shared_fd", Some(child), began);
    assert_eq!(pids(&alert["holders"]), [u64::from(child)]);
    assert_eq!(alert["evidence"]["eof_read_by"], server.pid());
}

fn shut_down_and_kept() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&["--closed", "500ms"]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    assert_eq!(server.recv(pair.server), 0);
    let began = Instant::now();
    server.shutdown_both(pair.server);
    if !kernel_is(ITERATOR) {
        return nothing_shows_the_descriptor(watch, &mut server, &mut client);
    }
    let alert = watch.alert(pair.server.cookie, "firing");
    check(&alert, "CLOSE", "closed_not_released", Some(server.pid()), began);
    assert_eq!(alert["confidence"], "high");
    server.close(pair.server);
    assert_eq!(watch.alert(pair.server.cookie, "resolved")["ended_by"], "closed");
}

/// What is left in CLOSE_WAIT is told, and no more.
fn nothing_shows_the_descriptor(mut watch: Tcptrace, server: &mut Actor, client: &mut Actor) {
    let pair = pair(server, client, "127.0.0.1");
    client.close(pair.client);
    watch.alert(pair.server.cookie, "firing");
    let told = watch.stop();
    assert_eq!(told.iter().find(|line| line["state"] == "CLOSE"), None);
}

fn reset_and_kept() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&["--closed", "500ms"]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    server.send(pair.server, 1);
    let began = Instant::now();
    // With a byte unread this is a reset.
    client.close(pair.client);
    if !kernel_is(ITERATOR) {
        return nothing_shows_the_descriptor(watch, &mut server, &mut client);
    }
    let alert = watch.alert(pair.server.cookie, "firing");
    check(&alert, "CLOSE", "closed_not_released", Some(server.pid()), began);
    server.kill();
    assert_eq!(watch.alert(pair.server.cookie, "resolved")["ended_by"], "process_exit");
}

fn shut_down_after_the_alert() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    watch.alert(pair.server.cookie, "firing");
    server.shutdown_both(pair.server);
    assert_eq!(watch.alert(pair.server.cookie, "resolved")["ended_by"], "shutdown");
}

fn never_connected_is_no_leak() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    server.idle_sockets();
    let mut watch = watch(&["--closed", "300ms"]);
    server.idle_sockets();
    // Whatever of these is to be told of is told before this one.
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    watch.alert(pair.server.cookie, "firing");
    let told = watch.stop();
    let about_us = |line: &&serde_json::Value| {
        line["type"] == "alert" && line["blame"]["pid"] == server.pid() && line["state"] == "CLOSE"
    };
    assert_eq!(told.iter().find(about_us), None);
}

fn a_program_that_spins_on_the_end() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    let began = Instant::now();
    client.close(pair.client);
    server.spin(pair.server);
    let alert = watch.alert(pair.server.cookie, "firing");
    check(&alert, "CLOSE_WAIT", "eof_read", Some(server.pid()), began);
    assert_eq!(alert["evidence"]["thread_state"], "running");
    assert!(server.stop_spinning() > 10_000);
    let rest = watch.stop();
    let summary = rest.last().unwrap();
    assert_eq!((&summary["lost"]["deeds"], &summary["lost"]["ring"]), (&0.into(), &0.into()));
}

fn read_again_after_it_was_there_first() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    assert_eq!(server.recv(pair.server), 0);
    // What was read before is not known; what is read from now on is.
    let mut watch = Tcptrace::start(&["watch", "--close-wait", "4s", "--no-record"]);
    assert_eq!(server.recv(pair.server), 0);
    let alert = watch.alert(pair.server.cookie, "firing");
    if !kernel_is(COOKIES) {
        // By its address nobody knows a socket that has not moved.
        assert_eq!(alert["verdict"], "drained", "{alert:#}");
        return;
    }
    assert_eq!((&alert["verdict"], &alert["age_is"]), (&"eof_read".into(), &"at_least".into()));
    assert_eq!(alert["evidence"]["eof_read_by"], server.pid());
}
