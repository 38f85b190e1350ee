//! What lies on a file system that does not answer.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use libtest_mimic::Trial;
use serde_json::Value;

use super::keeper::{Keeper, USER, keeper, source};
use super::{directory, has, opened};
use crate::actor::Actor;
use crate::watch::watch;
use crate::watcher::DEADLINE;

pub fn trials() -> Vec<Trial> {
    crate::trials![
        arguments_that_never_come_are_not_waited_for,
        a_map_on_a_disk_that_never_answers_costs_its_own_names,
    ]
}

/// Runs `keeper.c` beside a file system that hardly answers, which is at `place` for this one alone.
fn beside_silence(place: &Path, program: &Path, arguments: &[&str]) -> Keeper {
    let mut keeper = Command::new("unshare");
    keeper.args(["--mount", "python3"]).arg(source("silent.py")).arg(place).arg(USER.to_string());
    Keeper::spawn(keeper.arg(program).args(arguments))
}

fn arguments_that_never_come_are_not_waited_for() {
    let dir = directory();
    let program = keeper(&dir);
    let silence = dir.join("silence");
    fs::create_dir(&silence).unwrap();
    let (mut server, mut watch) = (Actor::start(), watch(&[]));
    let listener = server.listen("127.0.0.1");
    let (port, file) = (listener.local_port.to_string(), silence.join("silent"));
    let hides = [&*port, "hide", file.to_str().unwrap()];
    let hidden = beside_silence(&silence, &program, &hides);
    assert_eq!(hidden.line(), "hidden");
    // The trap: whoever else reads them is still at it when told to end.
    let mut cat = Command::new("cat");
    let arguments = format!("/proc/{}/cmdline", hidden.child.id());
    let mut cat = cat.arg(arguments).stdout(Stdio::null()).spawn().unwrap();
    // The arguments' two seconds, and ten for names of functions.
    let alert = hidden.is_left(&mut server, listener, &mut watch);
    assert_eq!(alert["blame"]["comm"], "keeper", "{alert:#}");
    assert_eq!(alert["holders"][0]["cmdline"], Value::Null, "{alert:#}");
    assert_eq!(cat.try_wait().unwrap(), None);
    // Others are told of as ever.
    let other = Keeper::start(&program, listener.local_port);
    let alert = other.is_left(&mut server, listener, &mut watch);
    assert_eq!(alert["holders"][0]["cmdline"][1], *port, "{alert:#}");
    cat.kill().unwrap();
    cat.wait().unwrap();
    watch.stop();
    fs::remove_dir_all(dir).unwrap();
}

fn a_map_on_a_disk_that_never_answers_costs_its_own_names() {
    let dir = directory();
    let program = keeper(&dir);
    let (mut server, mut watch) = (Actor::start(), watch(&[]));
    let listener = server.listen("127.0.0.1");
    let port = listener.local_port.to_string();
    let silent = beside_silence(Path::new("/tmp"), &program, &[&port]);
    let began = Instant::now();
    let alert = silent.is_left(&mut server, listener, &mut watch);
    assert!(began.elapsed() < DEADLINE, "{:?}", began.elapsed());
    let frames = opened(&alert);
    assert!(frames.is_empty(), "{frames:#?}");
    watch.wait_for_notice("is not named");
    // After a pause that is as long, others have names again.
    let mut named = Vec::new();
    while !has(&named, "keep_a_connection") {
        assert!(began.elapsed() < 3 * DEADLINE, "{named:#?}");
        let other = Keeper::start(&program, listener.local_port);
        named = opened(&other.is_left(&mut server, listener, &mut watch));
    }
    watch.stop();
    fs::remove_dir_all(dir).unwrap();
}
