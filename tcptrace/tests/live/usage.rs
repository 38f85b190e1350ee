//! The command line: exit codes, errors, signals.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;

use crate::actor::Actor;
use crate::host::{
    COOKIES, ITERATOR, Namespace, RECV_LENGTH, besides_holders, copies_stacks, is_confidential,
    kernel_is, report, run, sees_reads,
};
use crate::watcher::{Tcptrace, command, finish};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        wrong_usage_is_2,
        without_privileges_it_says_what_is_missing,
        a_closed_pipe_is_no_failure,
        signals_end_it_with_a_summary,
        stops_by_itself,
        what_cannot_be_found_is_named,
        doctor_tries_everything,
        a_probe_that_is_not_to_be_had_is_said,
        doctor_without_privileges,
        namespaces_that_cannot_be_entered_are_said,
        demo_shows_each_cause,
        the_readme_shows_what_demo_prints,
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
    let holders = if kernel_is(ITERATOR) { "iterator" } else { "/proc" };
    assert!(err.contains(&format!("tp_btf, EOF evidence, {holders}")), "{err}");
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines[lines.len() - 2], "ready");
    assert!(lines[lines.len() - 1].contains(" transitions, 0 lost · 0 groups fired"), "{err}");
}

fn what_cannot_be_found_is_named() {
    let (code, _, err) = finish(command().args(["watch", "--netns", "no-such-namespace"]));
    assert_eq!(code, Some(1));
    let error = besides_holders(&err);
    assert!(error.starts_with("error: no network namespace `no-such-namespace`"), "{err}");
    assert!(err.contains("ip netns list"), "{err}");
}

fn checks(command: &mut Command) -> Vec<Value> {
    let (code, out, err) = finish(command.args(["doctor", "-o", "json"]));
    assert_eq!(code, Some(0), "{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn status<'a>(checks: &'a [Value], name: &str) -> &'a str {
    let check = checks.iter().find(|check| check["name"] == name);
    check.unwrap_or_else(|| panic!("no check of {name}"))["status"].as_str().unwrap()
}

fn found<'a>(checks: &'a [Value], name: &str) -> &'a str {
    let check = checks.iter().find(|check| check["name"] == name);
    check.unwrap_or_else(|| panic!("no check of {name}"))["found"].as_str().unwrap()
}

fn doctor_tries_everything() {
    let checks = checks(&mut command());
    checks.iter().for_each(report);
    for name in ["privileges", "sock_diag"] {
        assert_eq!(status(&checks, name), "good", "{checks:#?}");
    }
    let release = run(&["uname", "-r"]);
    assert!(checks[0]["found"].as_str().unwrap().contains(release.trim()), "{checks:#?}");
    let confidential = is_confidential();
    let expect = |name: &str, good: bool| {
        assert_eq!(status(&checks, name) == "good", good, "{name}: {checks:#?}");
    };
    expect("tracepoint/sock/inet_sock_set_state", !confidential);
    // Whatever the kernel lacks is said, as what it lacks.
    let types = std::fs::exists("/sys/kernel/btf/vmlinux").unwrap();
    expect("kernel types", types);
    expect("tp_btf/inet_sock_set_state", types);
    expect("iter/task_file", types && kernel_is(ITERATOR));
    expect("socket cookies", types && kernel_is(COOKIES));
    expect("code paths", types && copies_stacks());
    if confidential {
        for name in ["code paths", "tracepoint/sock/inet_sock_set_state"] {
            let found = found(&checks, name);
            assert!(found.contains("locked down for confidentiality"), "{found}");
        }
    }
    if !types {
        assert!(found(&checks, "kernel types").contains("does not tell its types"), "{checks:#?}");
        return;
    }
    let eof = found(&checks, "reads of the end of file");
    expect("reads of the end of file", sees_reads());
    if sees_reads() {
        let place =
            if kernel_is(RECV_LENGTH) { "tp_btf/sock_recv_length" } else { "fexit/tcp_recvmsg" };
        assert!(eof.starts_with(place), "{checks:#?}");
    } else {
        for part in ["no tp_btf/sock_recv_length", "6.3", "no fexit/tcp_recvmsg"] {
            assert!(eof.contains(part), "{eof}");
        }
    }
    expect("tp_btf/tcp_destroy_sock", true);
}

fn a_probe_that_is_not_to_be_had_is_said() {
    let types = std::fs::exists("/sys/kernel/btf/vmlinux").unwrap();
    let confidential = is_confidential();
    let watch = |probe: &str| {
        let args = ["watch", "--for", "1ms", "--no-record", "--probe", probe];
        finish(command().args(args))
    };
    let (code, _, err) = watch("btf");
    assert_eq!(code, Some(if types { 0 } else { 1 }), "{err}");
    assert_eq!(err.contains("does not tell its types"), !types, "{err}");
    let (code, _, err) = watch("tracepoint");
    assert_eq!(code, Some(if confidential { 1 } else { 0 }), "{err}");
    assert_eq!(err.contains("locked down for confidentiality"), confidential, "{err}");
    let (code, _, err) = watch("auto");
    assert_eq!(code, Some(if types || !confidential { 0 } else { 1 }), "{err}");
    let used = if types { "tp_btf" } else { "tracepoint" };
    assert!(err.contains(&format!(" · {used}, ")), "{err}");
}

fn doctor_without_privileges() {
    let mut without = Command::new("setpriv");
    without.args(["--bounding-set=-bpf,-perfmon,-sys_admin", "--inh-caps=-all", "--"]);
    let checks = checks(without.arg(env!("CARGO_BIN_EXE_tcptrace")));
    assert_eq!(status(&checks, "kernel types"), "good", "they can be read by anybody");
    assert_eq!(status(&checks, "privileges"), "missing");
    assert_eq!(status(&checks, "tp_btf/inet_sock_set_state"), "missing");
    assert_eq!(status(&checks, "iter/task_file"), "limited");
    let probe = checks.iter().find(|check| check["name"] == "tp_btf/inet_sock_set_state").unwrap();
    assert!(probe["found"].as_str().unwrap().contains("CAP_BPF and CAP_PERFMON are missing"));
    assert!(probe["advice"].as_str().unwrap().contains("sudo"));
}

fn demo_shows_each_cause() {
    let causes = [
        ("eof_read", "CLOSE_WAIT", "eof_read", "tcptrace"),
        ("eof_unread", "CLOSE_WAIT", "eof_unread", "tcptrace"),
        ("shared_fd", "CLOSE_WAIT", "shared_fd", "sleep"),
        ("not_accepted", "CLOSE_WAIT", "not_accepted", "tcptrace"),
        ("half_close", "FIN_WAIT2", "peer_not_closing", "tcptrace"),
    ];
    let demo = |cause| finish(command().args(["demo", "--cause", cause, "-o", "json"]));
    std::thread::scope(|scope| {
        let runs = causes.map(|cause| (cause, scope.spawn(move || demo(cause.0))));
        for ((cause, state, verdict, comm), run) in runs {
            let (code, out, err) = run.join().unwrap();
            assert_eq!(code, Some(0), "{err}");
            let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let lines: Vec<_> = lines.collect();
            let alerts = lines.iter().filter(|line| line["type"] == "alert");
            let firing: Vec<_> = alerts.filter(|line| line["status"] == "firing").collect();
            assert_eq!(firing.len(), 3, "{cause}: {lines:#?}");
            for alert in firing {
                assert_eq!(alert["state"], state, "{cause}");
                assert_eq!(alert["verdict"], verdict, "{cause}");
                assert_eq!(alert["blame"]["comm"], comm, "{cause}");
            }
            let resolved =
                lines.iter().filter(|line| line["type"] == "alert" && line["status"] == "resolved");
            assert_eq!(resolved.count(), 3, "{cause}");
        }
    });
}

/// The first screen of the README, with every number made the same.
fn the_readme_shows_what_demo_prints() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let screen = readme.split("    $ sudo tcptrace demo\n").nth(1).expect("a screen in the README");
    let screen: Vec<_> = screen.lines().map_while(|line| line.strip_prefix("    ")).collect();
    let (code, out, err) = finish(command().arg("demo"));
    assert_eq!(code, Some(0), "{err}");
    // On a terminal both streams are one: what is said first, what is found, the account.
    let (before, after) = err.split_once("ready\n").unwrap();
    let shown = format!("{before}ready\n{out}{after}");
    let plain = |text: &str| {
        let same = text.replace("namespaces", "namespace").replace("sockets were", "socket was");
        let mut plain = String::new();
        for c in same.trim_end().chars() {
            match c {
                c if !c.is_ascii_digit() => plain.push(c),
                _ if plain.ends_with('0') => {}
                _ => plain.push('0'),
            }
        }
        plain
    };
    assert_eq!(plain(&screen.join("\n")), plain(&shown));
}

fn namespaces_that_cannot_be_entered_are_said() {
    let namespace = Namespace::new();
    let mut without = Command::new("setpriv");
    without.args(["--bounding-set=-sys_admin", "--inh-caps=-all", "--"]);
    without.arg(env!("CARGO_BIN_EXE_tcptrace")).args(["watch", "--for", "100ms"]);
    let (code, _, err) = finish(&mut without);
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("cannot be entered (CAP_SYS_ADMIN and CAP_SYS_PTRACE"), "{err}");
    drop(namespace);
}
