//! A descriptor that is closed and reused between the look and the act, again and again.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use tcptrace::model::release::check::{Expected, Terms};
use tcptrace::model::release::{Gone, Means, Outcome};
use tcptrace::model::socket::{Endpoints, NetNs, StayState, TcpState};
use tcptrace::sys::release::{Pinned, end_by};

use crate::host::Namespace;
use crate::watcher::DEADLINE;

pub fn trials() -> Vec<Trial> {
    crate::trials![never_a_live_connection]
}

/// At least so many tries, and so many that found what they looked for, and that found something else.
const TRIES: usize = 10_000;
const EACH: usize = 500;
/// Tries after which the live connections are tried.
const BETWEEN: usize = 50;

/// The test's end of a process that swaps what a descriptor is of.
struct Swapper {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Swapper {
    fn start(namespace: &Namespace) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &namespace.name]).arg(std::env::current_exe().unwrap());
        command.arg("swap").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    fn ask(&mut self, command: &str) -> Vec<String> {
        writeln!(self.stdin, "{command}").unwrap();
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).unwrap();
        let words: Vec<_> = answer.split_whitespace().map(str::to_owned).collect();
        assert!(!words.is_empty(), "the swapper has ended");
        words
    }

    /// Another connection in CLOSE_WAIT: what it has to be.
    fn victim(&mut self) -> Expected {
        let words = self.ask("victim");
        Expected {
            cookie: words[0].parse().unwrap(),
            netns: NetNs(0),
            endpoints: Endpoints {
                local: words[1].parse().unwrap(),
                remote: words[2].parse().unwrap(),
            },
            state: StayState::CloseWait,
            since: None,
        }
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn never_a_live_connection() {
    let namespace = Namespace::new();
    let mut swapper = Swapper::start(&namespace);
    let fd: u32 = swapper.ask("begin")[0].parse().unwrap();
    let process = Pinned::open(swapper.child.id(), None).unwrap().unwrap();
    let terms =
        Terms { means: Means::Shutdown, allow_sigpipe: false, quiet: Duration::from_secs(60) };
    let mut expected = swapper.victim();
    let (mut ended, mut reused, mut closed) = (0, 0, 0);
    let deadline = Instant::now() + DEADLINE;
    for attempt in 1.. {
        match end_by(&process, fd, &expected, &terms, false).unwrap() {
            Outcome::Ended(Some(TcpState::LastAck | TcpState::Close)) => {
                ended += 1;
                assert_eq!(swapper.ask("shut"), ["yes"], "it was the victim's end");
                expected = swapper.victim();
            }
            Outcome::Gone(Gone::Reused) => reused += 1,
            Outcome::Gone(Gone::Closed) => closed += 1,
            other => panic!("{other:?}"),
        }
        if attempt % BETWEEN == 0 {
            assert_eq!(swapper.ask("live"), ["all"], "after {attempt} tries");
        }
        if attempt >= TRIES && ended.min(reused).min(closed) >= EACH {
            break;
        }
        let counts = [ended, reused, closed];
        assert!(Instant::now() < deadline, "no race in {attempt} tries: {counts:?}");
    }
    assert_eq!(swapper.ask("live"), ["all"]);
    crate::host::report(&serde_json::json!({
        "release": "reused descriptors", "ended": ended, "reused": reused, "closed": closed,
    }));
}

/// The swapper's own end: obeys until its standard input ends.
#[expect(clippy::print_stdout, reason = "its answers")]
pub fn swap() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = || {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, client)
    };
    let mut live: Vec<_> = (0..4).map(|_| connect()).collect();
    let copies: Vec<_> = live.iter().map(|(server, _)| server.try_clone().unwrap()).collect();
    let slot = OwnedFd::from(live[0].0.try_clone().unwrap());
    let number = slot.as_raw_fd();
    let victim = Mutex::new(connect());
    let go = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| swap_for_ever(slot, &copies, &victim, &go));
        for line in std::io::stdin().lines() {
            match line.unwrap().as_str() {
                "begin" => {
                    go.store(true, Ordering::Relaxed);
                    println!("{number}");
                }
                "victim" => {
                    // Nothing is opened while the swapper has closed the number.
                    let mut victim = victim.lock().unwrap();
                    let (mut server, client) = connect();
                    client.shutdown(Shutdown::Write).unwrap();
                    let cookie = rustix::net::sockopt::socket_cookie(&server).unwrap();
                    // The end of file is there, so it is in CLOSE_WAIT.
                    assert_eq!(server.read(&mut [0]).unwrap(), 0);
                    let ends = (server.local_addr().unwrap(), client.local_addr().unwrap());
                    *victim = (server, client);
                    println!("{cookie} {} {}", ends.0, ends.1);
                }
                "shut" => {
                    let end = victim.lock().unwrap().1.read(&mut [0]);
                    println!("{}", if matches!(end, Ok(0)) { "yes" } else { "no" });
                }
                "live" => {
                    let all = live.iter_mut().all(|(server, client)| {
                        exchange(server, client) && exchange(client, server)
                    });
                    println!("{}", if all { "all" } else { "not all" });
                }
                other => panic!("a swapper cannot {other}"),
            }
        }
        std::process::exit(0);
    });
}

/// Whether a byte gets from one end to the other.
fn exchange(from: &mut TcpStream, to: &mut TcpStream) -> bool {
    let mut byte = [0];
    from.write_all(b"x").is_ok() && to.read_exact(&mut byte).is_ok() && &byte == b"x"
}

/// Has the descriptor `slot` be of the victim, of a live connection, of the victim, of nothing, and so on.
fn swap_for_ever(
    slot: OwnedFd,
    live: &[TcpStream],
    victims: &Mutex<(TcpStream, TcpStream)>,
    go: &AtomicBool,
) {
    while !go.load(Ordering::Relaxed) {
        std::thread::yield_now();
    }
    let (number, mut slot) = (slot.as_raw_fd(), slot);
    for (round, live) in live.iter().cycle().enumerate() {
        rustix::io::dup2(&victims.lock().unwrap().0, &mut slot).unwrap();
        pause(round);
        rustix::io::dup2(live, &mut slot).unwrap();
        pause(round / 2);
        if round.is_multiple_of(4) {
            let _nothing_is_opened = victims.lock().unwrap();
            drop(slot);
            pause(round / 4);
            slot = rustix::io::dup(live).unwrap();
            assert_eq!(slot.as_raw_fd(), number, "the lowest that is free");
        }
    }
}

/// A moment, longer or shorter; every other time the processor is left to whoever tries, which on a busy
/// machine would else find always the same.
fn pause(round: usize) {
    if round.is_multiple_of(2) {
        std::thread::yield_now();
    }
    for _ in 0..round * 7 % 256 {
        std::hint::spin_loop();
    }
}
