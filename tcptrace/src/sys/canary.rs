//! A connection of our own that the tracer has to see.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::sockopt::socket_cookie;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, connect, getsockname, socket_with,
};

use crate::model::event::Transition;

/// Connects to a port of ours that nobody listens on: refused at once, it goes to SYN_SENT and back
/// and leaves nothing behind, neither a TIME_WAIT nor a socket that was ever half-closed.
#[derive(Debug)]
pub struct Canary {
    /// Keeps the port from being another's.
    _bound: OwnedFd,
    target: SocketAddr,
    cookie: u64,
}

impl Canary {
    /// Takes a port on loopback.
    ///
    /// # Errors
    /// If there is none.
    pub fn new() -> io::Result<Self> {
        let bound = socket()?;
        bind(&bound, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let target = SocketAddr::try_from(getsockname(&bound)?)?;
        Ok(Self { _bound: bound, target, cookie: 0 })
    }

    /// Makes one connection, which does not wait for anything.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn fly(&mut self) -> io::Result<()> {
        let client = socket()?;
        self.cookie = socket_cookie(&client)?;
        match connect(&client, &self.target) {
            // Refused later, where something delays packets on loopback.
            Ok(()) | Err(Errno::CONNREFUSED | Errno::INPROGRESS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether `event` shows the last one. A probe that knows no cookies knows it by where it goes.
    pub fn is(&self, event: &Transition) -> bool {
        event.endpoints.remote == self.target
            && event.key.cookie().is_none_or(|cookie| cookie == self.cookie)
    }
}

fn socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
}
