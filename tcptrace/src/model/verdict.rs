//! Why a socket is stuck, from what was found out about it. A pure function of its arguments.

mod blame;
mod ending;

use core::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::blame::Blame;
use self::blame::blame;
pub use self::ending::{EndsByItself, ends_by_itself};
use super::code::{CodePath, Did, Stack};
use super::evidence::Evidence;
use super::reads::EofRead;
use super::socket::{StayState, TcpState};
use super::stay::Stay;
use super::time::Instant;

/// Why. The first that matches is the verdict, in this order within each state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Owned by the kernel: no program will ever close it.
    Kernel,
    /// CLOSE_WAIT: the peer left while the connection waited to be accepted.
    NotAccepted,
    /// CLOSE_WAIT: it has a file, and no process holds it.
    NoFd,
    /// CLOSE_WAIT: bytes still go to the peer; a half-close in use.
    Sending,
    /// CLOSE_WAIT: data waits to be sent and nothing moves.
    SendBlocked,
    /// CLOSE_WAIT: a process read the end of file, and another one keeps a copy of the descriptor.
    SharedFd,
    /// CLOSE_WAIT: data was never read.
    DataUnread,
    /// CLOSE_WAIT: all data was read, the end of file never was.
    EofUnread,
    /// CLOSE_WAIT: a read returned the end of file, and nobody closed.
    EofRead,
    /// CLOSE_WAIT: the queue is empty; whether the program saw the end of file is not known.
    Drained,
    /// FIN_WAIT2: closed by the program, timed by the kernel.
    Orphan,
    /// FIN_WAIT2: bytes still come from the peer; a half-close in use.
    Receiving,
    /// FIN_WAIT2: we shut down sending and keep the descriptor; the peer does not close.
    PeerNotClosing,
    /// CLOSE: TCP is over and the descriptor still open.
    ClosedNotReleased,
}

/// All verdicts, for filters and help.
pub const VERDICTS: [Verdict; 14] = [
    Verdict::Kernel,
    Verdict::NotAccepted,
    Verdict::NoFd,
    Verdict::Sending,
    Verdict::SendBlocked,
    Verdict::SharedFd,
    Verdict::DataUnread,
    Verdict::EofUnread,
    Verdict::EofRead,
    Verdict::Drained,
    Verdict::Orphan,
    Verdict::Receiving,
    Verdict::PeerNotClosing,
    Verdict::ClosedNotReleased,
];

impl Verdict {
    /// The name in JSON, in flags and in the documentation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::NotAccepted => "not_accepted",
            Self::NoFd => "no_fd",
            Self::Sending => "sending",
            Self::SendBlocked => "send_blocked",
            Self::SharedFd => "shared_fd",
            Self::DataUnread => "data_unread",
            Self::EofUnread => "eof_unread",
            Self::EofRead => "eof_read",
            Self::Drained => "drained",
            Self::Orphan => "orphan",
            Self::Receiving => "receiving",
            Self::PeerNotClosing => "peer_not_closing",
            Self::ClosedNotReleased => "closed_not_released",
        }
    }

    /// What happened, in a sentence whose subject is the process.
    pub const fn why(self) -> &'static str {
        match self {
            Self::Kernel => "the kernel itself owns the socket",
            Self::NotAccepted => {
                "it never accepted them: the peer left while they waited in the accept queue"
            }
            Self::NoFd => "no process holds them, yet they are still open",
            Self::Sending => "it is still sending: a half-close in use",
            Self::SendBlocked => "it has data to send, and the peer acknowledges none of it",
            Self::SharedFd => "it keeps a copy of descriptors that another process is done with",
            Self::DataUnread => "it left received data unread and never looked again",
            Self::EofUnread => "it read all data and never looked again, so it missed the end",
            Self::EofRead => "it read the end of file and never closed them",
            Self::Drained => "it read everything and never closed them",
            Self::Orphan => "the program has closed it; the kernel waits for the peer's FIN",
            Self::Receiving => "it is still receiving: a half-close in use",
            Self::PeerNotClosing => "it shut down sending and waits; the peer does not close",
            Self::ClosedNotReleased => "their connections are over, and it keeps the descriptors",
        }
    }

    /// What to do about it, in a sentence.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Kernel => "nothing; unload or reconfigure the kernel service that uses it",
            Self::NotAccepted => {
                "let the accept loop catch up: it is blocked, too slow, or out of descriptors"
            }
            Self::NoFd => "look for a socket passed over a unix socket or registered in io_uring",
            Self::Sending | Self::Receiving => "nothing while bytes move",
            Self::SendBlocked => "set a write timeout or TCP_USER_TIMEOUT, and close when it fires",
            Self::DataUnread => {
                "read until the end or close early; do not stop reading and keep the connection"
            }
            Self::EofUnread => {
                "watch idle connections for readability (poll, a pool's eviction), and close on EOF"
            }
            Self::SharedFd => "close the descriptor in every process that inherited it",
            Self::EofRead | Self::Drained | Self::ClosedNotReleased => {
                "close the connection when read returns 0 or an error"
            }
            Self::Orphan => "lower net.ipv4.tcp_fin_timeout if they are too many",
            Self::PeerNotClosing => "close instead of shutdown, or put a timeout on the peer's FIN",
        }
    }
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Confidence {
    /// It was seen to be so.
    High,
    /// An idle half-close that the program means to use again would look the same.
    Low,
}

impl Confidence {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Low => "low",
        }
    }
}

/// A suspect that was found guilty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Why it is stuck.
    pub verdict: Verdict,
    /// How sure that is.
    pub confidence: Confidence,
    /// The code to look at.
    pub code: Option<CodePath>,
    /// Whom to talk to; `None` when nobody is to blame or holders cannot be seen.
    pub blame: Option<Blame>,
}

impl Finding {
    /// Whether `other` would tell a person something else.
    pub fn differs(&self, other: &Self) -> bool {
        let blamed = |finding: &Self| {
            finding.blame.as_ref().map(|blame| (blame.process.pid, blame.process.start_ticks))
        };
        (self.verdict, self.confidence, &self.code, blamed(self))
            != (other.verdict, other.confidence, &other.code, blamed(other))
    }
}

/// What came of a look at a suspect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is stuck: tell somebody.
    Stuck(Finding),
    /// It is in use: look again then.
    InUse(Verdict, Instant),
    /// It is nobody's business.
    Exempt(Verdict),
    /// It is no longer what it was: there is nothing to tell.
    Gone,
    /// It should be there but its namespace could be asked and does not show it.
    Vanished,
}

/// Judges a stay that has reached `threshold`.
///
/// `evidence` must have been gathered after it did, and all transitions of before that look must
/// have been applied.
pub fn judge(stay: &Stay, evidence: &Evidence, threshold: Duration) -> Judgement {
    match evidence.state {
        None if evidence.sources.sock_diag_asked => return Judgement::Vanished,
        Some(state) if state != stay.state.state() => return Judgement::Gone,
        _ => {}
    }
    let finding = find(stay, evidence, threshold);
    match finding.verdict {
        Verdict::Kernel => Judgement::Exempt(Verdict::Kernel),
        verdict @ (Verdict::Sending | Verdict::Receiving) => {
            Judgement::InUse(verdict, last_moved(stay, evidence).after(threshold))
        }
        _ => Judgement::Stuck(finding),
    }
}

/// What can be said of a half-closed socket, stuck or not; `in_use` is how long bytes may have
/// stood still for it to count as in use.
pub fn find(stay: &Stay, evidence: &Evidence, in_use: Duration) -> Finding {
    let verdict = classify(stay, evidence, in_use);
    Finding {
        verdict,
        confidence: confidence(verdict),
        code: code(verdict, stay, evidence),
        blame: blame(verdict, evidence),
    }
}

/// The code to look at: that which did the last thing, unless it does so for everybody; else that which
/// opened the connection.
fn code(verdict: Verdict, stay: &Stay, evidence: &Evidence) -> Option<CodePath> {
    let path = |did, stack: &Stack| CodePath { did, line: stack.path().into() };
    let opener = if stay.accepted { Did::Accept } else { Did::Connect };
    let opened = || evidence.opened.as_deref().map(|stack| path(opener, stack));
    let last = |did| evidence.stack.as_deref().map(|stack| path(did, stack));
    match verdict {
        Verdict::SharedFd | Verdict::EofRead => {
            let for_all = evidence.stack.as_deref().is_some_and(Stack::is_event_loop);
            opened().filter(|_| for_all).or_else(|| last(Did::Read))
        }
        // What the other end's program does wrong is not to be seen in our code.
        Verdict::PeerNotClosing
            if evidence.peer_holders.as_ref().is_some_and(|p| !p.is_empty()) =>
        {
            None
        }
        Verdict::Orphan | Verdict::Receiving | Verdict::PeerNotClosing => last(Did::ShutDown),
        Verdict::Kernel | Verdict::NotAccepted => None,
        Verdict::NoFd
        | Verdict::Sending
        | Verdict::SendBlocked
        | Verdict::DataUnread
        | Verdict::EofUnread
        | Verdict::Drained
        | Verdict::ClosedNotReleased => opened(),
    }
}

fn classify(stay: &Stay, evidence: &Evidence, in_use: Duration) -> Verdict {
    let nobody = evidence.holders.as_ref().is_some_and(Vec::is_empty);
    let made_without_file =
        stay.circumstances.is_some_and(|at_entry| at_entry.has_socket && !at_entry.has_file);
    if nobody && made_without_file && evidence.inode != Some(0) {
        return Verdict::Kernel;
    }
    match stay.state {
        StayState::CloseWait => {
            let unaccepted = match evidence.inode {
                Some(inode) => inode == 0,
                // Its namespace cannot be asked: what the kernel said when the FIN came, unless
                // a process has accepted it since.
                None => nobody && stay.circumstances.is_some_and(|at_entry| !at_entry.has_socket),
            };
            if unaccepted {
                Verdict::NotAccepted
            } else if nobody {
                Verdict::NoFd
            } else if moves(stay, evidence, in_use) {
                Verdict::Sending
            } else if evidence.send_queue.is_some_and(|bytes| bytes > 0) {
                Verdict::SendBlocked
            } else {
                // A FIN takes one sequence number: one byte waiting is the end of file itself.
                match evidence.recv_queue {
                    Some(2..) => Verdict::DataUnread,
                    Some(1) => Verdict::EofUnread,
                    // A read of length 0 returns 0 as well, with data waiting: only a FIN that is
                    // gone was read.
                    Some(0) if gone_reader(evidence).is_some() => Verdict::SharedFd,
                    Some(0) if holding_reader(evidence).is_some() => Verdict::EofRead,
                    Some(0) | None => Verdict::Drained,
                }
            }
        }
        StayState::Closed => Verdict::ClosedNotReleased,
        StayState::FinWait2 => {
            if stay.orphan || evidence.inode == Some(0) {
                Verdict::Orphan
            } else if moves(stay, evidence, in_use) {
                Verdict::Receiving
            } else {
                Verdict::PeerNotClosing
            }
        }
    }
}

/// Who has read the end of file and does not hold the socket, while others do.
fn gone_reader(evidence: &Evidence) -> Option<&EofRead> {
    let holders = evidence.holders.as_deref().filter(|holders| !holders.is_empty())?;
    let holds = |read: &EofRead| holders.iter().any(|holder| read.is_by(&holder.process));
    evidence.eof_reads.iter().find(|read| !read.peeked && !holds(read))
}

/// The holder that has read the end of file first.
fn holding_reader(evidence: &Evidence) -> Option<usize> {
    let holders = evidence.holders.as_deref()?;
    let mut reads = evidence.eof_reads.iter().filter(|read| !read.peeked);
    reads.find_map(|read| holders.iter().position(|holder| read.is_by(&holder.process)))
}

/// Whether bytes moved in the direction that is still open: since we last looked, or, where that
/// was less than `in_use` ago, since then by the kernel's own account. That account counts
/// retransmissions as sending, so sequence numbers decide as soon as there are two looks.
fn moves(stay: &Stay, evidence: &Evidence, in_use: Duration) -> bool {
    if let (Some(before), Some(now)) = (stay.progress, evidence.progress) {
        let moved = match stay.state {
            StayState::CloseWait => (before.snd_nxt, before.snd_una) != (now.snd_nxt, now.snd_una),
            StayState::FinWait2 | StayState::Closed => before.rcv_nxt != now.rcv_nxt,
        };
        if moved || evidence.looked_at.since(stay.progress_at) >= in_use {
            return moved;
        }
    }
    last_byte(stay.state, evidence).is_some_and(|ago| ago < in_use)
}

fn last_byte(state: StayState, evidence: &Evidence) -> Option<Duration> {
    match state {
        StayState::CloseWait => evidence.last_send,
        StayState::FinWait2 | StayState::Closed => evidence.last_recv,
    }
}

/// When the last byte moved, no earlier than it can have: the kernel does not say when it was
/// acknowledged, so an acknowledgement since our last look counts as now.
fn last_moved(stay: &Stay, evidence: &Evidence) -> Instant {
    let acknowledged = stay.state == StayState::CloseWait
        && match (stay.progress, evidence.progress) {
            (Some(before), Some(now)) => before.snd_una != now.snd_una,
            _ => true,
        };
    let byte = last_byte(stay.state, evidence);
    let ago = if acknowledged { byte.min(evidence.last_ack) } else { byte };
    ago.map_or(evidence.looked_at, |ago| evidence.looked_at.before(ago))
}

fn confidence(verdict: Verdict) -> Confidence {
    match verdict {
        Verdict::Kernel
        | Verdict::NotAccepted
        | Verdict::NoFd
        | Verdict::Orphan
        | Verdict::SharedFd
        | Verdict::EofRead
        | Verdict::ClosedNotReleased => Confidence::High,
        Verdict::Sending
        | Verdict::SendBlocked
        | Verdict::DataUnread
        | Verdict::EofUnread
        | Verdict::Drained
        | Verdict::Receiving
        | Verdict::PeerNotClosing => Confidence::Low,
    }
}

/// The states whose sockets a holder pass must show: those of stays, and those of the ends that are
/// looked for on their behalf.
pub const HOLDER_STATES: u32 = TcpState::CloseWait.bit()
    | TcpState::FinWait2.bit()
    | TcpState::Close.bit()
    | TcpState::Listen.bit();

#[cfg(test)]
mod tests;
