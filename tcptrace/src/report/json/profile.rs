//! A report as lines: what it is of, then a line for each frame, in the order in which they are drawn.

use std::io::{self, Write};

use jiff::Timestamp;

use super::lines::{Body, FrameLine, ReportLine, Wall};
use super::{Context, millis};
use crate::model::profile::difference::Difference;
use crate::model::profile::{Measure, NodeId, Profile, Weight};
use crate::report::about::About;

/// Writes `profile`, made at the moment of `context`'s anchor.
///
/// # Errors
/// Those of `out`.
pub fn profile(
    out: &mut impl Write,
    context: Context<'_>,
    profile: &Profile,
    about: &About,
) -> io::Result<()> {
    lines(out, context, profile, about, |_| None)
}

/// Writes `difference`, likewise.
///
/// # Errors
/// Those of `out`.
pub fn difference(
    out: &mut impl Write,
    context: Context<'_>,
    difference: &Difference,
    about: &About,
) -> io::Result<()> {
    let before = |node| {
        let seconds = difference.total_before(node, Measure::Time);
        Some((seconds * 1000.0, difference.total_before(node, Measure::Count)))
    };
    lines(out, context, difference.after(), about, before)
}

fn lines(
    out: &mut impl Write,
    context: Context<'_>,
    profile: &Profile,
    about: &About,
    before: impl Fn(NodeId) -> Option<(f64, f64)>,
) -> io::Result<()> {
    let bounded = |at: Timestamp| (at != Timestamp::MIN).then_some(Wall(at));
    let total = profile.total();
    let time = |weight: Weight| about.knows(Measure::Time).then(|| millis(weight.time));
    let count = |weight: Weight| about.knows(Measure::Count).then_some(weight.count);
    let order = profile.walk(about.measure);
    let report = ReportLine {
        from: about.window.and_then(|window| bounded(window.from)),
        to: about.window.map(|window| Wall(window.to)),
        baseline_from: about.baseline.and_then(|window| bounded(window.from)),
        baseline_to: about.baseline.map(|window| Wall(window.to)),
        weight: match about.measure {
            Measure::Time => "seconds",
            Measure::Count => "count",
        },
        time_ms: time(total),
        count: count(total),
        frames: order.len(),
    };
    line(out, context, Body::Report(report))?;
    for id in order {
        let (node, before) = (&profile.nodes()[id], before(id));
        let frame = FrameLine {
            kind: node.frame.kind.name(),
            path: profile.path(id).map(|frame| &*frame.name).collect(),
            time_ms: time(node.total),
            count: count(node.total),
            own_time_ms: time(node.own),
            own_count: count(node.own),
            time_ms_before: before.map(|(time, _)| time),
            count_before: before.map(|(_, count)| count),
        };
        line(out, context, Body::Frame(frame))?;
    }
    Ok(())
}

fn line(out: &mut impl Write, context: Context<'_>, body: Body<'_>) -> io::Result<()> {
    super::line(out, context, context.anchor.monotonic, body)
}
