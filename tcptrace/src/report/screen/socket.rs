//! Everything that is known of one socket.

use core::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::ink::{Ink, line, put_all, width};
use super::{Frame, shown};
use crate::model::alert::Alert;
use crate::model::code::Stack;
use crate::model::evidence::{Evidence, Timer};
use crate::model::process::Holder;
use crate::model::time::{Anchor, Instant};
use crate::model::verdict::{Confidence, EndsByItself, ends_by_itself};
use crate::report::message::{self, MEANT, code_words, why};
use crate::report::text::words::{Named, ended_words};
use crate::report::text::{Age, Count};

/// Columns of the labels.
const LABELS: usize = 12;

/// Draws what there is room for, from line `scroll` on. Returns how many lines there are.
pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    (alert, scroll): (&Alert, usize),
    now: Anchor,
    frame: &Frame,
    ink: Ink,
) -> usize {
    let room = usize::from(area.width).saturating_sub(LABELS + 2).max(8);
    let lines: Vec<_> = facts(alert, now, frame)
        .into_iter()
        .flat_map(|(label, text)| {
            let parts = wrap(&text, room).into_iter().enumerate();
            parts.map(move |(i, part)| (if i == 0 { label } else { "" }, part)).collect::<Vec<_>>()
        })
        .collect();
    let rows = usize::from(area.height);
    let first = scroll.min(lines.len().saturating_sub(rows));
    for (i, (label, text)) in lines.iter().skip(first).take(rows).enumerate() {
        let label = format!("{label:>LABELS$}  ");
        put_all(buffer, line(area, i), [(label.as_str(), ink.label()), (text, Style::new())]);
    }
    lines.len()
}

/// Labels and texts, harmless on a terminal.
fn facts(alert: &Alert, now: Anchor, frame: &Frame) -> Vec<(&'static str, String)> {
    let Alert { stay, finding, evidence, .. } = alert;
    let ends = stay.endpoints.canonical();
    let until = if alert.is_firing() { now.monotonic } else { alert.at };
    let time = |at: Instant| {
        now.wall_at(at).to_zoned(frame.zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
    };
    let least = if stay.exact { "" } else { "at least " };
    let state = stay.state;
    let mut facts = vec![
        ("socket", format!("{} ↔ {}", ends.local, ends.remote)),
        (
            "state",
            format!("{state} for {least}{}, since {}", Age(stay.age(until)), time(stay.since)),
        ),
    ];
    if let Some(by) = alert.ended_by {
        facts.push(("ended", format!("{}: {}", time(alert.at), ended_words(by))));
    }
    let sure = match finding.confidence {
        Confidence::High => "was seen",
        Confidence::Low => MEANT,
    };
    facts.push(("verdict", format!("{} ({sure})", finding.verdict.name())));
    facts.push(("why", shown(why(finding.verdict, finding.blame.as_ref()))));
    facts.push(("do", message::remedy(finding.verdict)));
    if let Some(blame) = &finding.blame {
        facts.push(("blame", format!("{}: {}", Named(&blame.process), shown(&blame.why))));
        let others: Vec<_> = blame.candidates.iter().map(u32::to_string).collect();
        if !others.is_empty() {
            facts.push(("or as well", others.join(", ")));
        }
        process(&blame.process, &mut facts);
    }
    match &evidence.holders {
        None => facts.push(("held by", "cannot be seen".to_owned())),
        Some(holders) if holders.is_empty() => facts.push(("held by", "no process".to_owned())),
        Some(holders) => facts.extend(holders.iter().map(|holder| ("held by", held(holder)))),
    }
    let listener = evidence.listener_holders.iter();
    facts.extend(listener.map(|holder| ("listener", held(holder))));
    let peers = evidence.peer_holders.iter().flatten();
    facts.extend(peers.map(|holder| ("peer", held(holder))));
    if let Some(keeper) = evidence.held_by {
        facts.push(("kept by", keeper.name().to_owned()));
    }
    queues(evidence, &mut facts);
    for read in &evidence.eof_reads {
        let comm = String::from_utf8_lossy(read.by.comm());
        let how = if read.peeked { "peeked" } else { "read" };
        let who = format!("{}[{}]", shown(&comm), read.by.pid);
        facts.push(("end of file", format!("{how} by {who} at {}", time(read.at))));
    }
    if let Some(threads) = evidence.threads {
        facts.push(("threads", threads.name().to_owned()));
    }
    if let Some(code) = &finding.code {
        let proof = evidence.proof_of(code.did);
        facts.push(("code", code_words(code, finding.verdict, proof)));
    }
    if let Some(caveat) = evidence.stack_caveat() {
        facts.push(("note", caveat.to_owned()));
    }
    stack("stack", evidence.stack.as_deref(), &mut facts);
    let opener = if stay.accepted { "accepted at" } else { "opened at" };
    stack(opener, evidence.opened.as_deref(), &mut facts);
    if let Some(rule) = &alert.urgency.rule {
        facts.push(("rule", format!("{} ({})", shown(rule), alert.urgency.severity.name())));
    }
    let known = |number: Option<u64>| number.map_or("not known".to_owned(), |n| n.to_string());
    facts.push(("netns", known(stay.netns.map(|netns| u64::from(netns.0)))));
    facts.push(("cookie", known(stay.cookie)));
    facts.push(("inode", known(evidence.inode)));
    facts.push(("alert", shown(&alert.id)));
    facts.push(("looked at", format!("{} ago", Age(until.since(evidence.looked_at)))));
    facts
}

fn process(process: &crate::model::process::Process, facts: &mut Vec<(&'static str, String)>) {
    if let Some(arguments) = &process.cmdline {
        facts.push(("command", shown(&arguments.join(" "))));
    }
    if let Some(descriptors) = process.descriptors {
        let (open, limit) = (Count(descriptors.open), Count(descriptors.limit));
        facts.push(("fds", format!("{open} of {limit}")));
    }
}

fn held(holder: &Holder) -> String {
    let fds: Vec<_> = holder.fds.iter().map(u32::to_string).collect();
    format!("{} fd {}", Named(&holder.process), fds.join("+"))
}

fn queues(evidence: &Evidence, facts: &mut Vec<(&'static str, String)>) {
    let bytes = |count: Option<u32>| count.map_or("not known".to_owned(), |n| Count(n).to_string());
    let (unread, unsent) = (bytes(evidence.recv_queue), bytes(evidence.send_queue));
    facts.push(("queues", format!("to be read {unread}, to be acknowledged {unsent}")));
    let ago = [
        ("sent", evidence.last_send),
        ("received", evidence.last_recv),
        ("acknowledged", evidence.last_ack),
    ];
    let ago = ago.into_iter().filter_map(|(what, ago)| Some(format!("{what} {} ago", Age(ago?))));
    let ago: Vec<_> = ago.collect();
    if !ago.is_empty() {
        facts.push(("last", ago.join(", ")));
    }
    let within = |left: Duration| format!("next in {}", Age(left));
    facts.push((
        "timer",
        match evidence.timer {
            Timer::Unknown => "not known".to_owned(),
            Timer::None => "none: nothing will happen by itself".to_owned(),
            Timer::Keepalive(left) => format!("keepalive, {}", within(left)),
            Timer::Retransmit(left) => format!("retransmission, {}", within(left)),
            Timer::TimeWait(left) => format!("the kernel ends it in {}", Age(left)),
        },
    ));
    if let EndsByItself::By { by, within } = ends_by_itself(evidence) {
        let when = within.map_or(String::new(), |left| format!(" in {}", Age(left)));
        facts.push(("ends", format!("by itself: {by}{when}")));
    }
}

fn stack(label: &'static str, stack: Option<&Stack>, facts: &mut Vec<(&'static str, String)>) {
    let Some(stack) = stack else { return };
    for (i, frame) in stack.frames.iter().enumerate() {
        facts.push((if i == 0 { label } else { "" }, shown(&frame.to_string())));
    }
    if !stack.complete {
        facts.push(("", "…".to_owned()));
    }
}

/// `text` in lines of at most `room` columns, broken between words where that is possible.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut taken = 0;
    for word in text.split_inclusive(' ') {
        let wide = width(word.trim_end());
        if taken > 0 && taken + wide > room {
            lines.push(String::new());
            taken = 0;
        }
        for c in word.chars() {
            let columns = width(c.encode_utf8(&mut [0; 4]));
            if taken + columns > room && c != ' ' {
                lines.push(String::new());
                taken = 0;
            }
            lines.last_mut().expect("there is one from the start").push(c);
            taken += columns;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_long_ones_within() {
        assert_eq!(wrap("one two three", 8), ["one two ", "three"]);
        assert_eq!(wrap("onetwothree", 8), ["onetwoth", "ree"]);
        assert_eq!(wrap("汉字汉字", 5), ["汉字", "汉字"]);
        assert_eq!(wrap("", 5), [""]);
    }
}
