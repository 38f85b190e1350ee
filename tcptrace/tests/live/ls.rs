//! `tcptrace ls`.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::actor::Actor;
use crate::host::{Namespace, ss, wait_until};
use crate::watcher::{command, finish};

pub fn trials() -> Vec<Trial> {
    crate::trials![every_kind_in_one_namespace, without_the_right_to_load_programs]
}

fn ls(args: &[&str]) -> Vec<Value> {
    let (code, out, err) = finish(command().arg("ls").args(args).args(["-o", "json"]));
    assert_eq!(code, Some(0), "{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn every_kind_in_one_namespace() {
    let namespace = Namespace::new();
    let (mut server, mut client) = (Actor::start_in(&namespace), Actor::start_in(&namespace));
    let listener = server.listen("127.0.0.1");
    let mut connect = || {
        let there = client.connect("127.0.0.1", listener.local_port);
        let here = server.accept(listener);
        (there, here)
    };
    let (unread, waiting, closed) = (connect(), connect(), connect());
    let (healthy, _) = connect();
    client.send(unread.0, 4);
    client.close(unread.0);
    client.shutdown_sending(waiting.0);
    client.close(closed.0);
    let unaccepted = client.connect("127.0.0.1", listener.local_port);
    client.close(unaccepted);

    let half_closed = |port| {
        let sockets = ss(Some(&namespace), port).into_iter();
        sockets.filter(|s| s.state == "CLOSE-WAIT" || s.state == "FIN-WAIT-2").count()
    };
    let ports = [unread.0, waiting.0, closed.0, unaccepted].map(|socket| socket.local_port);
    let by_ss = || ports.into_iter().chain([listener.local_port]).map(half_closed).sum::<usize>();
    // A FIN may be acknowledged only after 40 ms.
    wait_until("both ends of four connections", by_ss, |shown| *shown == 8);
    let lines = ls(&["--netns", &namespace.name]);
    let find = |cookie: u64| {
        let cookie = cookie.to_string();
        lines.iter().find(move |line| line["cookie"] == cookie)
    };
    let verdict = |cookie| find(cookie).map(|line| line["verdict"].as_str().unwrap());
    assert_eq!(verdict(unread.1.cookie), Some("data_unread"));
    assert_eq!(verdict(waiting.0.cookie), Some("peer_not_closing"));
    assert_eq!(verdict(waiting.1.cookie), Some("eof_unread"));
    assert_eq!(verdict(closed.0.cookie), Some("orphan"), "a minisocket with its old cookie");
    assert_eq!(verdict(healthy.cookie), None);
    let not_accepted: Vec<_> =
        lines.iter().filter(|line| line["verdict"] == "not_accepted").collect();
    assert_eq!(not_accepted.len(), 1);
    assert_eq!(not_accepted[0]["blame"]["pid"], server.pid());
    assert!(lines.iter().all(|line| line["type"] == "socket" && line["age_is"] == "at_least"));
    assert_eq!(lines.len(), by_ss());
    assert_eq!(ls(&["--netns", &namespace.name, "--verdict", "orphan"]).len(), 3);
    assert_eq!(ls(&["--netns", &namespace.name, "--min-age", "1h"]).len(), 0);
}

/// CAP_BPF is what loading takes. Everything else stays, so `/proc` still shows who holds what.
fn without_the_right_to_load_programs() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let listener = server.listen("127.0.0.1");
    let there = client.connect("127.0.0.1", listener.local_port);
    let here = server.accept(listener);
    client.close(there);
    let port = listener.local_port.to_string();
    let mut without = std::process::Command::new("setpriv");
    without.args(["--bounding-set=-bpf,-perfmon,-sys_admin", "--inh-caps=-all", "--"]);
    without.arg(env!("CARGO_BIN_EXE_tcptrace")).args(["ls", "-o", "json", "--port", &port]);
    let (code, out, err) = finish(&mut without);
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("holders are read from /proc"), "{err}");
    assert!(err.contains("CAP_BPF and CAP_PERFMON are missing"), "{err}");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let cookie = here.cookie.to_string();
    let ours = lines.iter().find(|line| line["cookie"] == cookie).unwrap();
    assert_eq!(ours["verdict"], "eof_unread");
    assert_eq!(ours["blame"]["pid"], server.pid());
    assert_eq!(ours["evidence"]["sources"], serde_json::json!(["proc", "sock_diag"]));
}
