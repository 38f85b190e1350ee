//! Whom to talk to.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Verdict, gone_reader, holding_reader};
use crate::model::evidence::Evidence;
use crate::model::process::{Holder, Process, eldest};

/// The process to talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blame {
    /// Who.
    pub process: Arc<Process>,
    /// Why that one.
    pub why: Cow<'static, str>,
    /// Other processes that it might as well be.
    pub candidates: Vec<u32>,
}

pub(super) fn blame(verdict: Verdict, evidence: &Evidence) -> Option<Blame> {
    let holders = evidence.holders.as_deref().unwrap_or_default();
    match verdict {
        Verdict::Kernel | Verdict::NoFd | Verdict::Orphan => None,
        Verdict::NotAccepted => {
            name(&evidence.listener_holders, "it holds the listener and did not accept")
        }
        Verdict::PeerNotClosing => {
            let peer = evidence.peer_holders.as_deref().unwrap_or_default();
            name(peer, "it does not close its end, though the other end is done sending and waits")
                .or_else(|| name(holders, "it is done sending and waits; the peer has not closed"))
        }
        Verdict::SharedFd => {
            let reader = gone_reader(evidence)?.by;
            let comm = String::from_utf8_lossy(reader.comm());
            let why = format!(
                "it keeps a copy of the descriptor; {comm}[{}], which read the end of file, does not",
                reader.pid
            );
            name(holders, why)
        }
        Verdict::EofRead => {
            let reader = holding_reader(evidence)?;
            Some(name_one(holders, reader, "it read the end of file and holds the socket".into()))
        }
        Verdict::ClosedNotReleased => name(holders, "it holds the descriptor"),
        _ => name(holders, "it holds the socket"),
    }
}

fn name(holders: &[Holder], why: impl Into<Cow<'static, str>>) -> Option<Blame> {
    eldest(holders).map(|chosen| name_one(holders, chosen, why.into()))
}

fn name_one(holders: &[Holder], chosen: usize, why: Cow<'static, str>) -> Blame {
    let candidates = holders.iter().enumerate().filter(|&(i, _)| i != chosen);
    Blame {
        process: Arc::clone(&holders[chosen].process),
        why,
        candidates: candidates.map(|(_, holder)| holder.process.pid).collect(),
    }
}
