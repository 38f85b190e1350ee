//! `tcptrace events`.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::actor::Actor;
use crate::host::{COOKIES, Namespace, kernel_is};
use crate::watcher::{Tcptrace, command, finish};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        the_life_of_a_connection,
        the_life_of_a_connection_by_its_address,
        stops_at_its_limit
    ]
}

/// What the classic tracepoint tells.
fn the_life_of_a_connection_by_its_address() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let listener = server.listen("127.0.0.1");
    let port = listener.local_port.to_string();
    let events = Tcptrace::start(&["events", "--probe", "tracepoint", "--port", &port]);
    let there = client.connect("127.0.0.1", listener.local_port);
    let here = server.accept(listener);
    client.close(there);
    server.close(here);
    let lines = events.stop();
    for line in check_accepted(&lines, there.local_port) {
        assert_eq!((&line["cookie"], &line["netns"]), (&Value::Null, &Value::Null));
    }
    let begun = lines.iter().find(|line| line["new"] == "SYN_SENT").unwrap();
    assert_eq!(begun["on_cpu_pid"], client.pid());
    let (code, _, said) =
        finish(command().args(["events", "--probe", "tracepoint", "--netns", "1"]));
    assert_eq!((code, said.contains("--probe btf")), (Some(1), true), "{said}");
}

/// The life of the socket that was accepted from the client at `port`: one address all along.
fn check_accepted(lines: &[Value], port: u16) -> Vec<&Value> {
    let remote = format!("127.0.0.1:{port}");
    let accepted: Vec<_> = lines.iter().filter(|line| line["remote"] == remote).collect();
    let states: Vec<_> = accepted.iter().map(|line| line["new"].as_str().unwrap()).collect();
    assert!(states.ends_with(&["ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "CLOSE"]), "{lines:#?}");
    // Its first step is reported of its listener before 6.15.
    let own = accepted.iter().filter(|line| line["old"] != "LISTEN");
    assert!(own.clone().all(|line| line["skaddr"] == accepted[accepted.len() - 1]["skaddr"]));
    accepted
}

fn steps(lines: &[Value], cookie: u64) -> Vec<(String, String)> {
    let cookie = cookie.to_string();
    let of_it = lines.iter().filter(|line| line["cookie"] == cookie);
    let state = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    of_it.map(|line| (state(line, "old"), state(line, "new"))).collect()
}

fn the_life_of_a_connection() {
    let namespace = Namespace::new();
    let (mut server, mut client) = (Actor::start_in(&namespace), Actor::start_in(&namespace));
    let events = Tcptrace::start(&["events", "--netns", &namespace.name]);
    let listener = server.listen("127.0.0.1");
    let there = client.connect("127.0.0.1", listener.local_port);
    let here = server.accept(listener);
    client.close(there);
    server.close(here);
    let lines = events.stop();
    let mut transitions = lines.iter().filter(|line| line["type"] == "transition");
    assert!(transitions.all(|line| line["netns"] == namespace.inode && line["skaddr"].is_string()));
    if !kernel_is(COOKIES) {
        let mut transitions = lines.iter().filter(|line| line["type"] == "transition");
        assert!(transitions.all(|line| line["cookie"] == Value::Null), "{lines:#?}");
        check_accepted(&lines, there.local_port);
        return;
    }
    let expect = |cookie, states: &[&str]| {
        let pairs: Vec<_> = states.windows(2).map(|w| (w[0].to_owned(), w[1].to_owned())).collect();
        assert_eq!(steps(&lines, cookie), pairs);
    };
    // Where the kernel reports a child's first step, it is still its listener before 6.15.
    let listener_life = ["CLOSE", "LISTEN", "SYN_RECV"];
    expect(listener.cookie, &listener_life[..if kernel_is((6, 15)) { 2 } else { 3 }]);
    let client_life = ["CLOSE", "SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "CLOSE"];
    expect(there.cookie, &client_life);
    let server_steps = steps(&lines, here.cookie);
    let server_life = ["SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "CLOSE"];
    let last: Vec<_> = server_steps.iter().map(|(old, _)| old.as_str()).collect();
    assert!(last.ends_with(&server_life[..4]), "{server_steps:?}");
    let begun = lines.iter().find(|line| line["new"] == "SYN_SENT").unwrap();
    assert_eq!(begun["on_cpu_pid"], client.pid(), "connect runs in the program itself");
    let cookie = here.cookie.to_string();
    let left = lines.iter().find(|line| line["old"] == "CLOSE_WAIT" && line["cookie"] == cookie);
    assert!(left.unwrap()["in_state_ms"].is_u64());
    let summary = lines.last().unwrap();
    assert_eq!(
        summary["lost"],
        serde_json::json!({ "ring": 0, "recursion": 0, "gaps": 0, "deeds": 0 })
    );
}

fn stops_at_its_limit() {
    let mut actor = Actor::start();
    let child = std::thread::spawn(|| {
        finish(command().args(["events", "--limit", "3", "-o", "json", "--for", "20s"]))
    });
    // Whatever it sees, until it has seen enough.
    while !child.is_finished() {
        let listener = actor.listen("127.0.0.1");
        actor.close(listener);
    }
    let (code, out, _) = child.join().unwrap();
    assert_eq!(code, Some(0));
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let transitions = lines.iter().filter(|line| line["type"] == "transition").count();
    assert_eq!((transitions, lines.len()), (3, 4), "three and the summary");
}
