//! `tcptrace watch --record-raw` and `tcptrace replay`: what was told is told again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use libtest_mimic::Trial;
use serde_json::Value;
use tcptrace::model::recording::{Frames, Kind};

use crate::actor::Actor;
use crate::host::{run, sees_reads};
use crate::watch::{pair, watch};
use crate::watcher::{DEADLINE, Tcptrace, command, finish};
use crate::{PROBE, Probe};

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> =
        crate::trials_of_both_probes![told_again_line_for_line, cut_off_in_a_frame, a_byte_flipped];
    trials.extend(crate::trials![
        filters_choose_anew,
        killed_while_it_records,
        a_full_disk_ends_no_watch,
        what_cannot_be_replayed_is_said,
        a_reader_that_goes_away_is_no_failure,
    ]);
    trials
}

/// A directory of this test's own, gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let made = run(&["mktemp", "-d", "/tmp/tcptrace-replay-XXXXXX"]);
        Self(made.trim().into())
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Everything that was printed until `status` of the socket with `cookie`, in its order.
fn until(watch: &mut Tcptrace, told: &mut Vec<Value>, cookie: u64, status: &str) {
    let name = Value::from(cookie.to_string());
    if told.iter().any(|line| line["cookie"] == name && line["status"] == status) {
        return;
    }
    let alert = watch.alert(cookie, status);
    told.append(&mut watch.seen);
    told.push(alert);
}

/// Leaks two sockets and closes one of them later; returns every line that watch printed.
fn leak(recording: &str) -> Vec<Value> {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&["--record-raw", recording]);
    let (first, second) =
        (pair(&mut server, &mut client, "127.0.0.1"), pair(&mut server, &mut client, "127.0.0.1"));
    client.close(first.client);
    assert_eq!(server.recv(first.server), 0);
    client.close(second.client);
    let mut told = Vec::new();
    until(&mut watch, &mut told, first.server.cookie, "firing");
    until(&mut watch, &mut told, second.server.cookie, "firing");
    server.close(first.server);
    until(&mut watch, &mut told, first.server.cookie, "resolved");
    told.extend(watch.stop());
    let ours = told.iter().filter(|line| line["blame"]["pid"] == server.pid());
    let ours = ours.filter(|line| line["type"] == "alert" && line["status"] == "firing");
    let verdicts: Vec<_> = ours.map(|line| line["verdict"].as_str().unwrap()).collect();
    match PROBE.get() {
        Probe::Btf if sees_reads() => assert_eq!(verdicts, ["eof_read", "eof_unread"]),
        Probe::Btf | Probe::Classic => assert_eq!(verdicts, ["drained", "eof_unread"]),
    }
    told
}

/// What a replay prints and says. It runs as somebody who may nothing.
fn replay(args: &[&str], recording: &str) -> (Vec<Value>, String) {
    let mut without = Command::new("setpriv");
    without.args(["--bounding-set=-all", "--inh-caps=-all", "--"]);
    without.arg(env!("CARGO_BIN_EXE_tcptrace")).args(["replay", "-o", "json", recording]);
    let (code, out, err) = finish(without.args(args));
    assert_eq!(code, Some(0), "{err}");
    (out.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), err)
}

fn is_said(line: &Value) -> bool {
    line["type"] != "summary"
}

fn said(lines: &[Value]) -> Vec<&Value> {
    lines.iter().filter(|line| is_said(line)).collect()
}

fn told_again_line_for_line() {
    let scratch = Scratch::new();
    let recording = scratch.file("raw");
    let told = leak(&recording);
    let (again, err) = replay(&[], &recording);
    assert_eq!(again, told, "{err}");
    let summary = told.last().unwrap();
    assert!(summary["transitions"].as_u64().unwrap() > 10, "{summary}");
    assert!(err.starts_with("recorded on ") && err.lines().count() == 1, "{err}");
    // The same through a pipe, as text.
    let piped = format!("{} replay --color never - <{recording}", env!("CARGO_BIN_EXE_tcptrace"));
    let (code, out, err) = finish(Command::new("sh").args(["-c", &piped]));
    assert_eq!((code, err.lines().count()), (Some(0), 2), "{err}");
    let groups = told.iter().filter(|line| line["type"] == "group");
    let groups = groups.filter(|line| line["status"] == "firing").count();
    assert_eq!(out.lines().filter(|line| line.contains("  STUCK  ")).count(), groups, "{out}");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(recording).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

/// Where each frame begins and what it holds, and the end.
fn frames(bytes: &[u8]) -> Vec<(usize, Kind)> {
    let mut frames = Frames::open(bytes).unwrap();
    let mut places = Vec::new();
    loop {
        let offset = frames.offset() as usize;
        let Some(frame) = frames.next_frame().unwrap() else { return places };
        places.push((offset, Kind::of(frame.unwrap().kind).unwrap()));
    }
}

fn cut_off_in_a_frame() {
    let scratch = Scratch::new();
    let recording = scratch.file("raw");
    let told = leak(&recording);
    let mut bytes = fs::read(&recording).unwrap();
    let frames = frames(&bytes);
    // The frame that told of what was closed is among the last, and comes after all that fired.
    let evidence = frames.iter().rposition(|&(_, kind)| kind == Kind::Evidence).unwrap();
    let tick = frames[evidence..].iter().filter(|&&(_, kind)| kind == Kind::Tick).nth(1).unwrap().0;
    bytes.truncate(tick + 9);
    fs::write(&recording, &bytes).unwrap();
    let (again, err) = replay(&[], &recording);
    let notice = format!(
        "the recording ends in the middle of a frame at offset {tick}: its 9 bytes are lost"
    );
    assert!(err.lines().any(|line| line == notice), "{err}");
    assert!(err.contains("the recording has no end"), "{err}");
    let (again, told) = (said(&again), said(&told));
    let alerts = again.iter().filter(|line| line["type"] == "alert");
    assert!(alerts.filter(|line| line["status"] == "firing").count() >= 2, "{again:#?}");
    assert_eq!(again, told[..again.len()]);
}

fn a_byte_flipped() {
    let scratch = Scratch::new();
    let recording = scratch.file("raw");
    let told = leak(&recording);
    let mut bytes = fs::read(&recording).unwrap();
    // Nothing was lost, and a count that says so is not missed.
    let lost = |&&(_, kind): &&(usize, Kind)| kind == Kind::Lost;
    let offset = frames(&bytes).iter().find(lost).unwrap().0;
    bytes[offset + 20] ^= 0x40;
    fs::write(&recording, &bytes).unwrap();
    let (again, err) = replay(&[], &recording);
    let notice = format!("bytes at offset {offset} are damaged: a frame (count of losses) is lost");
    assert!(err.contains(&notice), "{err}");
    assert!(err.contains("what is told after that may differ"), "{err}");
    assert_eq!(said(&again), said(&told));
}

fn filters_choose_anew() {
    let scratch = Scratch::new();
    let recording = scratch.file("raw");
    let told = leak(&recording);
    let read = |line: &&Value| line["type"] == "alert" && line["verdict"] == "eof_read";
    let blamed = &told.iter().find(read).expect("one of ours")["blame"]["pid"];
    let (again, _) = replay(&["--verdict", "eof_read", "--pid", &blamed.to_string()], &recording);
    let wanted = |line: &&Value| read(line) && line["blame"]["pid"] == *blamed;
    let expected: Vec<_> = told.iter().filter(wanted).collect();
    let alerts: Vec<_> = again.iter().filter(|line| line["type"] == "alert").collect();
    assert_eq!(alerts, expected);
    assert!(!alerts.is_empty(), "{told:#?}");
}

fn killed_while_it_records() {
    let scratch = Scratch::new();
    let recording = scratch.file("raw");
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&["--record-raw", &recording]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    let fired = watch.alert(pair.server.cookie, "firing");
    // It can be replayed while it still goes on; what was told is in the file a moment later.
    let deadline = Instant::now() + DEADLINE;
    while !replay(&[], &recording).0.contains(&fired) {
        assert!(Instant::now() < deadline, "{fired:#} is not in the recording");
    }
    watch.end(rustix::process::Signal::KILL);
    let (again, err) = replay(&[], &recording);
    assert!(again.contains(&fired), "{again:#?}");
    assert!(err.contains("the recording has no end"), "{err}");
}

/// A file system of one page.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn mount(at: &'a Path) -> Self {
        run(&["mount", "-t", "tmpfs", "-o", "size=4k", "tcptrace", at.to_str().unwrap()]);
        Self(at)
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

fn a_full_disk_ends_no_watch() {
    let scratch = Scratch::new();
    let small = Small::mount(&scratch.0);
    let recording = scratch.file("raw");
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let errors = Scratch::new();
    let said = errors.file("said");
    let script = format!(
        "exec {} watch --close-wait 500ms --record-raw {recording} -o json 2>{said}",
        env!("CARGO_BIN_EXE_tcptrace")
    );
    let mut watch = Tcptrace::spawn(Command::new("sh").args(["-c", &script]));
    // It leaks from before: whether tcptrace is ready need not be known.
    let pairs: Vec<_> = (0..50).map(|_| pair(&mut server, &mut client, "127.0.0.1")).collect();
    pairs.iter().for_each(|pair| client.close(pair.client));
    for pair in &pairs {
        watch.alert(pair.server.cookie, "firing");
    }
    let told = watch.stop();
    assert_eq!(told.last().unwrap()["type"], "summary");
    let said = fs::read_to_string(said).unwrap();
    assert_eq!(said.matches("tracing goes on").count(), 1, "{said}");
    assert!(said.contains("the recording lacks "), "{said}");
    assert!(said.contains(" frames: No space left on device"), "{said}");
    // What is there can be read.
    let bytes = fs::read(&recording).unwrap();
    assert_eq!(frames(&bytes)[0].1, Kind::Header);
    drop(small);
}

fn what_cannot_be_replayed_is_said() {
    let scratch = Scratch::new();
    let file = scratch.file("raw");
    let check = |bytes: &[u8], expect: &[&str]| {
        fs::write(&file, bytes).unwrap();
        let (code, out, err) = finish(command().args(["replay", &file]));
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        for expect in expect {
            assert!(err.contains(expect), "{expect}: {err}");
        }
    };
    check(b"", &["is no recording", "tcptrace watch --record-raw FILE"]);
    check(b"TCPTRACE-RAW\n\x03\0\0\0", &["has format 3", "reads format 2", "tcptrace --version"]);
    check(b"TCPTRACE-RAW\n\x02\0\0\0", &["its first frame is not the header"]);
    check(b"TCPTRACE-RAW\n\x02\0\0\0\x01", &["in the middle of a frame at offset 17"]);
    let (code, _, err) = finish(command().args(["replay", "/no/such/file"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("cannot read /no/such/file: No such file"), "{err}");
    let (code, _, err) = finish(command().args(["replay", &file, "--netns", "blue"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("does not know the names of its namespaces"), "{err}");
    // What is there is not written over.
    let (code, _, err) = finish(command().args(["watch", "--record-raw", &file, "--for", "1ms"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("is there already, and is not written over"), "{err}");
    assert_eq!(fs::read(&file).unwrap(), b"TCPTRACE-RAW\n\x02\0\0\0\x01");
}

fn a_reader_that_goes_away_is_no_failure() {
    let scratch = Scratch::new();
    let recording = scratch.file("raw");
    leak(&recording);
    // The reader is gone before the first line is written.
    let tcptrace = env!("CARGO_BIN_EXE_tcptrace");
    let script = format!("set -o pipefail; {tcptrace} replay -o json {recording} | exec 0<&-");
    let (code, _, err) = finish(Command::new("bash").args(["-c", &script]));
    assert_eq!(code, Some(0), "{err}");
}
