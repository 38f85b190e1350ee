//! Rules of the configuration, and changes to them while it runs.

use std::fs;
use std::path::PathBuf;

use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;

use crate::actor::Actor;
use crate::watch::pair;
use crate::watcher::{Tcptrace, command, finish, fresh_directory};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        rules_say_how_soon_and_how_urgently,
        a_changed_file_counts_at_once,
        so_many_in_one_process,
        what_counts_is_shown_with_its_origin,
        a_file_that_is_not_understood_is_an_error,
    ]
}

fn file(text: &str) -> PathBuf {
    let dir = fresh_directory();
    fs::create_dir(&dir).unwrap();
    let path = dir.join("config.toml");
    fs::write(&path, text).unwrap();
    path
}

fn watch_by(file: &PathBuf) -> Tcptrace {
    let mut watch = Tcptrace::spawn(
        command().args(["watch", "-o", "json", "--no-record", "--config"]).arg(file),
    );
    watch.wait_ready();
    watch
}

/// Replaced as an editor would.
fn replace(file: &PathBuf, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

fn rules_say_how_soon_and_how_urgently() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let (watched, other) = (server.listen("127.0.0.1"), server.listen("127.0.0.1"));
    let file = file(&format!(
        "[watch]\nclose_wait = '1h'\nfin_wait_2 = '1h'\n\
         [[rule]]\nname = 'soon'\nmatch = {{ pid = {}, port = {} }}\nafter = '500ms'\n\
         [[rule]]\nname = 'late'\nseverity = 'critical'\nafter = '1500ms'\n\
         match = {{ pid = {}, port = {} }}\n",
        server.pid(),
        watched.local_port,
        server.pid(),
        watched.local_port,
    ));
    let mut watch = watch_by(&file);
    let mut leak = |listener| {
        let client_end = client.connect("127.0.0.1", listener);
        client.close(client_end);
    };
    leak(other.local_port);
    leak(watched.local_port);
    let stuck = server.accept(watched);
    server.accept(other);
    for (rule, severity, threshold) in [("soon", "warning", 500), ("late", "critical", 1500)] {
        let alert = watch.alert(stuck.cookie, "firing");
        assert_eq!((&alert["rule"], &alert["severity"]), (&rule.into(), &severity.into()));
        assert_eq!(alert["threshold_ms"], threshold);
        assert!(alert["age_ms"].as_u64().unwrap() >= threshold, "{alert:#}");
        let group = watch.wait_for("group", |line| {
            line["type"] == "group" && line["group"] == alert["group"] && line["status"] == "firing"
        });
        assert_eq!((&group["rule"], &group["severity"]), (&rule.into(), &severity.into()));
    }
    server.close(stuck);
    watch.alert(stuck.cookie, "resolved");
    let alerts = watch.stop().into_iter().filter(|line| line["type"] == "alert");
    assert_eq!(alerts.collect::<Vec<_>>(), Vec::<Value>::new(), "of others by their state's");
}

fn a_changed_file_counts_at_once() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let file = file("[watch]\nclose_wait = '1h'\n");
    let mut watch = watch_by(&file);
    let pair = pair(&mut server, &mut client, "127.0.0.1");
    client.close(pair.client);
    let rule =
        format!("[[rule]]\nname = 'now'\nafter = '100ms'\nmatch = {{ pid = {} }}\n", server.pid());
    let changed = format!("[watch]\nclose_wait = '1h'\n{rule}");
    replace(&file, &changed);
    let reload =
        |watch: &Tcptrace| rustix::process::kill_process(watch.pid(), Signal::HUP).unwrap();
    reload(&watch);
    let alert = watch.alert(pair.server.cookie, "firing");
    assert_eq!(alert["age_is"], "exact", "it was never lost sight of");
    assert_eq!(alert["rule"], "now");

    // One that is not understood changes nothing.
    replace(&file, "[[rule]]\nnaem = 'now'\n");
    reload(&watch);
    let notice = watch.wait_for_notice("the configuration stays as it was");
    assert!(notice.contains(&*file.to_string_lossy()), "{notice}");

    // Nobody wants to hear of it any more, though it goes on.
    let silence = format!(
        "[[silence]]\nuntil = 2999-01-01T00:00:00Z\nmatch = {{ pid = {} }}\n",
        server.pid()
    );
    replace(&file, &format!("{changed}{silence}"));
    reload(&watch);
    let withdrawn = watch.alert(pair.server.cookie, "resolved");
    assert_eq!((&withdrawn["withdrawn"], &withdrawn["ended_by"]), (&true.into(), &Value::Null));

    // And again.
    replace(&file, &changed);
    reload(&watch);
    let again = watch.alert(pair.server.cookie, "firing");
    assert_eq!(again["id"], alert["id"]);
    assert!(again["age_ms"].as_u64() > alert["age_ms"].as_u64());
    server.close(pair.server);
    assert_eq!(watch.alert(pair.server.cookie, "resolved")["ended_by"], "closed");
}

fn so_many_in_one_process() {
    let (mut server, mut client) = (Actor::start(), Actor::start());
    let file = file(&format!(
        "[watch]\nclose_wait = '1h'\nfin_wait_2 = '1h'\n\
         [[rule]]\nname = 'many'\nseverity = 'critical'\nmore_than = 5\nper = 'process'\n\
         match = {{ pid = {}, state = 'CLOSE_WAIT' }}\n",
        server.pid()
    ));
    let mut watch = watch_by(&file);
    let listener = server.listen("127.0.0.1");
    let mut leak = || {
        let client_end = client.connect("127.0.0.1", listener.local_port);
        client.close(client_end);
        server.accept(listener)
    };
    let mut held = (0..6).map(|_| leak()).collect::<Vec<_>>();
    let told = watch.wait_for("condition", |line| line["type"] == "condition");
    let key = |name: &str| told[name].clone();
    assert_eq!(
        (key("rule"), key("status"), key("severity")),
        ("many".into(), "firing".into(), "critical".into())
    );
    assert_eq!(
        (key("value"), key("limit"), key("measure")),
        (6.0.into(), 5.0.into(), "sockets".into())
    );
    assert_eq!(told["process"]["pid"], server.pid());
    // Five are no more than five, and still nearly that.
    server.close(held.pop().unwrap());
    for socket in held.drain(1..) {
        server.close(socket);
    }
    let over = watch.wait_for("condition", |line| line["type"] == "condition");
    assert_eq!((&over["status"], &over["condition"]), (&"resolved".into(), &told["condition"]));
    assert!(over["value"].as_f64().unwrap() <= 4.0, "{over:#}");
}

fn what_counts_is_shown_with_its_origin() {
    let file = file("[watch]\nclose_wait = '5s'\nclosed = '6s'\nfin_wait_2 = '7s'\n");
    let mut show = command();
    show.args(["config", "show", "-o", "json", "--closed", "8s", "--config"]).arg(&file);
    let (code, out, err) =
        finish(show.env("TCPTRACE_FIN_WAIT_2", "9s").env_remove("TCPTRACE_STACKS"));
    assert_eq!(code, Some(0), "{err}");
    let settings: Vec<Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (key, value, origin) in [
        ("close_wait", "\"5s\"", "file"),
        ("closed", "\"8s\"", "flag"),
        ("fin_wait_2", "\"9s\"", "environment"),
        ("stacks", "\"auto\"", "default"),
    ] {
        let setting = settings.iter().find(|setting| setting["key"] == key).unwrap();
        assert_eq!((&setting["value"], &setting["origin"]), (&value.into(), &origin.into()));
    }
}

fn a_file_that_is_not_understood_is_an_error() {
    let wrong = file("[watch]\nclose_wiat = '5s'\n");
    for args in [&["watch"][..], &["config", "check"], &["config", "show"]] {
        let (code, out, err) = finish(command().args(args).arg("--config").arg(&wrong));
        assert_eq!((code, &*out), (Some(1), ""), "{args:?}");
        assert!(
            err.contains("line 2, column 1") && err.contains("did you mean `close_wait`?"),
            "{err}"
        );
    }
    let right = file("[[rule]]\nname = 'x'\n");
    let (code, out, err) = finish(command().args(["config", "check", "--config"]).arg(&right));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.ends_with(": 1 rule, 0 ignore rules, 0 silences, 0 sinks\n"), "{out}");
    let missing = right.with_extension("not");
    let (code, _, err) = finish(command().args(["watch", "--config"]).arg(&missing));
    assert_eq!(code, Some(1));
    assert!(err.contains("cannot read the configuration"), "{err}");
}
