//! What is told when tcptrace is started again, and what is not.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;

use super::config;
use super::leak::Leak;
use super::receiver::{Answer, Http};
use crate::host::ss;
use crate::watcher::{Tcptrace, fresh_directory};

const STUCK: usize = 1000;

fn watch(config: &Path, record: &Path, port: u16) -> Tcptrace {
    let mut command = super::command(config);
    command.args(["watch", "--close-wait", "1s", "-o", "json", "--port", &port.to_string()]);
    let mut tcptrace = Tcptrace::spawn(command.arg("--record").arg(record));
    tcptrace.wait_ready();
    tcptrace
}

/// The ids of the alerts on all sockets that are stuck.
fn alerts(tcptrace: &mut Tcptrace) -> HashSet<String> {
    let firing = |line: &Value| line["type"] == "alert" && line["status"] == "firing";
    (0..STUCK)
        .map(|_| tcptrace.wait_for("alert", firing)["id"].as_str().unwrap().to_owned())
        .collect()
}

pub fn a_restart_pages_nobody_anew() {
    let mut receiver = Http::start(Answer::GOOD);
    let mut leak = Leak::prepare();
    let record = fresh_directory();
    let file = config(&format!("[[sink.webhook]]\nurl = '{}'", receiver.url()));

    let mut first = watch(&file, &record, leak.port());
    leak.grow(STUCK);
    assert_eq!(ss(None, leak.port()).len(), STUCK);
    let told = receiver.group("firing");
    let ids = alerts(&mut first);
    first.stop();

    let mut second = watch(&file, &record, leak.port());
    assert_eq!(alerts(&mut second), ids);
    let group = second.wait_for("group", |line| line["type"] == "group");
    assert_eq!((&group["group"], &group["members"]), (&told["group"], &STUCK.into()));
    leak.end();
    let over = receiver.group("resolved");
    assert_eq!(over["group"], told["group"]);
    second.stop();
    let again: Vec<_> = receiver.seen.iter().filter(|r| r.body["status"] == "firing").collect();
    assert!(again.is_empty(), "{again:#?}");
}

pub fn what_ended_meanwhile_is_told_to_be_over() {
    let mut receiver = Http::start(Answer::GOOD);
    let mut leak = Leak::prepare();
    let record = fresh_directory();
    let file = config(&format!("[[sink.webhook]]\nurl = '{}'", receiver.url()));
    let first = watch(&file, &record, leak.port());
    leak.grow(2);
    let told = receiver.group("firing");
    first.stop();
    leak.end();
    let second = watch(&file, &record, leak.port());
    let over = receiver.group("resolved");
    assert_eq!(over["group"], told["group"]);
    second.stop();
    // And that is known to the next one.
    let third = watch(&file, &record, leak.port());
    leak.grow(2);
    let anew = receiver.group("firing");
    assert_eq!(anew["group"], told["group"], "the same process for the same reason");
    third.stop();
}
