//! `tcptrace check`, as a monitoring system runs it.

use std::process::Command;
use std::time::Instant;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::actor::{Actor, Sock};
use crate::host::{ITERATOR, Namespace, kernel_is, run, ss};
use crate::watcher::{DEADLINE, command, finish};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        a_leak_is_counted,
        a_user_without_privileges_may_ask,
        a_hostile_name_stays_on_its_line,
        whatever_goes_wrong_is_unknown,
    ]
}

/// A server that leaves connections open whose clients have closed.
struct Leak {
    namespace: Namespace,
    server: Actor,
    listener: Sock,
    _clients: Actor,
}

impl Leak {
    fn of(count: usize) -> Self {
        let namespace = Namespace::new();
        let (mut server, mut client) = (Actor::start_in(&namespace), Actor::start_in(&namespace));
        let listener = server.listen("127.0.0.1");
        for _ in 0..count {
            let there = client.connect("127.0.0.1", listener.local_port);
            server.accept(listener);
            client.close(there);
        }
        Self { namespace, server, listener, _clients: client }
    }

    /// How many of them `ss` shows.
    fn by_ss(&self) -> usize {
        let sockets = ss(Some(&self.namespace), self.listener.local_port);
        sockets.iter().filter(|socket| socket.state == "CLOSE-WAIT").count()
    }

    /// What is said of the server's sockets: exit code, and the lines on stdout.
    fn check(&self, args: &[&str]) -> (Option<i32>, Vec<String>) {
        let mut check = command();
        check.args(["check", "--verdict", "eof_unread", "--netns", &self.namespace.name]);
        let (code, out, err) = finish(check.args(args));
        assert_eq!(err, "", "monitoring systems may take it for the first line");
        (code, out.lines().map(str::to_owned).collect())
    }
}

fn a_leak_is_counted() {
    const COUNT: usize = 5;
    let mut leak = Leak::of(COUNT);
    assert_eq!(leak.by_ss(), COUNT);
    let now = ["--min-age", "0s"];

    let (code, lines) = leak.check(&now);
    assert_eq!(code, Some(1), "{lines:?}");
    assert!(lines[0].starts_with("TCPTRACE WARNING - 5 sockets half-closed for "), "{lines:?}");
    let (_, data) = lines[0].split_once(" | ").unwrap();
    assert!(data.starts_with("stuck=5;1;100;0 oldest="), "{data}");
    assert!(data.ends_with("s;;;0 close_wait=5;;;0 fin_wait2=0;;;0 close=0;;;0"), "{data}");
    let pid = leak.server.pid();
    assert!(lines[1].starts_with("5 ") && lines[1].contains(&format!("[{pid}]")), "{lines:?}");

    let (code, lines) = leak.check(&[&now[..], &["-c", "5"]].concat());
    assert_eq!((code, &lines[0][..18]), (Some(2), "TCPTRACE CRITICAL "), "{lines:?}");
    let (code, lines) = leak.check(&[&now[..], &["-w", "6", "-c", "6"]].concat());
    assert_eq!((code, &lines[0][..14]), (Some(0), "TCPTRACE OK - "), "{lines:?}");
    let ages = ["-w", "6", "--critical-age", "0s"];
    assert_eq!(leak.check(&[&now[..], &ages].concat()).0, Some(2));
    let (code, lines) = leak.check(&[]);
    assert_eq!(code, Some(0), "none is a minute old: {lines:?}");
    assert!(lines[0].contains(" | stuck=0;1;100;0 oldest=0.000s;"), "{lines:?}");

    // They grow older by themselves.
    let deadline = Instant::now() + DEADLINE;
    while leak.check(&["--min-age", "2s", "-c", "5"]).0 != Some(2) {
        assert!(Instant::now() < deadline, "never two seconds old");
    }
    let (code, lines) = leak.check(&[&now[..], &["-o", "json"]].concat());
    assert_eq!((code, lines.len()), (Some(1), 1));
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((&line["type"], &line["status"]), (&"monitor".into(), &"WARNING".into()));
    assert_eq!(line["stuck"], leak.by_ss());
    assert_eq!(line["stays"]["CLOSE_WAIT"], COUNT);
    assert_eq!(line["culprits"][0]["pid"], pid);
    assert_eq!(line["culprits"][0]["verdict"], "eof_unread");
}

/// As plugins are mostly run. Whose the sockets are cannot be seen then.
fn a_user_without_privileges_may_ask() {
    let leak = Leak::of(2);
    // The build may lie where nobody else may look.
    let copy = std::env::temp_dir().join(format!("tcptrace-check-{}", std::process::id()));
    run(&["cp", env!("CARGO_BIN_EXE_tcptrace"), copy.to_str().unwrap()]);
    let mut check = Command::new("ip");
    check.args(["netns", "exec", &leak.namespace.name, "setpriv", "--reuid=65534"]);
    check.args(["--regid=65534", "--clear-groups", "--inh-caps=-all", "--"]).arg(&copy);
    let port = leak.listener.local_port.to_string();
    check.args(["check", "--min-age", "0s", "-o", "json", "--port", &port]).current_dir("/");
    let (code, out, err) = finish(&mut check);
    std::fs::remove_file(copy).unwrap();
    assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
    let line: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(line["stays"]["CLOSE_WAIT"], leak.by_ss());
    assert_eq!(line["culprits"][0]["pid"], Value::Null);
    assert!(!line["notes"].as_array().unwrap().is_empty(), "{line}");
}

fn a_hostile_name_stays_on_its_line() {
    let mut leak = Leak::of(1);
    leak.server.set_name(b"x|y=9\n\x1b[2J");
    let (code, mut lines) = leak.check(&["--min-age", "0s"]);
    assert_eq!(code, Some(1), "{lines:?}");
    if !kernel_is(ITERATOR) {
        let last = lines.pop().unwrap();
        assert!(last.contains("holders are read from /proc"), "{last}");
    }
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains(r"x\u{7c}y=9\u{a}\u{1b}[2J["), "{lines:?}");
    assert_eq!(lines.concat().matches('|').count(), 1, "{lines:?}");
}

fn whatever_goes_wrong_is_unknown() {
    for (args, reason) in [
        (&["check", "--nonsense"][..], "unexpected argument '--nonsense' found"),
        (&["-o", "json", "check", "-w", "many"], "invalid value 'many' for '--warning <N>'"),
        (&["check", "-w", "10", "-c", "5"], "the limit for WARNING is above the one for CRITICAL"),
        (&["check", "--netns", "no-such"], "no network namespace `no-such`"),
    ] {
        let (code, out, err) = finish(command().args(args));
        assert_eq!((code, err.as_str()), (Some(3), ""), "{args:?}: {out}");
        let first = out.lines().next().unwrap();
        assert!(first.starts_with(&format!("TCPTRACE UNKNOWN - {reason}")), "{args:?}: {out}");
        assert!(!out.contains('|'), "{out}");
    }
    let (code, out, _) = finish(command().args(["check", "--netns", "no-such", "-o", "json"]));
    let line: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &line["status"]), (Some(3), &"UNKNOWN".into()));
    assert!(line["reason"].as_str().unwrap().starts_with("no network namespace"), "{line}");
    let (code, out, _) = finish(command().args(["check", "--help"]));
    assert_eq!(code, Some(0), "{out}");
}
