//! What one look at the host showed: all descriptors and the namespaces that were asked. Says of one
//! stay what can be said of it from both.

use anyhow::Result;

use super::dump::{Dump, Dumps};
use super::ends::{Ends, Place, Unlocated};
use super::held::Held;
use super::people::People;
use super::snapshot::{Spot, spots};
use crate::model::evidence::{Evidence, Sources, Timer};
use crate::model::process::{Holder, eldest};
use crate::model::socket::{NetNs, SocketKey};
use crate::model::stay::Stay;
use crate::model::time::Instant;
use crate::sys::holders::{FdOf, Holders};
use crate::sys::sockdiag::DiagSocket;

/// See the module.
pub(super) struct View {
    looked_at: Instant,
    dumps: Dumps,
    held: Held,
    /// A second pass, where who has let go since the first is to be left out.
    again: Option<Held>,
    ends: Ends,
    unlocated: Unlocated,
    /// Whether descriptors were read from `/proc`.
    proc: bool,
}

impl View {
    /// Of a look that began at `looked_at`: makes the pass. What sock_diag shows is waited for only as
    /// late as it is needed.
    pub(super) fn take(
        looked_at: Instant,
        holders: &mut Holders,
        dumps: impl FnOnce() -> Result<Dumps>,
    ) -> Result<Self> {
        let (mut ends, unlocated) = (Ends::default(), Unlocated::default());
        let proc = !holders.is_iterator();
        let (held, dumps) = if proc {
            let dumps = dumps()?;
            let held = Held::pass(holders, &dumps, |_| {})?;
            ends.add_shown(&held, &dumps);
            (held, dumps)
        } else {
            (Held::pass(holders, &Dumps::new(), |record| ends.add_record(record))?, dumps()?)
        };
        Ok(Self { looked_at, dumps, held, again: None, ends, unlocated, proc })
    }

    /// Has stays found of which not the cookie is known.
    pub(super) fn find_unlocated(&mut self) {
        self.unlocated = Unlocated::of(&self.held, &self.dumps);
    }

    /// Whether descriptors were read from `/proc`.
    pub(super) const fn is_proc(&self) -> bool {
        self.proc
    }

    /// Makes a second pass, if one who held a socket may have let go of it since the first.
    pub(super) fn pass_again(&mut self, holders: &mut Holders) -> Result<()> {
        if self.proc || self.held.shared {
            self.again = Some(Held::pass(holders, &self.dumps, |_| {})?);
        }
        Ok(())
    }

    /// The descriptors that count in what is said of `stay`.
    pub(super) fn concerned(&self, stay: &Stay) -> impl Iterator<Item = FdOf> {
        let at = match self.locate(stay) {
            Place::At(key, netns) => Some((key, netns)),
            Place::Nowhere | Place::Unclear => None,
        };
        at.into_iter().flat_map(move |(key, netns)| {
            let others = self.ends.listeners(stay, netns).chain(self.ends.peer(stay));
            [key].into_iter().chain(others).flat_map(|key| self.held.fds(key))
        })
    }

    fn locate(&self, stay: &Stay) -> Place {
        match (stay.cookie, stay.netns) {
            (Some(cookie), Some(netns)) => Place::At(SocketKey::new(cookie, 0), netns),
            _ => self.unlocated.locate(stay),
        }
    }

    fn dump(&self, netns: NetNs) -> Option<&Dump> {
        self.dumps.get(&netns)?.as_ref()
    }

    /// What was shown of a socket.
    pub(super) fn spot(&self, key: SocketKey, netns: NetNs) -> Spot {
        let socket = self.dump(netns).and_then(|dump| dump.get(key));
        Spot { key, netns, socket, record: self.held.record(key) }
    }

    /// What was found out about `stay`, with the holders that still were some in a second pass, if there
    /// was one.
    pub(super) fn evidence(&self, stay: &Stay, people: &People) -> Evidence {
        match self.locate(stay) {
            Place::At(key, netns) => self.evidence_at(stay, &self.spot(key, netns), people),
            place => Evidence {
                looked_at: self.looked_at,
                sources: Sources { sock_diag_asked: place == Place::Nowhere, ..Sources::default() },
                ..Evidence::default()
            },
        }
    }

    /// The same of a stay whose socket is that at `spot`.
    pub(super) fn evidence_at(&self, stay: &Stay, spot: &Spot, people: &People) -> Evidence {
        let Self { looked_at, proc, .. } = *self;
        let &Spot { key, netns, ref socket, .. } = spot;
        let socket = socket.as_ref();
        let dump = self.dump(netns);
        let held = match &self.again {
            Some(again) => again.record(key),
            None => spot.record,
        };
        let holders = self.holders(key, socket, people);
        let eldest = holders.as_deref().and_then(|holders| Some(&holders[eldest(holders)?]));
        let threads = eldest.map(|holder| people.threads(holder.process.pid));
        let inode = held.map(|held| held.inode).or(socket.map(|socket| socket.inode));
        let kept = inode.filter(|&inode| inode != 0 && holders.as_ref().is_some_and(Vec::is_empty));
        let send_queue = held.map(|h| h.send_queue).or(socket.map(|s| s.send_queue));
        let waits = send_queue.is_some_and(|bytes| bytes > 0);
        let held_by = kept.map(|inode| people.keepers().of(inode, waits));
        let ages = socket.and_then(|socket| socket.ages);
        let of = |keys: &mut dyn Iterator<Item = SocketKey>| {
            people.holders(keys.flat_map(|key| self.held.fds(key)))
        };
        Evidence {
            looked_at,
            located: key.cookie().map(|cookie| (cookie, netns)),
            state: held.map(|held| held.state).or(socket.map(|socket| socket.state)),
            holders,
            inode,
            recv_queue: held.map(|h| h.recv_queue).or(socket.map(|s| s.recv_queue)),
            send_queue,
            progress: held.map(|held| held.progress),
            last_send: ages.map(|ages| ages.last_send()),
            last_recv: ages.map(|ages| ages.last_recv()),
            last_ack: ages.map(|ages| ages.last_ack()),
            port_range: dump.and_then(|dump| dump.port_range),
            timer: socket.map_or(Timer::Unknown, |socket| socket.timer),
            eof_reads: Vec::new(),
            stack: None,
            proof: None,
            opened: None,
            opened_proof: None,
            held_by,
            threads: threads.flatten(),
            listener_holders: of(&mut self.ends.listeners(stay, netns)),
            peer_holders: Some(of(&mut self.ends.peer(stay).into_iter())),
            sources: Sources {
                iterator: held.is_some(),
                proc,
                sock_diag: socket.is_some(),
                eof: false,
                sock_diag_asked: dump.is_some(),
            },
        }
    }

    /// Who holds the socket; `None` if a process that could not be looked into may.
    fn holders(
        &self,
        key: SocketKey,
        socket: Option<&DiagSocket>,
        people: &People,
    ) -> Option<Vec<Holder>> {
        let known = self.held.complete || socket.is_some_and(|socket| socket.inode == 0);
        let mut fds = self.held.fds(key).peekable();
        let is_known = known || fds.peek().is_some();
        let still = |fd: &FdOf| {
            self.again.as_ref().is_none_or(|again| again.fds(key).any(|other| other == *fd))
        };
        is_known.then(|| people.holders(fds.filter(still)))
    }

    /// Where there may be half-closed sockets, each once.
    pub(super) fn spots(&self) -> impl Iterator<Item = Spot> {
        spots(&self.held, &self.dumps)
    }

    /// What sock_diag showed.
    pub(super) const fn dumps(&self) -> &Dumps {
        &self.dumps
    }
}
