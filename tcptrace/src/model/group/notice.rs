//! What is told of a group.

use core::net::IpAddr;
use core::time::Duration;
use std::sync::Arc;

use crate::model::code::CodePath;
use crate::model::evidence::ThreadState;
use crate::model::forecast::Forecast;
use crate::model::proof::Proof;
use crate::model::rules::Urgency;
use crate::model::socket::StayState;
use crate::model::stay::EndedBy;
use crate::model::time::Instant;
use crate::model::verdict::{Blame, Confidence, Verdict};

/// How a group stands against the last time it was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the interface")]
pub enum GroupStatus {
    Firing,
    Growing,
    Shrinking,
    Resolved,
}

impl GroupStatus {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Growing => "growing",
            Self::Shrinking => "shrinking",
            Self::Resolved => "resolved",
        }
    }
}

/// A group as it is told.
#[derive(Clone, Debug)]
pub struct GroupNotice {
    /// The same for the same process and verdict.
    pub id: Arc<str>,
    /// When it is told.
    pub at: Instant,
    /// Since it was last told.
    pub status: GroupStatus,
    /// How urgent it is, and by which rule.
    pub urgency: Urgency,
    /// Why its members are stuck.
    pub verdict: Verdict,
    /// How sure that is.
    pub confidence: Confidence,
    /// The state they are in.
    pub state: StayState,
    /// The code to look at for all of them.
    pub code: Option<CodePath>,
    /// What to know about that.
    pub caveat: Option<&'static str>,
    /// What became of other sockets on that path.
    pub proof: Option<Proof>,
    /// What the threads of the process are doing, where no code of theirs has touched the sockets.
    pub threads: Option<ThreadState>,
    /// The process blamed for all of them.
    pub blame: Option<Blame>,
    /// How many there are now; in the first message, how many there have been.
    pub members: usize,
    /// How many there were at most.
    pub peak: usize,
    /// Age of the oldest one.
    pub oldest: Duration,
    /// Whether every age is exact; else at least one is a lower bound.
    pub exact: bool,
    /// Net growth a minute; `None` until it has been watched for some seconds.
    pub growth_per_min: Option<f64>,
    /// When the process's descriptors will be used up; `None` where there is no trend.
    pub forecast: Option<Forecast>,
    /// Alert ids of a few members, the oldest first.
    pub examples: Vec<Arc<str>>,
    /// The other ends and how many members each has, most first; at most three.
    pub peers: Vec<(Peer, usize)>,
    /// What ended those that have, most first.
    pub ended: Vec<(EndedBy, usize)>,
    /// How many have become members of another group: more is known of them now.
    pub withdrawn: usize,
}

impl GroupNotice {
    /// A group that fires at `at`, of which no more is known.
    pub fn bare(id: Arc<str>, at: Instant, state: StayState, verdict: Verdict) -> Self {
        Self {
            id,
            at,
            status: GroupStatus::Firing,
            urgency: Urgency::default(),
            verdict,
            confidence: Confidence::Low,
            state,
            code: None,
            caveat: None,
            proof: None,
            threads: None,
            blame: None,
            members: 0,
            peak: 0,
            oldest: Duration::ZERO,
            exact: false,
            growth_per_min: None,
            forecast: None,
            examples: Vec::new(),
            peers: Vec::new(),
            ended: Vec::new(),
            withdrawn: 0,
        }
    }
}

/// Other ends of a group, by address, and by port where all have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// Their address.
    pub ip: IpAddr,
    /// Their port, if it is one.
    pub port: Option<u16>,
}
