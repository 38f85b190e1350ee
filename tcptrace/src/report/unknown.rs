//! What a journal does not know of a window, in a few lines.

use core::time::Duration;
use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::escape::Escaped;
use super::text::{Age, Count};
use crate::model::history::{Gap, GapKind};
use crate::model::profile::window::Window;

/// What is missing of one machine.
#[derive(Default)]
struct Missing {
    /// How much time, in how many spans, and the longest of these.
    off: Duration,
    spans: usize,
    longest: (Duration, Timestamp),
    lost: u64,
    left_out: u64,
}

/// A line for each kind of gap and each machine. Files that cannot be read are named elsewhere, with
/// the reason.
pub fn lines(gaps: &[Gap], window: Window, zone: &TimeZone) -> Vec<String> {
    let mut hosts: BTreeMap<&str, Missing> = BTreeMap::new();
    for gap in gaps {
        let missing = hosts.entry(&gap.host).or_default();
        match gap.why {
            GapKind::NotRunning => {
                let from = gap.from.max(window.from);
                let lasted = gap.to.min(window.to).duration_since(from);
                let lasted = Duration::try_from(lasted).unwrap_or_default();
                missing.off = missing.off.saturating_add(lasted);
                missing.spans += 1;
                if missing.spans == 1 || lasted > missing.longest.0 {
                    missing.longest = (lasted, from);
                }
            }
            GapKind::Lost(count) => missing.lost = missing.lost.saturating_add(count),
            GapKind::LeftOut(count) => missing.left_out = missing.left_out.saturating_add(count),
            GapKind::Unreadable(_) => {}
        }
    }
    hosts.iter().flat_map(|(host, missing)| missing.lines(host, zone)).collect()
}

impl Missing {
    fn lines(&self, host: &str, zone: &TimeZone) -> Vec<String> {
        let (host, mut lines) = (Escaped(host), Vec::new());
        let from = self.longest.1.to_zoned(zone.clone());
        let from = from.strftime("%Y-%m-%d %H:%M:%S");
        match self.spans {
            0 => {}
            1 => lines.push(format!("{host}: nothing was recorded for {} from {from} on", Age(self.off))),
            spans => lines.push(format!(
                "{host}: nothing was recorded for {}, in {} spans; the longest, of {}, began {from}",
                Age(self.off),
                Count(spans),
                Age(self.longest.0),
            )),
        }
        if self.lost > 0 {
            let count = Count(self.lost);
            let what = "transitions were lost: some stays may be missing, or end too late";
            lines.push(format!("{host}: {count} {what}"));
        }
        if self.left_out > 0 {
            let count = Count(self.left_out);
            let what = "entries were left out of the journal: the disk was too slow or full";
            lines.push(format!("{host}: {count} {what}"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::past;

    #[test]
    fn each_machine_and_kind_has_a_line_of_its_own_window() {
        let gap = |host: &str, from: &str, to: &str, why| {
            let [from, to] = [from, to].map(|at| format!("2026-03-01T{at}Z").parse().unwrap());
            Gap { host: host.into(), from, to, why }
        };
        let gaps = [
            gap("web-3", "11:00:00", "12:05:00", GapKind::NotRunning),
            gap("web-3", "12:10:00", "12:20:00", GapKind::NotRunning),
            gap("web-3", "12:30:00", "12:30:10", GapKind::Lost(1200)),
            gap("web-3", "12:40:00", "12:40:10", GapKind::Lost(34)),
            gap("a\n\u{202e}b", "12:59:00", "14:00:00", GapKind::NotRunning),
            gap("a\n\u{202e}b", "12:59:00", "13:00:00", GapKind::LeftOut(1)),
            gap("web-3", "12:00:00", "12:30:00", GapKind::Unreadable("why".into())),
        ];
        let lines = lines(&gaps, past::window(), &TimeZone::UTC);
        insta::assert_snapshot!(lines.join("\n"));
    }
}
