//! Beginning, ending, being killed, two at once: nothing of it stays behind in the kernel.

use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;

use crate::actor::Actor;
use crate::bpf::Loaded;
use crate::host::Namespace;
use crate::load;
use crate::record::wait_until_kept;
use crate::watch::{pair, pids};
use crate::watcher::{Tcptrace, command, finish, fresh_directory};
use crate::withheld;

pub fn trials() -> Vec<Trial> {
    let mut trials = crate::trials_alone![
        two_at_once_see_the_same,
        killed_and_started_again,
        twenty_starts_leave_nothing,
    ];
    let long = crate::trials_alone![a_hundred_starts_leave_nothing];
    trials.extend(long.into_iter().map(|trial| trial.with_ignored_flag(true)));
    trials
}

fn two_at_once_see_the_same() {
    const CONNECTIONS: usize = 10_000;
    let (before, withheld_before) = (Loaded::now(), withheld::so_far());
    let namespace = Namespace::new();
    let start = || {
        let args = ["--close-wait", "500ms", "--fin-wait-2", "500ms"];
        Tcptrace::start(&[&["watch", "--netns", &namespace.name], &args[..]].concat())
    };
    let mut watches = [start(), start()];
    let (mut server, mut client) = (Actor::start_in(&namespace), Actor::start_in(&namespace));
    let unread = pair(&mut server, &mut client, "127.0.0.1");
    let read = pair(&mut server, &mut client, "127.0.0.1");
    client.shutdown_sending(unread.client);
    client.shutdown_sending(read.client);
    assert_eq!(server.recv(read.server), 0);
    let listeners = load::churn(&namespace, CONNECTIONS, true);
    for socket in [unread.server, unread.client, read.server, read.client] {
        let [one, other] = watches.each_mut().map(|watch| watch.alert(socket.cookie, "firing"));
        for key in ["id", "group", "state", "verdict", "local", "remote", "age_is", "confidence"] {
            assert_eq!(one[key], other[key], "{key}");
        }
        assert_eq!(one["blame"]["pid"], server.pid(), "{one:#}");
        assert_eq!(one["blame"]["pid"], other["blame"]["pid"]);
        assert_eq!(pids(&one["holders"]), pids(&other["holders"]));
    }
    server.close(unread.server);
    server.close(read.server);
    for socket in [unread.server, unread.client, read.server, read.client] {
        let [one, other] = watches.each_mut().map(|watch| watch.alert(socket.cookie, "resolved"));
        assert_eq!((&one["id"], &one["ended_by"]), (&other["id"], &other["ended_by"]));
    }
    client.close(unread.client);
    client.close(read.client);
    // Both leaks make as many as any other connection, and their listeners one each.
    let made = load::made(&namespace, CONNECTIONS as u64 + 2, listeners) + 2;
    let summaries = watches.map(|watch| watch.stop().pop().unwrap());
    let withheld = withheld::so_far() - withheld_before;
    for summary in &summaries {
        // What the ring had no room for may be of other namespaces.
        load::check_account(load::accounted(summary).min(made), made, withheld, summary);
        assert_eq!((&summary["alerts"], &summary["groups"]), (&4.into(), &3.into()), "{summary:#}");
    }
    Loaded::wait_until_nothing_since(&before);
}

fn killed_and_started_again() {
    let before = Loaded::now();
    let dir = fresh_directory();
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let args = ["watch", "--close-wait", "500ms", "--record-from", "300ms", "--record"];
    let args = [&args[..], &[dir.to_str().unwrap()]].concat();
    let mut first = Tcptrace::start(&args);
    let stuck = pair(&mut server, &mut client, "127.0.0.1");
    client.close(stuck.client);
    let told = first.alert(stuck.server.cookie, "firing");
    wait_until_kept(&dir, stuck.server.cookie);
    let loaded = Loaded::since(&before);
    assert!(loaded.count("program") > 0 && loaded.count("map") > 0, "{loaded:?}");
    // In the middle of something.
    let later = pair(&mut server, &mut client, "127.0.0.1");
    client.close(later.client);
    first.end(Signal::KILL);
    Loaded::wait_until_nothing_since(&before);

    let mut second = Tcptrace::start(&args);
    let again = second.alert(stuck.server.cookie, "firing");
    for key in ["id", "group", "verdict"] {
        assert_eq!(told[key], again[key], "{key}");
    }
    assert_eq!((&again["age_is"], &again["blame"]["pid"]), (&"exact".into(), &server.pid().into()));
    second.alert(later.server.cookie, "firing");
    server.close(stuck.server);
    server.close(later.server);
    second.alert(stuck.server.cookie, "resolved");
    second.alert(later.server.cookie, "resolved");
    second.stop();
    Loaded::wait_until_nothing_since(&before);
}

fn twenty_starts_leave_nothing() {
    start_and_stop(20);
}

fn a_hundred_starts_leave_nothing() {
    start_and_stop(100);
}

/// As whoever tries things out does: one after the other, ended in every way.
fn start_and_stop(times: usize) {
    const ENDS: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::KILL];
    let before = Loaded::now();
    for turn in 0..times {
        let signal = ENDS[turn % ENDS.len()];
        let args: &[&str] = if turn % 4 == 3 { &["events"] } else { &["watch"] };
        let tcptrace = Tcptrace::start(args);
        let loaded = Loaded::since(&before);
        assert!(loaded.count("program") > 0 && loaded.count("link") > 0, "{loaded:?}");
        let (status, lines) = tcptrace.end(signal);
        assert_eq!(status.success(), signal != Signal::KILL, "{status}");
        let is_summary = |line: &Value| line["type"] == "summary";
        assert_eq!(lines.last().is_some_and(is_summary), status.success(), "{lines:#?}");
        if turn % 4 == 3 {
            let (code, _, err) = finish(command().arg("ls"));
            assert_eq!(code, Some(0), "{err}");
        }
        Loaded::wait_until_nothing_since(&before);
    }
}
