//! Sockets by their addresses, IPv4-mapped ones as IPv4.

use std::net::{SocketAddr, SocketAddrV4};

use rustc_hash::FxHashMap;

use super::dump::{Dump, Dumps};
use super::held::Held;
use crate::model::decode::HeldFd;
use crate::model::socket::{Endpoints, NetNs, SocketKey, StayState, TcpState};
use crate::model::stay::Stay;

/// Those that processes hold.
#[derive(Default)]
pub(super) struct Ends {
    /// IPv4 by itself: its addresses take a fifth of the room.
    ipv4: FxHashMap<(SocketAddrV4, SocketAddrV4), SocketKey>,
    ipv6: FxHashMap<Endpoints, SocketKey>,
    listeners: FxHashMap<(NetNs, u16), Vec<(SocketAddr, SocketKey)>>,
}

impl Ends {
    /// Adds one that the iterator has shown.
    pub(super) fn add_record(&mut self, record: &HeldFd) {
        self.add(record.netns, record.key, record.endpoints, record.state);
    }

    /// Adds those of which only sock_diag tells the ends.
    pub(super) fn add_shown(&mut self, held: &Held, dumps: &Dumps) {
        for (&netns, dump) in dumps {
            let sockets = dump.iter().flat_map(Dump::sockets);
            for socket in sockets.filter(|socket| held.fds(socket.key).next().is_some()) {
                self.add(netns, socket.key, socket.endpoints, socket.state);
            }
        }
    }

    fn add(&mut self, netns: NetNs, key: SocketKey, ends: Endpoints, state: TcpState) {
        let ends = ends.canonical();
        if state == TcpState::Listen {
            let listeners = self.listeners.entry((netns, ends.local.port())).or_default();
            if !listeners.contains(&(ends.local, key)) {
                listeners.push((ends.local, key));
            }
        } else if state != TcpState::Close {
            match (ends.local, ends.remote) {
                (SocketAddr::V4(local), SocketAddr::V4(remote)) => {
                    self.ipv4.insert((local, remote), key);
                }
                _ => {
                    self.ipv6.insert(ends, key);
                }
            }
        }
    }

    /// The listener that the connection came in by: the one on its address, else the one on all
    /// addresses, of those that processes hold.
    pub(super) fn listeners(&self, stay: &Stay, netns: NetNs) -> impl Iterator<Item = SocketKey> {
        let local = stay.endpoints.canonical().local;
        let port = (netns, local.port());
        let waits = stay.state == StayState::CloseWait;
        let listeners = self.listeners.get(&port).filter(|_| waits).map_or(&[][..], Vec::as_slice);
        let is_exact = move |address: &SocketAddr| address.ip() == local.ip();
        let exact = listeners.iter().any(|(address, _)| is_exact(address));
        let on = listeners.iter().filter(move |(address, _)| {
            if exact { is_exact(address) } else { address.ip().is_unspecified() }
        });
        on.map(|&(_, key)| key)
    }

    /// The other end, if a process of this host holds it.
    pub(super) fn peer(&self, stay: &Stay) -> Option<SocketKey> {
        let ends = stay.endpoints.canonical().reversed();
        match (ends.local, ends.remote) {
            (SocketAddr::V4(local), SocketAddr::V4(remote)) => self.ipv4.get(&(local, remote)),
            _ => self.ipv6.get(&ends),
        }
        .copied()
    }
}

/// What suspects are found by of which the probe does not tell the cookie.
#[derive(Default)]
pub(super) struct Unlocated {
    by_skaddr: FxHashMap<u64, (Endpoints, SocketKey, NetNs)>,
    /// What sock_diag showed.
    shown: FxHashMap<(TcpState, Endpoints), Vec<(SocketKey, NetNs)>>,
    /// Whether all namespaces could be asked.
    all_asked: bool,
}

/// Which socket a suspect is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// This one.
    At(SocketKey, NetNs),
    /// There is none like it.
    Nowhere,
    /// It may be one of several.
    Unclear,
}

impl Unlocated {
    pub(super) fn of(held: &Held, dumps: &Dumps) -> Self {
        let mut all = Self { all_asked: dumps.values().all(Option::is_some), ..Self::default() };
        for record in held.records() {
            let about = (record.endpoints.canonical(), record.key, record.netns);
            all.by_skaddr.insert(record.skaddr, about);
        }
        for (&netns, dump) in dumps {
            for socket in dump.iter().flat_map(Dump::sockets) {
                let like = (socket.state, socket.endpoints.canonical());
                all.shown.entry(like).or_default().push((socket.key, netns));
            }
        }
        all
    }

    /// What the probe of `stay` did not tell is found by the address of its `struct sock`, else by both
    /// ends.
    pub(super) fn locate(&self, stay: &Stay) -> Place {
        let ends = stay.endpoints.canonical();
        match self.by_skaddr.get(&stay.key.get()) {
            Some(&(of, key, netns)) if of == ends => return Place::At(key, netns),
            _ => {}
        }
        let like = self.shown.get(&(stay.state.state(), ends)).map(Vec::as_slice);
        let there = |netns| stay.netns.is_none_or(|known| known == netns);
        let mut like = like.unwrap_or_default().iter().filter(|&&(_, netns)| there(netns));
        match (like.next(), like.next()) {
            _ if stay.netns.is_none() && !self.all_asked => Place::Unclear,
            (None, _) => Place::Nowhere,
            (Some(&(key, netns)), None) => Place::At(key, netns),
            _ => Place::Unclear,
        }
    }
}
