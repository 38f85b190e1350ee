//! Sockets: the states of RFC 9293 as Linux numbers them, and who a socket is.

use core::fmt;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A TCP state, numbered as in the kernel's `include/net/tcp_states.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names of RFC 9293, and the kernel's for its own two")]
pub enum TcpState {
    Established = 1,
    SynSent = 2,
    SynRecv = 3,
    FinWait1 = 4,
    FinWait2 = 5,
    TimeWait = 6,
    Close = 7,
    CloseWait = 8,
    LastAck = 9,
    Listen = 10,
    Closing = 11,
    NewSynRecv = 12,
}

/// All states, in the kernel's order.
pub const TCP_STATES: [TcpState; 12] = [
    TcpState::Established,
    TcpState::SynSent,
    TcpState::SynRecv,
    TcpState::FinWait1,
    TcpState::FinWait2,
    TcpState::TimeWait,
    TcpState::Close,
    TcpState::CloseWait,
    TcpState::LastAck,
    TcpState::Listen,
    TcpState::Closing,
    TcpState::NewSynRecv,
];

/// The kernel sent a state that this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown TCP state {0}")]
pub struct UnknownState(pub u8);

impl TryFrom<u8> for TcpState {
    type Error = UnknownState;

    fn try_from(number: u8) -> Result<Self, UnknownState> {
        TCP_STATES.get(usize::from(number).wrapping_sub(1)).copied().ok_or(UnknownState(number))
    }
}

impl TcpState {
    /// The kernel's name without its prefix: `CLOSE_WAIT`, `FIN_WAIT2`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
            Self::NewSynRecv => "NEW_SYN_RECV",
        }
    }

    /// This state's bit in the masks of sock_diag and of the holder pass.
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A state that a socket is not meant to stay in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StayState {
    /// The peer has closed, we have not.
    CloseWait,
    /// We have closed or shut down, the peer has not.
    FinWait2,
    /// TCP is over, a program still has the descriptor.
    Closed,
}

impl StayState {
    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [Self::CloseWait, Self::FinWait2, Self::Closed];
    /// How many there are.
    pub const COUNT: usize = 3;

    /// The half-closed state that `state` is, if it is one. CLOSE is not: most sockets in it have
    /// never been connected, or are gone.
    pub const fn half_closed(state: TcpState) -> Option<Self> {
        match state {
            TcpState::CloseWait => Some(Self::CloseWait),
            TcpState::FinWait2 => Some(Self::FinWait2),
            _ => None,
        }
    }

    /// The state itself.
    pub const fn state(self) -> TcpState {
        match self {
            Self::CloseWait => TcpState::CloseWait,
            Self::FinWait2 => TcpState::FinWait2,
            Self::Closed => TcpState::Close,
        }
    }

    /// Position in arrays with one entry a state.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for StayState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state().fmt(f)
    }
}

/// What the tracker knows a socket by: its cookie, which is never reused; on kernels whose tracing
/// programs cannot read cookies (before 5.12) the address of its `struct sock`, which is reused as
/// soon as the socket is closed. The two never collide: kernel addresses have their top bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SocketKey(u64);

impl SocketKey {
    /// The key of a socket with this cookie (0: none) at this address.
    pub const fn new(cookie: u64, skaddr: u64) -> Self {
        Self(if cookie == 0 { skaddr } else { cookie })
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The cookie, if that is what the socket is known by.
    pub const fn cookie(self) -> Option<u64> {
        if self.0 >> 63 == 0 { Some(self.0) } else { None }
    }
}

/// What the probe knows sockets by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// By cookies.
    Cookie,
    /// By the addresses of their `struct sock`, which other sources do not all tell: those know a
    /// socket by both its ends.
    Address,
}

/// Inode number of a network namespace, as in `/proc/PID/ns/net`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NetNs(pub u32);

/// Both ends of a connection, in the family the socket has: an IPv4 connection of an IPv6 socket
/// has IPv4-mapped addresses, as `ss` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoints {
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
}

impl Endpoints {
    /// The same connection with IPv4-mapped addresses made IPv4: the ends of one connection match
    /// whatever family each socket has.
    pub fn canonical(self) -> Self {
        Self { local: canonical(self.local), remote: canonical(self.remote) }
    }

    /// The other end's view.
    pub fn reversed(self) -> Self {
        Self { local: self.remote, remote: self.local }
    }
}

/// `address` with an IPv4-mapped IPv6 address made IPv4.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
