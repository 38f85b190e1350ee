use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::samples::{Chance, HOUR, Incident, incident};
use super::*;
use crate::model::history::{Gap, GapKind, Histogram, PastEnd, ShortStays};
use crate::model::postmortem::tests::{at, named, stay, window};
use crate::model::process::Process;
use crate::model::profile::FrameKind;
use crate::model::profile::{FrameName, Weight};
use crate::model::socket::StayState;
use crate::model::verdict::Verdict;

fn written(account: &Account, profile: &Profile, baseline: Option<Baseline<'_>>) -> String {
    let page = Page {
        title: "",
        postmortem: account,
        profile,
        baseline,
        zone: TimeZone::fixed(jiff::tz::offset(1)),
        generated: at(13 * HOUR),
    };
    let mut out = Vec::new();
    write(&mut out, &page).unwrap();
    String::from_utf8(out).unwrap()
}

/// Without what is the same on every page.
fn elided(page: &str) -> String {
    page.replace(STYLE, "…")
        .replace(&SCRIPTS.concat(), "…")
        .replace(STYLE_HASH, "…")
        .replace(SCRIPT_HASH, "…")
}

fn data(page: &str) -> Value {
    let start = "<script type=\"application/json\" id=\"data\">";
    let json = page.split_once(start).unwrap().1.split_once("</script>").unwrap().0;
    serde_json::from_str(json).unwrap()
}

#[test]
fn a_small_page() {
    let Incident { postmortem, profile } = incident(20);
    insta::assert_snapshot!(elided(&written(&postmortem.finish(), &profile, None)));
}

#[test]
fn a_page_of_nothing_says_so_and_what_it_does_not_know() {
    let mut incident = Incident::new(1);
    let page = written(&Incident::new(1).postmortem.finish(), &incident.profile, None);
    assert!(page.contains("<h1>No half-closed socket was recorded in this time</h1>"), "{page}");
    assert!(page.contains("Nothing was lost, as far as can be told."));
    let why = GapKind::Unreadable("shard <1> is cut off".into());
    incident.postmortem.add_gap(&Gap { host: "web-1".into(), from: at(0), to: at(60), why });
    let page = written(&incident.postmortem.finish(), &incident.profile, None);
    assert!(page.contains("a file cannot be read: shard &lt;1&gt; is cut off"), "{page}");
    assert!(page.contains("Not everything was seen"));
}

/// Every tag that is opened is closed, in order.
fn assert_balanced(page: &str) {
    const VOID: [&str; 4] = ["meta", "br", "input", "!doctype"];
    let static_part = page.replace(STYLE, "").replace(&SCRIPTS.concat(), "");
    let mut open = Vec::new();
    for tag in static_part.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("no < stands alone");
        let name = tag.split([' ', '\n']).next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name.to_owned())),
            None if VOID.contains(&name) => {}
            None => open.push(name.to_owned()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_page_is_well_formed_and_lets_only_its_own_script_run() {
    let Incident { postmortem, profile } = incident(500);
    let page = written(&postmortem.finish(), &profile, None);
    assert_balanced(&page);
    let policy = format!(
        "default-src 'none'; script-src '{SCRIPT_HASH}'; style-src '{STYLE_HASH}'; base-uri 'none'; \
         form-action 'none'"
    );
    assert!(page.contains(&policy));
    let attributes = page.replace(&SCRIPTS.concat(), "").replace(STYLE, "");
    for refused in [" style=", " onclick", " src=", "http:", "https:", "javascript:"] {
        assert!(!attributes.contains(refused), "{refused}");
    }
    assert_eq!(page.matches("<script").count(), 2);
}

#[test]
fn the_hashes_are_those_of_the_style_and_the_script() {
    for (text, hash) in [(STYLE.to_owned(), STYLE_HASH), (SCRIPTS.concat(), SCRIPT_HASH)] {
        let sum = "sha256sum | cut -c1-64 | tr a-f A-F | basenc --base16 -d | base64";
        let mut shell = Command::new("sh");
        let mut shell =
            shell.args(["-c", sum]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let sum = shell.wait_with_output().unwrap().stdout;
        assert_eq!(hash, format!("sha256-{}", String::from_utf8(sum).unwrap().trim()));
    }
}

#[test]
fn the_data_is_what_went_in() {
    let mut incident = Incident::new(1);
    let java = named("java", 7);
    for (from, to) in [(0, 900), (0, 1800), (1800, 5400)] {
        incident.add(1, &stay(&java, from, to));
    }
    let data = data(&written(&incident.postmortem.finish(), &incident.profile, None));
    let values: Vec<f64> =
        serde_json::from_value(data["chart"]["series"][0]["values"].clone()).unwrap();
    assert_eq!((values[0], values[100], values[239]), (2.0, 1.0, 1.0));
    assert_eq!(data["chart"]["series"][0]["name"], "java[7]");
    assert_eq!(data["chart"]["times"][0], "2026-03-01 13:00:00");
    assert_eq!(data["chart"]["ticks"][1]["text"], "13:10");
    let flame = &data["flame"];
    assert_eq!(flame["nodes"][0], serde_json::json!([0, 0, 0, 4_500_000, 3]));
    let last = flame["nodes"].as_array().unwrap().last().unwrap();
    let name = last[0].as_u64().unwrap() as usize;
    assert_eq!(flame["names"][name], "end of file read, stack not copied");
    assert_eq!(last[3], 4_500_000);
}

#[test]
fn a_baseline_shows_what_is_gone_as_well() {
    let frame = |name: &str| [FrameName::new(FrameKind::Function, name)];
    let weight = |seconds| Weight { time: core::time::Duration::from_secs(seconds), count: 1 };
    let (mut before, mut after) = (Profile::new(), Profile::new());
    before.add(frame("gone"), weight(120));
    after.add(frame("new"), weight(30));
    let day = window(-24 * HOUR, 0);
    let difference = Difference::new((&before, day.length()), (after, day.length() / 24));
    let baseline = Baseline { window: day, difference: &difference };
    let account = Incident::new(1).postmortem.finish();
    let page = written(&account, &Profile::new(), Some(baseline));
    assert!(page.contains("Compared with 2026-02-28 13:00:00 to 2026-03-01 13:00:00"), "{page}");
    let flame = &data(&page)["flame"];
    assert_eq!(flame["names"], serde_json::json!(["all", "new", "gone"]));
    assert_eq!(flame["nodes"][1], serde_json::json!([1, 1, 0, 30_000, 1, 0, 0]));
    assert_eq!(flame["nodes"][2], serde_json::json!([2, 1, 0, 0, 0, 5000, 0]));
}

const HOSTILE: [&str; 8] = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "\"'`><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "a\u{2028}b\u{2029}c\u{202e}d",
    "\x1b]0;x\x07\r\n;&lt;",
    "]]>{{7*7}}${7*7}",
];

pub fn hostile() -> Incident {
    let mut incident = Incident::new(1);
    for (n, name) in (0..).zip(HOSTILE) {
        let process = Process {
            unit: Some(name.into()),
            container: Some(name.into()),
            ..Process::clone(&named(name, n))
        };
        let mut stay = stay(&Arc::new(process), i64::from(n), 1000);
        stay.host = name.into();
        stay.id = name.into();
        stay.code = Some(name.into());
        stay.stack = Some(Arc::new(crate::model::code::Stack {
            frames: vec![crate::model::code::Frame {
                function: Some(name.into()),
                ..Default::default()
            }],
            complete: true,
        }));
        incident.add(1, &stay);
        let why = GapKind::Unreadable(name.into());
        incident.postmortem.add_gap(&Gap { host: name.into(), from: at(0), to: at(60), why });
        let (state, verdict) = (StayState::CloseWait, Some(Verdict::EofRead));
        let kind = ShortStays { state, comm: Some(name.into()), verdict };
        let mut lasted = Histogram::default();
        lasted.add(core::time::Duration::from_millis(3));
        incident.postmortem.add_short(&kind, &lasted);
    }
    incident
}

#[test]
fn hostile_names_are_text() {
    let Incident { postmortem, profile } = hostile();
    let mut account = postmortem.finish();
    account.longest[0].verdict = Verdict::Orphan;
    account.longest[0].end = PastEnd::Open;
    let page = written(&account, &profile, None);
    assert_balanced(&page);
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
    assert!(!page.contains("<!--") && !page.contains("<img"));
    assert!(!page.contains(['\u{2028}', '\u{2029}', '\u{202e}', '\x1b', '\x07', '\r']));
    // A name is in no attribute, so what a link or a handler would do is nowhere.
    assert!(!page.contains("=\"javascript") && !page.contains("href=\"j"));
    let names: Vec<String> = serde_json::from_value(data(&page)["flame"]["names"].clone()).unwrap();
    for name in HOSTILE {
        let shown = crate::report::escape::Escaped(name).to_string();
        assert!(names.contains(&shown), "{shown} is not among {names:?}");
    }
}

/// Writes pages to look at, and says how long a million stays take.
#[test]
#[ignore = "writes to the folder named in PAGES"]
fn pages_to_look_at() {
    let folder = std::path::PathBuf::from(std::env::var("PAGES").expect("PAGES names a folder"));
    let save = |name: &str, page: String| std::fs::write(folder.join(name), page).unwrap();
    let Incident { postmortem, profile } = incident(50_000);
    save("incident.html", written(&postmortem.finish(), &profile, None));
    let Incident { postmortem, profile } = hostile();
    save("hostile.html", written(&postmortem.finish(), &profile, None));
    let (before, after) = (incident(20_000), incident(50_000));
    let length = window(0, 12 * HOUR).length();
    let difference = Difference::new((&before.profile, length), (after.profile.clone(), length));
    let baseline = Baseline { window: window(-24 * HOUR, -12 * HOUR), difference: &difference };
    save("baseline.html", written(&after.postmortem.finish(), &after.profile, Some(baseline)));
    save("empty.html", written(&Incident::new(1).postmortem.finish(), &Profile::new(), None));
    save("wide.html", wide());
    let begun = Instant::now();
    let million = incident(1_000_000);
    let added = begun.elapsed();
    save("million.html", written(&million.postmortem.finish(), &million.profile, None));
    save("million.txt", format!("added in {added:?}, all in {:?}\n", begun.elapsed()));
}

/// Thousands of frames, hundreds of programs.
fn wide() -> String {
    let mut incident = Incident::new(1);
    let mut chance = Chance::new();
    for n in 0..20_000u32 {
        let mut stay =
            stay(&named(&format!("worker-{}", n % 300), n % 300), i64::from(n % 3000), 3600);
        let depth = 5 + chance.below(35);
        let frames = (0..depth).map(|level| crate::model::code::Frame {
            function: Some(format!("frame_{level}_{}", chance.below(4))),
            ..Default::default()
        });
        let stack = crate::model::code::Stack { frames: frames.collect(), complete: true };
        stay.code = Some(stack.path().into());
        stay.stack = Some(Arc::new(stack));
        incident.add(1, &stay);
    }
    written(&incident.postmortem.finish(), &incident.profile, None)
}
