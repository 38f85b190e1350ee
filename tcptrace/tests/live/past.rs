//! What is read of a record later: after a crash, and where nothing can be written.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;

use crate::actor::Actor;
use crate::record::{recording, wait_until_kept};
use crate::watch::{Pair, pair};
use crate::watcher::{Tcptrace, command, finish, fresh_directory};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        killed_it_knows_all_but_the_last_second_and_goes_on,
        a_record_that_cannot_be_written_beside_is_read,
    ]
}

/// A watch gives a sign of life each second, and a busy machine may be late.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// Longer than that.
const THRESHOLD: &str = "3s";

fn lines(command: &mut Command) -> Vec<Value> {
    let (code, out, err) = finish(command);
    assert_eq!(code, Some(0), "{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of<'a>(lines: &'a [Value], pair: &Pair) -> Vec<&'a Value> {
    let cookie = pair.server.cookie.to_string();
    lines.iter().filter(|line| line["cookie"].as_str() == Some(&cookie)).collect()
}

fn export(dir: &Path) -> Command {
    let mut export = command();
    export.arg("export").arg(dir).args(["--format", "jsonl"]);
    export
}

fn lasted(stay: &Value) -> Duration {
    Duration::from_nanos(stay["lasted_ns"].as_str().unwrap().parse().unwrap())
}

fn killed_it_knows_all_but_the_last_second_and_goes_on() {
    let dir = fresh_directory();
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let flags = ["watch", "--close-wait", THRESHOLD, "--record", dir.to_str().unwrap()];
    let mut first = Tcptrace::start(&flags);
    let pairs: Vec<_> = (0..3).map(|_| pair(&mut server, &mut client, "127.0.0.1")).collect();
    let earliest = Instant::now();
    pairs.iter().for_each(|pair| client.close(pair.client));
    let latest = Instant::now();
    let told: Vec<_> = pairs.iter().map(|pair| first.alert(pair.server.cookie, "firing")).collect();
    let killed = Instant::now();
    rustix::process::kill_process(first.pid(), Signal::KILL).unwrap();
    first.wait();
    let (least, most) = (killed - latest - SIGN_OF_LIFE, earliest.elapsed());

    let stays = lines(&mut export(&dir));
    for (pair, alert) in pairs.iter().zip(&told) {
        let [stay] = of(&stays, pair)[..] else { panic!("{stays:#?}") };
        assert_eq!((&stay["ended_by"], &stay["id"]), (&"cut_off".into(), &alert["id"]), "{stay:#}");
        assert!((least..=most).contains(&lasted(stay)), "not {least:?} to {most:?}: {stay:#}");
    }
    let pid = server.pid().to_string();
    let mut report = command();
    report.arg("report").arg(&dir).args(["--format", "json", "--pid", &pid]);
    let reported = lines(&mut report);
    let time = Duration::from_millis(reported[0]["time_ms"].as_u64().unwrap());
    assert!((least * 3..=most * 3).contains(&time), "not {least:?} to {most:?}: {reported:#?}");
    assert_eq!(reported[0]["count"], 3);

    let mut second = Tcptrace::start(&flags);
    for (pair, before) in pairs.iter().zip(&told) {
        let alert = second.alert(pair.server.cookie, "firing");
        assert_eq!((&alert["id"], &alert["age_is"]), (&before["id"], &"exact".into()), "{alert:#}");
    }
    let least = latest.elapsed();
    second.stop();
    let most = earliest.elapsed();
    let stays = lines(&mut export(&dir));
    for pair in &pairs {
        let [stay] = of(&stays, pair)[..] else { panic!("in parts: {stays:#?}") };
        assert_eq!(stay["ended_by"], "open");
        assert!((least..=most).contains(&lasted(stay)), "not {least:?} to {most:?}: {stay:#}");
    }
}

/// Has `command` run where `dir` cannot be written to, and `temporary` is for temporary files.
fn read_only(dir: &Path, temporary: &Path, command: &Command) -> Command {
    let mut shell = Command::new("unshare");
    let mount = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";
    shell.args(["--mount", "sh", "-c", mount]).arg(dir);
    shell.arg(command.get_program()).args(command.get_args()).env("TMPDIR", temporary);
    shell
}

/// Names and lengths of the files in `dir`.
fn files(dir: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let file = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())
    };
    let mut files: Vec<_> = entries.map(file).collect();
    files.sort();
    files
}

/// What report, export and ls tell of the socket in a record at `dir` that is read-only.
fn check_read_only(dir: &Path, pair: &Pair, pid: u32) {
    let temporary = fresh_directory();
    fs::create_dir(&temporary).unwrap();
    let before = files(dir);
    let stays = lines(&mut read_only(dir, &temporary, &export(dir)));
    assert_eq!(of(&stays, pair).len(), 1, "{before:?}: {stays:#?}");
    let mut report = command();
    report.arg("report").arg(dir).args(["--format", "json", "--pid", &pid.to_string()]);
    let reported = lines(&mut read_only(dir, &temporary, &report));
    assert_eq!(reported[0]["count"], 1, "{before:?}: {reported:#?}");
    let port = pair.listener.local_port.to_string();
    let mut ls = command();
    ls.args(["ls", "--port", &port, "-o", "json", "--record"]).arg(dir);
    let sockets = lines(&mut read_only(dir, &temporary, &ls));
    assert_eq!(of(&sockets, pair)[0]["age_is"], "exact", "{before:?}: {sockets:#?}");
    assert_eq!(files(&temporary), [], "what was copied is gone");
    fs::remove_dir(temporary).unwrap();
    // Nor can anything have been made but by the one who records there.
    let names = |files: &[(String, u64)]| -> Vec<_> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&files(dir)), names(&before));
}

fn a_record_that_cannot_be_written_beside_is_read() {
    let dir = fresh_directory();
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let pid = server.pid();
    let mut watch = recording(&dir);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    wait_until_kept(&dir, pair.server.cookie);
    // While it is written to, from elsewhere.
    check_read_only(&dir, &pair, pid);
    rustix::process::kill_process(watch.pid(), Signal::KILL).unwrap();
    watch.wait();
    // With an index of the WAL that nobody keeps, and without one, as on a medium it was copied to.
    let of_kind = |end: &str| files(&dir).iter().any(|(name, _)| name.ends_with(end));
    assert!(of_kind("-wal") && of_kind("-shm"), "{:?}", files(&dir));
    check_read_only(&dir, &pair, pid);
    for (name, _) in files(&dir).iter().filter(|(name, _)| name.ends_with("-shm")) {
        fs::remove_file(dir.join(name)).unwrap();
    }
    check_read_only(&dir, &pair, pid);
}
