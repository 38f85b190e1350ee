//! What a user without privileges can put in the way: `docs/security.md` has the list.
//!
//! Each test has the truth from its own scenario, and a part that shows that the trap was laid: a name
//! that is read where it may be.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::actor::Actor;
use crate::host::{self, Namespace};
use crate::watch::{pair, watch};
use crate::watcher::{DEADLINE, Tcptrace, command, finish, fresh_directory};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        a_binary_that_leads_to_a_pipe_is_named_all_the_same,
        a_symbol_table_of_two_gigabytes_takes_neither_memory_nor_time,
        maps_of_code_are_believed_of_its_own_user_only,
        a_name_that_changes_all_the_time_is_one_process,
        hundreds_of_namespaces_and_processes_hold_nothing_up,
        a_report_is_not_written_where_another_users_link_leads,
    ]
}

/// A user that owns nothing else.
const USER: u32 = 54_321;
/// In front of what is planted, so that it is known.
const PLANTED: &str = "planted_by_a_test";

/// A running `keeper.c`, and where its connection ends.
struct Keeper {
    child: Child,
    local: String,
}

impl Keeper {
    /// As the user who has the program.
    fn start(program: &Path, port: u16) -> Self {
        let mut keeper = Command::new(program);
        keeper.arg(port.to_string()).uid(USER).gid(USER);
        let mut child = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut own = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut own).unwrap();
        Self { child, local: format!("127.0.0.1:{}", own.trim()) }
    }

    /// Has its peer leave, and waits for what is told.
    fn is_left(
        &self,
        server: &mut Actor,
        listener: crate::actor::Sock,
        by: &mut Tcptrace,
    ) -> Value {
        let accepted = server.accept(listener);
        server.close(accepted);
        let alert = by.wait_for("alert on the keeper", |line| {
            line["type"] == "alert" && line["local"] == *self.local
        });
        assert_eq!(alert["blame"]["pid"], self.child.id(), "{alert:#}");
        alert
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory that everybody may look into.
fn directory() -> PathBuf {
    let dir = std::env::temp_dir().join(fresh_directory().file_name().unwrap());
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    dir
}

/// Builds `keeper.c` as a file of the user's.
fn keeper(dir: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/hostile/keeper.c");
    let program = dir.join("keeper");
    let mut cc = Command::new("cc");
    cc.args(["-g", "-O1", "-o"]).arg(&program).arg(source);
    assert!(cc.status().unwrap().success(), "{cc:?}");
    chown(&program, Some(USER), Some(USER)).unwrap();
    program
}

/// Has the program say that its debug information is at `path`.
fn lead(program: &Path, path: &Path) {
    let mut link = path.as_os_str().as_encoded_bytes().to_vec();
    link.resize((link.len() + 1).next_multiple_of(4), 0);
    link.extend(*b"crc!");
    let section = program.with_extension("link");
    fs::write(&section, link).unwrap();
    let add = format!(".gnu_debuglink={}", section.display());
    host::run(&["objcopy", "--add-section", &add, program.to_str().unwrap()]);
    chown(program, Some(USER), Some(USER)).unwrap();
}

fn pipe(path: &Path) {
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
}

fn opened(alert: &Value) -> Vec<String> {
    let stack = alert["evidence"]["opened"]["stack"].as_array();
    let frames = stack.into_iter().flatten().map(|frame| frame.as_str().unwrap().to_owned());
    frames.collect()
}

/// Whether one of `frames` has `name` in it.
fn has(frames: &[String], name: &str) -> bool {
    frames.iter().any(|frame| frame.contains(name))
}

fn a_binary_that_leads_to_a_pipe_is_named_all_the_same() {
    let dir = directory();
    let trap = dir.join("debug-information");
    pipe(&trap);
    let program = keeper(&dir);
    lead(&program, &trap);
    let sections = host::run(&["readelf", "-p", ".gnu_debuglink", program.to_str().unwrap()]);
    assert!(sections.contains("debug-information"), "{sections}");
    let mut server = Actor::start();
    let mut watch = watch(&[]);
    let listener = server.listen("127.0.0.1");
    let keeper = Keeper::start(&program, listener.local_port);
    let frames = opened(&keeper.is_left(&mut server, listener, &mut watch));
    assert!(has(&frames, "keep_a_connection (keeper.c:"), "{frames:#?}");
    fs::remove_dir_all(dir).unwrap();
}

fn a_symbol_table_of_two_gigabytes_takes_neither_memory_nor_time() {
    let dir = directory();
    let program = keeper(&dir);
    grow_symbols(&program, 2 << 30);
    let sections = host::run(&["readelf", "-SW", program.to_str().unwrap()]);
    assert!(sections.contains("80000010"), "{sections}");
    let mut server = Actor::start();
    let mut watch = watch(&[]);
    let listener = server.listen("127.0.0.1");
    let keeper = Keeper::start(&program, listener.local_port);
    let began = Instant::now();
    keeper.is_left(&mut server, listener, &mut watch);
    // The threshold, two looks, and no more than what is allowed for names.
    assert!(began.elapsed() < DEADLINE / 2, "{:?}", began.elapsed());
    let status = format!("/proc/{}/status", watch.pid().as_raw_nonzero());
    let status = fs::read_to_string(status).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 256 << 10, "{peak} KiB at most");
    fs::remove_dir_all(dir).unwrap();
}

/// Gives the symbol table of a program so many bytes that are nowhere on the disk.
fn grow_symbols(program: &Path, bytes: u64) {
    const SYMBOLS: u32 = 2;
    let file = File::options().read(true).write(true).open(program).unwrap();
    let word = |at: u64| {
        let mut word = [0; 8];
        file.read_exact_at(&mut word, at).unwrap();
        u64::from_ne_bytes(word)
    };
    let (headers, count) = (word(0x28), word(0x3c) & 0xffff);
    let end = file.metadata().unwrap().len().next_multiple_of(8);
    let size = bytes.next_multiple_of(24);
    let header = (0..count)
        .map(|i| headers + 64 * i)
        .find(|&header| (word(header) >> 32) as u32 == SYMBOLS)
        .expect("a symbol table");
    file.write_all_at(&end.to_ne_bytes(), header + 0x18).unwrap();
    file.write_all_at(&size.to_ne_bytes(), header + 0x20).unwrap();
    file.set_len(end + size).unwrap();
}

fn maps_of_code_are_believed_of_its_own_user_only() {
    let dir = directory();
    let program = keeper(&dir);
    let everything = format!("0 ffffffffffffffff {PLANTED}\n");
    let mut server = Actor::start();
    let mut watch = watch(&[]);
    let listener = server.listen("127.0.0.1");
    let mut look = |plant: &dyn Fn(&Path)| {
        let keeper = Keeper::start(&program, listener.local_port);
        let map = PathBuf::from(format!("/tmp/perf-{}.map", keeper.child.id()));
        plant(&map);
        let frames = opened(&keeper.is_left(&mut server, listener, &mut watch));
        fs::remove_file(map).unwrap();
        assert!(has(&frames, "keep_a_connection"), "{frames:#?}");
        has(&frames, PLANTED)
    };
    let write = |map: &Path, uid: u32| {
        fs::write(map, &everything).unwrap();
        chown(map, Some(uid), None).unwrap();
    };
    assert!(look(&|map| write(map, USER)), "its own");
    assert!(look(&|map| write(map, 0)), "root's");
    assert!(!look(&|map| write(map, USER + 1)), "another user's");
    assert!(!look(&pipe), "a pipe");
    let elsewhere = dir.join("elsewhere");
    write(&elsewhere, USER);
    assert!(!look(&|map| symlink(&elsewhere, map).unwrap()), "a link");
    fs::remove_dir_all(dir).unwrap();
}

fn a_name_that_changes_all_the_time_is_one_process() {
    const LEAKS: usize = 5;
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let mut watch = watch(&[]);
    let pid = server.pid();
    let pairs: Vec<_> = (0..LEAKS).map(|_| pair(&mut server, &mut client, "127.0.0.1")).collect();
    let (begun, done) = (Barrier::new(2), AtomicBool::new(false));
    let groups = thread::scope(|scope| {
        scope.spawn(|| {
            for count in 0u64.. {
                server.set_name(format!("\x1b[31m{count}").as_bytes());
                if count == 0 {
                    begun.wait();
                }
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        begun.wait();
        let groups: BTreeSet<_> = pairs
            .iter()
            .map(|pair| {
                client.close(pair.client);
                let alert = watch.alert(pair.server.cookie, "firing");
                assert_eq!(alert["blame"]["pid"], pid, "{alert:#}");
                let name = alert["blame"]["comm"].as_str().unwrap();
                assert!(name.starts_with("\x1b[31m"), "{alert:#}");
                alert["group"].as_str().unwrap().to_owned()
            })
            .collect();
        done.store(true, Ordering::Relaxed);
        groups
    });
    assert_eq!(groups.len(), 1, "{groups:?}");
}

fn hundreds_of_namespaces_and_processes_hold_nothing_up() {
    const MANY: usize = 300;
    let names: Vec<_> =
        (0..MANY).map(|i| format!("tcptrace-live-{}-many-{i}", std::process::id())).collect();
    let all = |verb: &str| {
        let batch = fresh_directory();
        let lines: String = names.iter().map(|name| format!("netns {verb} {name}\n")).collect();
        fs::write(&batch, lines).unwrap();
        host::run(&["ip", "-batch", batch.to_str().unwrap()]);
    };
    all("add");
    let mut sleepers: Vec<_> =
        (0..MANY).map(|_| Command::new("sleep").arg("600").spawn().unwrap()).collect();
    let last = Namespace::new();
    let (mut server, mut client) = (Actor::start_in(&last), Actor::start_in(&last));
    let mut watch = watch(&[]);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    let began = Instant::now();
    client.close(pair.client);
    let alert = watch.alert(pair.server.cookie, "firing");
    assert!(began.elapsed() < DEADLINE / 3, "{:?}", began.elapsed());
    assert_eq!(alert["netns"], last.inode, "{alert:#}");
    assert_eq!(alert["blame"]["pid"], server.pid(), "{alert:#}");
    // An open namespace would keep a dead container's network alive.
    let open = fs::read_dir(format!("/proc/{}/fd", watch.pid().as_raw_nonzero())).unwrap();
    let namespaces = open.filter(|fd| {
        let link = fs::read_link(fd.as_ref().unwrap().path()).unwrap_or_default();
        link.to_string_lossy().starts_with("net:[")
    });
    assert_eq!(namespaces.count(), 1, "its own");
    watch.stop();
    for sleeper in &mut sleepers {
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
    all("delete");
}

/// As in `/tmp`, where everybody may make links and nobody may delete those of others.
fn a_report_is_not_written_where_another_users_link_leads() {
    let journal = fresh_directory();
    Tcptrace::start(&["watch", "--record", journal.to_str().unwrap()]).stop();
    let dir = directory();
    fs::set_permissions(&dir, Permissions::from_mode(0o1777)).unwrap();
    let victim = fresh_directory();
    fs::write(&victim, "precious").unwrap();
    let link = dir.join("report.svg");
    symlink(&victim, &link).unwrap();
    rustix::fs::chownat(
        rustix::fs::CWD,
        &link,
        Some(rustix::fs::Uid::from_raw(USER)),
        None,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
    let args = ["report", "--format", "svg", "--out"];
    let (code, _, err) = finish(command().args(args).arg(&link).arg(&journal));
    let protected = fs::read_to_string("/proc/sys/fs/protected_symlinks").unwrap();
    let untouched = fs::read(&victim).unwrap() == b"precious";
    // Where the administrator has links followed, they are.
    assert_eq!(untouched, protected.trim() == "1", "{err}");
    assert_eq!(code == Some(0), protected.trim() == "0", "{err}");
    fs::remove_dir_all(dir).unwrap();
}
