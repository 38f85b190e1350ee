//! SOCK_DESTROY: the kernel resets the connection with this cookie and these ends.
//!
//! It is asked in the socket's network namespace, on a thread that ends with the question.

use std::io;
use std::thread;

use bytes::Buf as _;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR, NetlinkBuffer, NetlinkHeader, NetlinkMessage,
};
use netlink_packet_sock_diag::constants::IPPROTO_TCP;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_packet_sock_diag::{SockDiagDestroy, SockDiagMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::Failure;
use crate::model::decode::{AF_INET, AF_INET6};
use crate::model::release::check::{Expected, Look};
use crate::model::release::{Gone, Outcome, Refusal};
use crate::model::socket::{NetNs, SocketKey};
use crate::sys::netns::Visitor;
use crate::sys::sockdiag;

/// Resets a connection that showed `look` through its descriptor; false: it has gone meanwhile.
pub fn held(expected: &Expected, look: &Look) -> Result<bool, Failure> {
    let (expected, device) = (*expected, look.device);
    let done = there(expected.netns, move || destroy(&expected, device));
    done.map(|done| done == Some(true)).map_err(|error| failure(error, expected.netns))
}

/// Resets a connection that waits in an accept queue, unless it does so no longer.
pub fn unaccepted(expected: &Expected, rehearsal: bool) -> Result<Outcome, Failure> {
    let expected = *expected;
    let done = there(expected.netns, move || {
        let key = SocketKey::new(expected.cookie, 0);
        let mut shown = None;
        sockdiag::dump(expected.state.state().bit(), |socket| {
            shown = Some(socket.get()).filter(|socket| socket.key == key).or(shown);
        })?;
        Ok(match shown {
            None => Outcome::Gone(Gone::Closed),
            // Somebody has it now, and may use it.
            Some(socket) if socket.inode != 0 => Outcome::Refused(Refusal::InUse),
            Some(_) if rehearsal => Outcome::Would,
            Some(_) if destroy(&expected, 0)? => Outcome::Ended(None),
            Some(_) => Outcome::Gone(Gone::Closed),
        })
    });
    let gone = Outcome::Gone(Gone::Closed);
    done.map(|done| done.unwrap_or(gone)).map_err(|error| failure(error, expected.netns))
}

/// Runs `visit` in `netns`; `None` if that has gone.
fn there<T: Send + 'static>(
    netns: NetNs,
    visit: impl FnMut() -> io::Result<T> + Send + 'static,
) -> io::Result<Option<T>> {
    let run = move || {
        let visitor = Visitor::new().map_err(io::Error::other)?;
        let mut done = Ok(None);
        visitor.visit_all(|other| other == netns, visit, |_, result| done = result.map(Some))?;
        done
    };
    let thread = thread::Builder::new().name("destroy".into()).spawn(run)?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that asks panicked")))
}

fn failure(error: io::Error, netns: NetNs) -> Failure {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::ResetDenied,
        io::ErrorKind::Unsupported => Failure::NoDestroy,
        _ => Failure::Reset { netns: netns.0, source: error },
    }
}

/// Has the connection reset, in this thread's namespace; false if there is none like it.
fn destroy(expected: &Expected, device: u32) -> io::Result<bool> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.send(&request(expected, device), 0)?;
    let mut buffer = Vec::with_capacity(4096);
    socket.recv(&mut buffer, 0)?;
    acknowledged(&buffer)
}

fn request(expected: &Expected, device: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK;
    let (local, remote) = (expected.endpoints.local, expected.endpoints.remote);
    let request = InetRequest {
        family: if local.is_ipv4() { AF_INET } else { AF_INET6 },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::from_bits_retain(expected.state.state().bit()),
        socket_id: SocketId {
            source_port: local.port(),
            destination_port: remote.port(),
            source_address: local.ip(),
            destination_address: remote.ip(),
            interface_id: device,
            // Two words in the machine's order, the lower one first.
            cookie: cookie(expected.cookie),
        },
    };
    let message = SockDiagDestroy::new(SockDiagMessage::InetRequest(request));
    let mut message = NetlinkMessage::new(header, message.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn cookie(cookie: u64) -> [u8; 8] {
    let (low, high) = ((cookie as u32).to_ne_bytes(), ((cookie >> 32) as u32).to_ne_bytes());
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&low);
    bytes[4..].copy_from_slice(&high);
    bytes
}

/// Reads the answer: done, or nothing like it, or an error.
fn acknowledged(answer: &[u8]) -> io::Result<bool> {
    let message = NetlinkBuffer::new_checked(answer).map_err(io::Error::other)?;
    if message.message_type() != NLMSG_ERROR {
        return Err(io::Error::other("the kernel answered another question"));
    }
    let code = message.payload().try_get_i32_ne().map_err(io::Error::other)?;
    match -code {
        0 => Ok(true),
        // Ends that nobody has, or a socket with another cookie has.
        libc::ENOENT | libc::ESTALE => Ok(false),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: u16, code: i32) -> Vec<u8> {
        let mut bytes = 20u32.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(code.to_ne_bytes());
        bytes
    }

    #[test]
    fn an_answer_is_done_or_gone_or_an_error() {
        assert!(acknowledged(&answer(NLMSG_ERROR, 0)).unwrap());
        assert!(!acknowledged(&answer(NLMSG_ERROR, -libc::ENOENT)).unwrap());
        assert!(!acknowledged(&answer(NLMSG_ERROR, -libc::ESTALE)).unwrap());
        let kind = |bytes: &[u8]| acknowledged(bytes).unwrap_err().kind();
        assert_eq!(kind(&answer(NLMSG_ERROR, -libc::EPERM)), io::ErrorKind::PermissionDenied);
        assert_eq!(kind(&answer(NLMSG_ERROR, -libc::EOPNOTSUPP)), io::ErrorKind::Unsupported);
        assert_eq!(kind(&answer(20, 0)), io::ErrorKind::Other);
        assert_eq!(kind(b"torn"), io::ErrorKind::Other);
    }
}
