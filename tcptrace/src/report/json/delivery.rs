//! Conditions, and what came of what was sent.

use std::io::{self, Write};

use super::lines::{Body, ConditionLine, DeliveryLine, SinkLine, Wall};
use super::{Context, line, millis, process_key};
use crate::model::delivery::{Delivered, Delivery};
use crate::model::rules::{ConditionNotice, Measure, Scope};

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

/// Writes a `delivery`, as of the context's moment.
///
/// # Errors
/// Those of `out`.
pub fn delivered(
    out: &mut impl Write,
    context: Context<'_>,
    delivered: &Delivered<'_>,
) -> io::Result<()> {
    let Delivered { sink, kind, result, advice, took } = *delivered;
    let body = DeliveryLine {
        sink,
        kind,
        ok: result.is_ok(),
        took_ms: millis(took),
        answer: result.ok(),
        error: result.err(),
        advice,
    };
    line(out, context, context.anchor.monotonic, Body::Delivery(body))
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

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::model::process::tests::process;
    use crate::model::rules::Severity;
    use crate::report::samples;

    fn printed(write: impl FnOnce(&mut Vec<u8>, Context<'_>) -> io::Result<()>) -> Value {
        let mut out = Vec::new();
        let anchor = samples::anchor();
        write(&mut out, Context { host: "web-3", boot_id: "0123456789", anchor }).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_condition() {
        let notice = |scope, measure| ConditionNotice {
            id: "01234567-r1".into(),
            rule: "too many".into(),
            severity: Severity::Critical,
            firing: true,
            at: samples::now(),
            since: samples::now().before(Duration::from_secs(60)),
            scope,
            measure,
        };
        let of_host = notice(Scope::Host, Measure::Sockets(10_412, 10_000));
        insta::assert_snapshot!(
            serde_json::to_string_pretty(&printed(|out, at| condition(out, at, &of_host))).unwrap()
        );
        let scope = Scope::Process(Arc::new(process(7, 1, 1)));
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let of_process = notice(scope, Measure::FullIn(Some(minutes(18)), minutes(60)));
        let line = printed(|out, at| condition(out, at, &of_process));
        assert_eq!(
            (&line["process"]["pid"], &line["unit"]),
            (&json!(7), &json!("program.service"))
        );
        assert_eq!((&line["found"], &line["limit"]), (&json!(1_080_000.0), &json!(3_600_000.0)));
    }

    #[test]
    fn what_came_of_a_sample() {
        let failed = Delivered {
            sink: "pager",
            kind: "webhook",
            result: Err("no"),
            advice: Some("see that it runs"),
            took: Duration::from_millis(7),
        };
        let line = printed(|out, at| delivered(out, at, &failed));
        assert_eq!((&line["type"], &line["ok"]), (&json!("delivery"), &json!(false)));
        assert_eq!((&line["answer"], &line["advice"]), (&Value::Null, &json!("see that it runs")));
    }
}
