//! Code paths: which code opened a connection, and which shut it down or closed it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::actor::Actor;
use crate::watch::{pair, watch};
use crate::watcher::Tcptrace;

pub fn trials() -> Vec<Trial> {
    crate::trials![
        who_connected_and_never_looked_again,
        who_shut_down_sending,
        who_closed_what_its_peer_keeps,
        who_accepted_if_asked,
        nobody_is_asked_who_accepts,
        two_paths_of_one_process_are_two_groups,
        an_event_loop_leads_with_the_connect,
        without_stacks_there_are_none,
        python_functions_are_told_apart,
        python_that_begins_later_is_known_from_its_first_stack,
    ]
}

/// A frame of the function that does what the test tells it, in this very program.
fn is_ours(frame: &Value) -> bool {
    frame.as_str().unwrap().starts_with("obey (stage.rs:")
}

fn shows_ours(stack: &Value) -> bool {
    stack.as_array().is_some_and(|stack| stack.iter().any(is_ours))
}

fn who_connected_and_never_looked_again() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let kept = pair(&mut server, &mut client, "127.0.0.1");
    let closed = pair(&mut server, &mut client, "127.0.0.1");
    client.close(closed.client);
    server.close(closed.server);
    server.close(kept.server);
    let alert = watch.alert(kept.client.cookie, "firing");
    assert_eq!(alert["verdict"], "eof_unread");
    let opened = &alert["evidence"]["opened"];
    assert_eq!(opened["by"], "connect", "{alert:#}");
    assert!(shows_ours(&opened["stack"]), "{alert:#}");
    assert_eq!((&opened["proof"]["opened"], &opened["proof"]["closed"]), (&2.into(), &1.into()));
    let group =
        watch.wait_for("group", |line| line["group"] == alert["group"] && line["type"] == "group");
    assert_eq!(group["key"]["code_did"], "connect");
    assert!(group["key"]["code_path"].as_str().unwrap().contains("obey (stage.rs:"), "{group:#}");
}

fn who_shut_down_sending() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.shutdown_sending(pair.client);
    let alert = watch.alert(pair.client.cookie, "firing");
    assert_eq!(alert["verdict"], "peer_not_closing");
    assert_eq!(alert["evidence"]["stack_of"], "shutdown");
    assert!(shows_ours(&alert["evidence"]["stack"]), "{alert:#}");
    assert!(shows_ours(&alert["evidence"]["opened"]["stack"]), "{alert:#}");
    // The peer is to blame, and this is not its code.
    let group =
        watch.wait_for("group", |line| line["group"] == alert["group"] && line["type"] == "group");
    assert_eq!(group["key"]["code_path"], Value::Null);
}

fn who_closed_what_its_peer_keeps() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    let alert = watch.alert(pair.client.cookie, "firing");
    assert_eq!(alert["verdict"], "orphan");
    assert_eq!(alert["evidence"]["stack_of"], "shutdown");
    let stack = alert["evidence"]["stack"].as_array().unwrap();
    assert!(stack.iter().any(is_ours), "{stack:#?}");
}

fn who_accepted_if_asked() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&["--stacks", "all"]);
    let closed = pair(&mut server, &mut client, "127.0.0.1");
    server.close(closed.server);
    client.close(closed.client);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    let alert = watch.alert(pair.server.cookie, "firing");
    let opened = &alert["evidence"]["opened"];
    assert_eq!(opened["by"], "accept", "{alert:#}");
    assert!(shows_ours(&opened["stack"]), "{alert:#}");
    assert_eq!((&opened["proof"]["opened"], &opened["proof"]["closed"]), (&2.into(), &1.into()));
}

fn nobody_is_asked_who_accepts() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    assert_eq!(watch.alert(pair.server.cookie, "firing")["evidence"]["opened"], Value::Null);
}

fn two_paths_of_one_process_are_two_groups() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let listener = server.listen("127.0.0.1");
    let one = client.connect("127.0.0.1", listener.local_port);
    server.accept(listener);
    let other = client.connect_otherwise("127.0.0.1", listener.local_port);
    server.accept(listener);
    server.kill();
    let one = watch.alert(one.cookie, "firing");
    let other = watch.alert(other.cookie, "firing");
    assert_eq!((&one["verdict"], &other["verdict"]), (&"eof_unread".into(), &"eof_unread".into()));
    assert_ne!(one["group"], other["group"], "{one:#}\n{other:#}");
    let named = |alert: &Value, function: &str| {
        let stack = alert["evidence"]["opened"]["stack"].as_array().unwrap();
        stack.iter().any(|frame| frame.as_str().unwrap().contains(function))
    };
    assert!(named(&other, "connect_in_a_function_of_its_own"), "{other:#}");
    assert!(!named(&one, "connect_in_a_function_of_its_own"), "{one:#}");
}

/// A node that reads the end of file in libuv's loop and does not close.
pub struct Node {
    child: Child,
    local: String,
}

impl Node {
    pub fn start(port: u16) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/code/client.mjs");
        let mut child = Command::new("node")
            .args(["--perf-basic-prof", "--interpreted-frames-native-stack"])
            .arg(source)
            .arg(port.to_string())
            // Where it leaves its logs.
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut local = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut local).unwrap();
        Self { child, local: local.trim().to_owned() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.stdin.take().map(|mut stdin| stdin.write_all(b"end\n"));
        let _ = self.child.wait();
        let _ = std::fs::remove_file(format!("/tmp/perf-{}.map", self.child.id()));
    }
}

fn an_event_loop_leads_with_the_connect() {
    let mut server = Actor::start();
    let mut watch = watch(&[]);
    let listener = server.listen("127.0.0.1");
    let node = Node::start(listener.local_port);
    let accepted = server.accept(listener);
    server.close(accepted);
    let remote = format!("127.0.0.1:{}", listener.local_port);
    let alert = watch.alert_between(&node.local, &remote, "eof_read");
    assert_eq!(alert["blame"]["pid"], node.child.id());
    let caveat = alert["evidence"]["stack_caveat"].as_str().unwrap_or_default();
    assert!(caveat.contains("an event loop"), "{alert:#}");
    let group =
        watch.wait_for("group", |line| line["group"] == alert["group"] && line["type"] == "group");
    assert_eq!(group["key"]["code_did"], "connect", "{group:#}");
    // Node itself puts the system call off to the end of its tick, where the caller is gone.
    let stack = alert["evidence"]["opened"]["stack"].as_array().unwrap();
    let named = stack.iter().any(|frame| frame.as_str().unwrap().contains("internalConnect"));
    assert!(named, "{stack:#?}");
}

fn python_functions_are_told_apart() {
    let server = start_server();
    tell_apart(server, watch(&[]));
}

fn python_that_begins_later_is_known_from_its_first_stack() {
    let watch = watch(&[]);
    tell_apart(start_server(), watch);
}

/// A Python server, and which of its functions are where.
fn start_server() -> (Child, Value) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/code/server.py");
    let mut child = Command::new("python3.11")
        .arg(source)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut truth = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut truth).unwrap();
    (child, serde_json::from_str(&truth).unwrap())
}

/// Calls from Python to Python have no C stack of their own: only their frames tell two handlers apart.
fn tell_apart((mut child, truth): (Child, Value), mut watch: Tcptrace) {
    let port = truth["port"].as_u64().unwrap() as u16;
    for kind in ["o", "i", "O", "I"] {
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let [local, remote] =
            [client.peer_addr(), client.local_addr()].map(|end| end.unwrap().to_string());
        (&client).write_all(kind.as_bytes()).unwrap();
        drop(client);
        let alert = watch.alert_between(&local, &remote, "eof_read");
        let stack = alert["evidence"]["stack"].as_array().unwrap();
        let (name, line) = (&truth["functions"][kind][0], &truth["functions"][kind][1]);
        let wanted = format!("{} (server.py:{line})", name.as_str().unwrap());
        assert!(stack.iter().any(|frame| *frame == *wanted), "{wanted}: {stack:#?}");
        for (_, other) in truth["functions"].as_object().unwrap() {
            let named =
                |frame: &Value| frame.as_str().unwrap().starts_with(other[0].as_str().unwrap());
            assert_eq!(stack.iter().any(named), other[0] == *name, "{stack:#?}");
        }
        assert_eq!(alert["evidence"]["stack_caveat"], Value::Null, "{alert:#}");
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

fn without_stacks_there_are_none() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&["--stacks", "off"]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    server.close(pair.server);
    let evidence = &watch.alert(pair.client.cookie, "firing")["evidence"];
    assert_eq!((&evidence["stack"], &evidence["opened"]), (&Value::Null, &Value::Null));
}
