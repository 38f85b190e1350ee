//! Sinks on the same host: the journal, a command, a file.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use super::leak::Leak;
use super::{account, command, config, watch};
use crate::host::run;
use crate::watcher::{DEADLINE, Tcptrace, fresh_directory};

/// The next datagram with this status, by its fields on lines of their own.
fn entry(socket: &UnixDatagram, status: &str) -> Vec<String> {
    let mut buffer = vec![0; 1 << 18];
    loop {
        let length = socket.recv(&mut buffer).expect("no entry came");
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        if lines.contains(&format!("TCPTRACE_STATUS={status}")) {
            return lines;
        }
    }
}

pub fn journald_gets_fields() {
    let path = fresh_directory();
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut leak = Leak::prepare();
    leak.server.set_name(b"a\nPRIORITY=0\nb");
    let file = config(&format!("[[sink.journald]]\nsocket = '{}'", path.display()));
    let tcptrace = watch(&file, leak.port(), &[]);
    leak.grow(1);
    let fields = entry(&socket, "firing");
    let pid = leak.server.pid();
    for expected in [
        "PRIORITY=4",
        "SYSLOG_IDENTIFIER=tcptrace",
        &format!("TCPTRACE_PID={pid}"),
        &format!("OBJECT_PID={pid}"),
        "TCPTRACE_VERDICT=eof_unread",
        "TCPTRACE_STATE=CLOSE_WAIT",
        "TCPTRACE_MEMBERS=1",
    ] {
        assert_eq!(fields.iter().filter(|field| *field == expected).count(), 1, "{fields:#?}");
    }
    assert!(fields[0].starts_with("MESSAGE=STUCK a\\u{a}PRIORITY=0\\u{a}b["), "{fields:#?}");
    // In the binary form the name is a value with a length: as many lines as it has.
    let name = fields.iter().position(|field| field == "TCPTRACE_COMM").unwrap();
    assert_eq!(&fields[name + 1][8..], "a", "{fields:#?}");
    leak.end();
    assert!(entry(&socket, "resolved").contains(&"PRIORITY=5".to_owned()));
    let sink = account(&tcptrace.stop(), "journald");
    assert_eq!(sink["sent"], 2, "{sink:#}");
}

/// The contents of a file, once there is one.
fn contents(path: &Path) -> String {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match fs::read_to_string(path) {
            Ok(text) if !text.is_empty() => return text,
            _ => assert!(Instant::now() < deadline, "no {}", path.display()),
        }
        std::thread::yield_now();
    }
}

pub fn a_command_with_a_hostile_name_executes_nothing() {
    let dir = fresh_directory();
    fs::create_dir_all(&dir).unwrap();
    let mut leak = Leak::prepare();
    leak.server.set_name(b"$(touch x)\n`y`");
    let script = "env -0 > \"$1.new\" && mv \"$1.new\" \"$1.$TCPTRACE_STATUS\"";
    let file = config(&format!(
        "[[sink.command]]\nargv = ['sh', '-c', '{script}', 'sh', '{}/told']",
        dir.display()
    ));
    let mut command = command(&file);
    command.args(["watch", "--close-wait", "500ms", "--no-record", "-o", "json"]);
    command.args(["--port", &leak.port().to_string()]).current_dir(&dir);
    let mut tcptrace = Tcptrace::spawn(command.env("PASSWORD", "s3cret"));
    tcptrace.wait_ready();
    leak.grow(1);
    let firing = contents(&dir.join("told.firing"));
    let variables: Vec<_> = firing.split('\0').collect();
    for expected in [
        "TCPTRACE_COMM=$(touch x)\n`y`",
        &format!("TCPTRACE_PID={}", leak.server.pid()),
        "TCPTRACE_MEMBERS=1",
        "TCPTRACE_VERDICT=eof_unread",
    ] {
        assert!(variables.contains(&expected), "{variables:#?}");
    }
    assert!(!firing.contains("s3cret"), "{variables:#?}");
    leak.end();
    contents(&dir.join("told.resolved"));
    let sink = account(&tcptrace.stop(), "command");
    assert_eq!((&sink["sent"], &sink["failed"]), (&2.into(), &0.into()), "{sink:#}");
    let mut names: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["told.firing", "told.resolved"]);
}

/// A disk of 64 KiB. Dropping it unmounts it.
struct Disk(PathBuf);

impl Disk {
    fn mount() -> Self {
        let path = fresh_directory();
        fs::create_dir_all(&path).unwrap();
        run(&["mount", "-t", "tmpfs", "-o", "size=64k", "tcptrace-test", path.to_str().unwrap()]);
        Self(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn last_line(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

pub fn a_file_over_rotation_and_a_full_disk() {
    let disk = Disk::mount();
    let [path, old, filler] = ["alerts", "alerts.1", "filler"].map(|name| disk.0.join(name));
    // All but a part of a line.
    fs::write(&path, "x".repeat(4000) + "\n").unwrap();
    assert!(fs::write(&filler, vec![0; 1 << 20]).is_err(), "the disk is full");
    let mut leak = Leak::prepare();
    let file = config(&format!("[[sink.file]]\npath = '{}'", path.display()));
    let mut tcptrace = watch(&file, leak.port(), &[]);
    leak.grow(1);
    let said = tcptrace.wait_for_error(|line| line.starts_with("sink `file` did not take"));
    assert!(said.contains("No space left on device"), "{said}");
    assert_eq!(fs::metadata(&path).unwrap().len(), 4001, "no half of a line");
    fs::remove_file(&filler).unwrap();
    tcptrace.wait_for_error(|line| line.starts_with("sink `file` takes alerts again"));
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert_eq!(last_line(&text)["blame"]["pid"], leak.server.pid());
    fs::rename(&path, &old).unwrap();
    leak.end();
    let text = contents(&path);
    assert_eq!((text.lines().count(), &last_line(&text)["status"]), (1, &"resolved".into()));
    assert_eq!(fs::read_to_string(&old).unwrap().lines().count(), 2);
    tcptrace.stop();
}
