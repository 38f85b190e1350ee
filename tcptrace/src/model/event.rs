//! What happens to sockets, decoded.

use serde::{Deserialize, Serialize};
use tcptrace_common::flag;

use super::code::PathId;
use super::socket::{Endpoints, Identity, NetNs, SocketKey, TcpState};
use super::time::Instant;

/// One TCP state change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When it happened, by the kernel's clock.
    pub at: Instant,
    /// Which socket.
    pub key: SocketKey,
    /// The address of the `struct sock`, for people who read kernel traces beside this one, where the
    /// record tells.
    pub skaddr: Option<u64>,
    /// The network namespace it lives in, if the probe tells.
    pub netns: Option<NetNs>,
    /// Its addresses as they were then; ports may be 0 before a connection is established.
    pub endpoints: Endpoints,
    /// The state left.
    pub old: TcpState,
    /// The state entered.
    pub new: TcpState,
    /// `sk_shutdown`, `sk_err` and whose the socket was, where a half-closed state is entered or
    /// left and the probe tells.
    pub circumstances: Option<Circumstances>,
    /// How far both directions had come, likewise.
    pub progress: Option<Progress>,
    /// The code that connects, or that closes or shuts down, where that is entered and the probe tells.
    pub path: Option<PathId>,
    /// Whoever ran on the CPU: the program itself at connect, mostly at close; noise in softirq.
    pub on_cpu: OnCpu,
}

/// What the kernel's fields say at the moment of a transition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// `sk_shutdown`: 1 receive, 2 send, 3 both.
    pub shutdown: u8,
    /// `sk_err`: 0 or a positive errno.
    pub err: u16,
    /// `sk_socket` is set: accepted, or made by a program or the kernel.
    pub has_socket: bool,
    /// There is a file for it.
    pub has_file: bool,
    /// The kernel has taken it over from a program (`SOCK_DEAD`).
    pub dead: bool,
    /// The peer's FIN has been taken in (`SOCK_DONE`).
    pub done: bool,
    /// The task on the CPU is exiting, if that could be seen; counts only where that task acts on the
    /// socket.
    pub exiting: Option<bool>,
}

impl Circumstances {
    /// What a record says whose flags are `flags`; `None` where it does not tell.
    pub const fn of(shutdown: u8, err: u16, flags: u8) -> Option<Self> {
        if flags & flag::DETAILS == 0 {
            return None;
        }
        Some(Self {
            shutdown,
            err,
            has_socket: flags & flag::HAS_SOCKET != 0,
            has_file: flags & flag::HAS_FILE != 0,
            dead: flags & flag::DEAD != 0,
            done: flags & flag::DONE != 0,
            exiting: exiting(flags),
        })
    }

    /// The flags of a record that says this.
    pub fn flags(&self) -> u8 {
        let of = |on: bool, flag: u8| if on { flag } else { 0 };
        flag::DETAILS
            | of(self.has_socket, flag::HAS_SOCKET)
            | of(self.has_file, flag::HAS_FILE)
            | of(self.dead, flag::DEAD)
            | of(self.done, flag::DONE)
            | of(self.exiting.is_some(), flag::TASK)
            | of(self.exiting == Some(true), flag::EXITING)
    }
}

/// Whether the task on the CPU was exiting, as a record's `flags` say it.
pub const fn exiting(flags: u8) -> Option<bool> {
    if flags & flag::TASK == 0 { None } else { Some(flags & flag::EXITING != 0) }
}

/// Sequence numbers that tell whether bytes moved between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The next sequence number to be sent.
    pub snd_nxt: u32,
    /// The oldest one not acknowledged.
    pub snd_una: u32,
    /// The next one expected from the peer.
    pub rcv_nxt: u32,
}

/// The task on the CPU when something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnCpu {
    /// Thread group id in the initial pid namespace; 0 for the idle task.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Any bytes up to the first NUL.
    pub comm: [u8; 16],
}

impl OnCpu {
    /// The name without what follows its end.
    pub fn comm(&self) -> &[u8] {
        let end = self.comm.iter().position(|&byte| byte == 0).unwrap_or(self.comm.len());
        &self.comm[..end]
    }
}

/// What a program did with a socket whose peer is done, or whose TCP is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deed {
    /// When, by the kernel's clock.
    pub at: Instant,
    /// The socket's cookie, if the probe tells.
    pub cookie: Option<u64>,
    /// The address of its `struct sock`.
    pub skaddr: u64,
    /// What it was.
    pub kind: DeedKind,
    /// The process was exiting, if that could be seen.
    pub exiting: Option<bool>,
    /// The thread that did it.
    pub by: OnCpu,
    /// When its process began, in clock ticks since boot, if the probe tells.
    pub start_ticks: Option<u64>,
    /// The code that did it, for all but releases, if the probe tells.
    pub path: Option<PathId>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeedKind {
    /// A receive returned the end of file.
    EofRead,
    /// One with `MSG_PEEK` did, which leaves it there.
    EofPeeked,
    /// The kernel let go of a socket whose TCP was over.
    Released,
    /// A program accepted a connection.
    Accepted,
}

impl Deed {
    /// The socket's key where sockets are known by `identity`.
    pub fn key(&self, identity: Identity) -> SocketKey {
        match identity {
            Identity::Cookie => SocketKey::new(self.cookie.unwrap_or(0), self.skaddr),
            Identity::Address => SocketKey::new(0, self.skaddr),
        }
    }
}

/// Events that did not arrive, by the place where they were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// No room in the ring buffer.
    pub ring: u64,
    /// The program was skipped because it interrupted itself (`recursion_misses`). `None`: this
    /// kernel does not count that.
    pub recursion: Option<u64>,
    /// Deeds for which their own ring had no room. They make a verdict weaker, never wrong.
    pub deeds: u64,
}

impl Lost {
    /// All transitions that are known to be lost.
    pub fn known(self) -> u64 {
        self.ring.saturating_add(self.recursion.unwrap_or(0))
    }
}
