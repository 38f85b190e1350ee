//! The past: what is kept of it as it happens, and what comes back from a journal a week later.

mod histogram;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::histogram::{Bounds, Histogram};
use super::alert::Alert;
use super::code::Stack;
use super::condition::ConditionNotice;
use super::event::Lost;
use super::evidence::{Evidence, HeldBy, ThreadState};
use super::forecast::Forecast;
use super::group::{GroupNotice, GroupStatus};
use super::process::Process;
use super::socket::{NetNs, StayState, TcpState};
use super::stay::{Ended, EndedBy, Stay};
use super::time::Instant;
use super::tracker::Thresholds;
use super::verdict::{Confidence, Finding, Verdict};

/// One thing to be kept, in the order in which it happened.
#[derive(Debug)]
pub enum Entry {
    /// A stay has lasted for the recording threshold, or more is known of it now.
    Stay(Box<Known>),
    /// A stay that was kept is over.
    Ended(Box<Ended>),
    /// Somebody was told of a stay, or that it is over.
    Alert(Arc<Alert>),
    /// Somebody was told of a group.
    Group(Box<GroupNotice>),
    /// Somebody was told of a condition.
    Condition(Box<ConditionNotice>),
    /// All of one interval, summed up.
    Interval(Box<Interval>),
}

/// A stay that goes on, and what is known of it.
#[derive(Clone, Debug)]
pub struct Known {
    /// The id that an alert on it has or would have.
    pub id: Arc<str>,
    /// The stay.
    pub stay: Stay,
    /// When it was looked at.
    pub at: Instant,
    /// What that showed.
    pub evidence: Arc<Evidence>,
    /// What follows from it.
    pub finding: Arc<Finding>,
}

/// What happened between two moments, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// When it began.
    pub from: Instant,
    /// When it ended.
    pub to: Instant,
    /// Transitions, by the state left and the state entered.
    pub transitions: BTreeMap<(TcpState, TcpState), u64>,
    /// Stays that ended in it and were too short to be kept.
    pub short: BTreeMap<ShortStays, Histogram>,
    /// Sockets in a half-closed state at its end, by [`StayState::index`].
    pub half_closed: [u64; StayState::COUNT],
    /// Everything that was lost in it.
    pub lost: Lost,
    /// Transitions in it that did not leave the state we knew.
    pub gaps: u64,
    /// Sockets in it that were found elsewhere than we knew.
    pub repaired: u64,
}

/// What short stays are counted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortStays {
    /// The state.
    pub state: StayState,
    /// The name of the process that read the end of file, where that was seen.
    pub comm: Option<Arc<str>>,
    /// `eof_read` where the end of file was read; nobody has looked at the others.
    pub verdict: Option<Verdict>,
}

/// A stay as a journal gives it back. What many stays have in common is shared.
#[derive(Clone, Debug, PartialEq)]
pub struct PastStay {
    /// The machine.
    pub host: Arc<str>,
    /// Its boot.
    pub boot_id: Arc<str>,
    /// The id that an alert on it has or would have.
    pub id: Box<str>,
    /// Which state.
    pub state: StayState,
    /// FIN_WAIT2 that the program had closed.
    pub orphan: bool,
    /// Why, as it was known last.
    pub verdict: Verdict,
    /// How sure that was.
    pub confidence: Confidence,
    /// Both ends.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// Its network namespace, if it was known.
    pub netns: Option<NetNs>,
    /// The socket's cookie, if it was known.
    pub cookie: Option<u64>,
    /// The process that was blamed, else the one that held it.
    pub process: Option<Arc<Process>>,
    /// When it began, by the wall clock of that moment.
    pub began: Timestamp,
    /// How long it lasted, by the monotonic clock: until its end, or the recorder's last sign of life.
    pub lasted: Duration,
    /// Whether its beginning was seen; else it lasted for longer.
    pub exact: bool,
    /// How it ended.
    pub end: PastEnd,
    /// The code path that led to it, in a line.
    pub code: Option<Arc<str>>,
    /// The code that read the end of file or shut down.
    pub stack: Option<Arc<Stack>>,
    /// The code that opened the connection.
    pub opened: Option<Arc<Stack>>,
    /// What the threads of the process were doing.
    pub threads: Option<ThreadState>,
    /// What kept it where no process did.
    pub held_by: Option<HeldBy>,
    /// When the end of file was read first, by the wall clock.
    pub eof_read_at: Option<Timestamp>,
    /// Bytes that waited to be read.
    pub recv_queue: Option<u32>,
    /// Bytes that waited to be acknowledged.
    pub send_queue: Option<u32>,
    /// What became of the sockets on the same code path: how many were read to their end, and how many
    /// of these were closed.
    pub path: Option<(u64, u64)>,
    /// Whether somebody was told of it.
    pub alerted: bool,
}

/// How a stay that was kept ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastEnd {
    /// So.
    By(EndedBy),
    /// It went on when the recorder ended, or when the journal was read.
    Open,
    /// The recorder died while it went on: it lasted at least until its last sign of life.
    CutOff,
}

/// Somebody was told of a stay, or that it is over.
#[derive(Clone, Debug, PartialEq)]
pub struct PastAlert {
    /// The machine.
    pub host: Arc<str>,
    /// Its boot.
    pub boot_id: Arc<str>,
    /// The stay's id.
    pub id: Box<str>,
    /// The group it belonged to.
    pub group: Arc<str>,
    /// When, by the wall clock.
    pub at: Timestamp,
    /// How long the stay might last.
    pub threshold: Duration,
    /// Which state.
    pub state: StayState,
    /// Why, as it was told.
    pub verdict: Verdict,
    /// Both ends.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// The process that was blamed, else the one that held it.
    pub process: Option<Arc<Process>>,
    /// What ended the stay; `None`: it was firing.
    pub ended_by: Option<EndedBy>,
}

/// Somebody was told of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct PastGroup {
    /// The machine.
    pub host: Arc<str>,
    /// Its boot.
    pub boot_id: Arc<str>,
    /// The group's id.
    pub id: Arc<str>,
    /// When, by the wall clock.
    pub at: Timestamp,
    /// How it stood against the time before.
    pub status: GroupStatus,
    /// The state its members were in.
    pub state: StayState,
    /// Why they were stuck.
    pub verdict: Verdict,
    /// The process blamed for all of them.
    pub process: Option<Arc<Process>>,
    /// Their code path, in a line.
    pub code: Option<Arc<str>>,
    /// How many there were.
    pub members: u64,
    /// How many there were at most.
    pub peak: u64,
    /// Age of the oldest one.
    pub oldest: Duration,
    /// Net growth a minute.
    pub growth_per_min: Option<f64>,
    /// When what it used up would have been.
    pub forecast: Option<Forecast>,
}

/// An interval, with what it was on the wall clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastInterval {
    /// The machine.
    pub host: Arc<str>,
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
    /// What happened in it.
    pub of: Interval,
}

/// One run of a recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastRun {
    /// The machine.
    pub host: Arc<str>,
    /// Its boot.
    pub boot_id: Arc<str>,
    /// The version of tcptrace.
    pub version: Box<str>,
    /// The probes that were on.
    pub probes: Vec<String>,
    /// How long a stay might last before somebody was told.
    pub thresholds: Thresholds,
    /// How long a stay had to last to be kept.
    pub recording: Duration,
    /// When it began.
    pub began: Timestamp,
    /// Its last sign of life.
    pub alive: Timestamp,
    /// How it ended.
    pub end: RunEnd,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// In order.
    InOrder,
    /// It goes on.
    Running,
    /// It was killed, or the machine went down.
    Died,
}

/// A stay that goes on, or went on when the recorder died: what another run of the same boot takes
/// over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenStay {
    /// The socket's cookie.
    pub cookie: u64,
    /// The state.
    pub state: StayState,
    /// FIN_WAIT2 that the program had closed.
    pub orphan: bool,
    /// When it entered the state, or the latest moment at which it can have.
    pub since: Instant,
    /// The earliest moment at which it can have.
    pub since_earliest: Instant,
    /// Whether its beginning was seen.
    pub exact: bool,
}

/// A span of time of which a journal does not know everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The machine.
    pub host: Arc<str>,
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
    /// Why.
    pub why: GapKind,
}

/// Why a journal does not know everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GapKind {
    /// Nothing was recorded between two runs.
    NotRunning,
    /// So many transitions were lost.
    Lost(u64),
    /// So many entries were left out, because the disk was too slow or full.
    LeftOut(u64),
    /// A file of the journal cannot be read; with the reason.
    Unreadable(Box<str>),
}
