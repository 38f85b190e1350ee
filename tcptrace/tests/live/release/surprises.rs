//! What ends a run before its end, and what does not.

use std::net::TcpStream;
use std::process::Command;

use libtest_mimic::Trial;
use rustix::process::Signal;

use super::{Released, close_waits, leave, release, wait_until};
use crate::actor::{Actor, Sock};
use crate::host::{ITERATOR, kernel_is};
use crate::watcher::{command, finish, fresh_directory};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        a_process_that_exits_before_its_turn,
        a_process_that_ends_after_its_turn,
        interrupted_it_says_how_far_it_came,
        without_the_right_to_copy_descriptors,
        without_the_right_to_reset,
    ]
}

/// Slow enough to do something between one and the next.
const SLOWLY: [&str; 5] = ["--yes", "--min-age", "0s", "--rate", "1/s"];

struct Server {
    actor: Actor,
    pid: String,
    listener: Sock,
    _clients: Vec<TcpStream>,
}

impl Server {
    fn with(count: usize) -> Self {
        let mut actor = Actor::start();
        let listener = actor.listen("127.0.0.1");
        let clients = (0..count).map(|_| leave(&mut actor, listener).1).collect();
        wait_until("CLOSE_WAIT", || close_waits(listener) == count);
        let pid = actor.pid().to_string();
        Self { actor, pid, listener, _clients: clients }
    }

    fn close_waits(&self) -> usize {
        close_waits(self.listener)
    }
}

fn a_process_that_exits_before_its_turn() {
    let first = Server::with(1);
    let mut second = Server::with(2);
    let pids = format!("{},{}", first.pid, second.pid);
    let released = std::thread::scope(|scope| {
        let run = scope.spawn(|| release(&[&["--pid", &pids][..], &SLOWLY].concat()));
        wait_until("the first", || first.close_waits() == 0);
        second.actor.kill();
        run.join().unwrap()
    });
    assert_eq!(released.code, Some(0), "{}", released.err);
    assert_eq!((released.count("ended"), released.count("gone")), (1, 2), "{:#}", released.run);
    let gone: Vec<_> = released.sockets.iter().filter(|s| s["result"] == "gone").collect();
    assert!(gone.iter().all(|socket| socket["reason"] == "closed"), "{gone:#?}");
}

fn a_process_that_ends_after_its_turn() {
    let mut server = Server::with(3);
    let other = Server::with(1);
    let pids = format!("{},{}", server.pid, other.pid);
    let released = std::thread::scope(|scope| {
        let run = scope.spawn(|| release(&[&["--pid", &pids][..], &SLOWLY].concat()));
        wait_until("the first", || server.close_waits() == 2);
        server.actor.kill();
        run.join().unwrap()
    });
    assert_eq!(released.code, Some(1), "{}", released.err);
    let expected = format!("process {} has ended since its connections were", server.pid);
    assert!(released.err.contains(&expected), "{}", released.err);
    assert_eq!((&released.run["status"], released.count("left")), (&"stopped".into(), 3));
    assert_eq!(other.close_waits(), 1, "nothing more was done");
}

fn interrupted_it_says_how_far_it_came() {
    let server = Server::with(3);
    let mut run = command();
    run.args(["release", "-o", "json", "--pid", &server.pid]).args(SLOWLY);
    run.stdout(std::process::Stdio::piped());
    let child = run.spawn().unwrap();
    wait_until("the first", || server.close_waits() == 2);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(out.matches(r#""reason":"interrupted""#).count(), 2, "{out}");
    assert_eq!(server.close_waits(), 2);
}

fn without(capability: &str, args: &[&str]) -> Command {
    let mut without = Command::new("setpriv");
    without.arg(format!("--bounding-set=-{capability}")).args(["--inh-caps=-all", "--"]);
    without.arg(env!("CARGO_BIN_EXE_tcptrace")).args(["release", "--min-age", "0s"]).args(args);
    without.env("TCPTRACE_RECORD", fresh_directory());
    without
}

fn without_the_right_to_copy_descriptors() {
    let server = Server::with(2);
    for args in [&["--yes"][..], &[]] {
        let args = [&["--pid", &server.pid], args].concat();
        let (code, out, err) = finish(&mut without("sys_ptrace", &args));
        if !kernel_is(ITERATOR) {
            // Who holds them is then not to be seen either.
            assert!(err.contains("no half-closed sockets are selected"), "{err}");
            continue;
        }
        assert_eq!(code, Some(1), "{err}");
        let expected = format!(
            "error: this user may not copy descriptors of process {} (CAP_SYS_PTRACE is missing)",
            server.pid
        );
        assert!(err.contains(&expected), "{err}");
        assert!(err.contains("sudo tcptrace release"), "{err}");
        assert!(out.contains("left: the run had stopped"), "{out}");
    }
    assert_eq!(server.close_waits(), 2, "nothing was done");
}

fn without_the_right_to_reset() {
    let server = Server::with(1);
    let args = ["--yes", "--abort", "-o", "json", "--pid", &server.pid];
    let released = Released::of(&mut without("net_admin", &args));
    assert_eq!((released.code, released.result()), (Some(1), "failed"), "{}", released.err);
    assert!(released.err.contains("(CAP_NET_ADMIN is missing)"), "{}", released.err);
    assert_eq!(server.close_waits(), 1);
}
