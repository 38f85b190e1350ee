//! Text for people.

mod condition;
pub(super) mod words;

use core::fmt::{self, Display};
use core::time::Duration;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
pub use condition::condition;
use jiff::tz::TimeZone;
pub use words::Age;
pub(super) use words::Count;
use words::{Ended, Ends, Growth, Holders, Peers, culprit, ended_words};

use super::escape::Escaped;
use crate::model::alert::Alert;
use crate::model::checkup::{Check, CheckStatus};
use crate::model::code::{CodePath, Did};
use crate::model::event::Transition;
use crate::model::evidence::{Evidence, ThreadState};
use crate::model::forecast::{Forecast, Resource};
use crate::model::group::{GroupNotice, GroupStatus, nobody_looked};
use crate::model::proof::Proof;
use crate::model::rules::Urgency;
use crate::model::stay::Stay;
use crate::model::summary::Summary;
use crate::model::time::{Anchor, Instant};
use crate::model::verdict::{Blame, Confidence, Finding, Verdict};

/// How text is to look, and how to tell the time.
#[derive(Clone)]
pub struct Look {
    /// Whether to colour.
    pub color: bool,
    /// The zone in which times are shown.
    pub zone: TimeZone,
    /// Ties the monotonic clock to the wall clock.
    pub anchor: Anchor,
}

impl Look {
    fn paint<T: Display>(&self, style: Style, text: T) -> Painted<T> {
        Painted { style: self.color.then_some(style), text }
    }

    fn time(&self, at: Instant) -> impl Display {
        self.anchor.wall_at(at).to_zoned(self.zone.clone()).strftime("%H:%M:%S")
    }

    fn precise_time(&self, at: Instant) -> impl Display {
        self.anchor.wall_at(at).to_zoned(self.zone.clone()).strftime("%H:%M:%S.%6f")
    }
}

struct Painted<T> {
    style: Option<Style>,
    text: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.style {
            Some(style) => write!(f, "{style}{}{style:#}", self.text),
            None => self.text.fmt(f),
        }
    }
}

const STUCK: Style = AnsiColor::Red.on_default().bold();
const FREED: Style = AnsiColor::Green.on_default().bold();
const LABEL: Style = AnsiColor::Cyan.on_default();

/// Tells of a group.
///
/// # Errors
/// Those of `out`.
pub fn group(out: &mut impl Write, look: &Look, notice: &GroupNotice) -> io::Result<()> {
    let time = look.time(notice.at);
    let who = culprit(notice.blame.as_ref(), notice.verdict);
    if notice.status == GroupStatus::Resolved && notice.ended.is_empty() && notice.withdrawn > 0 {
        // They are told of in another group by now.
        return Ok(());
    }
    if notice.status == GroupStatus::Resolved {
        let word = look.paint(FREED, "FREED");
        let count = Count(notice.peak);
        let ended = Ended(&notice.ended);
        return match notice.peak {
            1 => writeln!(out, "{time}  {word}  {who}: it is closed{ended}"),
            _ => writeln!(out, "{time}  {word}  {who}: all {count} closed{ended}"),
        };
    }
    let word = look.paint(STUCK, "STUCK");
    let (count, oldest) = (Count(notice.members), Age(notice.oldest));
    let least = if notice.exact { "" } else { "at least " };
    let growth = Growth(notice.growth_per_min);
    let noun = if notice.members == 1 { "connection" } else { "connections" };
    let verb = match (notice.status, &notice.blame) {
        (GroupStatus::Growing, Some(_)) => " now has",
        (GroupStatus::Shrinking, Some(_)) => " still has",
        (_, Some(_)) => " has left",
        (GroupStatus::Growing, None) => ": there are now",
        (GroupStatus::Shrinking, None) => ": there are still",
        (_, None) => ": there are",
    };
    let state = notice.state;
    writeln!(
        out,
        "{time}  {word}  {who}{verb} {count} {noun} in {state}, oldest {least}{oldest}{growth}"
    )?;
    if notice.status != GroupStatus::Firing {
        return limit(out, look, notice);
    }
    reason(out, look, notice.verdict, notice.confidence, notice.blame.as_ref())?;
    code(out, look, (notice.code.as_ref(), notice.verdict), notice.proof, notice.caveat)?;
    threads(out, look, notice.threads)?;
    if !notice.peers.is_empty() {
        detail(out, look, "peers", Peers(&notice.peers))?;
    }
    limit(out, look, notice)?;
    rule(out, look, &notice.urgency)?;
    remedy(out, look, notice.verdict)
}

/// The code to look at.
fn code(
    out: &mut impl Write,
    look: &Look,
    (code, verdict): (Option<&CodePath>, Verdict),
    proof: Option<Proof>,
    caveat: Option<&str>,
) -> io::Result<()> {
    let Some(CodePath { did, line }) = code else {
        return match caveat {
            Some(caveat) => detail(out, look, "code", format_args!("not known: {caveat}")),
            None => Ok(()),
        };
    };
    let by = match did {
        // As the reason says.
        Did::Read => "",
        Did::ShutDown if verdict == Verdict::Orphan => "closed by ",
        Did::ShutDown => "shut down by ",
        Did::Connect => "opened by ",
        Did::Accept => "accepted by ",
    };
    let path = Escaped(line);
    match proof {
        // Of a single one there is nothing to compare.
        Some(Proof { all: all @ 2.., closed, .. }) => {
            let (closed, all) = (Count(closed), Count(all));
            let text = format_args!("{by}{path}  closed {closed} of {all} from this path");
            detail(out, look, "code", text)?;
        }
        _ => detail(out, look, "code", format_args!("{by}{path}"))?,
    }
    caveat.map_or(Ok(()), |caveat| detail(out, look, "", caveat))
}

/// What the process does instead.
fn threads(out: &mut impl Write, look: &Look, threads: Option<ThreadState>) -> io::Result<()> {
    match threads {
        None => Ok(()),
        Some(ThreadState::Stopped) => detail(out, look, "state", "its threads are stopped"),
        Some(ThreadState::Running) => detail(out, look, "state", "its threads are running"),
        Some(ThreadState::InPoll) => detail(out, look, "state", "it waits in poll"),
        Some(ThreadState::Asleep) => {
            detail(out, look, "state", "its threads are asleep, none of them in poll")
        }
    }
}

/// What will be used up, and when, if there is a trend.
fn limit(out: &mut impl Write, look: &Look, notice: &GroupNotice) -> io::Result<()> {
    let Some(Forecast { of, used, limit, full_in }) = notice.forecast else { return Ok(()) };
    let (what, used, limit, full_in) = (resource(of), Count(used), Count(limit), Age(full_in));
    detail(out, look, "limit", format_args!("{used} of {limit} {what}, full in about {full_in}"))
}

const fn resource(of: Resource) -> &'static str {
    match of {
        Resource::Descriptors => "fds",
        Resource::Ports => "ports to one destination",
    }
}

/// Tells of one socket, for `--each`.
///
/// # Errors
/// Those of `out`.
pub fn alert(out: &mut impl Write, look: &Look, alert: &Alert) -> io::Result<()> {
    let time = look.time(alert.at);
    let who = culprit(alert.finding.blame.as_ref(), alert.finding.verdict);
    let ends = Ends(&alert.stay);
    let age = Age(alert.stay.age(alert.at));
    let state = alert.stay.state;
    if let Some(by) = alert.ended_by {
        let word = look.paint(FREED, "FREED");
        let by = ended_words(by);
        return writeln!(out, "{time}  {word}  {who}: {ends} left {state} after {age} ({by})");
    }
    if alert.withdrawn {
        let word = look.paint(LABEL, "QUIET");
        return writeln!(out, "{time}  {word}  {who}: {ends} is in {state} still, and not told of");
    }
    let word = look.paint(STUCK, "STUCK");
    let least = if alert.stay.exact { "" } else { "at least " };
    writeln!(out, "{time}  {word}  {who}: {ends} in {state} for {least}{age}")?;
    let Finding { verdict, confidence, code: path, blame } = &*alert.finding;
    let proof = path.as_ref().and_then(|path| alert.evidence.proof_of(path.did));
    reason(out, look, *verdict, *confidence, blame.as_ref())?;
    let caveat = alert.evidence.stack_caveat();
    code(out, look, (path.as_ref(), *verdict), proof, caveat)?;
    threads(out, look, alert.evidence.threads.filter(|_| nobody_looked(*verdict)))?;
    rule(out, look, &alert.urgency)?;
    remedy(out, look, alert.finding.verdict)
}

/// The rule by which it is told, if the configuration has one.
fn rule(out: &mut impl Write, look: &Look, urgency: &Urgency) -> io::Result<()> {
    let Some(rule) = &urgency.rule else { return Ok(()) };
    let severity = urgency.severity.name();
    detail(out, look, "rule", format_args!("{} ({severity})", Escaped(rule)))
}

fn remedy(out: &mut impl Write, look: &Look, verdict: Verdict) -> io::Result<()> {
    let (remedy, name) = (verdict.remedy(), verdict.name());
    detail(out, look, "do", format_args!("{remedy}; tcptrace explain {name}"))
}

fn detail(out: &mut impl Write, look: &Look, label: &str, text: impl Display) -> io::Result<()> {
    let label = look.paint(LABEL, format!("{label:<5}"));
    writeln!(out, "          {label}  {text}")
}

/// Why, who else it may be, and how sure that is.
fn reason(
    out: &mut impl Write,
    look: &Look,
    verdict: Verdict,
    confidence: Confidence,
    blame: Option<&Blame>,
) -> io::Result<()> {
    // Which end the process has matters more than what became of the socket.
    let why = match (verdict, blame) {
        (Verdict::PeerNotClosing | Verdict::SharedFd, Some(blame)) => &*blame.why,
        _ => verdict.why(),
    };
    detail(out, look, "why", Escaped(why))?;
    if let Some(others @ 1..) = blame.map(|blame| blame.candidates.len()) {
        let plural = if others == 1 { "process holds" } else { "processes hold" };
        detail(out, look, "also", format_args!("{others} other {plural} the same descriptors"))?;
    }
    if confidence == Confidence::Low {
        detail(out, look, "note", "an idle half-close that is meant would look the same")?;
    }
    Ok(())
}

/// Prints one transition.
///
/// # Errors
/// Those of `out`.
pub fn transition(
    out: &mut impl Write,
    look: &Look,
    event: &Transition,
    in_state: Option<Duration>,
) -> io::Result<()> {
    let time = look.precise_time(event.at);
    let (old, new) = (event.old.name(), event.new.name());
    let comm = String::from_utf8_lossy(event.on_cpu.comm());
    let (local, remote) = (event.endpoints.local, event.endpoints.remote);
    write!(out, "{time}  {old:>11} → {new:<11}  {local} ↔ {remote}")?;
    if let Some(in_state) = in_state {
        write!(out, "  after {}", Age(in_state))?;
    }
    writeln!(out, "  (on CPU: {}[{}])", Escaped(&comm), event.on_cpu.pid)
}

/// One half-closed socket, for a table.
pub struct Row<'a> {
    /// The socket.
    pub stay: &'a Stay,
    /// What was found out about it.
    pub evidence: &'a Evidence,
    /// What that means.
    pub finding: &'a Finding,
}

/// Prints half-closed sockets as they are at `now`, as a table.
///
/// # Errors
/// Those of `out`.
pub fn sockets(out: &mut impl Write, rows: &[Row<'_>], now: Instant) -> io::Result<()> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["STATE", "AGE", "VERDICT", "LOCAL", "REMOTE", "HOLDERS"]);
    for Row { stay, evidence, finding } in rows {
        let least = if stay.exact { "" } else { "≥ " };
        table.add_row([
            stay.state.to_string(),
            format!("{least}{}", Age(stay.age(now))),
            finding.verdict.name().to_owned(),
            stay.endpoints.local.to_string(),
            stay.endpoints.remote.to_string(),
            Holders(evidence.holders.as_deref(), finding).to_string(),
        ]);
    }
    if let Some(age) = table.column_mut(1) {
        age.set_cell_alignment(CellAlignment::Right);
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim())?;
    }
    Ok(())
}

/// Prints a check-up.
///
/// # Errors
/// Those of `out`.
pub fn checks(out: &mut impl Write, look: &Look, checks: &[Check]) -> io::Result<()> {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in checks {
        let (style, word) = match check.status {
            CheckStatus::Good => (FREED, "good   "),
            CheckStatus::Limited => (LABEL, "limited"),
            CheckStatus::Missing => (STUCK, "missing"),
        };
        let word = look.paint(style, word);
        let Check { name, found, gives, advice, .. } = check;
        writeln!(out, "{word}  {name:width$}  {}", Escaped(found))?;
        if check.status != CheckStatus::Good {
            writeln!(out, "{:width$}           for: {gives}", "")?;
        }
        if let Some(advice) = advice {
            writeln!(out, "{:width$}           try: {advice}", "")?;
        }
    }
    Ok(())
}

/// The account at the end, on one line.
pub fn summary(summary: &Summary) -> String {
    let counts = &summary.counts;
    let lost = summary.lost.known();
    let mut line = format!(
        "{} · {} transitions, {} lost · {} group{} fired, {} resolved",
        Age(summary.elapsed),
        Count(counts.transitions),
        Count(lost),
        Count(summary.groups),
        if summary.groups == 1 { "" } else { "s" },
        Count(summary.groups_resolved),
    );
    let extras = [
        (summary.lost.ring, "lost in the ring buffer"),
        (summary.lost.recursion.unwrap_or(0), "lost by recursion"),
        (counts.gaps, "gaps"),
        (counts.repaired, "repaired"),
        (counts.overflow, "not tracked, the table was full"),
        (summary.undecodable, "records not understood"),
        (summary.unwritten, "lines left out, the reader was too slow"),
    ];
    for (count, what) in extras.into_iter().filter(|&(count, _)| count > 0) {
        line += &format!(" · {} {what}", Count(count));
    }
    if summary.lost.recursion.is_none() {
        line += " · more may be lost: this kernel does not count what its tracepoints skip";
    }
    line
}

#[cfg(test)]
mod tests;
