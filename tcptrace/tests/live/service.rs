//! tcptrace as a service: what it tells the service manager, and what it sees with exactly the
//! privileges of its unit.

mod manifest;
mod unit;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;

use crate::actor::{Actor, Sock};
use crate::host::{Namespace, run, status};
use crate::watcher::{DEADLINE, Tcptrace, command, fresh_directory};

pub fn trials() -> Vec<Trial> {
    let trials = crate::trials![
        the_service_manager_is_told,
        the_units_privileges_find_leaks_of_others,
        what_ptrace_buys,
        what_dac_read_search_buys,
        what_checkpoint_restore_buys,
        what_sys_admin_buys,
    ];
    trials.into_iter().chain(unit::trials()).chain(manifest::trials()).collect()
}

/// A socket that a service manager would listen on.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tcptrace-notify-{}", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, path }
    }

    /// The next message, by the names of its fields.
    fn told(&self) -> BTreeMap<String, String> {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).expect("the service manager is told in time");
        let message = std::str::from_utf8(&message[..length]).unwrap();
        let fields = message.lines().map(|line| line.split_once('=').unwrap());
        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The first message with this field.
    fn told_of(&self, name: &str) -> BTreeMap<String, String> {
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            let message = self.told();
            if message.contains_key(name) {
                return message;
            }
        }
        panic!("never told of {name}");
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn the_service_manager_is_told() {
    const WATCHDOG: Duration = Duration::from_secs(2);
    let manager = Manager::new();
    let mut watch = Tcptrace::spawn(
        command()
            .args(["watch", "-o", "json", "--close-wait", "100ms", "--no-record"])
            .env("NOTIFY_SOCKET", &manager.path)
            .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string()),
    );
    let first = manager.told();
    assert_eq!(first, BTreeMap::from([("READY".into(), "1".into())]));
    watch.wait_ready();

    let mut leak = Leak::here();
    watch.alert(leak.cookie(), "firing");
    // Beats go on, in time, and say what there is.
    let mut last = Instant::now();
    for _ in 0..3 {
        let beat = manager.told_of("WATCHDOG");
        assert_eq!(beat["WATCHDOG"], "1");
        assert!(last.elapsed() < WATCHDOG, "too late: {:?}", last.elapsed());
        last = Instant::now();
    }
    // Earlier ones may still have waited.
    let deadline = Instant::now() + DEADLINE;
    loop {
        let status = manager.told_of("STATUS")["STATUS"].clone();
        let numbers: Vec<u64> = status.split_whitespace().filter_map(|w| w.parse().ok()).collect();
        if status.starts_with("following ") && numbers.len() == 2 && !numbers.contains(&0) {
            break;
        }
        assert!(Instant::now() < deadline, "{status}");
    }
    leak.server.kill();

    // A loop that hangs is silent. The messages of before may still wait.
    rustix::process::kill_process(watch.pid(), Signal::STOP).unwrap();
    manager.socket.set_nonblocking(true).unwrap();
    while manager.socket.recv(&mut [0; 4096]).is_ok() {}
    manager.socket.set_nonblocking(false).unwrap();
    manager.socket.set_read_timeout(Some(WATCHDOG)).unwrap();
    let silence = manager.socket.recv(&mut [0; 4096]).unwrap_err();
    assert_eq!(silence.kind(), io::ErrorKind::WouldBlock);
    rustix::process::kill_process(watch.pid(), Signal::CONT).unwrap();
    manager.socket.set_read_timeout(Some(DEADLINE)).unwrap();

    let (status, _) = watch.end(Signal::TERM);
    assert!(status.success(), "{status}");
    assert_eq!(manager.told_of("STOPPING")["STOPPING"], "1");
}

/// A root process that has read the end of file and keeps the connection.
struct Leak {
    server: Actor,
    _client: Actor,
    socket: Sock,
}

impl Leak {
    fn here() -> Self {
        Self::by(Actor::start())
    }

    fn by(mut server: Actor) -> Self {
        let mut client = Actor::start();
        let listener = server.listen("127.0.0.1");
        let there = client.connect("127.0.0.1", listener.local_port);
        let socket = server.accept(listener);
        client.close(there);
        assert_eq!(server.recv(socket), 0);
        Self { server, _client: client, socket }
    }

    fn cookie(&self) -> u64 {
        self.socket.cookie
    }
}

/// tcptrace as an unprivileged user with the capabilities of the unit and `further`.
struct Unprivileged {
    program: PathBuf,
    capabilities: Vec<String>,
}

impl Unprivileged {
    const UID: u32 = 65_534;

    fn with(further: &[&str]) -> Self {
        // The build may lie where nobody else may look.
        let program = fresh_path("tcptrace");
        run(&["cp", env!("CARGO_BIN_EXE_tcptrace"), program.to_str().unwrap()]);
        let granted = unit::setting("AmbientCapabilities");
        let granted = granted.iter().flat_map(|line| line.split_whitespace());
        let names = granted.map(|name| name.strip_prefix("CAP_").unwrap().to_lowercase());
        let capabilities = names.chain(further.iter().map(|&name| name.to_owned())).collect();
        Self { program, capabilities }
    }

    /// The words that make it run, `watch` the last one.
    fn words(&self) -> Vec<String> {
        let set: String = self.capabilities.iter().map(|name| format!(",+{name}")).collect();
        let words = format!(
            "setpriv --reuid={0} --regid={0} --clear-groups --no-new-privs --bounding-set=-all{set} \
             --inh-caps=-all{set} --ambient-caps=-all{set} -- {1} watch",
            Self::UID,
            self.program.display(),
        );
        words.split(' ').map(str::to_owned).collect()
    }

    /// A `watch` that has said it is ready.
    fn watch(&self) -> Tcptrace {
        let words = self.words();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir("/");
        command.args(["-o", "json", "--close-wait", "300ms", "--no-record"]);
        let mut watch = Tcptrace::spawn(&mut command);
        watch.wait_ready();
        let uids = status(watch.pid(), "Uid");
        assert!(uids.starts_with(&format!("{}\t", Self::UID)), "{uids}");
        watch
    }
}

impl Drop for Unprivileged {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.program);
    }
}

/// Something in `/tmp`, where everybody may look, that is not there yet.
fn fresh_path(what: &str) -> PathBuf {
    let name = fresh_directory().file_name().unwrap().to_owned();
    Path::new("/tmp").join(format!("{what}-{}", name.display()))
}

/// What is told of a leak of root's to somebody with `further` capabilities.
fn leak_as_seen_with(further: &[&str]) -> (Leak, Value) {
    let user = Unprivileged::with(further);
    let mut watch = user.watch();
    let leak = Leak::here();
    let alert = watch.alert(leak.cookie(), "firing");
    (leak, alert)
}

/// Whether the code path that read the end of file has a frame that begins so.
fn shows(alert: &Value, function: &str) -> bool {
    let stack = alert["evidence"]["stack"].as_array();
    stack.into_iter().flatten().any(|frame| frame.as_str().unwrap().starts_with(function))
}

fn the_units_privileges_find_leaks_of_others() {
    let (mut leak, alert) = leak_as_seen_with(&[]);
    let pid = leak.server.pid();
    let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(alert["verdict"], "eof_read", "{alert:#}");
    assert_eq!(alert["blame"]["pid"], pid);
    let holder = &alert["holders"][0];
    assert_eq!((&holder["pid"], &holder["comm"]), (&pid.into(), &comm.trim_end().into()));
    assert_eq!(holder["uid"], 0);
    assert!(holder["fds_limit"].as_u64().is_some() && holder["cmdline"].is_array(), "{holder}");
    assert_eq!(alert["evidence"]["eof_read_by"], pid);
    assert_eq!(alert["evidence"]["sources"][0], "iterator");
    // What the table says that it takes more for: not known, rather than wrong.
    assert_eq!(holder["exe"], Value::Null);
    assert_eq!(alert["evidence"]["thread_state"], Value::Null);
    assert_ne!(alert["evidence"]["stack_complete"], true, "{alert:#}");
}

/// A Python program, which runs as root, and what is told of its leak.
fn python_as_seen_with(further: &[&str]) -> Value {
    const LEAK: &str = "
import socket, sys
def keep_open():
    listener = socket.create_server(('127.0.0.1', 0))
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    client.close()
    assert server.recv(1) == b''
    return listener, server
kept = keep_open()
print(flush=True)
sys.stdin.read()
";
    let user = Unprivileged::with(further);
    let mut watch = user.watch();
    let mut python = Command::new("python3.11");
    python.args(["-c", LEAK]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().unwrap();
    let pid = python.id();
    let alert = watch.wait_for("alert", |line| {
        line["type"] == "alert" && line["status"] == "firing" && line["blame"]["pid"] == pid
    });
    drop(python.stdin.take());
    assert!(python.wait().unwrap().success());
    alert
}

/// A copy of this program where everybody may read it.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Self {
        let (this, copy) = (std::env::current_exe().unwrap(), fresh_path("actor"));
        run(&["cp", this.to_str().unwrap(), copy.to_str().unwrap()]);
        Self(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Executables, and code paths through what everybody may read.
fn what_ptrace_buys() {
    let program = Copy::new();
    let seen_with = |further: &[&str]| {
        let user = Unprivileged::with(further);
        let mut watch = user.watch();
        let leak = Leak::by(Actor::start_from(&program.0));
        watch.alert(leak.cookie(), "firing")
    };
    let frames = |alert: &Value| alert["evidence"]["stack"].as_array().map_or(0, Vec::len);
    let (with, without) = (seen_with(&["sys_ptrace"]), seen_with(&[]));
    assert_eq!(with["holders"][0]["exe"], program.0.to_str().unwrap());
    assert_eq!(without["holders"][0]["exe"], Value::Null);
    // Without tables to unwind by, callers without frame pointers are passed over.
    assert!(frames(&with) > frames(&without), "{with:#} {without:#}");
}

/// Python's functions, what threads wait in, and what keeps a socket that no process holds.
fn what_dac_read_search_buys() {
    let both = ["sys_ptrace", "dac_read_search"];
    let alert = python_as_seen_with(&both);
    assert!(shows(&alert, "keep_open (<string>:"), "{alert:#}");
    // It waits for the end of its input.
    assert_eq!(alert["evidence"]["thread_state"], "asleep, not in poll");

    let held_by = |further: &[&str]| {
        let user = Unprivileged::with(further);
        let mut watch = user.watch();
        let (mut server, mut client) = (Actor::start(), Actor::start());
        let mut other = Actor::start();
        let listener = server.listen("127.0.0.1");
        let there = client.connect("127.0.0.1", listener.local_port);
        let here = server.accept(listener);
        server.leave_in_flight(here, &mut other);
        client.close(there);
        let alert = watch.alert(here.cookie, "firing");
        assert_eq!(alert["verdict"], "no_fd", "{alert:#}");
        alert["evidence"]["held_by"].clone()
    };
    assert_eq!(held_by(&both), "unix_socket");
    assert_eq!(held_by(&["sys_ptrace"]), "unknown");
}

/// Code paths through files that are no longer where they were, as after an update.
fn what_checkpoint_restore_buys() {
    let shows_function = |further: &[&str]| {
        let user = Unprivileged::with(further);
        let mut watch = user.watch();
        let program = Copy::new();
        let server = Actor::start_from(&program.0);
        drop(program);
        let leak = Leak::by(server);
        let alert = watch.alert(leak.cookie(), "firing");
        let stack = alert["evidence"]["stack"].as_array();
        stack.into_iter().flatten().any(|frame| frame.as_str().unwrap().contains("obey (stage.rs:"))
    };
    assert!(shows_function(&["sys_ptrace", "dac_read_search", "checkpoint_restore"]));
    assert!(!shows_function(&["sys_ptrace", "dac_read_search"]));
}

/// What no process holds, in other network namespaces.
fn what_sys_admin_buys() {
    let namespace = Namespace::new();
    let mut server = Actor::start_in(&namespace);
    let mut client = Actor::start_in(&namespace);
    let listener = server.listen("127.0.0.1");
    let unaccepted = client.connect("127.0.0.1", listener.local_port);
    client.close(unaccepted);
    let local = format!("127.0.0.1:{}", listener.local_port);
    let shown = |further: &[&str]| {
        let user = Unprivileged::with(further);
        let mut watch = user.watch();
        // Told of after everything that was there first.
        let leak = Leak::here();
        watch.alert(leak.cookie(), "firing");
        let here = |line: &Value| line["verdict"] == "not_accepted" && line["local"] == *local;
        watch.seen.iter().any(here)
    };
    assert!(shown(&["sys_ptrace", "sys_admin"]));
    assert!(!shown(&["sys_ptrace"]));
}
