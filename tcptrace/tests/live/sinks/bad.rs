//! Receivers that are slow, refuse, hang, redirect, fail or never end.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::leak::Leak;
use super::receiver::{Answer, Http};
use super::{account, config, watch};
use crate::host::memory;

/// Groups that are told of, one a process.
const GROUPS: usize = 4;

pub fn bad_receivers_cost_time_and_memory_that_is_bounded() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let elsewhere = "Location: http://127.0.0.1:1/s3cret\r\n".to_owned();
    let mut receivers = [
        ("good", Http::start(Answer::GOOD)),
        ("slow", Http::start(Answer::Trickle(Duration::from_millis(50)))),
        ("hangs", Http::start(Answer::HangHalfWay)),
        ("redirects", Http::start(Answer::Status("307 Temporary Redirect", elsewhere))),
        ("fails", Http::start(Answer::Status("500 Internal Server Error", String::new()))),
        ("endless", Http::start(Answer::WithoutEnd)),
    ];
    let table = |name: &str, port: u16| {
        format!(
            "[[sink.webhook]]\nname = '{name}'\nurl = 'http://127.0.0.1:{port}'\ntimeout = '1s'\n"
        )
    };
    let mut text: String = receivers.iter().map(|(name, http)| table(name, http.port)).collect();
    text += &table("refuses", nobody);
    let mut leaks: Vec<_> = (0..GROUPS).map(|_| Leak::prepare()).collect();
    let ports: Vec<_> = leaks[1..].iter().map(|leak| leak.port().to_string()).collect();
    let args: Vec<_> = ports.iter().flat_map(|port| ["--port", port]).collect();
    let mut tcptrace = watch(&config(&text), leaks[0].port(), &args);
    let before = memory(tcptrace.pid(), "VmRSS");
    for leak in &mut leaks {
        leak.grow(3);
    }
    for _ in 0..GROUPS {
        receivers[0].1.group("firing");
        receivers[5].1.group("firing");
    }
    // Those that fail are tried again, and everybody else goes on.
    for (_, http) in &mut receivers[1..3] {
        http.group("firing");
        http.group("firing");
    }
    receivers[4].1.group("firing");
    receivers[4].1.group("firing");
    for leak in &mut leaks {
        leak.end();
    }
    for _ in 0..GROUPS {
        receivers[0].1.group("resolved");
        let resolved =
            |line: &serde_json::Value| line["type"] == "group" && line["status"] == "resolved";
        tcptrace.wait_for("resolved group", resolved);
    }
    let after = memory(tcptrace.pid(), "VmRSS");
    assert!(after < before + 8192, "from {before} kB to {after} kB");
    let began = Instant::now();
    let (status, lines, errors) = tcptrace.end_with_errors(Signal::INT);
    assert!(status.success());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let number = |name: &str, of: &str| account(&lines, name)[of].as_u64().unwrap();
    for name in ["good", "endless"] {
        assert_eq!(number(name, "sent"), 2 * GROUPS as u64, "{name}: {lines:#?}");
        assert_eq!(number(name, "failed"), 0, "{name}");
    }
    for (name, error) in [
        ("slow", "did not answer in 1s"),
        ("hangs", "did not answer in 1s"),
        ("redirects", "redirects are not followed"),
        ("fails", "500 Internal Server Error"),
        ("refuses", "Connection refused"),
    ] {
        let sink = account(&lines, name);
        assert!(sink["error"].as_str().unwrap().contains(error), "{sink:#}");
        assert_eq!(sink["sent"], 0, "{sink:#}");
        assert!(number(name, "failed") >= 1, "{sink:#}");
        // What is lost is counted: one message a group at most waits.
        let kept = number(name, "waiting") + number(name, "dropped");
        assert!(kept >= GROUPS as u64, "{sink:#}");
        let said = errors.iter().filter(|line| line.starts_with(&format!("sink `{name}` did not")));
        assert_eq!(said.count(), 1, "once: {errors:#?}");
    }
    assert_eq!(number("redirects", "dropped"), 2 * GROUPS as u64, "not tried again");
    assert!(!errors.iter().any(|line| line.contains("s3cret")), "{errors:#?}");
}
