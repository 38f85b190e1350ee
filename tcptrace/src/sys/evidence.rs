//! Gathers the evidence on suspects, and the snapshot of what was there first.
//!
//! On a thread of its own, for two reasons: it enters other network namespaces, and a look at a
//! large host takes longer than the transitions can wait. One look answers for all suspects that
//! are due: a pass over all descriptors, a dump of each namespace concerned, a read of each process
//! concerned, and a second pass that drops who has let go meanwhile.

mod index;

use core::cell::Cell;
use core::time::Duration;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use anyhow::{Context as _, Result};
use index::{Index, People, Place};
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::holders::{FdOf, Holders};
use super::netns::{self, Visitor};
use super::sockdiag::{self, DiagSocket};
use super::stacks::Stacks;
use super::{clock, memory};
use crate::model::code::{PathId, Stack};
use crate::model::decode::HeldFd;
use crate::model::evidence::{Evidence, Sources, Suspect, Timer};
use crate::model::orphans::Namespaces;
use crate::model::process::eldest;
use crate::model::reads::first_read;
use crate::model::snapshot::{Observed, Snapshot};
use crate::model::socket::{NetNs, SocketKey, StayState, TcpState};
use crate::model::stay::{Stay, StayId};
use crate::model::time::Instant;

/// Connections in any other state, and listeners.
const OTHERS: u32 = TcpState::Established.bit()
    | TcpState::SynSent.bit()
    | TcpState::FinWait1.bit()
    | TcpState::LastAck.bit()
    | TcpState::Closing.bit()
    | TcpState::Listen.bit();
const HALF_CLOSED: u32 = TcpState::CloseWait.bit() | TcpState::FinWait2.bit();

/// What looks have used is given back this often at most,
const TIDY: Duration = Duration::from_secs(60);
/// and when nothing has been asked for so long.
const PAUSE: Duration = Duration::from_millis(50);

/// What the thread is asked.
pub enum Request {
    /// Evidence on these.
    Examine(Vec<Suspect>),
    /// Every half-closed socket there is; with `others`, also which sockets in other states.
    Snapshot {
        /// Whether to look at all sockets.
        others: bool,
    },
    /// The minisockets in FIN_WAIT2 of these namespaces.
    Orphans {
        /// Where.
        namespaces: Namespaces,
        /// The code that closed them, by cookie.
        closers: FxHashMap<u64, PathId>,
    },
}

/// What it answers.
pub enum Reply {
    /// On those asked for, each at most once.
    Evidence(Result<Vec<(StayId, Evidence)>>),
    /// The sockets.
    Snapshot(Result<Snapshot>),
    /// When the look ended, who was there, and the code that closed them.
    Orphans(Instant, Vec<Observed>, HashMap<PathId, Arc<Stack>>),
}

/// The thread's other end.
pub struct Worker {
    holders: &'static str,
    requests: mpsc::Sender<Request>,
    replies: UnboundedReceiver<Reply>,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// If `/proc` is not mounted or no thread can be made.
    pub fn start(holders: Holders, stacks: Option<Stacks>) -> Result<Self> {
        let name = holders.name();
        let (requests, inbox) = mpsc::channel();
        let (outbox, replies) = unbounded_channel();
        let (ready, is_ready) = mpsc::channel();
        thread::Builder::new()
            .name("evidence".into())
            .spawn(move || match Gatherer::new(holders, stacks) {
                Ok(gatherer) => {
                    let _ = ready.send(Ok(()));
                    work(gatherer, &inbox, &outbox);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            })
            .context("cannot start the evidence thread")?;
        is_ready.recv().context("the evidence thread ended")??;
        Ok(Self { holders: name, requests, replies })
    }

    /// Where holders are read from.
    pub const fn holders(&self) -> &'static str {
        self.holders
    }

    /// Asks. Answers come in the order of the questions.
    ///
    /// # Errors
    /// If the thread has ended.
    pub fn ask(&self, request: Request) -> Result<()> {
        self.requests.send(request).ok().context("the evidence thread has ended")
    }

    /// The next answer.
    ///
    /// # Errors
    /// If the thread has ended.
    pub async fn reply(&mut self) -> Result<Reply> {
        self.replies.recv().await.context("the evidence thread has ended")
    }
}

fn work(mut gatherer: Gatherer, inbox: &mpsc::Receiver<Request>, outbox: &UnboundedSender<Reply>) {
    // The start has used most of all.
    let (mut used, mut tidied) = (true, None::<Instant>);
    loop {
        let pause = if used { PAUSE } else { Duration::MAX };
        let request = match inbox.recv_timeout(pause) {
            Err(RecvTimeoutError::Disconnected) => return,
            request => request.ok(),
        };
        let Some(request) = request else {
            let now = clock::now();
            if used && tidied.is_none_or(|at| now.since(at) >= TIDY) {
                memory::give_back();
                (used, tidied) = (false, Some(now));
            }
            continue;
        };
        used = true;
        let reply = match request {
            Request::Examine(stays) => Reply::Evidence(gatherer.examine(&stays)),
            Request::Snapshot { others } => Reply::Snapshot(gatherer.snapshot(others)),
            Request::Orphans { namespaces, closers } => {
                let found = gatherer.orphans(&namespaces);
                // Afterwards: their ages are lower bounds.
                let at = clock::now();
                let cookies = found.iter().filter_map(|socket| socket.key.cookie());
                let code = gatherer.name(cookies.filter_map(|cookie| closers.get(&cookie)));
                Reply::Orphans(at, found, code)
            }
        };
        if outbox.send(reply).is_err() {
            return;
        }
    }
}

/// Looks at the host. Belongs to one thread, which visits other network namespaces.
pub struct Gatherer {
    holders: Holders,
    stacks: Option<Stacks>,
    visitor: Visitor,
    /// Whether it was said that sock_diag fails; it would fail at every look.
    warned: Cell<bool>,
}

/// The sockets of the namespaces that were asked; `None` for one that cannot be entered.
type Dumps = BTreeMap<NetNs, Option<Dump>>;

/// One namespace.
struct Dump {
    sockets: HashMap<SocketKey, DiagSocket>,
    /// `net.ipv4.tcp_fin_timeout` there.
    fin_timeout: Option<Duration>,
    /// `net.ipv4.ip_local_port_range` there.
    port_range: Option<(u16, u16)>,
}

impl Gatherer {
    /// For the thread that calls it.
    ///
    /// # Errors
    /// If `/proc` is not mounted.
    pub fn new(holders: Holders, stacks: Option<Stacks>) -> Result<Self> {
        Ok(Self { holders, stacks, visitor: Visitor::new()?, warned: Cell::new(false) })
    }

    /// Everything that can be found out about `stays`.
    ///
    /// # Errors
    /// If the descriptors cannot be read.
    pub fn examine(&mut self, suspects: &[Suspect]) -> Result<Vec<(StayId, Evidence)>> {
        let looked_at = clock::now();
        let namespaces: Option<HashSet<_>> =
            suspects.iter().map(|suspect| suspect.stay.netns).collect();
        let states = HALF_CLOSED | TcpState::Listen.bit();
        // `/proc` knows sockets by their inodes only, so the dumps come first.
        let wanted = |netns| namespaces.as_ref().is_none_or(|these| these.contains(&netns));
        let dumps = self.dump(wanted, states);
        let inodes = inodes(&dumps);
        let wanted = |inode| inodes.contains(&inode);
        let mut first = Index::new(self.holders.pass(&wanted)?, &dumps);
        if !suspects.iter().all(|suspect| suspect.stay.is_located()) {
            first.add_shown(&dumps);
        }
        let mut people = People::new();
        let found: Vec<_> = suspects
            .iter()
            .map(|suspect| {
                let found = Found::new(&suspect.stay, &first, &dumps);
                for fd in found.holders.iter().flatten().chain(&found.listener).chain(&found.peer) {
                    people.meet(fd);
                }
                found
            })
            .collect();
        let again = Index::new(self.holders.pass(&wanted)?, &dumps);
        let proc = !self.holders.is_iterator();
        let stacks = &mut self.stacks;
        Ok(found
            .into_iter()
            .zip(suspects)
            .map(|(found, suspect)| {
                let id = found.stay.id;
                let mut evidence = found.evidence(looked_at, &again, &people, proc);
                if let Some(stacks) = stacks {
                    let read = first_read(&suspect.eof_reads).and_then(|read| read.path);
                    evidence.stack = read.or(suspect.stay.shut).and_then(|path| stacks.of(path));
                    evidence.opened = suspect.stay.opened.and_then(|path| stacks.of(path));
                }
                (id, evidence)
            })
            .collect())
    }

    /// Every half-closed socket of the host, with the bounds of its age; with `others`, also which
    /// sockets there are in other states.
    ///
    /// # Errors
    /// If the descriptors cannot be read.
    pub fn snapshot(&mut self, others: bool) -> Result<Snapshot> {
        let began = clock::on_cpu();
        // `/proc` would show nothing here that sock_diag does not.
        let iterated = self.holders.is_iterator();
        let held = if iterated { self.holders.pass(&|_| false)?.held } else { Vec::new() };
        let dumps = self.dump(|_| true, if others { HALF_CLOSED | OTHERS } else { HALF_CLOSED });
        let mut observed = HashMap::new();
        let mut rest = FxHashSet::default();
        let mut asked = HashSet::new();
        for (&netns, dump) in dumps.iter().filter_map(|(netns, d)| Some((netns, d.as_ref()?))) {
            asked.insert(netns);
            for socket in dump.sockets.values() {
                match StayState::half_closed(socket.state) {
                    Some(state) => {
                        let socket = observe(netns, socket, state, dump.fin_timeout);
                        observed.insert(socket.key, socket);
                    }
                    None => {
                        rest.insert(socket.key);
                    }
                }
            }
        }
        for held in &held {
            if let Some(state) = StayState::half_closed(held.state).or_else(|| outlived(held)) {
                let entry = observed.entry(held.key).or_insert_with(|| unaged(held, state));
                entry.skaddr = Some(held.skaddr);
                entry.progress = Some(held.progress);
            }
        }
        Ok(Snapshot {
            half_closed: observed.into_values().collect(),
            others: others.then_some(rest),
            iterated,
            closed: dumps.len() - asked.len(),
            cost: Some(clock::on_cpu() - began),
            memories: HashMap::new(),
            asked,
        })
    }

    /// The minisockets in FIN_WAIT2 of `namespaces`.
    pub fn orphans(&self, namespaces: &Namespaces) -> Vec<Observed> {
        let dumps = self.dump(|netns| namespaces.contains(netns), TcpState::FinWait2.bit());
        let all = dumps.iter().filter_map(|(&netns, dump)| Some((netns, dump.as_ref()?)));
        all.flat_map(|(netns, dump)| {
            let minisockets = dump.sockets.values().filter(|socket| socket.is_minisocket());
            minisockets.map(move |s| observe(netns, s, StayState::FinWait2, dump.fin_timeout))
        })
        .collect()
    }

    /// Names code paths, as far as copies of their stacks are here.
    fn name<'a>(&mut self, paths: impl Iterator<Item = &'a PathId>) -> HashMap<PathId, Arc<Stack>> {
        let Some(stacks) = &mut self.stacks else { return HashMap::new() };
        let distinct: HashSet<_> = paths.copied().collect();
        distinct.into_iter().filter_map(|path| Some((path, stacks.of(path)?))).collect()
    }

    fn dump(&self, wanted: impl Fn(NetNs) -> bool, states: u32) -> Dumps {
        let mut dumps = Dumps::new();
        for (netns, path) in netns::list().into_iter().filter(|&(netns, _)| wanted(netns)) {
            let look = || {
                let (fin_timeout, port_range) = (sockdiag::fin_timeout(), sockdiag::port_range());
                Ok((sockdiag::dump(states)?, fin_timeout, port_range))
            };
            match self.visitor.visit(netns, &path, look) {
                Ok(Some((sockets, fin_timeout, port_range))) => {
                    let sockets = sockets.into_iter().map(|socket| (socket.key, socket)).collect();
                    dumps.insert(netns, Some(Dump { sockets, fin_timeout, port_range }));
                }
                Ok(None) => {}
                Err(error) => {
                    if error.kind() != io::ErrorKind::PermissionDenied && !self.warned.replace(true)
                    {
                        tracing::warn!("network namespace {}: {error}", netns.0);
                    }
                    dumps.insert(netns, None);
                }
            }
        }
        dumps
    }
}

/// What the first look found about one suspect.
struct Found<'a> {
    stay: &'a Stay,
    place: Place,
    /// Whether sock_diag could be asked about it.
    asked: bool,
    socket: Option<&'a DiagSocket>,
    port_range: Option<(u16, u16)>,
    holders: Option<Vec<FdOf>>,
    listener: Vec<FdOf>,
    peer: Vec<FdOf>,
}

impl<'a> Found<'a> {
    fn new(stay: &'a Stay, index: &Index, dumps: &'a Dumps) -> Self {
        let place = index.locate(stay);
        let Place::At(key, netns) = place else {
            let asked = place == Place::Nowhere;
            let (socket, port_range, holders) = (None, None, None);
            let (listener, peer) = (Vec::new(), Vec::new());
            return Self { stay, place, asked, socket, port_range, holders, listener, peer };
        };
        let dump = dumps.get(&netns).and_then(Option::as_ref);
        let socket = dump.and_then(|dump| dump.sockets.get(&key));
        Self {
            stay,
            place,
            asked: dump.is_some(),
            socket,
            port_range: dump.and_then(|dump| dump.port_range),
            holders: index.holders(key, socket),
            listener: index.listener(stay, netns),
            peer: index.peer(stay),
        }
    }

    /// With the holders that still are some in a second look.
    fn evidence(self, looked_at: Instant, again: &Index, people: &People, proc: bool) -> Evidence {
        let Self { place, asked, socket, port_range, holders, listener, peer, .. } = self;
        let Place::At(key, netns) = place else {
            let sources = Sources { sock_diag_asked: asked, ..Sources::default() };
            return Evidence { looked_at, sources, ..Evidence::default() };
        };
        let still = again.holders(key, socket);
        let holders = holders.map(|fds| {
            let still = still.unwrap_or_default();
            people.holders(fds.iter().filter(|fd| still.contains(fd)))
        });
        let held = again.by_key.get(&key).map(|&i| &again.pass.held[i]);
        let eldest = holders.as_deref().and_then(|holders| Some(&holders[eldest(holders)?]));
        let threads = eldest.map(|holder| people.threads(holder.process.pid));
        let inode = held.map(|held| held.inode).or(socket.map(|socket| socket.inode));
        let kept = inode.filter(|&inode| inode != 0 && holders.as_ref().is_some_and(Vec::is_empty));
        let send_queue = held.map(|h| h.send_queue).or(socket.map(|s| s.send_queue));
        let waits = send_queue.is_some_and(|bytes| bytes > 0);
        let held_by = kept.map(|inode| people.keepers().of(inode, waits));
        Evidence {
            looked_at,
            located: key.cookie().map(|cookie| (cookie, netns)),
            state: held.map(|held| held.state).or(socket.map(|socket| socket.state)),
            holders,
            inode,
            recv_queue: held.map(|h| h.recv_queue).or(socket.map(|s| s.recv_queue)),
            send_queue,
            progress: held.map(|held| held.progress),
            last_send: socket.and_then(|s| s.ages).map(|ages| ages.last_send),
            last_recv: socket.and_then(|s| s.ages).map(|ages| ages.last_recv),
            last_ack: socket.and_then(|s| s.ages).map(|ages| ages.last_ack),
            port_range,
            timer: socket.map_or(Timer::Unknown, |socket| socket.timer),
            eof_reads: Vec::new(),
            stack: None,
            proof: None,
            opened: None,
            opened_proof: None,
            held_by,
            threads: threads.flatten(),
            listener_holders: people.holders(listener.iter()),
            peer_holders: Some(people.holders(peer.iter())),
            sources: Sources {
                iterator: held.is_some(),
                proc,
                sock_diag: socket.is_some(),
                eof: false,
                sock_diag_asked: asked,
            },
        }
    }
}

/// The bounds of a half-closed socket's age.
///
/// The FIN was acknowledged (or was itself an acknowledgement), so it is no younger than the last
/// one; keepalives acknowledge too, so it may be older, but no older than the last data in the
/// direction that has ended. An orphan has been one for as long as its timer has run.
fn observe(
    netns: NetNs,
    socket: &DiagSocket,
    state: StayState,
    fin_timeout: Option<Duration>,
) -> Observed {
    let bounds = socket.ages.map(|ages| {
        let last_data = match state {
            StayState::CloseWait => ages.last_recv,
            StayState::FinWait2 | StayState::Closed => ages.last_send,
        };
        (ages.last_ack.min(last_data), ages.last_ack.max(last_data))
    });
    let timed = match (socket.timer, fin_timeout) {
        (Timer::TimeWait(left), Some(timeout)) => {
            orphaned_for(timeout, left, socket.is_minisocket())
        }
        _ => Duration::ZERO,
    };
    Observed {
        key: socket.key,
        skaddr: None,
        netns,
        endpoints: socket.endpoints,
        state,
        orphan: state == StayState::FinWait2 && socket.inode == 0,
        minisocket: match socket.timer {
            Timer::TimeWait(left) if socket.is_minisocket() => Some(left),
            _ => None,
        },
        age_min: bounds.map_or(timed, |(min, _)| min),
        age_max: bounds.map(|(_, max)| max),
        seen: None,
        progress: None,
    }
}

/// How long a socket has been an orphan in FIN_WAIT2 whose timer has `left` to run.
///
/// Up to `TCP_TIMEWAIT_LEN` a minisocket waits for all of `tcp_fin_timeout`. Beyond it the full socket
/// waits for the excess first and its minisocket for the excess once more
/// (`net/ipv4/tcp_timer.c: tcp_keepalive_timer`).
fn orphaned_for(fin_timeout: Duration, left: Duration, minisocket: bool) -> Duration {
    const TIMEWAIT_LEN: Duration = Duration::from_secs(60);
    let excess = fin_timeout.saturating_sub(TIMEWAIT_LEN);
    let all = match (excess.is_zero(), minisocket) {
        (true, _) => fin_timeout,
        (false, false) => excess,
        (false, true) => excess * 2,
    };
    all.saturating_sub(left)
}

/// A socket in CLOSE that was connected once and is over (`tcp_done` shuts both directions down):
/// most in that state were only made or bound, and one whose connect was refused has received
/// nothing, not even a first sequence number.
fn outlived(held: &HeldFd) -> Option<StayState> {
    let over = held.state == TcpState::Close && held.shutdown == 3 && held.progress.rcv_nxt != 0;
    (over && held.endpoints.remote.port() != 0).then_some(StayState::Closed)
}

/// A held socket that sock_diag does not show.
fn unaged(held: &HeldFd, state: StayState) -> Observed {
    Observed {
        key: held.key,
        skaddr: Some(held.skaddr),
        netns: held.netns,
        endpoints: held.endpoints,
        state,
        orphan: false,
        minisocket: None,
        age_min: Duration::ZERO,
        age_max: None,
        seen: None,
        progress: Some(held.progress),
    }
}

fn inodes(dumps: &Dumps) -> HashSet<u64> {
    dumps.values().flat_map(values).map(|socket| socket.inode).collect()
}

fn values(dump: &Option<Dump>) -> impl Iterator<Item = &DiagSocket> {
    dump.iter().flat_map(|dump| dump.sockets.values())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds, as measured on 6.18: with 61 an orphan lasts 2 s, with 70 20 s, with 120 two minutes.
    #[test]
    fn a_fin_timeout_beyond_a_minute_is_waited_for_twice_over() {
        let age = |timeout, left, mini| {
            orphaned_for(Duration::from_secs(timeout), Duration::from_secs(left), mini).as_secs()
        };
        assert_eq!(age(60, 50, true), 10);
        assert_eq!((age(61, 1, false), age(61, 1, true), age(61, 0, true)), (0, 1, 2));
        assert_eq!((age(70, 4, false), age(70, 8, true)), (6, 12));
        assert_eq!(age(120, 0, true), 120);
    }
}
