//! What the rows of the table stand for.

use std::sync::Arc;

use crate::model::alert::Alert;
use crate::model::code::CodePath;
use crate::model::group::Peer;
use crate::model::socket::canonical;
use crate::model::verdict::Verdict;

/// By what stuck sockets are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Turn {
    #[default]
    Process,
    Unit,
    Verdict,
    Peer,
    Code,
}

impl Turn {
    /// All there are, in the order in which a key goes through them.
    pub const ALL: [Self; 5] = [Self::Process, Self::Unit, Self::Verdict, Self::Peer, Self::Code];

    /// The name on the screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Unit => "unit",
            Self::Verdict => "verdict",
            Self::Peer => "peer",
            Self::Code => "code path",
        }
    }

    /// The next one, round and round.
    pub const fn next(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }

    /// The row that `alert` belongs to.
    pub fn key_of(self, alert: &Alert) -> RowKey {
        let process = alert.finding.blame.as_ref().map(|blame| &*blame.process);
        match self {
            Self::Process => RowKey::Process(process.map(|p| (p.pid, p.start_ticks))),
            Self::Unit => {
                let unit = process.and_then(|p| p.unit.as_deref().or(p.container.as_deref()));
                RowKey::Unit(unit.map(Arc::from))
            }
            Self::Verdict => RowKey::Verdict(alert.finding.verdict),
            Self::Peer => {
                let [local, remote] =
                    [alert.stay.endpoints.local, alert.stay.endpoints.remote].map(canonical);
                // The larger one is mostly one of many that the kernel chose.
                let port = (remote.port() <= local.port()).then_some(remote.port());
                RowKey::Peer(Peer { ip: remote.ip(), port })
            }
            Self::Code => RowKey::Code(alert.finding.code.clone()),
        }
    }
}

/// What the sockets of one row have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    /// The process blamed, with its start; `None`: nobody is.
    Process(Option<(u32, Option<u64>)>),
    /// Its unit or container.
    Unit(Option<Arc<str>>),
    /// Why they are stuck.
    Verdict(Verdict),
    /// The other end.
    Peer(Peer),
    /// The code to look at, where it is known.
    Code(Option<CodePath>),
}
