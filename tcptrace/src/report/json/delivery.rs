//! Conditions, and what came of what was sent.

use std::io::{self, Write};

use super::lines::{Body, ConditionLine, DeliveryLine, SinkLine, Wall};
use super::{Context, line, millis, process_key};
use crate::model::delivery::Delivery;
use crate::model::rules::{ConditionNotice, Measure, Scope};
use crate::model::time::Instant;

/// Writes a `condition`.
///
/// # Errors
/// Those of `out`.
pub fn condition(
    out: &mut impl Write,
    context: Context<'_>,
    notice: &ConditionNotice,
) -> io::Result<()> {
    let (scope, unit, process) = match &notice.scope {
        Scope::Host => ("host", None, None),
        Scope::Unit(unit) => ("unit", Some(&**unit), None),
        Scope::Process(process) => ("process", process.unit.as_deref(), Some(process_key(process))),
    };
    let (found, limit) = match notice.measure {
        Measure::Sockets(found, limit) => (Some(found as f64), limit as f64),
        Measure::GrowthPerMin(found, limit) => (Some(found), limit),
        Measure::FullIn(found, limit) => {
            (found.map(|found| millis(found) as f64), millis(limit) as f64)
        }
    };
    let body = ConditionLine {
        condition: &notice.id,
        status: if notice.firing { "firing" } else { "resolved" },
        severity: notice.severity.name(),
        rule: &notice.rule,
        since: Wall(context.anchor.wall_at(notice.since)),
        scope,
        unit,
        process,
        measure: notice.measure.name(),
        found,
        limit,
    };
    line(out, context, notice.at, Body::Condition(body))
}

/// Writes a `delivery` to the sink `(name, kind)`: what it answered, or the error, and after how long.
///
/// # Errors
/// Those of `out`.
pub fn delivery(
    out: &mut impl Write,
    context: Context<'_>,
    now: Instant,
    (sink, kind): (&str, &'static str),
    result: Result<&str, &str>,
    took: core::time::Duration,
) -> io::Result<()> {
    let body = DeliveryLine {
        sink,
        kind,
        ok: result.is_ok(),
        took_ms: millis(took),
        answer: result.ok(),
        error: result.err(),
    };
    line(out, context, now, Body::Delivery(body))
}

pub(super) fn sink(delivery: &Delivery) -> SinkLine<'_> {
    SinkLine {
        sink: &delivery.name,
        kind: delivery.kind,
        sent: delivery.sent,
        failed: delivery.failed,
        dropped: delivery.dropped,
        waiting: delivery.waiting,
        error: delivery.error.as_deref(),
    }
}
