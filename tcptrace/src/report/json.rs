//! JSON lines: every object on a line of its own. The schema is `docs/schema.json`, made from the
//! types here.

use std::io::{self, Write};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::model::alert::Alert;
use crate::model::checkup::Check;
use crate::model::event::Transition;
use crate::model::evidence::{Evidence, Timer};
use crate::model::group::GroupNotice;
use crate::model::process::{Holder, Process};
use crate::model::socket::HalfClosed;
use crate::model::stay::{EndedBy, Stay};
use crate::model::summary::Summary;
use crate::model::time::{Anchor, Instant};
use crate::model::verdict::{Blame, Confidence, EndsByItself, Finding, ends_by_itself};

/// What every line says of where and when it was written.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The host's name.
    pub host: &'a str,
    /// Its boot id.
    pub boot_id: &'a str,
    /// Ties the monotonic clock to the wall clock.
    pub anchor: Anchor,
}

/// One line.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Line<'a> {
    /// Version of this format.
    v: u8,
    /// RFC 3339, UTC, nanoseconds.
    at: Wall,
    host: &'a str,
    boot_id: &'a str,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "lowercase")]
enum Body<'a> {
    Alert(AlertLine<'a>),
    Group(GroupLine<'a>),
    Socket(SocketLine<'a>),
    Transition(TransitionLine),
    Summary(SummaryLine),
    Check(CheckLine<'a>),
}

/// A moment of wall-clock time.
#[derive(Clone, Copy)]
struct Wall(Timestamp);

impl Serialize for Wall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.9}", self.0))
    }
}

/// A number that may pass 2^53, as a string.
#[derive(Clone, Copy)]
struct Big(u64);

impl Serialize for Big {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Anything that is shown as it displays itself.
struct Shown<T>(T);

impl<T: core::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct AlertLine<'a> {
    /// `firing` or `resolved`.
    status: &'static str,
    threshold_ms: u64,
    /// What ended it, when resolved.
    ended_by: Option<&'static str>,
    #[serde(flatten)]
    socket: SocketLine<'a>,
}

/// One half-closed socket.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SocketLine<'a> {
    /// The same for the same stay, also after a restart.
    id: &'a str,
    /// The group it belongs to.
    group: &'a str,
    /// `CLOSE_WAIT` or `FIN_WAIT2`.
    state: &'static str,
    verdict: &'static str,
    /// `high` or `low`.
    confidence: &'static str,
    age_ms: u64,
    /// `exact` or `at_least`.
    age_is: &'static str,
    /// The longest it can have been; null: not bounded.
    age_max_ms: Option<u64>,
    local: Shown<std::net::SocketAddr>,
    remote: Shown<std::net::SocketAddr>,
    netns: u32,
    cookie: Option<Big>,
    inode: Option<u64>,
    /// Null: they cannot be seen; empty: seen, and there is none.
    holders: Option<Vec<HolderLine<'a>>>,
    blame: Option<BlameLine<'a>>,
    peer_holders: Option<Vec<HolderLine<'a>>>,
    /// Null: never, or not known.
    ends_by_itself: Option<EndsLine>,
    evidence: EvidenceLine,
    remedy: &'static str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct HolderLine<'a> {
    pid: u32,
    pid_in_ns: Option<u32>,
    start: Option<Wall>,
    comm: &'a str,
    exe: Option<&'a str>,
    cmdline: Option<&'a [String]>,
    uid: Option<u32>,
    fds: &'a [u32],
    unit: Option<&'a str>,
    container: Option<&'a str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct BlameLine<'a> {
    pid: u32,
    comm: &'a str,
    why: &'static str,
    /// Pids of others that it might as well be.
    candidates: &'a [u32],
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct EndsLine {
    /// `keepalive`, `retransmission` or `fin_timeout`.
    by: &'static str,
    in_ms: Option<u64>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct EvidenceLine {
    recv_queue: Option<u32>,
    send_queue: Option<u32>,
    eof_read_by: Option<u32>,
    eof_read_at: Option<Wall>,
    eof_peeked_by: Option<u32>,
    held_by: Option<&'static str>,
    /// Whether the keepalive timer runs.
    keepalive: Option<bool>,
    last_send_ms: Option<u64>,
    thread_state: Option<&'static str>,
    stack: Option<Vec<&'static str>>,
    stack_complete: Option<bool>,
    /// When resolved: whether our side sent a reset rather than a FIN.
    reset_sent: Option<bool>,
    /// `iterator`, `proc`, `sock_diag`.
    sources: Vec<&'static str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct GroupLine<'a> {
    group: &'a str,
    /// `firing`, `growing`, `shrinking` or `resolved`.
    status: &'static str,
    key: KeyLine<'a>,
    members: usize,
    oldest_ms: u64,
    growth_per_min: Option<f64>,
    /// Alert ids.
    examples: Vec<&'a str>,
    blame: Option<BlameLine<'a>>,
    forecast: Option<&'static str>,
    remedy: &'static str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct KeyLine<'a> {
    process: Option<ProcessKeyLine<'a>>,
    verdict: &'static str,
    code_path: Option<&'static str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ProcessKeyLine<'a> {
    pid: u32,
    start: Option<Wall>,
    comm: &'a str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct TransitionLine {
    old: &'static str,
    new: &'static str,
    local: Shown<std::net::SocketAddr>,
    remote: Shown<std::net::SocketAddr>,
    netns: u32,
    cookie: Option<Big>,
    skaddr: Big,
    on_cpu_pid: u32,
    on_cpu_comm: String,
    in_state_ms: Option<u64>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SummaryLine {
    elapsed_ms: u64,
    transitions: u64,
    lost: LostLine,
    repaired: u64,
    stays: StaysLine,
    alerts: u64,
    groups: u64,
    sockets_tracked: usize,
    /// Sockets not taken into the full table.
    overflow: u64,
    /// Records that could not be understood.
    undecodable: u64,
    /// Lines left out because the reader was too slow.
    unwritten: u64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CheckLine<'a> {
    name: &'a str,
    /// `good`, `limited` or `missing`.
    status: &'static str,
    found: &'a str,
    gives: &'a str,
    advice: Option<&'a str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct LostLine {
    ring: u64,
    recursion: u64,
    gaps: u64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
struct StaysLine {
    close_wait: u64,
    #[serde(rename = "FIN_WAIT2")]
    fin_wait2: u64,
}

#[cfg(test)]
mod shown_as_strings {
    use schemars::{JsonSchema, Schema, SchemaGenerator};
    use std::borrow::Cow;

    macro_rules! string {
        ($($name:ty),*) => {$(
            impl JsonSchema for $name {
                fn inline_schema() -> bool { true }
                fn schema_name() -> Cow<'static, str> { "string".into() }
                fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                    String::json_schema(generator)
                }
            }
        )*};
    }
    string!(super::Wall, super::Big, super::Shown<std::net::SocketAddr>);
}

fn millis(duration: core::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn line(out: &mut impl Write, context: Context<'_>, at: Instant, body: Body<'_>) -> io::Result<()> {
    let at = Wall(context.anchor.wall_at(at));
    let line = Line { v: 1, at, host: context.host, boot_id: context.boot_id, body };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// Writes an `alert`.
///
/// # Errors
/// Those of `out`.
pub fn alert(out: &mut impl Write, context: Context<'_>, alert: &Alert) -> io::Result<()> {
    let Alert { id, group, stay, evidence, finding, at, .. } = alert;
    let mut socket = socket_line((id, group), stay, evidence, finding, *at);
    if alert.ended_by.is_some() {
        socket.ends_by_itself = None;
    }
    socket.evidence.reset_sent = alert.reset_sent;
    let body = AlertLine {
        status: if alert.ended_by.is_some() { "resolved" } else { "firing" },
        threshold_ms: millis(alert.threshold),
        ended_by: alert.ended_by.map(EndedBy::name),
        socket,
    };
    line(out, context, alert.at, Body::Alert(body))
}

/// Writes a `socket` of `ls` with its alert's and group's ids, seen at `now`.
///
/// # Errors
/// Those of `out`.
pub fn socket(
    out: &mut impl Write,
    context: Context<'_>,
    (id, group): (&str, &str),
    stay: &Stay,
    evidence: &Evidence,
    finding: &Finding,
    now: Instant,
) -> io::Result<()> {
    let body = socket_line((id, group), stay, evidence, finding, now);
    line(out, context, now, Body::Socket(body))
}

/// Writes a `group`.
///
/// # Errors
/// Those of `out`.
pub fn group(out: &mut impl Write, context: Context<'_>, notice: &GroupNotice) -> io::Result<()> {
    let process = notice.blame.as_ref().map(|blame| &*blame.process);
    let body = GroupLine {
        group: &notice.id,
        status: notice.status.name(),
        key: KeyLine {
            process: process.map(|process| ProcessKeyLine {
                pid: process.pid,
                start: process.start.map(Wall),
                comm: &process.comm,
            }),
            verdict: notice.verdict.name(),
            code_path: None,
        },
        members: notice.members,
        oldest_ms: millis(notice.oldest),
        growth_per_min: notice.growth_per_min,
        examples: notice.examples.iter().map(|id| &**id).collect(),
        blame: notice.blame.as_ref().map(blame_line),
        forecast: None,
        remedy: notice.verdict.remedy(),
    };
    line(out, context, notice.at, Body::Group(body))
}

/// Writes a `transition`.
///
/// # Errors
/// Those of `out`.
pub fn transition(
    out: &mut impl Write,
    context: Context<'_>,
    event: &Transition,
    in_state: Option<core::time::Duration>,
) -> io::Result<()> {
    let body = TransitionLine {
        old: event.old.name(),
        new: event.new.name(),
        local: Shown(event.endpoints.local),
        remote: Shown(event.endpoints.remote),
        netns: event.netns.0,
        cookie: event.key.cookie().map(Big),
        skaddr: Big(event.skaddr),
        on_cpu_pid: event.on_cpu.pid,
        on_cpu_comm: String::from_utf8_lossy(event.on_cpu.comm()).into_owned(),
        in_state_ms: in_state.map(millis),
    };
    line(out, context, event.at, Body::Transition(body))
}

/// Writes the `summary`, made at `now`.
///
/// # Errors
/// Those of `out`.
pub fn summary(
    out: &mut impl Write,
    context: Context<'_>,
    summary: &Summary,
    now: Instant,
) -> io::Result<()> {
    let counts = summary.counts;
    let body = SummaryLine {
        elapsed_ms: millis(summary.elapsed),
        transitions: counts.transitions,
        lost: LostLine {
            ring: summary.lost.ring,
            recursion: summary.lost.recursion,
            gaps: counts.gaps,
        },
        repaired: counts.repaired,
        stays: StaysLine {
            close_wait: counts.stays[HalfClosed::CloseWait.index()],
            fin_wait2: counts.stays[HalfClosed::FinWait2.index()],
        },
        alerts: summary.alerts,
        groups: summary.groups,
        sockets_tracked: summary.tracked,
        overflow: counts.overflow,
        undecodable: summary.undecodable,
        unwritten: summary.unwritten,
    };
    line(out, context, now, Body::Summary(body))
}

/// Writes a `check` of `doctor`, made at `now`.
///
/// # Errors
/// Those of `out`.
pub fn check(
    out: &mut impl Write,
    context: Context<'_>,
    check: &Check,
    now: Instant,
) -> io::Result<()> {
    let body = CheckLine {
        name: check.name,
        status: check.status.name(),
        found: &check.found,
        gives: check.gives,
        advice: check.advice.as_deref(),
    };
    line(out, context, now, Body::Check(body))
}

fn socket_line<'a>(
    (id, group): (&'a str, &'a str),
    stay: &Stay,
    evidence: &'a Evidence,
    finding: &'a Finding,
    now: Instant,
) -> SocketLine<'a> {
    // An age without a bound is one that begins with the clock.
    let bounded = stay.since_earliest != Instant::default();
    SocketLine {
        id,
        group,
        state: stay.state.state().name(),
        verdict: finding.verdict.name(),
        confidence: match finding.confidence {
            Confidence::High => "high",
            Confidence::Low => "low",
        },
        age_ms: millis(stay.age(now)),
        age_is: if stay.exact { "exact" } else { "at_least" },
        age_max_ms: bounded.then(|| millis(stay.age_max(now))),
        local: Shown(stay.endpoints.local),
        remote: Shown(stay.endpoints.remote),
        netns: stay.netns.0,
        cookie: stay.key.cookie().map(Big),
        inode: evidence.inode.filter(|&inode| inode != 0),
        holders: evidence.holders.as_deref().map(holder_lines),
        blame: finding.blame.as_ref().map(blame_line),
        peer_holders: evidence.peer_holders.as_deref().map(holder_lines),
        ends_by_itself: match ends_by_itself(evidence) {
            EndsByItself::By { by, within } => Some(EndsLine { by, in_ms: within.map(millis) }),
            EndsByItself::Never | EndsByItself::Unknown => None,
        },
        evidence: evidence_line(evidence),
        remedy: finding.verdict.remedy(),
    }
}

fn evidence_line(evidence: &Evidence) -> EvidenceLine {
    let sources = [
        ("iterator", evidence.sources.iterator),
        ("proc", evidence.sources.proc),
        ("sock_diag", evidence.sources.sock_diag),
    ];
    EvidenceLine {
        recv_queue: evidence.recv_queue,
        send_queue: evidence.send_queue,
        eof_read_by: None,
        eof_read_at: None,
        eof_peeked_by: None,
        held_by: None,
        keepalive: match evidence.timer {
            Timer::Unknown => None,
            timer => Some(matches!(timer, Timer::Keepalive(_))),
        },
        last_send_ms: evidence.last_send.map(millis),
        thread_state: None,
        stack: None,
        stack_complete: None,
        reset_sent: None,
        sources: sources.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect(),
    }
}

fn holder_lines(holders: &[Holder]) -> Vec<HolderLine<'_>> {
    holders.iter().map(|holder| holder_line(&holder.process, &holder.fds)).collect()
}

fn holder_line<'a>(process: &'a Process, fds: &'a [u32]) -> HolderLine<'a> {
    HolderLine {
        pid: process.pid,
        pid_in_ns: process.pid_in_ns,
        start: process.start.map(Wall),
        comm: &process.comm,
        exe: process.exe.as_deref(),
        cmdline: process.cmdline.as_deref(),
        uid: process.uid,
        fds,
        unit: process.unit.as_deref(),
        container: process.container.as_deref(),
    }
}

fn blame_line(blame: &Blame) -> BlameLine<'_> {
    BlameLine {
        pid: blame.process.pid,
        comm: &blame.process.comm,
        why: blame.why,
        candidates: &blame.candidates,
    }
}

#[cfg(test)]
mod tests;
