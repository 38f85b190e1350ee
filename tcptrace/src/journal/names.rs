//! Closed sets of words: kept by name, so that a shard outlives any order of variants.

use crate::model::evidence::{HeldBy, ThreadState};
use crate::model::forecast::Resource;
use crate::model::group::GroupStatus;
use crate::model::socket::{StayState, TCP_STATES, TcpState};
use crate::model::stay::EndedBy;
use crate::model::verdict::{Confidence, VERDICTS, Verdict};

/// A word of a closed set.
pub trait Word: Copy + 'static {
    /// All of the set.
    const ALL: &'static [Self];

    /// This one.
    fn word(self) -> &'static str;

    /// The one that `word` names; `None` where it is from a later version.
    fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.word() == word)
    }
}

impl Word for Verdict {
    const ALL: &'static [Self] = &VERDICTS;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for TcpState {
    const ALL: &'static [Self] = &TCP_STATES;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for StayState {
    const ALL: &'static [Self] = &[Self::CloseWait, Self::FinWait2, Self::Closed];

    fn word(self) -> &'static str {
        self.state().name()
    }
}

impl Word for Confidence {
    const ALL: &'static [Self] = &[Self::High, Self::Low];

    fn word(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Low => "low",
        }
    }
}

impl Word for EndedBy {
    const ALL: &'static [Self] = &[
        Self::Closed,
        Self::Shutdown,
        Self::ClosedWithReset,
        Self::PeerClosed,
        Self::ResetByPeer,
        Self::TimedOut,
        Self::ProcessExit,
        Self::Killed,
        Self::ListenerClosed,
        Self::Expired,
        Self::Unknown,
    ];

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for ThreadState {
    const ALL: &'static [Self] = &[Self::Stopped, Self::Running, Self::InPoll, Self::Asleep];

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for HeldBy {
    const ALL: &'static [Self] =
        &[Self::UnixSocket, Self::IoUring, Self::BlockedCall, Self::Unknown];

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for GroupStatus {
    const ALL: &'static [Self] = &[Self::Firing, Self::Growing, Self::Shrinking, Self::Resolved];

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for Resource {
    const ALL: &'static [Self] = &[Self::Descriptors, Self::Ports];

    fn word(self) -> &'static str {
        self.name()
    }
}
