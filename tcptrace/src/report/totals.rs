//! All formats of one profile tell the same total.

use core::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::about::About;
use super::flame_text::{self, Canvas};
use super::samples::past;
use super::{flame, folded, pprof, speedscope};
use crate::model::profile::{FrameKind, FrameName, Measure, Profile, Weight};

fn profile() -> impl Strategy<Value = Profile> {
    // Few names, so that paths meet, among them any.
    let name = prop_oneof![4 => "[abc;# 1]{1,3}", 1 => any::<String>()];
    let path = prop::collection::vec(name, 1..6);
    prop::collection::vec((path, 1..100_000_000_000u64, 1..5u64), 1..30).prop_map(|stays| {
        let mut profile = Profile::new();
        for (path, nanos, count) in stays {
            let frames = path.iter().map(|name| FrameName::new(FrameKind::Function, &**name));
            profile.add(frames, Weight { time: Duration::from_nanos(nanos), count });
        }
        profile
    })
}

fn text(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn folded_total(profile: &Profile, measure: Measure) -> u64 {
    let lines = text(|out| folded::write(out, profile, measure));
    lines.lines().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn svg_total(profile: &Profile, about: &About) -> u64 {
    let svg = text(|out| flame::write(out, profile, about));
    let total = svg.split("total_samples=\"").nth(1).unwrap();
    total.split('"').next().unwrap().parse().unwrap()
}

fn speedscope_total(profile: &Profile, about: &About, which: usize) -> f64 {
    let file = text(|out| speedscope::write(out, profile, about));
    let file: Value = serde_json::from_str(&file).unwrap();
    let weights = file["profiles"][which]["weights"].as_array().unwrap();
    weights.iter().map(|weight| weight.as_f64().unwrap()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn all_formats_agree(profile in profile()) {
        let total = profile.total();
        let time = past::about();
        let count = About { measure: Measure::Count, ..past::about() };
        let millis = u64::try_from(total.time.as_millis()).unwrap();
        prop_assert_eq!(folded_total(&profile, Measure::Time), millis);
        prop_assert_eq!(folded_total(&profile, Measure::Count), total.count);
        prop_assume!(millis > 0);
        prop_assert_eq!(svg_total(&profile, &time), millis);
        prop_assert_eq!(svg_total(&profile, &count), total.count);
        let seconds = speedscope_total(&profile, &time, 0);
        prop_assert!((seconds - total.time.as_secs_f64()).abs() < 1e-6);
        prop_assert_eq!(speedscope_total(&profile, &time, 1), total.count as f64);
        let mut out = Vec::new();
        pprof::write(&mut out, &profile, &time).unwrap();
        let nanos = u64::try_from(total.time.as_nanos()).unwrap();
        prop_assert_eq!(pprof::tests::totals(&out), (total.count, nanos));
    }
}

#[test]
fn what_folded_lines_do_not_say_is_said_nowhere() {
    for (measure, other) in [(Measure::Time, Measure::Count), (Measure::Count, Measure::Time)] {
        let profile = folded::read(&b"java;main 7000\n"[..], measure).unwrap();
        let about = About { measure, only: Some(measure), window: None, ..past::about() };
        let file = text(|out| speedscope::write(out, &profile, &about));
        let file: Value = serde_json::from_str(&file).unwrap();
        assert_eq!(file["activeProfileIndex"], 0);
        let profiles = file["profiles"].as_array().unwrap();
        assert!(profiles.iter().all(|profile| profile["name"] == measure.unit()), "{file:#}");
        assert_eq!(pprof::tests::values(&profile, &about).len(), 1);
        let canvas = Canvas { width: 80, color: false };
        let shown = text(|out| flame_text::write(out, &profile, &about, canvas));
        let row = shown.lines().find(|line| line.ends_with("java")).unwrap();
        let columns: Vec<_> = row.split("  ").filter(|column| !column.is_empty()).collect();
        let unknown = columns[if other == Measure::Time { 1 } else { 2 }].trim();
        assert_eq!((columns.len(), unknown), (5, "–"), "{columns:?}");
    }
}
