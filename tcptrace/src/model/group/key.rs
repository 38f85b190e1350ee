//! What makes alerts one group.

use std::sync::Arc;

use crate::model::alert::Alert;
use crate::model::code::CodePath;
use crate::model::rules::Urgency;
use crate::model::socket::NetNs;
use crate::model::stay::Stay;
use crate::model::verdict::{Finding, Verdict};

/// What the members of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GroupKey {
    /// The process blamed, with its start; `None` when nobody is.
    process: Option<(u32, Option<u64>)>,
    /// For members that nobody is blamed for: where they are.
    place: Option<(Option<NetNs>, u16)>,
    verdict: Verdict,
    /// The code to look at, where it is known.
    code: Option<CodePath>,
    urgency: Urgency,
}

impl GroupKey {
    pub(super) fn of(stay: &Stay, finding: &Finding, urgency: &Urgency) -> Self {
        let process = finding.blame.as_ref().map(|b| (b.process.pid, b.process.start_ticks));
        let place = process.is_none().then(|| {
            // The smaller port is mostly the service's, the other one ephemeral.
            let ends = stay.endpoints;
            (stay.netns, ends.local.port().min(ends.remote.port()))
        });
        let (code, urgency) = (finding.code.clone(), urgency.clone());
        Self { process, place, verdict: finding.verdict, code, urgency }
    }

    pub(super) fn of_alert(alert: &Alert) -> Self {
        Self::of(&alert.stay, &alert.finding, &alert.urgency)
    }

    pub(super) fn id(&self, boot_id: &str) -> Arc<str> {
        let boot = boot_id.get(..8).unwrap_or(boot_id);
        let mut verdict = self.verdict.name().to_owned();
        // The same in every run, as long as the program's code is.
        if let Some(code) = &self.code {
            verdict += &format!("-{:x}", sum(&code.line));
        }
        if let Some(rule) = &self.urgency.rule {
            verdict += &format!("-r{:x}", sum(rule));
        }
        match (self.process, self.place) {
            (Some((pid, start)), _) => format!("{boot}-{pid}.{}-{verdict}", start.unwrap_or(0)),
            (None, Some((netns, port))) => {
                let netns = netns.map_or(0, |netns| netns.0);
                format!("{boot}-ns{netns}.{port}-{verdict}")
            }
            (None, None) => format!("{boot}-{verdict}"),
        }
        .into()
    }
}

fn sum(name: &str) -> u32 {
    name.bytes().fold(0, |sum: u32, byte| sum.rotate_left(5) ^ u32::from(byte))
}

/// The id of the group that a stay with this finding belongs to.
pub fn group_id(boot_id: &str, stay: &Stay, finding: &Finding, urgency: &Urgency) -> Arc<str> {
    GroupKey::of(stay, finding, urgency).id(boot_id)
}
