//! Text for people.

mod release;
mod sockets;
mod table;
pub(super) mod words;

use core::fmt::{self, Display};
use core::time::Duration;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
pub use release::{release_account, release_note, release_run_note, released};
pub use sockets::{Row, Sockets};
pub use words::Age;
pub(super) use words::Count;
use words::{Ends, Peers, culprit, ended_words};

use super::escape::Escaped;
use super::message::{self, Headline, MEANT, code_words, is_told_otherwise, why};
use crate::model::alert::Alert;
use crate::model::checkup::{Check, CheckStatus};
use crate::model::code::CodePath;
use crate::model::condition::ConditionNotice;
use crate::model::delivery::{Delivered, Delivery};
use crate::model::event::Transition;
use crate::model::evidence::ThreadState;
use crate::model::group::{GroupNotice, GroupStatus, nobody_looked};
use crate::model::proof::Proof;
use crate::model::rules::Urgency;
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
    if is_told_otherwise(notice) {
        return Ok(());
    }
    let (style, word) = match notice.status {
        GroupStatus::Resolved => (FREED, "FREED"),
        _ => (STUCK, "STUCK"),
    };
    let (time, word) = (look.time(notice.at), look.paint(style, word));
    writeln!(out, "{time}  {word}  {}", Headline(notice))?;
    match notice.status {
        GroupStatus::Firing => {}
        GroupStatus::Growing | GroupStatus::Shrinking => return limit(out, look, notice),
        GroupStatus::Resolved => return Ok(()),
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
    let Some(code) = code else {
        return match caveat {
            Some(caveat) => detail(out, look, "code", format_args!("not known: {caveat}")),
            None => Ok(()),
        };
    };
    detail(out, look, "code", code_words(code, verdict, proof))?;
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
    match notice.forecast {
        Some(forecast) => detail(out, look, "limit", message::limit(forecast)),
        None => Ok(()),
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

/// Tells of a condition.
///
/// # Errors
/// Those of `out`.
pub fn condition(out: &mut impl Write, look: &Look, notice: &ConditionNotice) -> io::Result<()> {
    let word = match notice.firing {
        true => look.paint(STUCK, "LIMIT"),
        false => look.paint(FREED, "BELOW"),
    };
    writeln!(out, "{}  {word}  {}", look.time(notice.at), message::condition(notice))
}

/// The rule by which it is told, if the configuration has one.
fn rule(out: &mut impl Write, look: &Look, urgency: &Urgency) -> io::Result<()> {
    let Some(rule) = &urgency.rule else { return Ok(()) };
    let severity = urgency.severity.name();
    detail(out, look, "rule", format_args!("{} ({severity})", Escaped(rule)))
}

fn remedy(out: &mut impl Write, look: &Look, verdict: Verdict) -> io::Result<()> {
    detail(out, look, "do", message::remedy(verdict))
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
    detail(out, look, "why", Escaped(why(verdict, blame)))?;
    if let Some(others @ 1..) = blame.map(|blame| blame.candidates.len()) {
        let plural = if others == 1 { "process holds" } else { "processes hold" };
        detail(out, look, "also", format_args!("{others} other {plural} the same descriptors"))?;
    }
    if confidence == Confidence::Low {
        detail(out, look, "note", MEANT)?;
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

/// Tells what came of a sample.
///
/// # Errors
/// Those of `out`.
pub fn delivered(out: &mut impl Write, look: &Look, delivered: &Delivered<'_>) -> io::Result<()> {
    let (style, word, said) = match delivered.result {
        Ok(answer) => (FREED, "good  ", answer),
        Err(error) => (STUCK, "failed", error),
    };
    let (word, name, took) =
        (look.paint(style, word), Escaped(delivered.sink), Age(delivered.took));
    writeln!(out, "{word}  {name} ({}), {took}: {}", delivered.kind, Escaped(said))?;
    match delivered.advice {
        Some(advice) => writeln!(out, "        try: {advice}"),
        None => Ok(()),
    }
}

/// The account at the end, on one line, and one for each sink.
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
    for sink in &summary.sinks {
        let Delivery { name, sent, failed, dropped, waiting, .. } = sink;
        line += &format!("\n{}: {} sent", Escaped(name), Count(*sent));
        let extras = [
            (*failed, "attempts failed"),
            (*dropped, "given up"),
            (*waiting as u64, "not sent any more"),
        ];
        for (count, what) in extras.into_iter().filter(|&(count, _)| count > 0) {
            line += &format!(", {} {what}", Count(count));
        }
        if let Some(error) = &sink.error {
            line += &format!(" ({})", Escaped(error));
        }
    }
    line
}

#[cfg(test)]
mod tests;
