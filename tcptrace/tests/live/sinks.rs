//! Where alerts go: real receivers, and bad ones.

mod alertmanager;
mod bad;
mod leak;
mod local;
mod receiver;
mod restart;
mod secrets;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;

use crate::host::ss;
use crate::watcher::{Tcptrace, finish, fresh_directory};
use alertmanager::{
    a_sample_arrives_there, alertmanager_has_it_firing_and_then_resolved,
    two_processes_are_one_alert_there,
};
use bad::bad_receivers_cost_time_and_memory_that_is_bounded;
use leak::Leak;
use local::{
    a_command_with_a_hostile_name_executes_nothing, a_file_over_rotation_and_a_full_disk,
    journald_gets_fields,
};
use receiver::{Answer, Http};
use restart::{a_restart_pages_nobody_anew, what_ended_meanwhile_is_told_to_be_over};
use secrets::{a_private_authority_is_trusted_when_it_is_named, secrets_are_never_shown};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        a_webhook_hears_of_it_until_it_is_over,
        a_sink_that_is_dead_at_first_hears_of_it_later,
        a_test_says_what_came_back,
        alertmanager_has_it_firing_and_then_resolved,
        two_processes_are_one_alert_there,
        a_sample_arrives_there,
        bad_receivers_cost_time_and_memory_that_is_bounded,
        journald_gets_fields,
        a_command_with_a_hostile_name_executes_nothing,
        a_file_over_rotation_and_a_full_disk,
        secrets_are_never_shown,
        a_restart_pages_nobody_anew,
        what_ended_meanwhile_is_told_to_be_over,
        a_private_authority_is_trusted_when_it_is_named,
    ]
}

/// A configuration file with this in it.
fn config(text: &str) -> PathBuf {
    let path = fresh_directory().with_extension("toml");
    fs::write(&path, text).unwrap();
    path
}

/// The binary under test with this configuration.
fn command(config: &Path) -> Command {
    let mut command = crate::watcher::command();
    command.arg("--config").arg(config);
    command
}

/// A watch on one port with a short threshold and this configuration.
fn watch(config: &Path, port: u16, args: &[&str]) -> Tcptrace {
    let mut command = command(config);
    command.args(["watch", "--close-wait", "500ms", "--no-record", "-o", "json"]);
    let mut tcptrace = Tcptrace::spawn(command.args(["--port", &port.to_string()]).args(args));
    tcptrace.wait_ready();
    tcptrace
}

/// The account of the sink with this name.
fn account(lines: &[Value], name: &str) -> Value {
    let sinks = lines.last().unwrap()["sinks"].as_array().unwrap();
    sinks.iter().find(|sink| sink["sink"] == name).unwrap().clone()
}

fn a_webhook_hears_of_it_until_it_is_over() {
    let mut receiver = Http::start(Answer::GOOD);
    let mut leak = Leak::prepare();
    let file = config(&format!("[[sink.webhook]]\nurl = '{}/hook'", receiver.url()));
    let mut tcptrace = watch(&file, leak.port(), &[]);
    leak.grow(3);
    let request = receiver.wait_for("request", |_| true);
    assert_eq!(request.path, "/hook");
    let told = request.body;
    assert_eq!((&told["type"], &told["status"]), (&"group".into(), &"firing".into()), "{told:#}");
    assert_eq!(told["blame"]["pid"], leak.server.pid(), "{told:#}");
    assert_eq!(told["members"], ss(None, leak.port()).len(), "{told:#}");
    // It is the line that others read.
    let line = tcptrace.wait_for("group", |line| line["type"] == "group");
    assert_eq!(told, line);
    leak.end();
    let over = receiver.group("resolved");
    assert_eq!(over["group"], told["group"]);
    let sink = account(&tcptrace.stop(), "webhook");
    assert_eq!((&sink["sent"], &sink["failed"]), (&2.into(), &0.into()), "{sink:#}");
    assert_eq!(sink["error"], Value::Null);
}

fn a_sink_that_is_dead_at_first_hears_of_it_later() {
    let mut receiver = Http::start(Answer::Status("503 Service Unavailable", String::new()));
    let mut leak = Leak::prepare();
    let file = config(&format!("[[sink.webhook]]\nname = 'pager'\nurl = '{}'", receiver.url()));
    let tcptrace = watch(&file, leak.port(), &[]);
    leak.grow(1);
    let first = receiver.group("firing");
    *receiver.answer.lock().unwrap() = Answer::GOOD;
    assert_eq!(receiver.group("firing"), first, "the same again");
    leak.end();
    receiver.group("resolved");
    let (status, lines, errors) = tcptrace.end_with_errors(Signal::INT);
    assert!(status.success());
    let sink = account(&lines, "pager");
    assert_eq!((&sink["sent"], &sink["failed"]), (&2.into(), &1.into()), "{sink:#}");
    let said: Vec<_> = errors.iter().filter(|line| line.starts_with("sink `pager` ")).collect();
    assert!(said[0].contains("answered 503 Service Unavailable; it is tried again"), "{said:?}");
    assert!(said[1].contains("takes alerts again, after "), "{said:?}");
    assert_eq!(said.len(), 2, "{said:?}");
}

fn a_test_says_what_came_back() {
    let mut good = Http::start(Answer::GOOD);
    let bad = Http::start(Answer::Status("403 Forbidden", String::new()));
    let file = config(&format!(
        "[[sink.webhook]]\nurl = '{}'\nseverity = 'critical'\n\
         [[sink.slack]]\nname = 'chat'\nurl = '{}/s3cret'",
        good.url(),
        bad.url()
    ));
    let (code, out, err) = finish(command(&file).args(["alert", "test", "-o", "json"]));
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(err.contains("error: 1 of 2 sinks did not take the sample"), "{err}");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["sink"], &lines[0]["ok"]), (&"webhook".into(), &true.into()));
    assert_eq!(lines[0]["answer"], "204 No Content");
    assert_eq!((&lines[1]["sink"], &lines[1]["ok"]), (&"chat".into(), &false.into()));
    assert!(lines[1]["error"].as_str().unwrap().ends_with("answered 403 Forbidden"), "{out}");
    assert_eq!(lines[1]["advice"], "see that url and authorization are right");
    let sample = good.group("firing");
    assert_eq!(sample["rule"], "tcptrace alert test");
    assert_eq!(sample["severity"], "critical", "as urgent as it takes to be sent");
    let (code, out, _) = finish(command(&file).args(["alert", "test", "webhook"]));
    assert_eq!((code, out.lines().count()), (Some(0), 1), "{out}");
    let (code, _, err) = finish(command(&file).args(["alert", "test", "pager"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("there is no sink `pager`; there is: webhook, chat"), "{err}");
    let (code, _, err) = finish(command(&config("")).args(["alert", "test"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("alerts go nowhere") && err.contains("docs/alerting.md"), "{err}");
}
