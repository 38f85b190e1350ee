//! What the socket behind a descriptor says of itself.

use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd as _};

use rustix::io::Errno;
use rustix::net::{SocketAddrAny, getpeername, getsockname, ipproto, sockopt};

use crate::model::release::check::Look;
use crate::model::socket::{Endpoints, TcpState};
use crate::model::time::Instant;
use crate::sys::sockdiag::ages;

/// Bytes of a `struct tcp_info` that are read at most; it has grown over time.
const INFO_MAX: usize = 256;
/// Offsets of `tcpi_data_segs_in` and `tcpi_data_segs_out`, since Linux 4.6.
const DATA_SEGMENTS_IN: usize = 152;
const DATA_SEGMENTS_OUT: usize = 156;

/// Asks the socket behind `fd` at `at`; `None`: it is no TCP socket.
///
/// # Errors
/// If a TCP socket does not answer.
pub fn look(fd: &impl AsFd, at: Instant) -> io::Result<Option<Look>> {
    match sockopt::socket_protocol(fd) {
        Ok(Some(protocol)) if protocol == ipproto::TCP => {}
        Ok(_) | Err(Errno::NOTSOCK | Errno::NOPROTOOPT | Errno::OPNOTSUPP) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let info = option::<INFO_MAX>(fd, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    let Some((&state, ages)) = info.first().zip(ages(&info)) else {
        return Err(io::Error::other("the kernel's tcp_info is too short"));
    };
    let has_moved = |at: usize| {
        let segments = info.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        segments.is_none_or(|segments| u32::from_ne_bytes(segments) > 0)
    };
    let moved = |at: usize, ago: Duration| has_moved(at).then_some(ago);
    Ok(Some(Look {
        at,
        cookie: sockopt::socket_cookie(fd)?,
        state: TcpState::try_from(state).map_err(io::Error::other)?,
        endpoints: endpoints(fd)?,
        send_queue: unacknowledged(fd)?,
        last_send: moved(DATA_SEGMENTS_OUT, ages.last_send()),
        last_recv: moved(DATA_SEGMENTS_IN, ages.last_recv()),
        device: device(fd),
    }))
}

fn endpoints(fd: &impl AsFd) -> io::Result<Option<Endpoints>> {
    let address = |any: SocketAddrAny| SocketAddr::try_from(any).ok();
    let remote = match getpeername(fd) {
        Err(Errno::NOTCONN) => return Ok(None),
        remote => remote?.and_then(address),
    };
    Ok(address(getsockname(fd)?).zip(remote).map(|(local, remote)| Endpoints { local, remote }))
}

/// The interface that it is bound to. Kernels that do not tell (before 5.1) have none to tell of here.
fn device(fd: &impl AsFd) -> u32 {
    let index = option::<4>(fd, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX);
    index.ok().and_then(|index| index.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

/// Bytes that were written and not acknowledged (`SIOCOUTQ`).
fn unacknowledged(fd: &impl AsFd) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: for a socket TIOCOUTQ is SIOCOUTQ, which writes one int to where the pointer says.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(bytes.unsigned_abs()) }
}

/// At most `N` bytes of a socket option, as many as the kernel gives.
fn option<const N: usize>(
    fd: &impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0u8; N];
    let mut length = N as libc::socklen_t;
    let (fd, at) = (fd.as_fd().as_raw_fd(), bytes.as_mut_ptr().cast());
    // SAFETY: the kernel writes at most `length` bytes, which is how many `bytes` has.
    let result = unsafe { libc::getsockopt(fd, level, name, at, &raw mut length) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    bytes.truncate(length as usize);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_tells_who_it_is_and_how_it_goes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let see = |socket: &TcpStream| look(socket, Instant::default()).unwrap().unwrap();
        let quiet = see(&server);
        assert_eq!(quiet.state, TcpState::Established);
        assert_eq!(quiet.cookie, sockopt::socket_cookie(&server).unwrap());
        let (local, remote) = (server.local_addr().unwrap(), client.local_addr().unwrap());
        assert_eq!(quiet.endpoints, Some(Endpoints { local, remote }));
        assert_eq!((quiet.last_send, quiet.last_recv, quiet.device), (None, None, 0));
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        server.write_all(b"y").unwrap();
        client.read_exact(&mut [0]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
        let (server, client) = (see(&server), see(&client));
        assert_eq!(server.state, TcpState::CloseWait);
        assert!(matches!(client.state, TcpState::FinWait1 | TcpState::FinWait2));
        assert!(server.last_send.is_some() && client.last_recv.is_some());
        assert_eq!(server.send_queue, 0);
    }

    #[test]
    fn what_waits_to_be_acknowledged_shows() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        while (&client).write(&[0; 65_536]).is_ok() {}
        assert!(look(&client, Instant::default()).unwrap().unwrap().send_queue > 0);
    }

    #[test]
    fn what_is_no_tcp_socket_is_none() {
        let (unix, _other) = UnixStream::pair().unwrap();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        for look in [
            look(&unix, Instant::default()),
            look(&udp, Instant::default()),
            look(&file, Instant::default()),
        ] {
            assert_eq!(look.unwrap(), None);
        }
    }
}
