//! What sock_diag shows, namespace by namespace.

use core::cell::Cell;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::socket::{NetNs, SocketKey};
use crate::sys::netns::Visitor;
use crate::sys::sockdiag::{self, DiagSocket, RawSocket};

/// The namespaces that were asked; `None` for one that cannot be entered.
pub(super) type Dumps = BTreeMap<NetNs, Option<Dump>>;

/// One namespace.
#[derive(Default)]
pub(super) struct Dump {
    sockets: Vec<RawSocket>,
    by_key: FxHashMap<SocketKey, u32>,
    /// `net.ipv4.tcp_fin_timeout` there.
    pub(super) fin_timeout: Option<Duration>,
    /// `net.ipv4.ip_local_port_range` there.
    pub(super) port_range: Option<(u16, u16)>,
}

impl Dump {
    /// In this thread's namespace, the sockets in the states of a mask.
    fn take(states: u32) -> io::Result<Self> {
        let mut dump = Self {
            fin_timeout: sockdiag::fin_timeout(),
            port_range: sockdiag::port_range(),
            ..Self::default()
        };
        sockdiag::dump(states, |socket| dump.add(socket))?;
        Ok(dump)
    }

    /// A socket that becomes a minisocket meanwhile is shown twice, and counts as what it is now.
    fn add(&mut self, socket: RawSocket) {
        // A dump has no more sockets than the kernel has memory for.
        let next = self.sockets.len() as u32;
        let at = *self.by_key.entry(socket.get().key).or_insert(next);
        if at == next {
            self.sockets.push(socket);
        } else {
            self.sockets[at as usize] = socket;
        }
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = DiagSocket> {
        self.sockets.iter().map(RawSocket::get)
    }

    pub(super) fn has(&self, key: SocketKey) -> bool {
        self.by_key.contains_key(&key)
    }

    pub(super) fn get(&self, key: SocketKey) -> Option<DiagSocket> {
        self.by_key.get(&key).map(|&at| self.sockets[at as usize].get())
    }
}

/// Asks sock_diag. Belongs to one thread, which visits other network namespaces.
pub(super) struct Dumper {
    visitor: Visitor,
    /// Whether it was said that sock_diag fails; it would fail at every look.
    warned: Cell<bool>,
}

impl Dumper {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { visitor: Visitor::new()?, warned: Cell::new(false) })
    }

    /// Dumps the namespaces that are `wanted`.
    ///
    /// # Errors
    /// If it cannot be found out which there are.
    pub(super) fn dump(&self, states: u32, wanted: impl Fn(NetNs) -> bool) -> io::Result<Dumps> {
        let mut dumps = Dumps::new();
        let seen = |netns, dump: io::Result<_>| drop(dumps.insert(netns, dump.ok()));
        self.visit(wanted, || Dump::take(states), seen)?;
        Ok(dumps)
    }

    /// The same, but for those that this user may not enter.
    ///
    /// # Errors
    /// If one of the others cannot be asked either, or it cannot be found out which there are.
    pub(super) fn dump_all(
        &self,
        states: u32,
        wanted: impl Fn(NetNs) -> bool,
    ) -> io::Result<Vec<(NetNs, Dump)>> {
        let mut dumps = Vec::new();
        let mut failed = None;
        let seen = |netns, dump: io::Result<_>| match dump {
            Ok(dump) => dumps.push((netns, dump)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => failed = Some(error),
        };
        self.visit(wanted, || Dump::take(states), seen)?;
        failed.map_or(Ok(dumps), Err)
    }

    /// Only which sockets there are, in all namespaces that can be entered.
    ///
    /// # Errors
    /// If it cannot be found out which there are.
    pub(super) fn keys(&self, states: u32) -> io::Result<FxHashSet<SocketKey>> {
        let mut all = FxHashSet::default();
        let keys = || {
            let mut keys = Vec::new();
            sockdiag::keys(states, |key| keys.push(key))?;
            Ok(keys)
        };
        self.visit(|_| true, keys, |_, keys| all.extend(keys.into_iter().flatten()))?;
        Ok(all)
    }

    fn visit<T>(
        &self,
        wanted: impl Fn(NetNs) -> bool,
        look: impl FnMut() -> io::Result<T>,
        mut seen: impl FnMut(NetNs, io::Result<T>),
    ) -> io::Result<()> {
        self.visitor.visit_all(wanted, look, |netns, shown| {
            if let Err(error) = &shown
                && error.kind() != io::ErrorKind::PermissionDenied
                && !self.warned.replace(true)
            {
                tracing::warn!("network namespace {}: {error}", netns.0);
            }
            seen(netns, shown);
        })
    }
}
