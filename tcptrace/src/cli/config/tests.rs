use core::time::Duration;
use std::path::Path;

use clap::Parser as _;

use super::rules::When;
use super::settings::Origin;
use super::*;
use crate::cli::live::WatchArgs;
use crate::cli::{Cli, Command};
use crate::model::condition::{Limit, Per};
use crate::model::rules::Severity;
use crate::model::socket::StayState;
use crate::model::verdict::Verdict;

const EXAMPLE: &str = include_str!("../../../../contrib/config.toml");

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/etc/x.toml")).map_err(|error| error.to_string())
}

fn defaults() -> WatchArgs {
    match Cli::parse_from(["tcptrace", "watch"]).command {
        Command::Watch(watch) => *watch,
        _ => unreachable!(),
    }
}

/// The example with everything in it: lines that begin with `#` and a key or a table.
fn uncommented() -> String {
    let is_toml = |line: &str| {
        let rest = line.trim_start_matches('#');
        rest.len() < line.len() && rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase())
    };
    let lines = EXAMPLE.lines().map(|line| match line {
        line if is_toml(line) => &line[1..],
        line => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_says_nothing_until_it_is_changed() {
    let mut config = parse(EXAMPLE).unwrap();
    config.sink = sink::Sinks::default();
    assert_eq!(config, Config::default());
}

#[test]
fn the_example_shows_every_key_and_its_default() {
    let config = parse(&uncommented()).unwrap();
    let mut args = defaults();
    let before = config.fill(&mut args, |_| Origin::Default);
    let not_there: Vec<_> =
        before.iter().filter(|setting| setting.origin != Origin::File).collect();
    assert!(not_there.is_empty(), "{not_there:?}");
    let without = Config::default().fill(&mut defaults(), |_| Origin::Default);
    let filters = ["port", "addr", "netns", "pid", "comm", "cgroup", "verdict"];
    for (set, default) in before.iter().zip(&without).filter(|(s, _)| !filters.contains(&s.key)) {
        let bytes = |value: &str| value.replace("1073741824", "1GiB");
        if set.key == "listen" {
            assert_eq!(default.value, "\"\"", "off");
            continue;
        }
        let value =
            if set.key == "record" { "\"/var/lib/tcptrace\"".into() } else { set.value.clone() };
        let default = match default.key {
            "record" => "\"/var/lib/tcptrace\"".into(),
            _ => default.value.clone(),
        };
        assert_eq!(bytes(&value), bytes(&default), "{}", set.key);
    }
    assert_eq!((config.rule.len(), config.ignore.len(), config.silence.len()), (5, 1, 1));
}

#[test]
fn rules_mean_what_they_say() {
    let config = parse(&uncommented()).unwrap();
    let [pool, many, flood, grows, full] = &config.rule[..] else { panic!() };
    assert_eq!(
        (pool.severity, pool.when),
        (Severity::Critical, When::Lasts(Some(Duration::from_secs(30))))
    );
    assert_eq!(pool.about.states(), [StayState::CloseWait]);
    assert_eq!(pool.about.filter().socket.port, [443]);
    assert_eq!(many.when, When::Passes(Per::Process, Limit::MoreThan(50)));
    assert_eq!(flood.when, When::Passes(Per::Host, Limit::MoreThan(10_000)));
    assert_eq!(grows.when, When::Passes(Per::Unit, Limit::GrowthPerMin(20.0)));
    assert_eq!(full.when, When::Passes(Per::Process, Limit::FullIn(Duration::from_secs(1800))));
    assert_eq!(config.filter.filter().verdict, [Verdict::EofRead, Verdict::EofUnread]);
    assert_eq!(config.silence[0].until.to_string(), "2026-12-01T08:00:00Z");
    insta::assert_snapshot!(config.rule.iter().map(|r| format!("{r}\n")).collect::<String>());
}

#[test]
fn flags_and_the_environment_count_before_the_file() {
    let config = parse("[watch]\nclose_wait = '5s'\nclosed = '7s'\n[filter]\nport = 80").unwrap();
    let mut args = defaults();
    args.live.close_wait = Duration::from_secs(9);
    let given = |key: &str| if key == "close_wait" { Origin::Flag } else { Origin::Default };
    let settings = config.fill(&mut args, given);
    assert_eq!((args.live.close_wait.as_secs(), args.live.closed.as_secs()), (9, 7));
    assert_eq!(args.live.filter.socket.port, [80]);
    let of = |key| settings.iter().find(|s| s.key == key).map(|s| (&*s.value, s.origin)).unwrap();
    assert_eq!(of("close_wait"), ("\"9s\"", Origin::Flag));
    assert_eq!(of("closed"), ("\"7s\"", Origin::File));
    assert_eq!(of("fin_wait_2").1, Origin::Default);
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_what_was_meant() {
    for (text, expect) in [
        ("[watch]\nclose_wiat = '5s'", &["line 2", "close_wiat", "did you mean `close_wait`?"][..]),
        ("[wach]", &["line 1", "did you mean `watch`?"]),
        ("[watch]\n\nclosed = 'soon'", &["line 3, column 10", "like 90s or 2h30m"]),
        ("[watch]\nprobe = 'btff'", &["line 2", "`auto`, `btf`", "did you mean `btf`?"]),
        ("[watch]\nring_size = 5000", &["line 2", "a power of two"]),
        ("[watch]\nkeep_size = 5", &["line 2", "a string"]),
        ("[filter]\nverdict = 'eof_raed'", &["line 2", "did you mean `eof_read`?"]),
        ("[filter]\naddr = ['10.0.0.0/8', '10.0.0.0/40']", &["line 2", "an address or a network"]),
        ("[filter]\nport = 70000", &["line 2", "70000"]),
        ("[filter]\nstate = 'CLOSE'", &["no filter", "[[rule]]"]),
        ("[[rule]]\nseverity = 'bad'\nname='x'", &["line 2", "`info`, `warning`, `critical`"]),
        ("[[rule]]\nseverity = 'info'", &["line 1", "missing field `name`"]),
        ("[[rule]]\nname='x'\nmore_than = 5\nafter='1s'", &["line 1", "rule `x`", "`after`"]),
        ("[[rule]]\nname='x'\nmore_than = 5\nfull_in='1s'", &["make a rule of each"]),
        ("[[rule]]\nname='x'\nper='unit'", &["`per` goes with"]),
        ("[[rule]]\nname='x'\nmore_than = 5\nper='unti'", &["line 4", "did you mean `unit`?"]),
        ("[[rule]]\nname='x'\ngrowth_per_min = -5", &["above 0"]),
        ("[[rule]]\nname=\"a\\u001b\"", &["a line of text"]),
        ("[[rule]]\nname='x'\n[[rule]]\nname='x'", &["two rules have the name `x`"]),
        ("[[ignore]]\nmatch = {}", &["every socket"]),
        ("[[ignore]]", &["missing field `match`"]),
        ("[[silence]]\nuntil = 5", &["line 2", "a date is needed, not integer"]),
        ("[[silence]]\nuntil = 'tomorrow'", &["line 2", "2026-12-01"]),
        ("[watch\n", &["line 1"]),
    ] {
        let error = parse(text).unwrap_err();
        for expect in expect {
            assert!(error.contains(expect), "{text:?} gave: {error}");
        }
        assert!(error.starts_with("/etc/x.toml: "), "{error}");
    }
}
