//! The line of `check`.

use std::io::{self, Write};

use super::lines::{Body, CulpritLine, MonitorLine, StaysLine, Wall};
use super::{Context, line, millis};
use crate::model::monitor::{Census, Level, Limits};
use crate::model::socket::StayState;
use crate::model::time::Instant;

/// Writes a `monitor`: what is stuck at `now`, with `notes` on what could not be seen.
///
/// # Errors
/// Those of `out`.
pub fn monitor(
    out: &mut impl Write,
    context: Context<'_>,
    (census, limits, level): (&Census, &Limits, Level),
    notes: &[String],
    now: Instant,
) -> io::Result<()> {
    let count = |state: StayState| census.states[state.index()] as u64;
    let body = MonitorLine {
        status: level.name(),
        reason: None,
        stuck: Some(census.stuck),
        stays: Some(StaysLine {
            close_wait: count(StayState::CloseWait),
            fin_wait2: count(StayState::FinWait2),
            close: count(StayState::Closed),
        }),
        oldest_ms: census.oldest.map(millis),
        min_age_ms: Some(millis(limits.min_age)),
        warning: limits.count.warning,
        critical: limits.count.critical,
        warning_age_ms: limits.age.warning.map(millis),
        critical_age_ms: limits.age.critical.map(millis),
        culprits: census
            .culprits
            .iter()
            .map(|culprit| {
                let process = culprit.process.as_deref();
                CulpritLine {
                    pid: process.map(|process| process.pid),
                    start: process.and_then(|process| process.start).map(Wall),
                    comm: process.map(|process| &*process.comm),
                    unit: process.and_then(|process| process.unit.as_deref()),
                    container: process.and_then(|process| process.container.as_deref()),
                    pod: process.and_then(|process| process.pod.as_deref()),
                    verdict: culprit.verdict.name(),
                    sockets: culprit.sockets,
                    oldest_ms: millis(culprit.oldest),
                }
            })
            .collect(),
        notes,
    };
    line(out, context, now, Body::Monitor(body))
}

/// Writes a `monitor` that knows nothing, for `reason`.
///
/// # Errors
/// Those of `out`.
pub fn monitor_failed(
    out: &mut impl Write,
    context: Context<'_>,
    reason: &str,
    now: Instant,
) -> io::Result<()> {
    let body = MonitorLine { status: "UNKNOWN", reason: Some(reason), ..MonitorLine::default() };
    line(out, context, now, Body::Monitor(body))
}
