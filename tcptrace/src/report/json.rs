//! JSON lines: every object on a line of its own. The schema is `docs/schema.json`, made from the
//! types in [`lines`].

mod delivery;
mod lines;
mod monitor;
mod profile;
mod release;
mod stay;

use std::io::{self, Write};

pub use delivery::delivered;
use lines::{
    AlertLine, Big, BlameLine, Body, CheckLine, ConditionLine, EndsLine, EvidenceLine,
    ForecastLine, GroupLine, HolderLine, KeyLine, Line, LostLine, OpenedLine, OpenedProofLine,
    ProcessKeyLine, ProofLine, SettingLine, Shown, SocketLine, StaysLine, SummaryLine,
    TransitionLine, Wall,
};
pub use monitor::{monitor, monitor_failed};
pub use profile::{difference, profile};
pub use release::{Run, RunStatus, release, release_run};
pub use stay::stay;

use crate::cli::config::settings::Setting;
use crate::model::alert::Alert;
use crate::model::checkup::Check;
use crate::model::code::{Did, Stack};
use crate::model::condition::{ConditionNotice, Scope};
use crate::model::event::Transition;
use crate::model::evidence::{Evidence, HeldBy, ThreadState, Timer};
use crate::model::group::GroupNotice;
use crate::model::process::{Holder, Process};
use crate::model::reads::first_read;
use crate::model::socket::StayState;
use crate::model::stay::{EndedBy, Stay};
use crate::model::summary::Summary;
use crate::model::time::{Anchor, Instant};
use crate::model::verdict::{Blame, EndsByItself, Finding, ends_by_itself};

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
    let mut socket = socket_line((id, group), stay, evidence, finding, (*at, context.anchor));
    if !alert.is_firing() {
        socket.ends_by_itself = None;
    }
    socket.evidence.reset_sent = alert.reset_sent;
    let body = AlertLine {
        status: if alert.is_firing() { "firing" } else { "resolved" },
        severity: alert.urgency.severity.name(),
        rule: alert.urgency.rule.as_deref(),
        threshold_ms: millis(alert.threshold),
        ended_by: alert.ended_by.map(EndedBy::name),
        withdrawn: alert.withdrawn,
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
    let body = socket_line((id, group), stay, evidence, finding, (now, context.anchor));
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
        severity: notice.urgency.severity.name(),
        rule: notice.urgency.rule.as_deref(),
        key: KeyLine {
            process: process.map(process_key),
            verdict: notice.verdict.name(),
            code_path: notice.code.as_ref().map(|code| &*code.line),
            code_did: notice.code.as_ref().map(|code| code.did.name()),
        },
        state: notice.state.state().name(),
        confidence: notice.confidence.name(),
        unit: process.and_then(|process| process.unit.as_deref()),
        members: notice.members,
        oldest_ms: millis(notice.oldest),
        growth_per_min: notice.growth_per_min,
        examples: notice.examples.iter().map(|id| &**id).collect(),
        blame: notice.blame.as_ref().map(blame_line),
        forecast: notice.forecast.map(|forecast| ForecastLine {
            of: forecast.of.name(),
            used: forecast.used,
            limit: forecast.limit,
            full_in_ms: millis(forecast.full_in),
        }),
        remedy: notice.verdict.remedy(),
    };
    line(out, context, notice.at, Body::Group(body))
}

/// Writes a `condition`.
///
/// # Errors
/// Those of `out`.
pub fn condition(
    out: &mut impl Write,
    context: Context<'_>,
    notice: &ConditionNotice,
) -> io::Result<()> {
    let (value, limit) = notice.measure.figures();
    let (unit, process) = match &notice.scope {
        Scope::Host => (None, None),
        Scope::Unit(unit) => (Some(&**unit), None),
        Scope::Process(process) => (process.unit.as_deref(), Some(process_key(process))),
    };
    let body = ConditionLine {
        condition: &notice.id,
        status: if notice.firing { "firing" } else { "resolved" },
        severity: notice.severity.name(),
        rule: &notice.rule,
        measure: notice.measure.name(),
        value,
        limit,
        lasted_ms: millis(notice.at.since(notice.since)),
        per: notice.scope.name(),
        unit,
        process,
    };
    line(out, context, notice.at, Body::Condition(body))
}

fn process_key(process: &Process) -> ProcessKeyLine<'_> {
    ProcessKeyLine { pid: process.pid, start: process.start.map(Wall), comm: &process.comm }
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
        netns: event.netns.map(|netns| netns.0),
        cookie: event.key.cookie().map(Big),
        skaddr: event.skaddr.map(Big),
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
            deeds: summary.lost.deeds,
        },
        repaired: counts.repaired,
        stays: StaysLine {
            close_wait: counts.stays[StayState::CloseWait.index()],
            fin_wait2: counts.stays[StayState::FinWait2.index()],
            close: counts.stays[StayState::Closed.index()],
        },
        alerts: summary.alerts,
        groups: summary.groups,
        sockets_tracked: summary.tracked,
        overflow: counts.overflow,
        undecodable: summary.undecodable,
        unwritten: summary.unwritten,
        sinks: summary.sinks.iter().map(delivery::sink).collect(),
    };
    line(out, context, now, Body::Summary(body))
}

/// Writes a `setting` of `config show`.
///
/// # Errors
/// Those of `out`.
pub fn setting(out: &mut impl Write, context: Context<'_>, setting: &Setting) -> io::Result<()> {
    let Setting { key, value, origin } = setting;
    let body = SettingLine { key, value, origin: origin.name() };
    line(out, context, context.anchor.monotonic, Body::Setting(body))
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
    (now, anchor): (Instant, Anchor),
) -> SocketLine<'a> {
    // An age without a bound is one that begins with the clock.
    let bounded = stay.since_earliest != Instant::default();
    SocketLine {
        id,
        group,
        state: stay.state.state().name(),
        verdict: finding.verdict.name(),
        confidence: finding.confidence.name(),
        age_ms: millis(stay.age(now)),
        age_is: if stay.exact { "exact" } else { "at_least" },
        age_max_ms: bounded.then(|| millis(stay.age_max(now))),
        local: Shown(stay.endpoints.local),
        remote: Shown(stay.endpoints.remote),
        netns: stay.netns.map(|netns| netns.0),
        cookie: stay.cookie.map(Big),
        inode: evidence.inode.filter(|&inode| inode != 0),
        holders: evidence.holders.as_deref().map(holder_lines),
        blame: finding.blame.as_ref().map(blame_line),
        peer_holders: evidence.peer_holders.as_deref().map(holder_lines),
        ends_by_itself: match ends_by_itself(evidence) {
            EndsByItself::By { by, within } => Some(EndsLine { by, in_ms: within.map(millis) }),
            EndsByItself::Never | EndsByItself::Unknown => None,
        },
        evidence: evidence_line(stay, evidence, anchor),
        remedy: finding.verdict.remedy(),
    }
}

fn evidence_line(stay: &Stay, evidence: &Evidence, anchor: Anchor) -> EvidenceLine {
    let sources = [
        ("iterator", evidence.sources.iterator),
        ("proc", evidence.sources.proc),
        ("sock_diag", evidence.sources.sock_diag),
        ("sock_recv_length", evidence.sources.eof),
    ];
    let read = first_read(&evidence.eof_reads);
    let peeked = evidence.eof_reads.iter().find(|read| read.peeked);
    let stack = evidence.stack.as_ref();
    EvidenceLine {
        recv_queue: evidence.recv_queue,
        send_queue: evidence.send_queue,
        eof_read_by: read.map(|read| read.by.pid),
        eof_read_at: read.map(|read| Wall(anchor.wall_at(read.at))),
        eof_peeked_by: peeked.map(|read| read.by.pid),
        held_by: evidence.held_by.map(HeldBy::name),
        keepalive: match evidence.timer {
            Timer::Unknown => None,
            timer => Some(matches!(timer, Timer::Keepalive(_))),
        },
        last_send_ms: evidence.last_send.map(millis),
        thread_state: evidence.threads.map(ThreadState::name),
        stack: stack.map(|stack| stack_lines(stack)),
        stack_of: stack.map(|_| if read.is_some() { Did::Read } else { Did::ShutDown }.name()),
        stack_complete: stack.map(|stack| stack.complete),
        stack_caveat: evidence.stack_caveat(),
        proof: evidence.proof.map(|proof| ProofLine {
            since: Wall(anchor.wall_at(proof.since)),
            read: proof.all,
            closed: proof.closed,
        }),
        opened: evidence.opened.as_ref().map(|stack| OpenedLine {
            by: if stay.accepted { Did::Accept } else { Did::Connect }.name(),
            stack: stack_lines(stack),
            stack_complete: stack.complete,
            proof: evidence.opened_proof.map(|proof| OpenedProofLine {
                since: Wall(anchor.wall_at(proof.since)),
                opened: proof.all,
                closed: proof.closed,
            }),
        }),
        reset_sent: None,
        sources: sources.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect(),
    }
}

fn stack_lines(stack: &Stack) -> Vec<String> {
    stack.frames.iter().map(ToString::to_string).collect()
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
        pod: process.pod.as_deref(),
        fds_open: process.descriptors.map(|descriptors| descriptors.open),
        fds_limit: process.descriptors.map(|descriptors| descriptors.limit),
    }
}

fn blame_line(blame: &Blame) -> BlameLine<'_> {
    BlameLine {
        pid: blame.process.pid,
        comm: &blame.process.comm,
        why: &blame.why,
        candidates: &blame.candidates,
    }
}

#[cfg(test)]
mod tests;
