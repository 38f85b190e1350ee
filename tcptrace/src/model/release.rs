//! Ending stuck connections from outside: which may be, by which means, and what came of it.
//!
//! [`plan`] decides by what a look at the host showed. [`check`] decides again, by what is read from a copy
//! of the descriptor itself right before anything is done to it. [`pace`] says when.

pub mod check;
pub mod pace;
pub mod plan;

use core::fmt;
use std::sync::Arc;

use super::socket::TcpState;
use super::verdict::Verdict;

/// How a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// `shutdown(SHUT_RDWR)` on a copy of the descriptor: the peer gets a FIN.
    Shutdown,
    /// SOCK_DESTROY: the peer gets a reset, the program an error.
    Abort,
}

impl Means {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Abort => "abort",
        }
    }

    /// Why a socket with this verdict is left alone, whatever else is known of it; `None`: it may be ended.
    pub const fn refuses(self, verdict: Verdict) -> Option<Refusal> {
        match (verdict, self) {
            (Verdict::Kernel, _) => Some(Refusal::Kernel),
            (Verdict::Sending | Verdict::Receiving, _) => Some(Refusal::InUse),
            (Verdict::SendBlocked, _) => Some(Refusal::SendBlocked),
            // Among these may be the kernel's own: a look at one moment does not tell them apart.
            (Verdict::NoFd, _) => Some(Refusal::NoDescriptor),
            (Verdict::Orphan, _) => Some(Refusal::EndsByItself),
            (Verdict::ClosedNotReleased, _) => Some(Refusal::Over),
            (Verdict::PeerNotClosing, Self::Shutdown) => Some(Refusal::PeersTurn),
            (Verdict::NotAccepted, Self::Shutdown) => Some(Refusal::NotAccepted),
            (Verdict::PeerNotClosing | Verdict::NotAccepted, Self::Abort) => None,
            (
                Verdict::SharedFd
                | Verdict::DataUnread
                | Verdict::EofUnread
                | Verdict::EofRead
                | Verdict::Drained,
                _,
            ) => None,
        }
    }
}

/// Why a socket is not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The kernel's own.
    Kernel,
    /// Bytes move, or have moved a moment ago.
    InUse,
    /// Data waits to be sent, and would be lost.
    SendBlocked,
    /// The connection is in a state that is not half-closed.
    Live(TcpState),
    /// No process has a descriptor of it.
    NoDescriptor,
    /// An orphan: the kernel's timer ends it.
    EndsByItself,
    /// TCP has ended: only the program can give the descriptor back.
    Over,
    /// FIN_WAIT2: our side has sent its FIN already, and the peer has not.
    PeersTurn,
    /// It waits in an accept queue, where it has no descriptor yet.
    NotAccepted,
    /// Who holds it cannot be seen.
    Unseen,
    /// Its cookie or its namespace is not known: it could be taken for another one.
    Unidentified,
    /// SIGPIPE would kill the process with this pid when it next writes.
    Sigpipe(u32),
    /// Whether it would cannot be read.
    SigpipeUnknown(u32),
}

impl Refusal {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::InUse => "in_use",
            Self::SendBlocked => "send_blocked",
            Self::Live(_) => "live",
            Self::NoDescriptor => "no_fd",
            Self::EndsByItself => "ends_by_itself",
            Self::Over => "over",
            Self::PeersTurn => "fin_sent",
            Self::NotAccepted => "not_accepted",
            Self::Unseen => "holders_unseen",
            Self::Unidentified => "unidentified",
            Self::Sigpipe(_) => "sigpipe",
            Self::SigpipeUnknown(_) => "sigpipe_unknown",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Kernel => "the kernel itself owns it",
            Self::InUse => "bytes have moved lately: a half-close in use",
            Self::SendBlocked => "data waits to be sent",
            Self::Live(state) => return write!(f, "it is in {state}"),
            Self::NoDescriptor => "no process holds it, and it may be the kernel's own",
            Self::EndsByItself => "the kernel's timer ends it",
            Self::Over => "its TCP has ended; only the program can close the descriptor",
            Self::PeersTurn => "its FIN is sent, the peer's is missing; --abort would reset it",
            Self::NotAccepted => "not accepted, so there is no descriptor; --abort would reset it",
            Self::Unseen => "its holders cannot be seen",
            Self::Unidentified => "what it is known by is not known",
            Self::Sigpipe(pid) => {
                return write!(f, "SIGPIPE may kill {pid} at its next write; see --allow-sigpipe");
            }
            Self::SigpipeUnknown(pid) => {
                return write!(f, "what SIGPIPE does to {pid} cannot be read; see --allow-sigpipe");
            }
        };
        f.write_str(words)
    }
}

/// What became of a socket that was selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It would be ended if this were no dry run.
    Would,
    /// It was ended; the state that it was in right after, if a copy of its descriptor showed it.
    Ended(Option<TcpState>),
    /// It is left alone for this reason.
    Refused(Refusal),
    /// It is no longer what it was.
    Gone(Gone),
    /// Its turn did not come.
    Left(Left),
    /// What was tried failed in a way that should not be.
    Failed(Arc<str>),
}

impl Outcome {
    /// The name in JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Would => "would",
            Self::Ended(_) => "ended",
            Self::Refused(_) => "refused",
            Self::Gone(_) => "gone",
            Self::Left(_) => "left",
            Self::Failed(_) => "failed",
        }
    }

    /// Whether something was done to the socket, or tried.
    pub const fn is_deed(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Failed(_))
    }
}

/// How a socket went before its turn came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Its holders have closed it, or ended.
    Closed,
    /// Their descriptors are of something else now.
    Reused,
    /// It is in this state meanwhile.
    Over(TcpState),
}

impl Gone {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Reused => "reused",
            Self::Over(_) => "over",
        }
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed meanwhile"),
            Self::Reused => f.write_str("closed meanwhile; the descriptor is of something else"),
            Self::Over(state) => write!(f, "in {state} meanwhile"),
        }
    }
}

/// Why a socket's turn did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// As many as were asked for are ended.
    Limit,
    /// Something went wrong with one before it.
    Stopped,
    /// Somebody ended the run.
    Interrupted,
}

impl Left {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Stopped => "stopped",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Limit => "beyond --limit",
            Self::Stopped => "the run had stopped",
            Self::Interrupted => "interrupted",
        })
    }
}

/// How many sockets went which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "one for each outcome")]
pub struct Account {
    pub would: usize,
    pub ended: usize,
    pub refused: usize,
    pub gone: usize,
    pub left: usize,
    pub failed: usize,
}

impl Account {
    /// Counts `outcomes`.
    pub fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Self {
        let mut account = Self::default();
        for outcome in outcomes {
            *match outcome {
                Outcome::Would => &mut account.would,
                Outcome::Ended(_) => &mut account.ended,
                Outcome::Refused(_) => &mut account.refused,
                Outcome::Gone(_) => &mut account.gone,
                Outcome::Left(_) => &mut account.left,
                Outcome::Failed(_) => &mut account.failed,
            } += 1;
        }
        account
    }

    /// All of them.
    pub const fn selected(&self) -> usize {
        self.would + self.ended + self.refused + self.gone + self.left + self.failed
    }
}

/// Who asked. Names and arguments are what the environment says: hostile, and not escaped here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The process that asks.
    pub pid: u32,
    /// Its real user id.
    pub uid: u32,
    /// The user who logged in, by the audit system's account, whoever he became since.
    pub login_uid: Option<u32>,
    /// The user who called sudo, by its word.
    pub sudo_user: Option<String>,
    /// The command line.
    pub command: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::verdict::VERDICTS;

    #[test]
    fn what_is_in_use_or_not_ours_is_refused_by_any_means() {
        for means in [Means::Shutdown, Means::Abort] {
            for verdict in [
                Verdict::Kernel,
                Verdict::Sending,
                Verdict::Receiving,
                Verdict::SendBlocked,
                Verdict::NoFd,
                Verdict::Orphan,
                Verdict::ClosedNotReleased,
            ] {
                assert!(means.refuses(verdict).is_some(), "{means:?} {verdict:?}");
            }
        }
    }

    #[test]
    fn a_shutdown_is_for_close_wait_with_a_descriptor() {
        let taken = |means: Means| -> Vec<_> {
            VERDICTS
                .into_iter()
                .filter(|&v| means.refuses(v).is_none())
                .map(Verdict::name)
                .collect()
        };
        let held = ["shared_fd", "data_unread", "eof_unread", "eof_read", "drained"];
        assert_eq!(taken(Means::Shutdown), held);
        let more = [&["not_accepted"], &held[..], &["peer_not_closing"]].concat();
        assert_eq!(taken(Means::Abort), more);
    }

    #[test]
    fn every_outcome_is_counted_once() {
        let outcomes = [
            Outcome::Would,
            Outcome::Ended(None),
            Outcome::Refused(Refusal::Over),
            Outcome::Gone(Gone::Closed),
            Outcome::Left(Left::Limit),
            Outcome::Failed("no".into()),
        ];
        let account = Account::of(outcomes.iter());
        assert_eq!((account.selected(), account.failed), (6, 1));
    }
}
