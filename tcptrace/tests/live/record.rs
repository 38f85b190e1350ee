//! The record on disk, of a live kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rusqlite::Connection;
use rustix::process::Signal;

use crate::actor::{Actor, Sock};
use crate::code::Node;
use crate::corpus::{Case, Running};
use crate::host::besides_holders;
use crate::watch::pair;
use crate::watcher::{DEADLINE, Tcptrace, command, finish, fresh_directory};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        what_lasts_is_kept_and_how_it_ended,
        killed_in_the_middle,
        a_second_one_runs_without_a_record,
        ages_are_exact_beside_a_record_and_after_a_restart,
        after_a_restart_the_finding_is_the_same,
        a_directory_that_cannot_be_is_an_error,
        two_programs_are_as_wide_as_they_say,
    ]
}

/// A watch that records, and tells of nothing in a minute.
pub fn recording(dir: &Path) -> Tcptrace {
    let dir = dir.to_str().unwrap();
    Tcptrace::start(&["watch", "--record", dir, "--record-from", "300ms"])
}

/// The only file there is, once there is one.
fn shard(dir: &Path) -> Option<PathBuf> {
    let mut shards = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "db"));
    let only = shards.next();
    assert_eq!(shards.next(), None);
    only
}

/// The only stay of the socket with this cookie: verdict, pid, seconds, what ended it.
type Kept = (String, Option<u32>, f64, Option<String>);

fn kept(dir: &Path, cookie: u64) -> Option<Kept> {
    let shard = Connection::open(shard(dir)?).unwrap();
    let row = shard.query_one(
        "SELECT stays.verdict, pid, seconds, stays.ended_by FROM stays JOIN stay USING (id) \
         WHERE socket = ?",
        [cookie.cast_signed()],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    );
    row.ok()
}

pub fn wait_until_kept(dir: &Path, cookie: u64) -> Kept {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(kept) = kept(dir, cookie) {
            return kept;
        }
        assert!(Instant::now() < deadline, "nothing of cookie {cookie} in {}", dir.display());
        std::thread::yield_now();
    }
}

fn what_lasts_is_kept_and_how_it_ended() {
    let dir = fresh_directory();
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let watch = recording(&dir);
    let stuck = pair(&mut server, &mut client, "127.0.0.1");
    let short = pair(&mut server, &mut client, "127.0.0.1");
    let began = Instant::now();
    client.close(stuck.client);
    let latest = Instant::now();
    client.close(short.client);
    server.close(short.server);
    let (verdict, pid, _, ended_by) = wait_until_kept(&dir, stuck.server.cookie);
    assert_eq!((&*verdict, pid, ended_by), ("eof_unread", Some(server.pid()), None));
    let least = latest.elapsed().as_secs_f64();
    server.close(stuck.server);
    let most = began.elapsed().as_secs_f64();
    let told = watch.stop();
    assert_eq!(told.len(), 1, "nobody is told of anything: {told:#?}");
    let (_, _, seconds, ended_by) = kept(&dir, stuck.server.cookie).unwrap();
    assert_eq!(ended_by.as_deref(), Some("closed"));
    assert!((least..=most).contains(&seconds), "{seconds} is not in {least}..={most}");
    assert_eq!(kept(&dir, short.server.cookie), None, "short ones are numbers");
}

fn killed_in_the_middle() {
    let dir = fresh_directory();
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = recording(&dir);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    wait_until_kept(&dir, pair.server.cookie);
    rustix::process::kill_process(watch.pid(), Signal::KILL).unwrap();
    watch.wait();
    let (verdict, ..) = kept(&dir, pair.server.cookie).unwrap();
    assert_eq!(verdict, "eof_unread");
}

fn a_second_one_runs_without_a_record() {
    let dir = fresh_directory();
    let first = recording(&dir);
    let args = ["watch", "--for", "1ms", "--record", dir.to_str().unwrap()];
    let (code, _, err) = finish(command().args(args));
    assert_eq!(code, Some(0), "{err}");
    let pid = first.pid().as_raw_nonzero();
    let said = format!("is being recorded to by another tcptrace (process {pid})");
    let notice = err.lines().find(|line| line.starts_with("nothing is recorded: "));
    assert!(notice.is_some_and(|notice| notice.ends_with(&said)), "{err}");
}

fn ages_are_exact_beside_a_record_and_after_a_restart() {
    let dir = fresh_directory();
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let first = recording(&dir);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    let began = Instant::now();
    client.close(pair.client);
    let latest = Instant::now();
    wait_until_kept(&dir, pair.server.cookie);
    let (port, cookie) = (pair.listener.local_port.to_string(), pair.server.cookie.to_string());
    let ls = ["ls", "--port", &port, "-o", "json", "--record", dir.to_str().unwrap()];
    let (code, out, err) = finish(command().args(ls));
    assert_eq!(code, Some(0), "{err}");
    let socket = out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|line| line["cookie"].as_str() == Some(&cookie))
        .unwrap();
    assert_eq!(socket["age_is"], "exact", "{socket:#}");
    first.stop();
    let restarted = Instant::now();
    let args = ["watch", "--close-wait", "500ms", "--record", dir.to_str().unwrap()];
    let mut second = Tcptrace::start(&args);
    let alert = second.alert(pair.server.cookie, "firing");
    assert_eq!((&alert["age_is"], &alert["id"]), (&"exact".into(), &socket["id"]), "{alert:#}");
    let age = Duration::from_millis(alert["age_ms"].as_u64().unwrap());
    assert!(age <= began.elapsed(), "{age:?}");
    // Since it began again the second one has seen no more than a fraction of that.
    assert!(age >= restarted.duration_since(latest), "{age:?}");
}

/// Who read the end of file, and by which code, shows only as it happens.
fn after_a_restart_the_finding_is_the_same() {
    let dir = fresh_directory();
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let port = server.listen("127.0.0.1");
    let leaked = client.connect("127.0.0.1", port.local_port);
    let stuck = server.accept(port);
    let args = ["watch", "--close-wait", "500ms", "--record", dir.to_str().unwrap()];
    let run = |began: bool, stuck: Sock| {
        let mut watch = Tcptrace::start(&args);
        began.then(|| {
            client.close(leaked);
            assert_eq!(server.recv(stuck), 0);
        });
        let alert = watch.alert(stuck.cookie, "firing");
        let group = watch.wait_for("group", |line| line["group"] == alert["group"]);
        watch.stop();
        (alert, group)
    };
    let mut run = run;
    let (first, first_group) = run(true, stuck);
    let (second, second_group) = run(false, stuck);
    for key in ["id", "group", "verdict", "state", "blame"] {
        assert_eq!(first[key], second[key], "{key}");
    }
    assert_eq!((&first["verdict"], &second["confidence"]), (&"eof_read".into(), &"high".into()));
    assert_eq!(second["evidence"]["eof_read_by"], first["evidence"]["eof_read_by"]);
    assert_eq!(second["evidence"]["stack"], first["evidence"]["stack"]);
    // When a process began is told from its ticks by the clocks of the moment.
    for key in ["verdict", "code_path", "code_did"] {
        assert_eq!(first_group["key"][key], second_group["key"][key]);
    }
    let ls = ["ls", "--pid", &server.pid().to_string(), "-o", "json", "--record"];
    let (code, out, err) = finish(command().args(ls).arg(&dir));
    assert_eq!(code, Some(0), "{err}");
    let shown: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!((&shown["verdict"], &shown["group"]), (&second["verdict"], &second["group"]));
}

fn a_directory_that_cannot_be_is_an_error() {
    let file = fresh_directory();
    fs::write(&file, "").unwrap();
    let args = ["watch", "--for", "1ms", "--record", file.to_str().unwrap()];
    let (code, _, err) = finish(command().args(args));
    assert_eq!(code, Some(1), "{err}");
    assert!(besides_holders(&err).starts_with("error: cannot record in "), "{err}");
}

/// How long a leak is watched, so that 2 % of it are more than its clocks are apart.
const LEAK: Duration = Duration::from_secs(3);

/// The widths of the frames of `pid`, in milliseconds, by the path.
fn widths(dir: &Path, pid: u32) -> Vec<(String, f64)> {
    let pid = pid.to_string();
    let args = ["report", dir.to_str().unwrap(), "--format", "folded", "--pid", &pid];
    let (code, out, err) = finish(command().args(args));
    assert_eq!(code, Some(0), "{err}");
    let line = |line: &str| {
        let (path, width) = line.rsplit_once(' ').unwrap();
        (path.to_owned(), width.parse().unwrap())
    };
    out.lines().map(line).collect()
}

fn check_width(widths: &[(String, f64)], function: &str, least: Duration, most: Duration) {
    let on_path = widths.iter().filter(|(path, _)| path.contains(function));
    let width: f64 = on_path.map(|(_, width)| width).sum();
    let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
    assert!(
        width >= millis(least) * 0.98 && width <= millis(most) * 1.02,
        "{function}: {width} ms, in truth {least:?} to {most:?}: {widths:#?}"
    );
}

fn two_programs_are_as_wide_as_they_say() {
    let dir = fresh_directory();
    let mut server = Actor::start();
    let watch = recording(&dir);
    // A program in C that reads the end of file and keeps the connection.
    let before = Instant::now();
    let mut c = Running::start(Case { program: "c", name: "eof_read", leaks: true });
    let c_began = (before, Instant::now());
    let function = c.leaks()[0]["function"].as_str().unwrap().to_owned();
    // And one in JavaScript, whose connect is the code to look at.
    let listener = server.listen("127.0.0.1");
    let node = Node::start(listener.local_port);
    let accepted = server.accept(listener);
    let before = Instant::now();
    server.close(accepted);
    let node_began = (before, Instant::now());
    std::thread::sleep(LEAK);
    let before = Instant::now();
    c.end();
    let c_ended = (before, Instant::now());
    let (node_pid, before) = (node.pid(), Instant::now());
    drop(node);
    let node_ended = (before, Instant::now());
    watch.stop();
    let least = |began: (Instant, Instant), ended: (Instant, Instant)| ended.0 - began.1;
    let most = |began: (Instant, Instant), ended: (Instant, Instant)| ended.1 - began.0;
    let (c_least, c_most) = (least(c_began, c_ended), most(c_began, c_ended));
    check_width(&widths(&dir, c.pid()), &function, c_least, c_most);
    let (node_least, node_most) = (least(node_began, node_ended), most(node_began, node_ended));
    check_width(&widths(&dir, node_pid), "internalConnect", node_least, node_most);
}
