//! sock_diag: what the kernel knows of the sockets of one network namespace, also of those that no
//! process has.
//!
//! The library frames replies. The rest is done here: a request for both families at once, `expires` of
//! minisockets and a `tcp_info` of any length are not what it gives.

use core::time::Duration;
use std::io;
use std::net::SocketAddr;

use bytes::Buf;
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use crate::model::decode::ip;
use crate::model::evidence::Timer;
use crate::model::socket::{Endpoints, SocketKey, TcpState};

/// The kernel fills a dump's messages up to this size.
const BUFFER: usize = 256 << 10;
/// `INET_DIAG_INFO`: a `struct tcp_info`.
const ATTRIBUTE_INFO: u16 = 2;
/// The request of before there were others, `struct inet_diag_req`: the only one that is answered for
/// both families. The kernel walks the sockets of all namespaces for each.
const TCPDIAG_GETSOCK: u16 = 18;
const REQUEST: usize = 76;

/// One socket in a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiagSocket {
    /// Its cookie; minisockets have that of the socket they replaced.
    pub key: SocketKey,
    /// Both ends.
    pub endpoints: Endpoints,
    /// Its state.
    pub state: TcpState,
    /// Inode of its file; 0: no program has it.
    pub inode: u64,
    /// Bytes not read; for a listener, connections not accepted.
    pub recv_queue: u32,
    /// Bytes not acknowledged.
    pub send_queue: u32,
    /// The timer that runs on it.
    pub timer: Timer,
    /// Ages from its `tcp_info`, which minisockets have not.
    pub ages: Option<Ages>,
}

impl DiagSocket {
    /// Whether the full socket is gone and only a timed stand-in is left.
    pub const fn is_minisocket(&self) -> bool {
        self.ages.is_none() && matches!(self.timer, Timer::TimeWait(_))
    }
}

/// How long ago things last happened, from `struct tcp_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    last_send_ms: u32,
    last_recv_ms: u32,
    last_ack_ms: u32,
}

impl Ages {
    /// `tcpi_last_data_sent`, retransmissions included.
    pub const fn last_send(&self) -> Duration {
        Duration::from_millis(self.last_send_ms as u64)
    }

    /// `tcpi_last_data_recv`.
    pub const fn last_recv(&self) -> Duration {
        Duration::from_millis(self.last_recv_ms as u64)
    }

    /// `tcpi_last_ack_recv`: any acknowledgement, those of keepalives included.
    pub const fn last_ack(&self) -> Duration {
        Duration::from_millis(self.last_ack_ms as u64)
    }
}

/// Dumps the TCP sockets of this thread's namespace in the states of the mask `states` (a bit
/// each, as [`TcpState::bit`]).
///
/// # Errors
/// If the kernel refuses or its answer is cut off.
pub fn dump(states: u32, mut each: impl FnMut(RawSocket)) -> io::Result<()> {
    const INFO: u8 = 1 << (ATTRIBUTE_INFO - 1);
    ask(states, INFO, |message| RawSocket::parse(message).into_iter().for_each(&mut each))
}

/// Tells which TCP sockets there are, which costs the kernel half of what [`dump`] does.
///
/// # Errors
/// As for [`dump`].
pub fn keys(states: u32, mut each: impl FnMut(SocketKey)) -> io::Result<()> {
    ask(states, 0, |message| key(message).into_iter().for_each(&mut each))
}

fn ask(states: u32, extensions: u8, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.send(&request(states, extensions), 0)?;
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        buffer.clear();
        socket.recv(&mut buffer, 0)?;
        if read_messages(&buffer, &mut each)? {
            return Ok(());
        }
    }
}

/// How long the kernel keeps an orphan in FIN_WAIT2, in this thread's namespace.
pub fn fin_timeout() -> Option<Duration> {
    let seconds = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_fin_timeout").ok()?;
    Some(Duration::from_secs(seconds.trim().parse().ok()?))
}

/// The local ports that the kernel chooses from, in this thread's namespace.
pub fn port_range() -> Option<(u16, u16)> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ends = range.split_whitespace().map(str::parse);
    Some((ends.next()?.ok()?, ends.next()?.ok()?))
}

/// A `struct nlmsghdr` and the `struct inet_diag_req` for any address and port.
fn request(states: u32, extensions: u8) -> [u8; REQUEST] {
    let mut request = [0; REQUEST];
    request[..4].copy_from_slice(&(REQUEST as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&TCPDIAG_GETSOCK.to_ne_bytes());
    request[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    request[19] = extensions;
    request[68..72].copy_from_slice(&states.to_ne_bytes());
    request
}

/// Reads one datagram of a dump, a socket's message at a time; true when it is the last.
///
/// # Errors
/// The kernel's own, or if the datagram is cut off.
pub fn read_messages(mut datagram: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<bool> {
    while !datagram.is_empty() {
        let message = NetlinkBuffer::new_checked(datagram).map_err(io::Error::other)?;
        match message.message_type() {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let mut payload = message.payload();
                let code = payload.try_get_i32_ne().map_err(io::Error::other)?;
                return Err(match io::Error::from_raw_os_error(code.wrapping_neg()) {
                    error
                        if matches!(
                            error.kind(),
                            io::ErrorKind::NotFound | io::ErrorKind::Unsupported
                        ) =>
                    {
                        io::Error::new(
                            io::ErrorKind::Unsupported,
                            "sock_diag knows no TCP: try `modprobe tcp_diag`",
                        )
                    }
                    error => error,
                });
            }
            _ => each(message.payload()),
        }
        let length = (message.length() as usize).next_multiple_of(4).min(datagram.len());
        datagram = &datagram[length..];
    }
    Ok(false)
}

/// Bytes of a `struct inet_diag_msg`, before its attributes.
const MESSAGE: usize = 72;

/// The socket of a `struct inet_diag_msg`, if it is all there.
fn key(message: &[u8]) -> Option<SocketKey> {
    const COOKIE: usize = 44;
    let mut cookie = message.get(..MESSAGE)?.get(COOKIE..)?;
    let (low, high) = (cookie.get_u32_ne(), cookie.get_u32_ne());
    Some(SocketKey::new(u64::from(low) | u64::from(high) << 32, 0))
}

/// A `struct inet_diag_msg` (`include/uapi/linux/inet_diag.h`) as it came, and the ages of its
/// attributes: there may be a hundred thousand, and [`DiagSocket`] is twice as large.
#[derive(Clone, Copy, Debug)]
pub struct RawSocket {
    about: [u8; MESSAGE],
    ages: Option<Ages>,
}

impl RawSocket {
    /// Takes a message if it can be decoded. `None` of what is cut off or not understood: the rest of
    /// the dump is good all the same.
    pub fn parse(message: &[u8]) -> Option<Self> {
        let (&about, attributes) = message.split_first_chunk::<MESSAGE>()?;
        let raw = Self { about, ages: value_of(ATTRIBUTE_INFO, attributes).and_then(ages) };
        raw.decode().map(|_| raw)
    }

    /// Decodes it.
    pub fn get(&self) -> DiagSocket {
        self.decode().expect("this message was decoded before")
    }

    fn decode(&self) -> Option<DiagSocket> {
        let key = key(&self.about)?;
        let buf = &mut &self.about[..];
        let family = buf.get_u8();
        let state = TcpState::try_from(buf.get_u8()).ok()?;
        let timer = buf.get_u8();
        buf.advance(1);
        let (local_port, remote_port) = (buf.get_u16(), buf.get_u16());
        let (mut local, mut remote) = ([0; 16], [0; 16]);
        buf.copy_to_slice(&mut local);
        buf.copy_to_slice(&mut remote);
        buf.advance(4 + 8);
        let expires = Duration::from_millis(u64::from(buf.get_u32_ne()));
        let (recv_queue, send_queue) = (buf.get_u32_ne(), buf.get_u32_ne());
        buf.advance(4);
        let inode = u64::from(buf.get_u32_ne());
        // Timer 2 is the socket's own: keepalive, or the time-out of an orphan in FIN_WAIT2.
        let orphan = state == TcpState::FinWait2 && inode == 0;
        Some(DiagSocket {
            key,
            endpoints: Endpoints {
                local: SocketAddr::new(ip(local, family).ok()?, local_port),
                remote: SocketAddr::new(ip(remote, family).ok()?, remote_port),
            },
            state,
            inode,
            recv_queue,
            send_queue,
            timer: match timer {
                0 => Timer::None,
                2 if orphan => Timer::TimeWait(expires),
                2 => Timer::Keepalive(expires),
                3 => Timer::TimeWait(expires),
                _ => Timer::Retransmit(expires),
            },
            ages: self.ages,
        })
    }
}

/// The value of the first attribute of this `kind` (`struct nlattr`), if all before it are whole.
fn value_of(kind: u16, mut attributes: &[u8]) -> Option<&[u8]> {
    loop {
        let mut head = attributes.get(..4)?;
        let (length, of_kind) = (usize::from(head.get_u16_ne()), head.get_u16_ne());
        let value = attributes.get(4..length)?;
        if of_kind == kind {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

/// Reads the ages in a `struct tcp_info`, which has grown over time and may be cut short: eight
/// bytes, then words of which the tenth to thirteenth are ages in milliseconds.
pub(super) fn ages(mut info: &[u8]) -> Option<Ages> {
    const BEFORE: usize = 8 + 9 * 4;
    if info.len() < BEFORE + 4 * 4 {
        return None;
    }
    info.advance(BEFORE);
    let last_send_ms = info.get_u32_ne();
    // The kernel has never filled in tcpi_last_ack_sent.
    info.advance(4);
    let (last_recv_ms, last_ack_ms) = (info.get_u32_ne(), info.get_u32_ne());
    Some(Ages { last_send_ms, last_recv_ms, last_ack_ms })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use proptest::prelude::*;

    use super::*;
    use crate::model::decode::AF_INET;

    /// One request shows both: an IPv6 socket and an IPv4 one.
    #[test]
    fn both_families_are_shown_at_once() {
        let listeners = ["127.0.0.1:0", "[::]:0"].map(|at| TcpListener::bind(at).unwrap());
        let mut shown = Vec::new();
        dump(TcpState::Listen.bit(), |socket| shown.push(socket.get().endpoints.local)).unwrap();
        for listener in &listeners {
            assert!(shown.contains(&listener.local_addr().unwrap()), "{listener:?}");
        }
    }

    #[test]
    fn shows_a_socket_of_our_own_as_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let cookie = rustix::net::sockopt::socket_cookie(&client).unwrap();
        let mut ours = Vec::new();
        let is_ours = |key: SocketKey| key.cookie() == Some(cookie);
        let all = |socket: RawSocket| ours.extend(Some(socket.get()).filter(|s| is_ours(s.key)));
        dump(TcpState::Established.bit(), all).unwrap();
        assert_eq!(ours.len(), 1);
        let mut keys_of_ours = 0;
        let count = |key| keys_of_ours += u32::from(is_ours(key));
        keys(TcpState::Established.bit(), count).unwrap();
        assert_eq!(keys_of_ours, 1);
        assert_eq!(ours[0].endpoints.local, client.local_addr().unwrap());
        assert_eq!(ours[0].endpoints.remote, client.peer_addr().unwrap());
        assert_eq!(ours[0].inode, rustix::fs::fstat(&client).unwrap().st_ino);
        assert!(ours[0].ages.unwrap().last_ack() < Duration::from_secs(60));
    }

    #[test]
    fn an_error_may_have_any_number() {
        for code in [i32::MIN, -2, 0, i32::MAX] {
            let mut reply = Vec::new();
            for word in [20, u32::from(NLMSG_ERROR), 0, 0, code.cast_unsigned()] {
                reply.extend(word.to_ne_bytes());
            }
            assert!(read_messages(&reply, |_| {}).is_err(), "{code}");
        }
    }

    proptest! {
        #[test]
        fn damaged_replies_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = RawSocket::parse(&bytes);
            let _ = read_messages(&bytes, |message| {
                let _ = (key(message), RawSocket::parse(message));
            });
            let _ = ages(&bytes);
        }

        #[test]
        fn a_reply_of_any_length_is_a_socket_or_nothing(
            mut bytes in proptest::collection::vec(any::<u8>(), 72..300), state in 0u8..14
        ) {
            bytes[0] = AF_INET;
            bytes[1] = state;
            prop_assert_eq!(RawSocket::parse(&bytes).is_some(), (1..=12).contains(&state));
        }
    }
}
