//! The command line: exit codes, errors, signals.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::actor::Actor;
use crate::host::run;
use crate::watcher::{Tcptrace, command, finish};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        wrong_usage_is_2,
        without_privileges_it_says_what_is_missing,
        a_closed_pipe_is_no_failure,
        signals_end_it_with_a_summary,
        stops_by_itself,
        flags_of_later_versions_are_accepted,
        what_cannot_be_found_is_named,
    ]
}

fn wrong_usage_is_2() {
    for args in [&["watch", "--nonsense"][..], &["frobnicate"], &["watch", "--pid", "me"], &[]] {
        let (code, _, err) = finish(command().args(args));
        assert_eq!(code, Some(2), "{args:?}: {err}");
    }
    let (code, out, _) = finish(command().arg("--help"));
    assert_eq!(code, Some(0));
    for name in ["watch", "ls", "events"] {
        assert!(out.contains(name), "{out}");
    }
}

fn without_privileges_it_says_what_is_missing() {
    const NOBODY: u32 = 65_534;
    // The build may lie where nobody else may look.
    let copy = std::env::temp_dir().join(format!("tcptrace-unprivileged-{}", std::process::id()));
    // Not by this process: a descriptor open for writing would be inherited by other tests'
    // children for a moment, and the copy could not be executed.
    run(&["cp", env!("CARGO_BIN_EXE_tcptrace"), copy.to_str().unwrap()]);
    for args in [&["watch"][..], &["events"]] {
        let (code, out, err) =
            finish(Command::new(&copy).args(args).current_dir("/").uid(NOBODY).gid(NOBODY));
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(
            err.contains(
                "error: tcptrace needs to load eBPF programs, and this user may not \
                 (CAP_BPF and CAP_PERFMON are missing)"
            ),
            "{err}"
        );
        assert!(err.contains("sudo tcptrace"), "{err}");
    }
    std::fs::remove_file(copy).unwrap();
}

fn a_closed_pipe_is_no_failure() {
    let mut actor = Actor::start();
    let mut child = command()
        .args(["events", "-o", "json", "--for", "20s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    // It finds out when it next has something to say.
    let status = loop {
        let listener = actor.listen("127.0.0.1");
        actor.close(listener);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
    };
    assert_eq!(status.code(), Some(0));
}

fn signals_end_it_with_a_summary() {
    for signal in [Signal::INT, Signal::TERM] {
        for command in ["watch", "events"] {
            let (status, lines) = Tcptrace::start(&[command]).end(signal);
            assert_eq!(status.code(), Some(0), "{command}");
            assert_eq!(lines.last().unwrap()["type"], "summary");
        }
    }
}

fn stops_by_itself() {
    let (code, out, err) = finish(command().args(["watch", "--for", "200ms", "--color", "always"]));
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    assert!(err.contains("tp_btf, iterator"), "{err}");
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines[lines.len() - 2], "ready");
    assert!(lines[lines.len() - 1].contains(" transitions, 0 lost · 0 groups fired"), "{err}");
}

fn flags_of_later_versions_are_accepted() {
    let directory = std::env::temp_dir();
    let directory = directory.to_str().unwrap();
    let args =
        ["watch", "--for", "1ms", "--closed", "5s", "--record", directory, "--stacks", "all"];
    let (code, _, err) = finish(command().args(args).args(["--listen", "127.0.0.1:0"]));
    assert_eq!(code, Some(0), "{err}");
    for flag in ["--closed", "--record", "--stacks", "--listen"] {
        let said = format!("{flag} has no effect yet in this version");
        assert!(err.lines().any(|line| line == said), "{flag}: {err}");
    }
}

fn what_cannot_be_found_is_named() {
    let (code, _, err) = finish(command().args(["watch", "--netns", "no-such-namespace"]));
    assert_eq!(code, Some(1));
    assert!(err.starts_with("error: no network namespace `no-such-namespace`"), "{err}");
    assert!(err.contains("ip netns list"), "{err}");
}
