//! A large leak in a server that has to go on.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use super::{release, wait_until};
use crate::host::run;

pub fn trials() -> Vec<Trial> {
    crate::trials![two_thousand_while_it_serves]
}

const COUNT: usize = 2000;
const RATE: u32 = 500;

struct Java {
    child: Child,
    port: u16,
}

impl Java {
    fn start() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/release/Server.java");
        let mut java = Command::new("java");
        let mut child = java.arg(source).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).unwrap()
    }

    /// How many of its connections are in CLOSE_WAIT, by `ss`.
    fn close_waits(&self) -> usize {
        let source = format!("sport = :{}", self.port);
        run(&["ss", "-Htan", "state", "close-wait", &source]).lines().count()
    }

    /// How many wait to be accepted, by `ss`: the Recv-Q of its listener.
    fn queued(&self) -> usize {
        let listeners = run(&["ss", "-Htln", &format!("sport = :{}", self.port)]);
        listeners.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request and its answer on a connection of its own.
fn request(java: &Java) {
    let mut client = java.connect();
    client.write_all(b"e").unwrap();
    let mut answer = [0];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"e");
}

fn two_thousand_while_it_serves() {
    let java = Java::start();
    for _ in 0..COUNT {
        java.connect().write_all(b"k").unwrap();
    }
    wait_until("all of them in CLOSE_WAIT", || java.close_waits() == COUNT);
    // They are before the server has taken them from its queue.
    wait_until("a descriptor for each", || java.descriptors() > COUNT && java.queued() == 0);
    let descriptors = java.descriptors();
    // One that was there first, and lives.
    let mut old = java.connect();

    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (released, during, took) = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                request(&java);
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
        wait_until("the first answers", || served.load(Ordering::Relaxed) > 10);
        let (before, began) = (served.load(Ordering::Relaxed), Instant::now());
        let pid = java.child.id().to_string();
        let rate = format!("{RATE}/s");
        let released = release(&["--pid", &pid, "--min-age", "0s", "--yes", "--rate", &rate]);
        let (during, took) = (served.load(Ordering::Relaxed) - before, began.elapsed());
        wait_until("more answers", || served.load(Ordering::Relaxed) > before + during + 10);
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap();
        (released, during, took)
    });

    assert_eq!(released.code, Some(0), "{}", released.err);
    assert_eq!(released.count("ended"), COUNT as u64, "{:#}", released.run);
    assert_eq!(java.close_waits(), 0);
    assert!(during > 100, "only {during} answers in {took:?}");
    let least = Duration::from_secs_f64((COUNT - 1) as f64 / f64::from(RATE));
    assert!(took >= least, "{took:?} is faster than {RATE} a second");
    // The descriptors are the program's to close.
    assert!(java.descriptors() >= descriptors, "{} of {descriptors}", java.descriptors());
    old.write_all(b"e").unwrap();
    let mut answer = [0];
    old.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"e", "a live connection of the same process");
    request(&java);
}
