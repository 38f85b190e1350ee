//! Bytes from the kernel become typed values here, or an error. Nothing is trusted: neither
//! length, nor state, nor family.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use bytes::Buf;
use tcptrace_common::{
    DeedRecord, HolderRecord, ShortTransitionRecord, TransitionRecord, deed as kind,
};

use super::code::PathId;
use super::event::{Circumstances, Deed, DeedKind, OnCpu, Progress, Transition, exiting};
use super::process::ticks;
use super::socket::{Endpoints, NetNs, SocketKey, TcpState, UnknownState};
use super::time::Instant;

/// `AF_INET` of Linux.
pub const AF_INET: u8 = 2;
/// `AF_INET6` of Linux.
pub const AF_INET6: u8 = 10;

/// Why a record could not be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not as long as the record it should be.
    #[error("record of {got} bytes where {want} were expected")]
    Length {
        /// Bytes received.
        got: usize,
        /// Bytes that such a record has.
        want: usize,
    },
    /// A state this version does not know.
    #[error(transparent)]
    State(#[from] UnknownState),
    /// Neither IPv4 nor IPv6.
    #[error("unknown address family {0}")]
    Family(u8),
    /// Not a deed that this version knows.
    #[error("unknown kind of deed {0}")]
    Deed(u8),
}

/// A TCP socket's file descriptor, as the holder pass found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldFd {
    /// Which socket.
    pub key: SocketKey,
    /// The address of its `struct sock`.
    pub skaddr: u64,
    /// Inode of its file.
    pub inode: u64,
    /// When the process began, nanoseconds of `CLOCK_BOOTTIME`.
    pub start_boottime_ns: u64,
    /// The process, in the initial pid namespace.
    pub pid: u32,
    /// The descriptor.
    pub fd: u32,
    /// The socket's network namespace.
    pub netns: NetNs,
    /// How far both directions have come.
    pub progress: Progress,
    /// Bytes received and not read; an unread FIN counts one.
    pub recv_queue: u32,
    /// Bytes written and not acknowledged.
    pub send_queue: u32,
    /// Its addresses.
    pub endpoints: Endpoints,
    /// Its state.
    pub state: TcpState,
    /// `sk_shutdown`.
    pub shutdown: u8,
}

/// A [`HolderRecord`] as it came: there may be a hundred thousand, and [`HeldFd`] is half as large again.
#[derive(Clone, Copy, Debug)]
pub struct RawHeldFd([u8; size_of::<HolderRecord>()]);

impl RawHeldFd {
    /// Takes the bytes, if they can be decoded, with what they say.
    ///
    /// # Errors
    /// As for [`held_fd`].
    pub fn new(bytes: &[u8; size_of::<HolderRecord>()]) -> Result<(Self, HeldFd), DecodeError> {
        held_fd(bytes).map(|held| (Self(*bytes), held))
    }

    /// Decodes them.
    pub fn get(&self) -> HeldFd {
        held_fd(&self.0).expect("these bytes were decoded before")
    }
}

/// Decodes one [`TransitionRecord`] or [`ShortTransitionRecord`].
///
/// # Errors
/// If the length is neither record's, or the family or a state is unknown.
pub fn transition(bytes: &[u8]) -> Result<Transition, DecodeError> {
    // Where the length is known as this is compiled, nothing is checked field by field as it runs.
    match bytes.try_into() {
        Ok(short) => short_transition(short),
        Err(_) => long_transition(exactly(bytes)?),
    }
}

fn short_transition(
    bytes: &[u8; size_of::<ShortTransitionRecord>()],
) -> Result<Transition, DecodeError> {
    let buf = &mut bytes.as_slice();
    let at = Instant::from_nanos(buf.get_u64_ne());
    let key = SocketKey::new(buf.get_u64_ne(), 0);
    let (netns, progress) = place(buf);
    let (local, remote) = (Ipv4Addr::from(array(buf)), Ipv4Addr::from(array(buf)));
    let endpoints = Endpoints {
        local: SocketAddrV4::new(local, buf.get_u16_ne()).into(),
        remote: SocketAddrV4::new(remote, buf.get_u16_ne()).into(),
    };
    let err = buf.get_u16_ne();
    let Change { old, new, circumstances } = change(buf, err)?;
    buf.advance(2);
    Ok(Transition {
        at,
        key,
        skaddr: None,
        netns,
        endpoints,
        old,
        new,
        circumstances,
        progress: circumstances.map(|_| progress),
        path: PathId::new(buf.get_u32_ne()),
        on_cpu: OnCpu { pid: 0, tid: 0, comm: [0; 16] },
    })
}

fn long_transition(bytes: &[u8; size_of::<TransitionRecord>()]) -> Result<Transition, DecodeError> {
    let buf = &mut bytes.as_slice();
    let at = Instant::from_nanos(buf.get_u64_ne());
    let (cookie, skaddr) = (buf.get_u64_ne(), buf.get_u64_ne());
    let (netns, progress) = place(buf);
    let (pid, tid) = (buf.get_u32_ne(), buf.get_u32_ne());
    let addresses = RawAddresses::read(buf);
    let (err, family) = (buf.get_u16_ne(), buf.get_u8());
    let Change { old, new, circumstances } = change(buf, err)?;
    buf.advance(1);
    Ok(Transition {
        at,
        key: SocketKey::new(cookie, skaddr),
        skaddr: Some(skaddr),
        netns,
        endpoints: addresses.endpoints(family)?,
        old,
        new,
        circumstances,
        progress: circumstances.map(|_| progress),
        on_cpu: OnCpu { pid, tid, comm: array(buf) },
        path: PathId::new(buf.get_u32_ne()),
    })
}

#[inline(always)]
fn place(buf: &mut &[u8]) -> (Option<NetNs>, Progress) {
    let netns = buf.get_u32_ne();
    let progress = Progress {
        snd_nxt: buf.get_u32_ne(),
        snd_una: buf.get_u32_ne(),
        rcv_nxt: buf.get_u32_ne(),
    };
    ((netns != 0).then_some(NetNs(netns)), progress)
}

struct Change {
    old: TcpState,
    new: TcpState,
    circumstances: Option<Circumstances>,
}

#[inline(always)]
fn change(buf: &mut &[u8], err: u16) -> Result<Change, DecodeError> {
    let (old, new) = (TcpState::try_from(buf.get_u8())?, TcpState::try_from(buf.get_u8())?);
    let (shutdown, flags) = (buf.get_u8(), buf.get_u8());
    Ok(Change { old, new, circumstances: Circumstances::of(shutdown, err, flags) })
}

/// Decodes one [`DeedRecord`].
///
/// # Errors
/// If the length is not exactly the record's, or the kind is unknown.
pub fn deed(bytes: &[u8]) -> Result<Deed, DecodeError> {
    let bytes: &[u8; size_of::<DeedRecord>()] = exactly(bytes)?;
    let buf = &mut bytes.as_slice();
    let at = Instant::from_nanos(buf.get_u64_ne());
    let (cookie, skaddr, start_ns) = (buf.get_u64_ne(), buf.get_u64_ne(), buf.get_u64_ne());
    let (pid, tid) = (buf.get_u32_ne(), buf.get_u32_ne());
    let kind = match buf.get_u8() {
        kind::EOF_READ => DeedKind::EofRead,
        kind::EOF_PEEKED => DeedKind::EofPeeked,
        kind::RELEASED => DeedKind::Released,
        kind::ACCEPTED => DeedKind::Accepted,
        other => return Err(DecodeError::Deed(other)),
    };
    let exiting = exiting(buf.get_u8());
    buf.advance(6);
    let comm = array(buf);
    let path = PathId::new(buf.get_u32_ne());
    Ok(Deed {
        at,
        cookie: (cookie != 0).then_some(cookie),
        skaddr,
        kind,
        exiting,
        by: OnCpu { pid, tid, comm },
        start_ticks: (start_ns != 0).then(|| ticks(start_ns)),
        path,
    })
}

/// Decodes one [`HolderRecord`].
///
/// # Errors
/// As for [`transition`].
pub fn held_fd(bytes: &[u8]) -> Result<HeldFd, DecodeError> {
    let bytes: &[u8; size_of::<HolderRecord>()] = exactly(bytes)?;
    let buf = &mut bytes.as_slice();
    let (cookie, skaddr) = (buf.get_u64_ne(), buf.get_u64_ne());
    let (inode, start_boottime_ns) = (buf.get_u64_ne(), buf.get_u64_ne());
    let (pid, fd) = (buf.get_u32_ne(), buf.get_u32_ne());
    let netns = NetNs(buf.get_u32_ne());
    let (snd_nxt, snd_una) = (buf.get_u32_ne(), buf.get_u32_ne());
    let write_seq = buf.get_u32_ne();
    let (rcv_nxt, copied_seq) = (buf.get_u32_ne(), buf.get_u32_ne());
    let addresses = RawAddresses::read(buf);
    let family = buf.get_u8();
    let state = TcpState::try_from(buf.get_u8())?;
    let shutdown = buf.get_u8();
    Ok(HeldFd {
        key: SocketKey::new(cookie, skaddr),
        skaddr,
        inode,
        start_boottime_ns,
        pid,
        fd,
        netns,
        progress: Progress { snd_nxt, snd_una, rcv_nxt },
        recv_queue: distance(rcv_nxt, copied_seq),
        send_queue: distance(write_seq, snd_una),
        endpoints: addresses.endpoints(family)?,
        state,
        shutdown,
    })
}

/// How far sequence number `a` is past `b`; 0 if it is not, as the kernel's `max_t(int, …, 0)`
/// does for Recv-Q: a reader may be ahead for a moment.
fn distance(a: u32, b: u32) -> u32 {
    let ahead = a.wrapping_sub(b);
    if ahead >> 31 == 0 { ahead } else { 0 }
}

fn exactly<const N: usize>(bytes: &[u8]) -> Result<&[u8; N], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::Length { got: bytes.len(), want: N })
}

fn array<const N: usize>(buf: &mut &[u8]) -> [u8; N] {
    let mut array = [0; N];
    buf.copy_to_slice(&mut array);
    array
}

struct RawAddresses {
    local: [u8; 16],
    remote: [u8; 16],
    local_port: u16,
    remote_port: u16,
}

impl RawAddresses {
    fn read(buf: &mut &[u8]) -> Self {
        Self {
            local: array(buf),
            remote: array(buf),
            local_port: buf.get_u16_ne(),
            remote_port: buf.get_u16_ne(),
        }
    }

    fn endpoints(&self, family: u8) -> Result<Endpoints, DecodeError> {
        Ok(Endpoints {
            local: SocketAddr::new(ip(self.local, family)?, self.local_port),
            remote: SocketAddr::new(ip(self.remote, family)?, self.remote_port),
        })
    }
}

/// An address of `family`; IPv4 takes the first four bytes.
///
/// # Errors
/// If the family is neither [`AF_INET`] nor [`AF_INET6`].
pub fn ip(bytes: [u8; 16], family: u8) -> Result<IpAddr, DecodeError> {
    match family {
        AF_INET => Ok(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()),
        AF_INET6 => Ok(Ipv6Addr::from(bytes).into()),
        other => Err(DecodeError::Family(other)),
    }
}

#[cfg(test)]
mod tests;
