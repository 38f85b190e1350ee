//! What the kernel shows of all sockets at one moment: at the start, and when something was lost.

use core::time::Duration;
use std::collections::HashSet;

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::event::Progress;
use super::socket::{Endpoints, NetNs, SocketKey, StayState};

/// All sockets in a state that they are not meant to stay in, and which of the rest there are.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// The former.
    pub half_closed: Vec<Observed>,
    /// Every other socket with a connection. `None`: not asked for.
    pub others: Option<FxHashSet<SocketKey>>,
    /// Namespaces whose sockets are all here.
    pub asked: HashSet<NetNs>,
    /// Whether all descriptors were looked at, which alone shows sockets whose TCP is over.
    pub iterated: bool,
    /// How many namespaces could not be entered.
    pub closed: usize,
}

/// A socket as a snapshot shows it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Observed {
    /// The socket.
    pub key: SocketKey,
    /// The address of its `struct sock`, if the source tells.
    pub skaddr: Option<u64>,
    /// Its network namespace.
    pub netns: NetNs,
    /// Both ends.
    pub endpoints: Endpoints,
    /// The state it is in.
    pub state: StayState,
    /// FIN_WAIT2 without a program's socket.
    pub orphan: bool,
    /// Only a timed stand-in is left of it, which makes no transitions. The time it has left.
    pub minisocket: Option<Duration>,
    /// It has been in this state at least so long.
    pub age_min: Duration,
    /// And at most so long; `None`: no bound but boot.
    pub age_max: Option<Duration>,
    /// How far both directions had come.
    pub progress: Option<Progress>,
}
