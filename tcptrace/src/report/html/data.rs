//! What the script draws.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::words::{Words, gap};
use super::{Page, notes};
use crate::model::postmortem::Account;
use crate::model::profile::difference::Difference;
use crate::model::profile::{FrameKind, Measure, NodeId, Profile};
use crate::report::escape::Escaped;
use crate::report::text::words::Count;

/// So many frames are drawn, the widest.
const MOST_FRAMES: usize = 20_000;
/// Marks on the time axis at most.
const MOST_TICKS: i64 = 9;

#[derive(Serialize)]
pub(super) struct Data {
    chart: Chart,
    flame: Flame,
}

#[derive(Serialize)]
struct Chart {
    /// Length of the window and of a step, in seconds.
    length: f64,
    step: f64,
    /// When each step begins, and when the last one ends.
    times: Vec<String>,
    ticks: Vec<Mark>,
    peak: Option<Mark>,
    gaps: Vec<Shade>,
    series: Vec<Line>,
}

/// A moment, as a part of the window, and what to say of it.
#[derive(Serialize)]
struct Mark {
    at: f64,
    text: String,
}

#[derive(Serialize)]
struct Shade {
    from: f64,
    to: f64,
    text: String,
}

#[derive(Serialize)]
struct Line {
    name: String,
    /// Empty for all others together.
    verdict: &'static str,
    values: Vec<f64>,
}

#[derive(Serialize)]
struct Flame {
    names: Vec<String>,
    kinds: Vec<&'static str>,
    /// Name, kind, parent, milliseconds, sockets; against a baseline also what the last two were. The
    /// root is first, and each after its parent.
    nodes: Vec<Vec<u64>>,
    baseline: bool,
    /// How many were too narrow.
    left_out: usize,
}

impl Data {
    pub(super) fn new(page: &Page<'_>, words: &Words) -> Self {
        Self { chart: chart(page.postmortem, words), flame: flame(page) }
    }
}

fn chart(account: &Account, words: &Words) -> Chart {
    let window = account.window;
    let length = window.length().as_secs_f64();
    let part = |at: Timestamp| {
        let seconds = at.duration_since(window.from).as_secs_f64();
        if length > 0.0 { (seconds / length).clamp(0.0, 1.0) } else { 0.0 }
    };
    let step = match *account.steps {
        [first, second, ..] => second.duration_since(first).as_secs_f64(),
        _ => length,
    };
    let ends = account.steps.iter().copied().chain([window.to]);
    let series = account.series.iter().map(|series| Line {
        name: words.who(&series.program, series.verdict, Some(&series.processes)).to_string(),
        verdict: series.verdict.name(),
        values: rounded(&series.values),
    });
    let others = account.others.as_ref().map(|others| Line {
        name: format!("{} others", Count(others.series)),
        verdict: "",
        values: rounded(&others.values),
    });
    let gaps = notes::shown(&account.gaps).into_iter().map(|one| Shade {
        from: part(one.from),
        to: part(one.to),
        text: if account.hosts.len() > 1 {
            format!("{}: {}", Escaped(&one.host), gap(&one.why))
        } else {
            gap(&one.why)
        },
    });
    Chart {
        length,
        step,
        times: ends.map(|at| words.time(at).to_string()).collect(),
        ticks: ticks(account, words, part),
        peak: account
            .peak
            .map(|peak| Mark { at: part(peak.at), text: format!("peak {}", Count(peak.sockets)) }),
        gaps: gaps.collect(),
        series: series.chain(others).collect(),
    }
}

fn rounded(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| (value * 100.0).round() / 100.0).collect()
}

/// Round times of the local clock.
fn ticks(account: &Account, words: &Words, part: impl Fn(Timestamp) -> f64) -> Vec<Mark> {
    const DAY: i64 = 86_400;
    let steps =
        [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200];
    let days = [1, 2, 7, 14, 28, 91, 182, 364, 1820].map(|days| days * DAY);
    let window = account.window;
    let (from, to) = (window.from.as_second(), window.to.as_second());
    let fits = |step: &i64| (to - from) / step < MOST_TICKS;
    let Some(step) = steps.into_iter().chain(days).find(fits) else { return Vec::new() };
    let format = match step {
        DAY.. => "%b %-d",
        _ if to - from > DAY => "%b %-d %H:%M",
        60.. => "%H:%M",
        _ => "%H:%M:%S",
    };
    let offset = words.offset(window.from);
    let first = (from + offset).div_euclid(step) * step - offset;
    let times = (0..).map(|n| first + n * step).skip_while(|&at| at < from);
    times
        .take_while(|&at| at <= to)
        .filter_map(|at| Timestamp::from_second(at).ok())
        .map(|at| Mark { at: part(at), text: words.format(at, format) })
        .collect()
}

fn flame(page: &Page<'_>) -> Flame {
    let difference = page.baseline.map(|baseline| baseline.difference);
    let profile = difference.map_or(page.profile, Difference::after);
    let before = |node, measure| difference.map_or(0.0, |d| d.total_before(node, measure));
    let kept = widest(profile, before);
    let mut flame = Flame {
        names: Vec::new(),
        kinds: Vec::new(),
        nodes: Vec::new(),
        baseline: difference.is_some(),
        left_out: 0,
    };
    let mut names: HashMap<Arc<str>, u64> = HashMap::new();
    let mut kinds: HashMap<FrameKind, u64> = HashMap::new();
    let mut places: HashMap<NodeId, u64> = HashMap::from([(Profile::ROOT, 0)]);
    for id in [Profile::ROOT].into_iter().chain(profile.walk(Measure::Time)) {
        let node = &profile.nodes()[id];
        if !kept[id] {
            flame.left_out += 1;
            continue;
        }
        let name = *names.entry(Arc::clone(&node.frame.name)).or_insert_with(|| {
            flame.names.push(Escaped(&node.frame.name).to_string());
            flame.names.len() as u64 - 1
        });
        let kind = *kinds.entry(node.frame.kind).or_insert_with(|| {
            flame.kinds.push(node.frame.kind.name());
            flame.kinds.len() as u64 - 1
        });
        let millis = |seconds: f64| (seconds * 1000.0) as u64;
        let mut row = vec![
            name,
            kind,
            places[&node.parent],
            u64::try_from(node.total.time.as_millis()).unwrap_or(u64::MAX),
            node.total.count,
        ];
        if difference.is_some() {
            row.push(millis(before(id, Measure::Time)));
            row.push(before(id, Measure::Count).round() as u64);
        }
        places.insert(id, flame.nodes.len() as u64);
        flame.nodes.push(row);
    }
    flame
}

/// Which nodes are the widest by any measure, before or now: with each its parents.
fn widest(profile: &Profile, before: impl Fn(NodeId, Measure) -> f64) -> Vec<bool> {
    let widths = |id: NodeId| {
        let now = [Measure::Time, Measure::Count].map(|by| by.value(profile.nodes()[id].total));
        let then = [before(id, Measure::Time), before(id, Measure::Count)];
        [now[0], now[1], then[0], then[1]]
    };
    let whole = widths(Profile::ROOT);
    let share = |id: NodeId| {
        let shares = widths(id)
            .into_iter()
            .zip(whole)
            .map(|(part, whole)| part / whole.max(f64::MIN_POSITIVE));
        shares.fold(0.0, f64::max)
    };
    let mut order: Vec<_> =
        (0..profile.nodes().len()).map(|id| (share(id), profile.nodes()[id].depth, id)).collect();
    // Of equally wide ones the parent first.
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut kept = vec![false; order.len()];
    order.into_iter().take(MOST_FRAMES).for_each(|(.., id)| kept[id] = true);
    kept
}
