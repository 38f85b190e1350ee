//! What was found out about a suspect: pulled late, once, and for suspects only.

use core::time::Duration;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::code::{Did, Stack};
use super::event::Progress;
use super::process::Holder;
use super::proof::Proof;
use super::reads::{EofRead, first_read};
use super::snapshot::Observed;
use super::socket::{NetNs, TcpState};
use super::stay::Stay;
use super::time::Instant;

/// What one look at one socket showed. Unknown is `None`, never zero.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// When the look began.
    pub looked_at: Instant,
    /// Its cookie and namespace, which not every probe tells.
    pub located: Option<(u64, NetNs)>,
    /// Its state in the kernel. `None`: no source showed it.
    pub state: Option<TcpState>,
    /// Who holds it. `None`: holders cannot be seen; empty: all processes could be seen and none
    /// does.
    pub holders: Option<Vec<Holder>>,
    /// Inode of its file; 0: no program has (or no longer has) a socket for it.
    pub inode: Option<u64>,
    /// Bytes received and not read; an unread FIN counts one.
    pub recv_queue: Option<u32>,
    /// Bytes written and not acknowledged.
    pub send_queue: Option<u32>,
    /// How far both directions have come.
    pub progress: Option<Progress>,
    /// Since data was last sent, retransmissions included.
    pub last_send: Option<Duration>,
    /// Since data was last received.
    pub last_recv: Option<Duration>,
    /// Since anything was last acknowledged; keepalives renew it.
    pub last_ack: Option<Duration>,
    /// The local ports that the kernel chooses from in its namespace.
    pub port_range: Option<(u16, u16)>,
    /// The timer that runs on it.
    pub timer: Timer,
    /// Who has read the end of file, the first first.
    pub eof_reads: Vec<EofRead>,
    /// The code that read the end of file first, or that closed or shut down, where a copy of its stack
    /// was made.
    pub stack: Option<Arc<Stack>>,
    /// What became of the other sockets that the same code has read the end of.
    pub proof: Option<Proof>,
    /// The code that opened the connection, likewise.
    pub opened: Option<Arc<Stack>>,
    /// What became of the other connections that the same code has opened.
    pub opened_proof: Option<Proof>,
    /// What keeps it open where no process holds it.
    pub held_by: Option<HeldBy>,
    /// What the threads of the process that holds it are doing.
    pub threads: Option<ThreadState>,
    /// Holders of the listener whose accept queue it waits in.
    pub listener_holders: Vec<Holder>,
    /// Holders of the other end, when that is on this host. `None`: not looked for.
    pub peer_holders: Option<Vec<Holder>>,
    /// Where all this comes from.
    pub sources: Sources,
}

impl Evidence {
    /// What became of the other sockets of the code that `did` something with this one.
    pub const fn proof_of(&self, did: Did) -> Option<Proof> {
        match did {
            Did::Read => self.proof,
            Did::Connect | Did::Accept => self.opened_proof,
            Did::ShutDown => None,
        }
    }

    /// What stands between the stack and the code that ought to close, or why there is no stack of
    /// a read of the end of file.
    pub fn stack_caveat(&self) -> Option<&'static str> {
        let reads = first_read(&self.eof_reads).is_some();
        if let Some(stack) = &self.stack {
            return match stack.is_event_loop() {
                true if reads && self.opened.is_some() => {
                    Some("an event loop: it reads for all, so look at who opened the connection")
                }
                true if reads => Some("an event loop: this shows who read, not who should close"),
                _ => stack.caveat(),
            };
        }
        match first_read(&self.eof_reads)?.path {
            Some(_) => {
                Some("the stack was not copied in time: too many at once, or its process ended")
            }
            None => Some("stacks are off, or not to be had: x86-64 from Linux 5.15 on has them"),
        }
    }

    /// All there is to know of a minisocket: that it is there, and for how much longer.
    pub fn of_minisocket(looked_at: Instant, stay: &Stay, shown: &[Observed]) -> Self {
        let socket = shown.iter().find(|socket| socket.key == stay.key);
        let left = socket.and_then(|socket| socket.minisocket);
        Self {
            looked_at,
            state: Some(TcpState::FinWait2),
            holders: Some(Vec::new()),
            inode: Some(0),
            timer: left.map_or(Timer::Unknown, Timer::TimeWait),
            sources: Sources { sock_diag: true, sock_diag_asked: true, ..Sources::default() },
            ..Self::default()
        }
    }
}

/// A stay to find out about.
#[derive(Clone, Debug)]
pub struct Suspect {
    /// The stay.
    pub stay: Stay,
    /// Who has read the end of file so far.
    pub eof_reads: Vec<EofRead>,
}

impl From<Stay> for Suspect {
    fn from(stay: Stay) -> Self {
        Self { stay, eof_reads: Vec::new() }
    }
}

/// What keeps a socket open that no process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeldBy {
    /// A descriptor that was sent over a unix socket and not received.
    UnixSocket,
    /// A file registered with io_uring.
    IoUring,
    /// A system call that was under way when the descriptor was closed.
    BlockedCall,
    /// None of these was found.
    Unknown,
}

impl HeldBy {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnixSocket => "unix_socket",
            Self::IoUring => "io_uring",
            Self::BlockedCall => "blocked_call",
            Self::Unknown => "unknown",
        }
    }
}

/// What a process's threads are doing, as `/proc` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThreadState {
    /// All are stopped, by a signal or a debugger.
    Stopped,
    /// At least one is running or wants to.
    Running,
    /// All sleep, waiting for descriptors to become ready (poll, epoll, select).
    InPoll,
    /// All sleep, and none of them in a call that waits for descriptors.
    Asleep,
}

impl ThreadState {
    /// The words in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Running => "running",
            Self::InPoll => "blocked in poll",
            Self::Asleep => "asleep, not in poll",
        }
    }
}

/// The kernel's timer on a socket, as sock_diag tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Timer {
    /// sock_diag was not asked or did not know the socket.
    #[default]
    Unknown,
    /// No timer: nothing will happen by itself.
    None,
    /// Keepalive; the time to the next probe.
    Keepalive(Duration),
    /// Retransmission or zero-window probe.
    Retransmit(Duration),
    /// The kernel ends it after this time (`tcp_fin_timeout`).
    TimeWait(Duration),
}

/// The sources that showed a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// `iter/task_file`.
    pub iterator: bool,
    /// `/proc/PID/fd`.
    pub proc: bool,
    /// sock_diag in the socket's network namespace.
    pub sock_diag: bool,
    /// Reads of the end of file are seen as they happen, since before the stay began.
    pub eof: bool,
    /// sock_diag could be asked in its namespace, whether or not it showed the socket.
    pub sock_diag_asked: bool,
}
