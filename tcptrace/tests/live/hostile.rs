//! What a user without privileges can put in the way: `docs/security.md` has the list.
//!
//! Each test has the truth from its own scenario, and a part that shows that the trap was laid: a name
//! that is read where it may be.

mod keeper;
mod silent;

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use libtest_mimic::Trial;
use serde_json::Value;

use self::keeper::{Keeper, USER, build, keeper, source};
use crate::actor::Actor;
use crate::host::{self, Namespace, OnDrop};
use crate::watch::{pair, watch};
use crate::watcher::{DEADLINE, Tcptrace, command, finish, fresh_directory};

pub fn trials() -> Vec<Trial> {
    let mut trials = crate::trials![
        a_binary_that_leads_to_a_pipe_is_named_all_the_same,
        a_symbol_table_of_two_gigabytes_takes_neither_memory_nor_time,
        maps_of_code_are_believed_of_its_own_user_only,
        a_name_that_changes_all_the_time_is_one_process,
        hundreds_of_namespaces_and_processes_hold_nothing_up,
        a_report_is_not_written_where_another_users_link_leads,
        a_library_that_is_cut_off_meanwhile_ends_nobody,
        a_pid_that_is_used_again_is_not_mistaken,
    ];
    trials.extend(silent::trials());
    trials
}

/// In front of what is planted, so that it is known.
const PLANTED: &str = "planted_by_a_test";

/// A directory that everybody may look into.
fn directory() -> PathBuf {
    let dir = std::env::temp_dir().join(fresh_directory().file_name().unwrap());
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    dir
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
    let peak = host::memory(watch.pid(), "VmHWM");
    assert!(peak < 256 << 10, "{peak} kB at most");
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
    let (begun, over) = (Barrier::new(2), AtomicBool::new(false));
    let groups: BTreeSet<_> = thread::scope(|scope| {
        let _over = OnDrop(&over);
        scope.spawn(|| {
            for count in 0u64.. {
                server.set_name(format!("\x1b[31m{count}").as_bytes());
                if count == 0 {
                    begun.wait();
                }
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        begun.wait();
        let groups = pairs.iter().map(|pair| {
            client.close(pair.client);
            let alert = watch.alert(pair.server.cookie, "firing");
            assert_eq!(alert["blame"]["pid"], pid, "{alert:#}");
            let name = alert["blame"]["comm"].as_str().unwrap();
            assert!(name.starts_with("\x1b[31m"), "{alert:#}");
            alert["group"].as_str().unwrap().to_owned()
        });
        groups.collect()
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

/// Whoever maps a file that is cut off while they read it gets a SIGBUS.
fn a_library_that_is_cut_off_meanwhile_ends_nobody() {
    const ALERTS: usize = 10;
    let dir = directory();
    let (library, program) = (dir.join("libkeeper.so"), dir.join("keeper"));
    let code = source("keeper.c");
    build(&library, &["-shared", "-fPIC", "-Dmain=keeper", code.to_str().unwrap()]);
    let start = dir.join("start.c");
    // What waits is not cut off itself.
    let calls = "#include <stdio.h>\nint keeper(int, char **);\nint main(int n, char **a) {\n\
        keeper(n, a); puts(\"returned\"); fflush(stdout); while (getchar() != EOF); return 0; }";
    fs::write(&start, calls).unwrap();
    build(&program, &[start.to_str().unwrap(), library.to_str().unwrap()]);
    let whole = fs::read(&library).unwrap();
    let (mut server, mut watch) = (Actor::start(), watch(&[]));
    let listener = server.listen("127.0.0.1");
    let (over, cuts) = (AtomicBool::new(false), AtomicUsize::new(0));
    let port = listener.local_port.to_string();
    let start = || {
        let mut command = Command::new(&program);
        let command = command.args([&*port, "return"]).uid(USER).gid(USER);
        let keeper = Keeper::spawn(command.env("LD_LIBRARY_PATH", &dir));
        assert_eq!(keeper.line(), "returned");
        keeper
    };
    let keepers: Vec<_> = (0..ALERTS).map(|_| start()).collect();
    let told: Vec<_> = thread::scope(|scope| {
        let _over = OnDrop(&over);
        scope.spawn(|| {
            let file = File::options().write(true).open(&library).unwrap();
            while !over.load(Ordering::Relaxed) {
                file.set_len(0).unwrap();
                file.write_all_at(&whole, 0).unwrap();
                cuts.fetch_add(1, Ordering::Relaxed);
            }
        });
        let told = keepers.iter().map(|keeper| {
            let before = cuts.load(Ordering::Relaxed);
            let alert = keeper.is_told_of(&mut server, listener, &mut watch);
            (alert, cuts.load(Ordering::Relaxed) - before)
        });
        told.collect()
    });
    for (keeper, (alert, cuts)) in keepers.iter().zip(&told) {
        assert_eq!(alert["blame"]["pid"], keeper.child.id(), "{alert:#}");
        assert!(*cuts > 0, "nothing was cut off meanwhile");
    }
    let (status, _, errors) = watch.end_with_errors(rustix::process::Signal::INT);
    assert!(status.success(), "{status}: {errors:#?}");
    let by_signal = errors.iter().find(|line| line.contains("signal"));
    assert_eq!(by_signal, None);
    fs::remove_dir_all(dir).unwrap();
}

/// One that connected is gone, its child keeps the connection, and a stranger has its pid.
fn a_pid_that_is_used_again_is_not_mistaken() {
    let dir = directory();
    let program = keeper(&dir);
    let stranger = dir.join("stranger");
    fs::copy(&program, &stranger).unwrap();
    let (mut server, mut watch) = (Actor::start(), watch(&[]));
    let listener = server.listen("127.0.0.1");
    let port = listener.local_port.to_string();
    let mut leaves = Command::new(&program);
    let mut gone = Keeper::spawn(leaves.args([&*port, "leave"]).uid(USER).gid(USER));
    let heir: u32 = gone.line().parse().unwrap();
    let pid = gone.child.id();
    // Stacks are taken in one after the other: when this one has names, that of the first was seen.
    let next = Keeper::start(&program, listener.local_port);
    let kept = server.accept(listener);
    let alert = next.is_left(&mut server, listener, &mut watch);
    assert!(has(&opened(&alert), "keep_a_connection"), "{alert:#}");
    drop(gone.child.stdin.take());
    assert!(gone.child.wait().unwrap().success());

    let mut reuse = Command::new("python3");
    reuse.arg(source("reuse.py")).arg(pid.to_string()).args(["setpriv", "--clear-groups"]);
    reuse.args([format!("--reuid={USER}"), format!("--regid={USER}")]);
    let other = Keeper::spawn(reuse.arg(&stranger).arg(&port));
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(comm.trim(), "stranger");
    let map = PathBuf::from(format!("/tmp/perf-{pid}.map"));
    fs::write(&map, format!("0 ffffffffffffffff {PLANTED}\n")).unwrap();
    chown(&map, Some(USER), None).unwrap();

    server.close(kept);
    let alert = watch.alert(gone.cookie, "firing");
    assert_eq!(alert["blame"]["pid"], heir, "{alert:#}");
    assert_eq!(alert["blame"]["comm"], "keeper", "{alert:#}");
    let all = alert.to_string();
    assert!(!all.contains("stranger") && !all.contains(PLANTED), "{alert:#}");
    // The trap was laid: of the stranger itself both are said.
    let alert = other.is_told_of(&mut server, listener, &mut watch);
    assert_eq!(alert["blame"]["pid"], pid, "{alert:#}");
    assert_eq!(alert["blame"]["comm"], "stranger", "{alert:#}");
    assert!(has(&opened(&alert), PLANTED), "{alert:#}");
    fs::remove_file(map).unwrap();
    let heir = rustix::process::Pid::from_raw(heir.cast_signed()).unwrap();
    rustix::process::kill_process(heir, rustix::process::Signal::KILL).unwrap();
    watch.stop();
    fs::remove_dir_all(dir).unwrap();
}
