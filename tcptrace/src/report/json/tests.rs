use core::time::Duration;
use std::fs;
use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::model::condition::Measure as Reached;
use crate::model::event::OnCpu;
use crate::model::monitor::{Census, Level};
use crate::model::process::tests::process;
use crate::model::profile::Measure;
use crate::model::socket::{Endpoints, NetNs, SocketKey, TcpState};
use crate::model::verdict::find;
use crate::report::about::About;
use crate::report::folded;
use crate::report::row::Rows;
use crate::report::samples;
use crate::report::samples::past;

fn context() -> Context<'static> {
    Context { host: "web-3", boot_id: "0123456789", anchor: samples::anchor() }
}

fn print(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Value {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    assert_eq!(out.iter().filter(|&&b| b == b'\n').count(), 1, "one line");
    assert!(out.ends_with(b"\n"));
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn an_alert() {
    let line = print(|out| alert(out, context(), &samples::alert()));
    insta::assert_snapshot!(serde_json::to_string_pretty(&line).unwrap());
}

#[test]
fn a_group() {
    let line = print(|out| group(out, context(), &samples::group()));
    insta::assert_snapshot!(serde_json::to_string_pretty(&line).unwrap());
}

#[test]
fn unknown_is_null_and_big_numbers_are_strings() {
    let sample = samples::alert();
    let stay = Stay { since_earliest: Instant::default(), exact: false, ..sample.stay };
    let blind = Evidence::default();
    let finding = find(&stay, &blind, Duration::from_secs(60));
    let line = print(|out| socket(out, context(), ("x", "g"), &stay, &blind, &finding, sample.at));
    assert_eq!(line["type"], "socket");
    assert_eq!((&line["id"], &line["group"]), (&"x".into(), &"g".into()));
    for unknown in ["holders", "blame", "peer_holders", "inode", "age_max_ms", "ends_by_itself"] {
        assert_eq!(line[unknown], Value::Null, "{unknown}");
    }
    assert_eq!(line["evidence"]["recv_queue"], Value::Null);
    assert_eq!(line["cookie"], (1u64 << 60).to_string());
    assert_eq!(line["age_is"], "at_least");
    assert!(line.get("status").is_none() && line.get("threshold_ms").is_none());
}

#[test]
fn a_transition_with_a_name_that_is_no_text() {
    let event = Transition {
        at: samples::now(),
        key: SocketKey::new(0, u64::MAX),
        skaddr: Some(u64::MAX),
        netns: Some(NetNs(1)),
        endpoints: Endpoints {
            local: "[::1]:80".parse().unwrap(),
            remote: "1.2.3.4:4000".parse().unwrap(),
        },
        old: TcpState::FinWait1,
        new: TcpState::FinWait2,
        circumstances: None,
        progress: None,
        path: None,
        on_cpu: OnCpu { pid: 0, tid: 0, comm: *b"\xff\"\n\x1b\0bcdefghijkl" },
    };
    let line = print(|out| transition(out, context(), &event, None));
    assert_eq!(line["on_cpu_comm"], "\u{fffd}\"\n\u{1b}");
    assert_eq!((&line["old"], &line["new"]), (&"FIN_WAIT1".into(), &"FIN_WAIT2".into()));
    assert_eq!(line["cookie"], Value::Null, "known by its address only");
    assert_eq!(line["skaddr"], u64::MAX.to_string());
    assert_eq!((&line["local"], &line["remote"]), (&"[::1]:80".into(), &"1.2.3.4:4000".into()));
    assert_eq!(line["at"], "2026-03-01T12:03:31.000000042Z");
    assert_eq!(line["in_state_ms"], Value::Null);
}

#[test]
fn hostile_strings_stay_one_line_of_valid_json() {
    let mut sample = samples::alert();
    let evil = Process {
        comm: "\n\u{2028}\"}</script>".into(),
        cmdline: Some(vec!["\0".into(), "\u{fffd}".into()]),
        ..process(1, 1, 1)
    };
    let holder = Holder { process: Arc::new(evil), fds: vec![1] };
    sample.evidence =
        Arc::new(Evidence { holders: Some(vec![holder]), ..(*sample.evidence).clone() });
    let line = print(|out| alert(out, context(), &sample));
    assert_eq!(line["holders"][0]["comm"], "\n\u{2028}\"}</script>");
}

/// The published schema is the one of the types that are printed. `UPDATE_SCHEMA=1` writes it.
#[test]
fn the_published_schema_is_this_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema.json");
    let schema = schemars::schema_for!(Line<'static>);
    let made = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(path, &made).unwrap();
    }
    let published = fs::read_to_string(path).unwrap_or_default();
    assert!(
        published == made,
        "docs/schema.json is out of date: UPDATE_SCHEMA=1 cargo test schema"
    );
}

#[test]
fn a_report_is_a_line_for_each_frame() {
    let mut out = Vec::new();
    let about = About { baseline: Some(past::baseline()), ..past::about() };
    difference(&mut out, context(), &past::difference(), &about).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines[0]["frames"], lines.len() - 1);
    assert!(lines.iter().all(|line| line["v"] == 1 && line["host"] == "web-3"));
    let shown: Vec<_> =
        lines[..4].iter().map(|l| serde_json::to_string_pretty(l).unwrap()).collect();
    insta::assert_snapshot!(shown.join("\n"));

    let mut out = Vec::new();
    profile(&mut out, context(), &past::profile(past::window()), &past::about()).unwrap();
    let first = out.split(|&b| b == b'\n').nth(1).unwrap();
    let frame: Value = serde_json::from_slice(first).unwrap();
    assert_eq!(frame["time_ms_before"], Value::Null);
}

#[test]
fn what_folded_lines_do_not_say_is_null() {
    for (measure, known, unknown) in
        [(Measure::Time, "time_ms", "count"), (Measure::Count, "count", "time_ms")]
    {
        let folded = folded::read(&b"java;main 7\n"[..], measure).unwrap();
        let about = About { measure, only: Some(measure), window: None, ..past::about() };
        let mut out = Vec::new();
        profile(&mut out, context(), &folded, &about).unwrap();
        let lines = String::from_utf8(out).unwrap();
        for line in lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            assert_eq!((&line[known], &line[unknown]), (&7.into(), &Value::Null), "{line:#}");
            if line["type"] == "frame" {
                let own = |name| line.get(format!("own_{name}")).unwrap();
                assert!(own(known).is_u64() && own(unknown).is_null(), "{line:#}");
            }
        }
    }
}

#[test]
fn a_stay_of_the_past() {
    let sample = past::stay();
    let line = print(|out| stay(out, &Rows::new(past::window()).of(&sample).unwrap()));
    insta::assert_snapshot!(serde_json::to_string_pretty(&line).unwrap());
}

#[test]
fn a_condition() {
    let mut notice = samples::condition();
    let line = print(|out| condition(out, context(), &notice));
    insta::assert_snapshot!(serde_json::to_string_pretty(&line).unwrap());
    (notice.scope, notice.measure) = (Scope::Host, Reached::FullIn(None, Duration::from_secs(5)));
    let line = print(|out| condition(out, context(), &notice));
    assert_eq!((&line["value"], &line["process"]), (&Value::Null, &Value::Null));
    assert_eq!(line["limit"], 5000.0);
}

#[test]
fn what_check_tells() {
    let sample = samples::alert();
    let census = Census::take([(&sample.stay, &*sample.finding)].into_iter(), sample.at);
    let limits = crate::model::monitor::tests::limits([1, 100], [None, Some(3600)]);
    let seen = (&census, &limits, Level::Warning);
    let line = print(|out| monitor(out, context(), seen, &["a note".into()], sample.at));
    insta::assert_snapshot!(serde_json::to_string_pretty(&line).unwrap());
    let line = print(|out| monitor_failed(out, context(), "no\nway", sample.at));
    assert_eq!((&line["status"], &line["reason"]), (&"UNKNOWN".into(), &"no\nway".into()));
    assert_eq!(line["stuck"], Value::Null);
}
