//! What a look found, arranged by what suspects are asked for.

use core::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Dumps, values};
use crate::model::evidence::ThreadState;
use crate::model::process::{Holder, Process};
use crate::model::socket::{Endpoints, NetNs, SocketKey, StayState, TcpState};
use crate::model::stay::Stay;
use crate::sys::held_by::Keepers;
use crate::sys::holders::{FdOf, Pass};
use crate::sys::sockdiag::DiagSocket;
use crate::sys::{clock, process, threads};

/// A pass, indexed by what suspects are asked for.
pub(super) struct Index {
    pub(super) pass: Pass,
    pub(super) by_key: HashMap<SocketKey, usize>,
    fds: HashMap<SocketKey, Vec<FdOf>>,
    /// By both ends, IPv4-mapped addresses as IPv4.
    by_ends: HashMap<Endpoints, SocketKey>,
    listeners: HashMap<(NetNs, u16), Vec<(SocketAddr, SocketKey)>>,
    by_skaddr: HashMap<u64, usize>,
    /// What sock_diag showed, by what a probe without cookies tells.
    shown: HashMap<(TcpState, Endpoints), Vec<(SocketKey, NetNs)>>,
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

impl Index {
    pub(super) fn new(pass: Pass, dumps: &Dumps) -> Self {
        let mut index = Self {
            by_key: HashMap::new(),
            fds: HashMap::new(),
            by_ends: HashMap::new(),
            listeners: HashMap::new(),
            by_skaddr: HashMap::new(),
            shown: HashMap::new(),
            all_asked: dumps.values().all(Option::is_some),
            pass: Pass::default(),
        };
        for (i, held) in pass.held.iter().enumerate() {
            index.fds.entry(held.key).or_default().push(held.into());
            index.by_skaddr.insert(held.skaddr, i);
            if index.by_key.insert(held.key, i).is_none() {
                index.place(held.netns, held.key, held.endpoints, held.state);
            }
        }
        for (&netns, dump) in dumps {
            for socket in values(dump) {
                if let Some(fds) = pass.by_inode.get(&socket.inode) {
                    index.fds.insert(socket.key, fds.clone());
                    index.place(netns, socket.key, socket.endpoints, socket.state);
                }
            }
        }
        index.pass = pass;
        index
    }

    /// Takes in what sock_diag showed by both ends, for suspects that are known by nothing else.
    pub(super) fn add_shown(&mut self, dumps: &Dumps) {
        for (&netns, dump) in dumps {
            for socket in values(dump) {
                let like = (socket.state, socket.endpoints.canonical());
                self.shown.entry(like).or_default().push((socket.key, netns));
            }
        }
    }

    fn place(&mut self, netns: NetNs, key: SocketKey, ends: Endpoints, state: TcpState) {
        let ends = ends.canonical();
        if state == TcpState::Listen {
            let listeners = self.listeners.entry((netns, ends.local.port())).or_default();
            listeners.push((ends.local, key));
        } else if state != TcpState::Close {
            self.by_ends.insert(ends, key);
        }
    }

    /// Which socket `stay` is: what its probe did not tell is found by the address of its
    /// `struct sock`, else by both ends.
    pub(super) fn locate(&self, stay: &Stay) -> Place {
        if let (Some(cookie), Some(netns)) = (stay.cookie, stay.netns) {
            return Place::At(SocketKey::new(cookie, 0), netns);
        }
        let ends = stay.endpoints.canonical();
        let held = self.by_skaddr.get(&stay.key.get()).map(|&i| &self.pass.held[i]);
        if let Some(held) = held.filter(|held| held.endpoints.canonical() == ends) {
            return Place::At(held.key, held.netns);
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

    fn fds(&self, key: SocketKey) -> Vec<FdOf> {
        self.fds.get(&key).cloned().unwrap_or_default()
    }

    /// Who holds the socket; `None` if a process that could not be looked into may.
    pub(super) fn holders(&self, key: SocketKey, socket: Option<&DiagSocket>) -> Option<Vec<FdOf>> {
        let fds = self.fds(key);
        let known = self.pass.complete || socket.is_some_and(|socket| socket.inode == 0);
        (known || !fds.is_empty()).then_some(fds)
    }

    /// Who holds the listener that the connection came in by: the one on its address, else the
    /// one on all addresses.
    pub(super) fn listener(&self, stay: &Stay, netns: NetNs) -> Vec<FdOf> {
        if stay.state != StayState::CloseWait {
            return Vec::new();
        }
        let local = stay.endpoints.canonical().local;
        let Some(listeners) = self.listeners.get(&(netns, local.port())) else {
            return Vec::new();
        };
        let on = |exact: bool| {
            listeners.iter().filter(move |(address, _)| {
                if exact { address.ip() == local.ip() } else { address.ip().is_unspecified() }
            })
        };
        let exact: Vec<_> = on(true).flat_map(|&(_, key)| self.fds(key)).collect();
        if exact.is_empty() {
            on(false).flat_map(|&(_, key)| self.fds(key)).collect()
        } else {
            exact
        }
    }

    /// Who holds the other end, if it is on this host.
    pub(super) fn peer(&self, stay: &Stay) -> Vec<FdOf> {
        let ends = stay.endpoints.canonical().reversed();
        self.by_ends.get(&ends).map(|&key| self.fds(key)).unwrap_or_default()
    }
}

/// The processes met in one look, each read once.
pub(super) struct People {
    boot_time: jiff::Timestamp,
    known: HashMap<u32, Option<Arc<Process>>>,
    threads: RefCell<HashMap<u32, Option<ThreadState>>>,
    keepers: OnceCell<Keepers>,
}

impl People {
    pub(super) fn new() -> Self {
        Self {
            boot_time: clock::boot_time(),
            known: HashMap::new(),
            threads: RefCell::default(),
            keepers: OnceCell::new(),
        }
    }

    pub(super) fn meet(&mut self, fd: &FdOf) {
        let boot_time = self.boot_time;
        self.known.entry(fd.pid).or_insert_with(|| process::read(fd.pid, boot_time).map(Arc::new));
    }

    /// What the threads of a process are doing.
    pub(super) fn threads(&self, pid: u32) -> Option<ThreadState> {
        *self.threads.borrow_mut().entry(pid).or_insert_with(|| threads::state(pid))
    }

    /// What keeps sockets that nobody holds: looked for once, if there is one.
    pub(super) fn keepers(&self) -> &Keepers {
        self.keepers.get_or_init(Keepers::find)
    }

    /// The processes behind `fds`. One that has ended, or whose pid is now another's, holds
    /// nothing.
    pub(super) fn holders<'a>(&self, fds: impl Iterator<Item = &'a FdOf>) -> Vec<Holder> {
        let mut holders = Vec::<Holder>::new();
        for fd in fds {
            let Some(Some(process)) = self.known.get(&fd.pid) else { continue };
            if fd.start_ticks.is_some() && fd.start_ticks != process.start_ticks {
                continue;
            }
            match holders.iter_mut().find(|holder| holder.process.pid == fd.pid) {
                Some(holder) => holder.fds.push(fd.fd),
                None => holders.push(Holder { process: Arc::clone(process), fds: vec![fd.fd] }),
            }
        }
        holders
    }
}
