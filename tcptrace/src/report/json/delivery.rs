//! What came of what was sent.

use std::io::{self, Write};

use super::lines::{Body, DeliveryLine, SinkLine};
use super::{Context, line, millis};
use crate::model::delivery::{Delivered, Delivery};

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

    use serde_json::{Value, json};

    use super::*;
    use crate::report::samples;

    fn printed(write: impl FnOnce(&mut Vec<u8>, Context<'_>) -> io::Result<()>) -> Value {
        let mut out = Vec::new();
        let anchor = samples::anchor();
        write(&mut out, Context { host: "web-3", boot_id: "0123456789", anchor }).unwrap();
        serde_json::from_slice(&out).unwrap()
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
