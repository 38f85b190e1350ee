//! `tcptrace release`, on programs that hold connections whose peers have left.
//!
//! What became of a connection is what `ss` shows, and what the peer's own calls return.

mod held;
mod java;
mod namespaces;
mod noted;
mod refused;
mod reused;
mod surprises;

use std::io::Read as _;
use std::net::{Shutdown, TcpStream};
use std::process::Command;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::actor::{Actor, Sock};
use crate::host::{self, ITERATOR, kernel_is, run, ss};
use crate::watcher::{command, finish};

pub use reused::swap;

pub fn trials() -> Vec<Trial> {
    let mut trials = crate::trials![
        a_dry_run_changes_nothing,
        shut_down_the_peer_is_free,
        aborted_the_peer_gets_a_reset,
        the_oldest_first_and_no_more_than_asked_for,
    ];
    for more in [
        held::trials(),
        java::trials(),
        namespaces::trials(),
        noted::trials(),
        refused::trials(),
        reused::trials(),
        surprises::trials(),
    ] {
        trials.extend(more);
    }
    trials
}

/// A server with one connection in CLOSE_WAIT, whose client waits in FIN_WAIT_2.
struct Stuck {
    server: Actor,
    pid: String,
    listener: Sock,
    held: Sock,
    client: TcpStream,
}

impl Stuck {
    fn new() -> Self {
        Self::at("127.0.0.1", "127.0.0.1")
    }

    /// With a server on `address`, to which the client connects `by` another one.
    fn at(address: &str, by: &str) -> Self {
        let mut server = Actor::start();
        let listener = server.listen(address);
        let (held, client) = leave_by(&mut server, listener, by);
        let pid = server.pid().to_string();
        let stuck = Self { server, pid, listener, held, client };
        stuck.await_states("CLOSE-WAIT", "FIN-WAIT-2");
        stuck
    }

    /// The states of both ends by `ss`, TIME-WAIT included.
    fn states(&self) -> (Option<String>, Option<String>) {
        let client = self.client.local_addr().unwrap().port();
        (state(self.listener.local_port, client), state(client, self.listener.local_port))
    }

    fn await_states(&self, server: &str, client: &str) {
        let wanted = (Some(server.to_owned()), Some(client.to_owned()));
        wait_until("the states", || self.states() == wanted);
    }

    /// Runs `release` on what the server holds, of any age.
    fn release(&self, args: &[&str]) -> Released {
        self.release_as(&[&["--min-age", "0s"], args].concat())
    }

    /// Of the age that `args` say.
    fn release_as(&self, args: &[&str]) -> Released {
        release(&[&["--pid", &self.pid], args].concat())
    }
}

/// Has a client connect to `server` and end its side.
fn leave(server: &mut Actor, listener: Sock) -> (Sock, TcpStream) {
    leave_by(server, listener, "127.0.0.1")
}

fn leave_by(server: &mut Actor, listener: Sock, address: &str) -> (Sock, TcpStream) {
    let client = TcpStream::connect((address, listener.local_port)).unwrap();
    let held = server.accept(listener);
    client.shutdown(Shutdown::Write).unwrap();
    (held, client)
}

/// The state of the socket with these ports, by `ss`.
fn state(local: u16, remote: u16) -> Option<String> {
    let (local, remote) = (format!("sport = :{local}"), format!("dport = :{remote}"));
    let shown = run(&["ss", "-Htan", "state", "connected", &format!("( {local} and {remote} )")]);
    shown.split_whitespace().next().map(str::to_owned)
}

fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    host::wait_until(&format!("waited in vain for {what}"), holds, |&holds| holds);
}

/// What a run of `release` said.
struct Released {
    code: Option<i32>,
    /// One for each socket.
    sockets: Vec<Value>,
    /// The account.
    run: Value,
    err: String,
}

impl Released {
    fn of(command: &mut Command) -> Self {
        let (code, out, err) = finish(command);
        let lines = out.lines().map(|line| serde_json::from_str(line).unwrap());
        let mut sockets: Vec<Value> = lines.collect();
        let run = sockets.pop().unwrap_or_else(|| panic!("no account: {code:?} {err}"));
        assert_eq!(run["type"], "release_run", "{run:#}");
        Self { code, sockets, run, err }
    }

    /// Of the only socket: what became of it.
    fn result(&self) -> &str {
        assert_eq!(self.sockets.len(), 1, "{:#?} {}", self.sockets, self.err);
        self.sockets[0]["result"].as_str().unwrap()
    }

    /// Of the only socket: why it was left alone.
    fn reason(&self) -> &str {
        let result = self.result();
        let reason = self.sockets[0]["reason"].as_str();
        reason.unwrap_or_else(|| panic!("{result}: {:#}", self.sockets[0]))
    }

    fn count(&self, result: &str) -> u64 {
        self.run[result].as_u64().unwrap()
    }
}

fn release(args: &[&str]) -> Released {
    Released::of(command().arg("release").args(args).args(["-o", "json"]))
}

fn a_dry_run_changes_nothing() {
    let stuck = Stuck::new();
    for args in [&[][..], &["--abort"], &["--limit", "1"]] {
        let released = stuck.release(args);
        assert_eq!((released.code, released.result()), (Some(0), "would"), "{args:?}");
        assert_eq!(released.sockets[0]["cookie"], stuck.held.cookie.to_string());
        assert_eq!((&released.run["status"], released.count("would")), (&"rehearsed".into(), 1));
    }
    stuck.await_states("CLOSE-WAIT", "FIN-WAIT-2");
    let text = ["release", "--min-age", "0s", "--pid", &stuck.pid];
    let (code, out, err) = finish(command().args(text));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("STATE"), "{out}");
    assert!(out.trim_end().ends_with("would be shut down"), "{out}");
    assert!(
        err.contains("1 of 1 would be shut down; --yes does it\nthe descriptors stay"),
        "{err}"
    );
}

fn shut_down_the_peer_is_free() {
    let mut stuck = Stuck::new();
    let released = stuck.release(&["--yes"]);
    assert_eq!((released.code, released.result()), (Some(0), "ended"), "{}", released.err);
    assert_eq!(stuck.client.read(&mut [0]).unwrap(), 0, "the peer gets the end of file");
    wait_until("the end of both", || stuck.states() == (None, Some("TIME-WAIT".to_owned())));
    // The program has its descriptor still, and reads the end of file.
    assert_eq!(stuck.server.recv(stuck.held), 0);
    let again = stuck.release(&["--yes"]);
    if kernel_is(ITERATOR) {
        assert_eq!((again.result(), again.reason()), ("refused", "over"));
    } else {
        assert!(again.sockets.is_empty(), "nothing shows such a descriptor");
    }
    stuck.server.close(stuck.held);
    assert!(stuck.release(&["--yes"]).sockets.is_empty());
}

/// In each family, and by IPv4 to a socket of IPv6, as Java's are.
fn aborted_the_peer_gets_a_reset() {
    for (address, by) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1")] {
        let mut stuck = Stuck::at(address, by);
        let released = stuck.release(&["--yes", "--abort"]);
        assert_eq!((released.code, released.result()), (Some(0), "ended"), "{}", released.err);
        assert_eq!(released.sockets[0]["new_state"], "CLOSE");
        let error = stuck.client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{address}");
        assert_eq!(stuck.states(), (None, None));
    }
}

fn the_oldest_first_and_no_more_than_asked_for() {
    let mut server = Actor::start();
    let listener = server.listen("127.0.0.1");
    let all: Vec<_> = (0..5)
        .map(|_| {
            let pair = leave(&mut server, listener);
            wait_until("CLOSE_WAIT", || close_waits(listener) > 0);
            pair
        })
        .collect();
    wait_until("CLOSE_WAIT", || close_waits(listener) == 5);
    let pid = server.pid().to_string();
    let released = release(&["--pid", &pid, "--min-age", "0s", "--yes", "--limit", "2"]);
    assert_eq!((released.count("ended"), released.count("left")), (2, 3), "{:#}", released.run);
    assert_eq!(close_waits(listener), 3);
    let left = released.sockets.iter().filter(|line| line["reason"] == "limit").count();
    assert_eq!(left, 3);
    let age = |line: &Value| line["age_ms"].as_u64().unwrap();
    assert!(released.sockets.iter().map(age).is_sorted_by(|older, younger| older >= younger));
    drop(all);
}

/// Connections of this listener in CLOSE_WAIT, by `ss`.
fn close_waits(listener: Sock) -> usize {
    ss(None, listener.local_port).iter().filter(|socket| socket.state == "CLOSE-WAIT").count()
}
