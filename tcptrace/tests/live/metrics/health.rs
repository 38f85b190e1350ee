//! What is said of the tracer itself where it cannot see, or does nothing.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use libtest_mimic::Trial;

use super::Served;
use crate::host::{Namespace, wait_until};
use crate::watcher::Tcptrace;

pub fn trials() -> Vec<Trial> {
    crate::trials![who_sees_nothing_is_not_healthy, who_stands_still_is_not_healthy]
}

/// Asks from within a namespace: the status and the body.
fn get_from(namespace: &Namespace, url: &str) -> (u16, String) {
    const SCRIPT: &str = "
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[1], timeout=10)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode())
";
    let said = namespace.exec(&["python3", "-c", SCRIPT, url]);
    let (status, body) = said.split_once(' ').unwrap();
    (status.parse().unwrap(), body.trim().to_owned())
}

/// Where loopback has lost its address it cannot make connections, and so does not know whether it
/// would see them. It is asked over another interface.
fn who_sees_nothing_is_not_healthy() {
    let (host, monitor) = (Namespace::new(), Namespace::new());
    host.exec(&[
        "ip",
        "link",
        "add",
        "eth0",
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "netns",
        &monitor.name,
    ]);
    for (namespace, address) in [(&host, "10.213.0.1/30"), (&monitor, "10.213.0.2/30")] {
        namespace.exec(&["ip", "address", "add", address, "dev", "eth0"]);
        namespace.exec(&["ip", "link", "set", "eth0", "up"]);
    }
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &host.name, env!("CARGO_BIN_EXE_tcptrace"), "watch"]);
    command.args(["--no-record", "--listen", "10.213.0.1:0", "-o", "json"]);
    let served = Served::of(Tcptrace::spawn(&mut command));
    let open = format!("{} is open to the network", served.address);
    assert!(served.tcptrace.said.iter().any(|line| line.starts_with(&open)));
    let (healthz, metrics) = (
        format!("http://{}/healthz", served.address),
        format!("http://{}/metrics", served.address),
    );
    let health = || get_from(&monitor, &healthz);
    assert_eq!(health().0, 200);
    host.exec(&["ip", "address", "delete", "127.0.0.1/8", "dev", "lo"]);
    let (_, why) = wait_until("still healthy", health, |(status, _)| *status == 503);
    assert!(why.contains("no connection of its own was seen for 1"), "{why}");
    assert!(why.contains("none can be made: "), "{why}");
    let (status, figures) = get_from(&monitor, &metrics);
    assert_eq!(status, 200, "figures are served all the same");
    assert!(figures.contains("\ntcptrace_healthy 0\n"), "{figures}");
    host.exec(&["ip", "address", "add", "127.0.0.1/8", "dev", "lo"]);
    wait_until("not healthy again", health, |(status, _)| *status == 200);
    served.tcptrace.stop();
}

/// Holds the main thread of a process, and no other, until it is dropped.
struct Held(Child);

impl Held {
    fn of(pid: i32) -> Self {
        const SCRIPT: &str = "
import ctypes, os, sys
SEIZE, INTERRUPT, ALL = 0x4206, 0x4207, 0x40000000
libc, pid = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
for request in SEIZE, INTERRUPT:
    if libc.ptrace(request, pid, None, None) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(pid, ALL)
print('held', flush=True)
sys.stdin.read()
";
        let mut child = Command::new("python3")
            .args(["-c", SCRIPT, &pid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut held = [0; 5];
        child.stdout.as_mut().unwrap().read_exact(&mut held).expect("ptrace");
        Self(child)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Whoever was traced goes on when the tracer is gone.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The thread that drains is stopped, and the one that serves goes on.
fn who_stands_still_is_not_healthy() {
    let served = Served::start(&["--no-record"]);
    let health = || served.get("/healthz");
    assert_eq!(health().status, 200);
    let held = Held::of(served.tcptrace.pid().as_raw_nonzero().get());
    let ill = wait_until("still healthy", health, |answer| answer.status == 503);
    assert!(ill.body.starts_with("the tracer has stood still for "), "{}", ill.body);
    let figures = served.get("/metrics");
    assert_eq!(figures.status, 503, "old figures are no figures: {}", figures.body);
    drop(held);
    wait_until("not healthy again", health, |answer| answer.status == 200);
    wait_until("no figures again", || served.get("/metrics"), |answer| answer.status == 200);
    served.tcptrace.stop();
}
