use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::delivery::Delivery;
use crate::model::event::Lost;
use crate::model::figures::{
    Ages, Ends, JournalFigures, ProgramRuns, Queue, Ring, Sockets, Unit, UnitFigures, Usage,
};
use crate::model::health::Health;
use crate::model::rules::Severity;
use crate::model::socket::StayState;
use crate::model::stay::EndedBy;
use crate::model::time::Instant;
use crate::model::tracker::Counts;
use crate::model::verdict::Verdict;

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

/// A host where one unit leaks, with something of everything.
fn figures() -> Figures {
    let mut ages = [Ages::default(); StayState::COUNT];
    for seconds in [5, 90, 90, 100_000] {
        ages[StayState::CloseWait.index()].add(Duration::from_secs(seconds));
    }
    let mut ended = Ends::default();
    ended.add(StayState::FinWait2, EndedBy::PeerClosed, Duration::from_millis(20));
    ended.add(StayState::FinWait2, EndedBy::PeerClosed, Duration::from_secs(2));
    let unit = |stuck, descriptors| UnitFigures { stuck: [stuck, 0, 0], descriptors };
    Figures {
        sockets: Sockets {
            ages,
            stuck: BTreeMap::from([
                ((StayState::CloseWait, Verdict::EofRead, Severity::Critical), 2),
                ((StayState::CloseWait, Verdict::NoFd, Severity::Warning), 1),
            ]),
            units: BTreeMap::from([
                (Unit::Named("a\"\\\n<b>.service".into()), unit(2, Some(0.5))),
                (Unit::None, unit(1, None)),
            ]),
            ended,
            alerts: 5,
            alerts_firing: 3,
            groups: 2,
            groups_resolved: 1,
            tracked: 1000,
            counts: Counts {
                transitions: 12_000,
                gaps: 1,
                overflow: 0,
                stays: [6, 2, 0],
                repaired: 1,
            },
        },
        lost: Lost { ring: 3, recursion: None, deeds: 0 },
        undecodable: 0,
        unwritten: 0,
        probes: vec![("tp_btf", true), ("accepted", false)],
        programs: vec![ProgramRuns {
            name: "transition".into(),
            runs: 12_003,
            time: Duration::from_micros(2500),
        }],
        ring: Ring { size: 1 << 20, drained: 640, drained_max: 4096 },
        queues: vec![Queue { name: "journal", waiting: 2, capacity: 32_768 }],
        journal: Some(JournalFigures { bytes: 8192, committed: 40, left_out: 0, writable: true }),
        sinks: vec![Delivery {
            kind: "webhook",
            error: None,
            name: "oncall".into(),
            sent: 4,
            failed: 1,
            dropped: 0,
            waiting: 1,
        }],
        health: (Health::new(at(100)), at(102)),
        usage: Usage {
            cpu: Duration::from_millis(1500),
            resident: Some(20 << 20),
            descriptors: Some(40),
        },
        version: "0.1.0",
        kernel: "6.1.0".into(),
    }
}

fn written(format: Format) -> String {
    let mut out = Vec::new();
    write(&mut out, Arc::new(figures()), format).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn openmetrics() {
    insta::assert_snapshot!(written(Format::OpenMetrics));
}

#[test]
fn the_format_of_before() {
    insta::assert_snapshot!(written(Format::Prometheus));
}

#[test]
fn a_client_gets_what_it_asks_for() {
    // As Prometheus 2.42 asks.
    let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                      version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
    assert_eq!(Format::accepted(Some("text/plain")), Format::Prometheus);
    assert_eq!(Format::accepted(None), Format::Prometheus);
}

/// Names of families, as a sample has them.
fn families() -> BTreeSet<String> {
    let text = written(Format::Prometheus);
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

#[test]
fn the_documentation_has_them_all_and_no_other() {
    let page = include_str!("../../../../docs/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: BTreeSet<_> =
        rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned())).collect();
    assert_eq!(documented, families());
}

#[test]
fn rules_and_dashboard_use_no_other() {
    let families = families();
    let known = |word: &str| {
        let of_histogram = ["_bucket", "_count", "_sum"];
        let stem = of_histogram.iter().find_map(|suffix| word.strip_suffix(suffix));
        families.contains(word) || stem.is_some_and(|stem| families.contains(stem))
    };
    let rules = include_str!("../../../../contrib/prometheus/tcptrace.rules.yml");
    let dashboard = include_str!("../../../../contrib/grafana/tcptrace.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    let mut expressions: Vec<_> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten())
        .map(|target| target["expr"].as_str().expect("an expression").to_owned())
        .collect();
    assert!(expressions.len() > 10, "{expressions:?}");
    expressions.extend(rules.lines().filter(|line| !line.contains("runbook")).map(str::to_owned));
    for expression in expressions {
        for word in words(&expression) {
            let metric = word.starts_with("tcptrace_") || word.starts_with("process_");
            assert!(!metric || known(word), "{word} in {expression}");
        }
    }
}
