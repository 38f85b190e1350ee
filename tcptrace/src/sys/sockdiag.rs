//! sock_diag: what the kernel knows of the sockets of one network namespace, also of those that no
//! process has.
//!
//! The library frames requests and replies. The reply itself is parsed here: we need `expires` of
//! minisockets and a `tcp_info` of any length, which the library does not give.

use core::time::Duration;
use std::io;
use std::net::SocketAddr;

use bytes::Buf;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkHeader,
    NetlinkMessage, NlasIterator,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::IPPROTO_TCP;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use crate::model::decode::{AF_INET, AF_INET6, ip};
use crate::model::evidence::Timer;
use crate::model::socket::{Endpoints, SocketKey, TcpState};

/// The kernel fills a dump's messages up to this size.
const BUFFER: usize = 256 << 10;
/// `INET_DIAG_INFO`: a `struct tcp_info`.
const ATTRIBUTE_INFO: u16 = 2;

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
    /// `tcpi_last_data_sent`, retransmissions included.
    pub last_send: Duration,
    /// `tcpi_last_data_recv`.
    pub last_recv: Duration,
    /// `tcpi_last_ack_recv`: any acknowledgement, those of keepalives included.
    pub last_ack: Duration,
}

/// Dumps the TCP sockets of this thread's namespace in the states of the mask `states` (a bit
/// each, as [`TcpState::bit`]).
///
/// # Errors
/// If the kernel refuses or its answer is cut off.
pub fn dump(states: u32) -> io::Result<Vec<DiagSocket>> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    let mut found = Vec::new();
    let mut buffer = Vec::with_capacity(BUFFER);
    for family in [AF_INET, AF_INET6] {
        socket.send(&request(family, states), 0)?;
        loop {
            buffer.clear();
            socket.recv(&mut buffer, 0)?;
            if read_messages(&buffer, &mut found)? {
                break;
            }
        }
    }
    Ok(found)
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

fn request(family: u8, states: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let any = if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() };
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::INFO,
        states: StateFlags::from_bits_retain(states),
        socket_id: any,
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Reads one datagram of a dump; true when it is the last.
///
/// # Errors
/// The kernel's own, or if the datagram is cut off.
pub fn read_messages(mut datagram: &[u8], found: &mut Vec<DiagSocket>) -> io::Result<bool> {
    while !datagram.is_empty() {
        let message = NetlinkBuffer::new_checked(datagram).map_err(io::Error::other)?;
        match message.message_type() {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let mut payload = message.payload();
                let code = payload.try_get_i32_ne().map_err(io::Error::other)?;
                return Err(match io::Error::from_raw_os_error(code.wrapping_neg()) {
                    error if error.kind() == io::ErrorKind::NotFound => io::Error::new(
                        io::ErrorKind::Unsupported,
                        "sock_diag knows no TCP: try `modprobe tcp_diag`",
                    ),
                    error => error,
                });
            }
            _ => found.extend(parse(message.payload())),
        }
        let length = (message.length() as usize).next_multiple_of(4).min(datagram.len());
        datagram = &datagram[length..];
    }
    Ok(false)
}

/// Reads a `struct inet_diag_msg` (`include/uapi/linux/inet_diag.h`) and its attributes. `None` of
/// what is cut off or not understood: the rest of the dump is good all the same.
fn parse(mut message: &[u8]) -> Option<DiagSocket> {
    const LENGTH: usize = 72;
    let attributes = message.get(LENGTH..)?;
    let buf = &mut message;
    let family = buf.get_u8();
    let state = TcpState::try_from(buf.get_u8()).ok()?;
    let timer = buf.get_u8();
    buf.advance(1);
    let (local_port, remote_port) = (buf.get_u16(), buf.get_u16());
    let (mut local, mut remote) = ([0; 16], [0; 16]);
    buf.copy_to_slice(&mut local);
    buf.copy_to_slice(&mut remote);
    buf.advance(4);
    let cookie = u64::from(buf.get_u32_ne()) | u64::from(buf.get_u32_ne()) << 32;
    let expires = Duration::from_millis(u64::from(buf.get_u32_ne()));
    let (recv_queue, send_queue) = (buf.get_u32_ne(), buf.get_u32_ne());
    buf.advance(4);
    let inode = u64::from(buf.get_u32_ne());
    let info = NlasIterator::new(attributes)
        .filter_map(Result::ok)
        .find(|attribute| attribute.kind() == ATTRIBUTE_INFO);
    // Timer 2 is the socket's own: keepalive, or the time-out of an orphan in FIN_WAIT2.
    let orphan = state == TcpState::FinWait2 && inode == 0;
    Some(DiagSocket {
        key: SocketKey::new(cookie, 0),
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
        ages: info.and_then(|info| ages(info.value())),
    })
}

/// Reads the ages in a `struct tcp_info`, which has grown over time and may be cut short: eight
/// bytes, then words of which the tenth to thirteenth are ages in milliseconds.
pub(super) fn ages(mut info: &[u8]) -> Option<Ages> {
    const BEFORE: usize = 8 + 9 * 4;
    if info.len() < BEFORE + 4 * 4 {
        return None;
    }
    info.advance(BEFORE);
    let mut age = || Duration::from_millis(u64::from(info.get_u32_ne()));
    let last_send = age();
    // The kernel has never filled in tcpi_last_ack_sent.
    age();
    let (last_recv, last_ack) = (age(), age());
    Some(Ages { last_send, last_recv, last_ack })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shows_a_socket_of_our_own_as_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let found = dump(TcpState::Established.bit()).unwrap();
        let cookie = rustix::net::sockopt::socket_cookie(&client).unwrap();
        let ours: Vec<_> = found.iter().filter(|s| s.key.cookie() == Some(cookie)).collect();
        assert_eq!(ours.len(), 1);
        assert_eq!(ours[0].endpoints.local, client.local_addr().unwrap());
        assert_eq!(ours[0].endpoints.remote, client.peer_addr().unwrap());
        assert_eq!(ours[0].inode, rustix::fs::fstat(&client).unwrap().st_ino);
        assert!(ours[0].ages.unwrap().last_ack < Duration::from_secs(60));
    }

    #[test]
    fn an_error_may_have_any_number() {
        for code in [i32::MIN, -2, 0, i32::MAX] {
            let mut reply = Vec::new();
            for word in [20, u32::from(NLMSG_ERROR), 0, 0, code.cast_unsigned()] {
                reply.extend(word.to_ne_bytes());
            }
            assert!(read_messages(&reply, &mut Vec::new()).is_err(), "{code}");
        }
    }

    proptest! {
        #[test]
        fn damaged_replies_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            let _ = read_messages(&bytes, &mut Vec::new());
            let _ = ages(&bytes);
        }

        #[test]
        fn a_reply_of_any_length_is_a_socket_or_nothing(
            mut bytes in proptest::collection::vec(any::<u8>(), 72..300), state in 0u8..14
        ) {
            bytes[0] = AF_INET;
            bytes[1] = state;
            prop_assert_eq!(parse(&bytes).is_some(), (1..=12).contains(&state));
        }
    }
}
