//! A real Alertmanager, and what it says of the alerts that it has.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::leak::Leak;
use super::receiver::{Answer, Http, get};
use super::{config, watch};
use crate::host::ss;
use crate::watcher::{DEADLINE, finish, fresh_directory};

/// Ends with the test.
struct Alertmanager {
    child: Child,
    port: u16,
    dir: PathBuf,
}

impl Alertmanager {
    /// Starts one that tells `receiver` of everything at once.
    fn start(receiver: &Http) -> Self {
        let dir = fresh_directory();
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join("alertmanager.yml");
        let url = receiver.url();
        let text = format!(
            "route:\n  receiver: test\n  group_by: ['...']\n  group_wait: 0s\n  group_interval: 1s\n\
             receivers:\n- name: test\n  webhook_configs:\n  - url: {url}\n    send_resolved: true\n"
        );
        fs::write(&file, text).unwrap();
        // Free a moment ago; nobody else here asks for this very one.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", dir.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus-alertmanager: cargo xtask test installs what the tests need");
        let alertmanager = Self { child, port, dir };
        let deadline = Instant::now() + DEADLINE;
        while get(port, "/api/v2/status").is_err() {
            assert!(Instant::now() < deadline, "Alertmanager does not answer");
        }
        alertmanager
    }

    /// The alerts that it has, once `wanted` accepts them.
    fn alerts(&self, what: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let alerts = get(self.port, "/api/v2/alerts").unwrap();
            let alerts = alerts.as_array().unwrap();
            if wanted(alerts) {
                return alerts.clone();
            }
            assert!(Instant::now() < deadline, "not {what}: {alerts:#?}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

pub fn alertmanager_has_it_firing_and_then_resolved() {
    let mut pager = Http::start(Answer::GOOD);
    let alertmanager = Alertmanager::start(&pager);
    let mut leak = Leak::prepare();
    let file = config(&format!(
        "[[sink.alertmanager]]\nurl = 'http://127.0.0.1:{}'\nresend = '1s'\n\
         labels = {{ team = 'net' }}\nrunbook_url = 'https://runbooks.example/{{verdict}}'",
        alertmanager.port
    ));
    let tcptrace = watch(&file, leak.port(), &[]);
    leak.grow(5);
    let alerts = alertmanager.alerts("one alert", |alerts| alerts.len() == 1);
    let alert = &alerts[0];
    let labels = &alert["labels"];
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for (name, value) in [
        ("alertname", "TcptraceStuckSockets"),
        ("instance", &host),
        ("severity", "warning"),
        ("state", "CLOSE_WAIT"),
        ("verdict", "eof_unread"),
        ("team", "net"),
    ] {
        assert_eq!(labels[name], value, "{alert:#}");
    }
    assert!(labels["process"].is_string() || labels["unit"].is_string(), "{alert:#}");
    let stuck = ss(None, leak.port());
    assert_eq!(stuck.len(), 5, "{stuck:?}");
    assert_eq!(alert["annotations"]["members"], stuck.len().to_string(), "{alert:#}");
    assert_eq!(alert["annotations"]["runbook_url"], "https://runbooks.example/eof_unread");
    assert_eq!(alert["status"]["state"], "active", "{alert:#}");
    // It would be over after five times a second, and goes on.
    let ends = |alert: &Value| alert["endsAt"].as_str().unwrap().to_owned();
    let first = ends(alert);
    alertmanager.alerts("sent again", |alerts| alerts.iter().all(|alert| ends(alert) > first));
    pager.wait_for("page", |page| page.body["status"] == "firing");
    leak.end();
    alertmanager.alerts("over", <[Value]>::is_empty);
    let page = pager.wait_for("end of the page", |page| page.body["status"] == "resolved");
    assert_eq!(page.body["alerts"][0]["labels"]["verdict"], "eof_unread", "{page:#?}");
    let lines = tcptrace.stop();
    let sink = &lines.last().unwrap()["sinks"][0];
    assert_eq!((&sink["kind"], &sink["failed"]), (&"alertmanager".into(), &0.into()), "{sink:#}");
}

pub fn two_processes_are_one_alert_there() {
    let pager = Http::start(Answer::GOOD);
    let alertmanager = Alertmanager::start(&pager);
    let mut leaks = [Leak::prepare(), Leak::prepare()];
    let file =
        config(&format!("[[sink.alertmanager]]\nurl = 'http://127.0.0.1:{}'", alertmanager.port));
    let ports = leaks.each_ref().map(Leak::port);
    let _tcptrace = watch(&file, ports[0], &["--port", &ports[1].to_string()]);
    leaks[0].grow(2);
    leaks[1].grow(3);
    let members = |alert: &Value| alert["annotations"]["members"] == "5";
    let both = |alerts: &[Value]| alerts.len() == 1 && members(&alerts[0]);
    alertmanager.alerts("one with both", both);
    leaks[0].end();
    let rest = |alerts: &[Value]| alerts.len() == 1 && alerts[0]["annotations"]["members"] == "3";
    alertmanager.alerts("one with the rest", rest);
    leaks[1].end();
    alertmanager.alerts("over", <[Value]>::is_empty);
}

pub fn a_sample_arrives_there() {
    let pager = Http::start(Answer::GOOD);
    let alertmanager = Alertmanager::start(&pager);
    let file =
        config(&format!("[[sink.alertmanager]]\nurl = 'http://127.0.0.1:{}'", alertmanager.port));
    let (code, out, err) = finish(super::command(&file).args(["alert", "test"]));
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.starts_with("good    alertmanager (alertmanager), "), "{out}");
    let alerts = alertmanager.alerts("a sample", |alerts| alerts.len() == 1);
    assert_eq!(alerts[0]["labels"]["alertname"], "tcptrace alert test");
}
