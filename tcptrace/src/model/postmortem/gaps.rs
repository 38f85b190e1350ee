//! What is not known, in spans that a chart can show.

use core::time::Duration;

use jiff::Timestamp;

use crate::model::history::{Gap, GapKind};
use crate::model::profile::window::Window;

/// So many spans are kept before neighbours are made one.
const MOST: usize = 4096;

#[derive(Debug)]
pub(super) struct Gaps {
    window: Window,
    /// Spans of one kind that are no further apart are one.
    near: Duration,
    spans: Vec<Gap>,
    due: usize,
}

impl Gaps {
    pub(super) fn new(window: Window, near: Duration) -> Self {
        Self { window, near, spans: Vec::new(), due: MOST }
    }

    pub(super) fn add(&mut self, gap: &Gap) {
        if gap.to < self.window.from || gap.from >= self.window.to {
            return;
        }
        let (from, to) = (gap.from.max(self.window.from), gap.to.min(self.window.to));
        self.spans.push(Gap { from, to: to.max(from), ..gap.clone() });
        if self.spans.len() >= self.due {
            self.spans = merged(core::mem::take(&mut self.spans), self.near);
            self.due = self.spans.len() * 2 + MOST;
        }
    }

    pub(super) fn finish(self) -> Vec<Gap> {
        let mut spans = merged(self.spans, self.near);
        spans.sort_by(|a, b| (a.from, a.to, &a.host).cmp(&(b.from, b.to, &b.host)));
        spans
    }
}

fn merged(mut spans: Vec<Gap>, near: Duration) -> Vec<Gap> {
    let order = |gap: &'_ Gap| match gap.why {
        GapKind::NotRunning => 0,
        GapKind::Lost(_) => 1,
        GapKind::LeftOut(_) => 2,
        GapKind::Unreadable(_) => 3,
    };
    spans.sort_by(|a, b| (&a.host, order(a), a.from).cmp(&(&b.host, order(b), b.from)));
    let mut merged: Vec<Gap> = Vec::new();
    for gap in spans {
        let last = merged.last_mut().filter(|last| {
            let reach = last.to.saturating_add(near).unwrap_or(Timestamp::MAX);
            last.host == gap.host && gap.from <= reach
        });
        match last.and_then(|last| Some((together(&last.why, &gap.why)?, last))) {
            Some((why, last)) => (last.why, last.to) = (why, last.to.max(gap.to)),
            None => merged.push(gap),
        }
    }
    merged
}

/// Both in one; `None` where that would lose something. Time in which nothing ran is shown as it was.
fn together(a: &GapKind, b: &GapKind) -> Option<GapKind> {
    match (a, b) {
        (GapKind::Lost(a), GapKind::Lost(b)) => Some(GapKind::Lost(a.saturating_add(*b))),
        (GapKind::LeftOut(a), GapKind::LeftOut(b)) => Some(GapKind::LeftOut(a.saturating_add(*b))),
        _ => None,
    }
}
