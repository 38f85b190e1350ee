//! What the page does not know, and what its words mean.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::headline::sentence;
use super::markup::{Html, name};
use super::tables::{close, open};
use super::words::{Words, gap};
use crate::model::history::{Gap, GapKind};
use crate::model::postmortem::Account;
use crate::report::text::Age;
use crate::report::text::words::Count;

/// So many gaps are shown.
const MOST_GAPS: usize = 200;

/// The longest gaps, in order of time.
pub(super) fn shown(gaps: &[Gap]) -> Vec<&Gap> {
    let mut shown: Vec<_> = gaps.iter().enumerate().collect();
    shown.sort_by_key(|(_, gap)| core::cmp::Reverse(gap.to.duration_since(gap.from)));
    shown.truncate(MOST_GAPS);
    shown.sort_by_key(|&(position, _)| position);
    shown.into_iter().map(|(_, gap)| gap).collect()
}

pub(super) fn unknown(out: &mut impl Write, account: &Account, words: &Words) -> io::Result<()> {
    writeln!(out, "<section id=\"unknown\">\n<h2>What is not known</h2>")?;
    let (mut lost, mut left_out, mut unreadable, mut off) = (0u64, 0u64, 0, 0);
    for gap in &account.gaps {
        match gap.why {
            GapKind::Lost(count) => lost = lost.saturating_add(count),
            GapKind::LeftOut(count) => left_out = left_out.saturating_add(count),
            GapKind::Unreadable(_) => unreadable += 1,
            GapKind::NotRunning => off += 1,
        }
    }
    let total = &account.total;
    let notes = [
        (off, "spans of time in which nothing was recorded"),
        (lost, "transitions lost: some stays may be missing, or end too late"),
        (left_out, "entries left out of the journal: the disk was too slow or full"),
        (unreadable, "files of the journal that cannot be read"),
        (total.inexact, "stays had begun before they were seen: they lasted longer than counted"),
        (total.cut_off, "stays whose end is not known: the recorder died first"),
    ];
    let known: Vec<_> = notes.into_iter().filter(|&(count, _)| count > 0).collect();
    if known.is_empty() {
        return writeln!(
            out,
            "<p class=\"none\">Nothing was lost, as far as can be told.</p>\n</section>"
        );
    }
    writeln!(out, "<ul>")?;
    for (count, what) in known {
        writeln!(out, "<li><b>{}</b> {what}</li>", Count(count))?;
    }
    writeln!(out, "</ul>")?;
    if !account.gaps.is_empty() {
        gaps(out, account, words)?;
    }
    writeln!(out, "</section>")
}

fn gaps(out: &mut impl Write, account: &Account, words: &Words) -> io::Result<()> {
    let columns =
        [("From", true), ("To", true), ("Lasted", true), ("Host", false), ("What", false)];
    open(out, "Gaps", &columns)?;
    let shown = shown(&account.gaps);
    for Gap { host, from, to, why } in &shown {
        let lasted = to.duration_since(*from).unsigned_abs();
        let time = |at: &jiff::Timestamp| {
            format!(
                "<td class=\"t\" data-v=\"{}\">{}</td>",
                at.as_millisecond(),
                words.element(*at)
            )
        };
        writeln!(
            out,
            "<tr>{}{}<td class=\"n\" data-v=\"{}\">{}</td><td>{}</td><td>{}</td></tr>",
            time(from),
            time(to),
            lasted.as_millis(),
            Age(lasted),
            name(host),
            Html(gap(why)),
        )?;
    }
    close(out)?;
    match account.gaps.len() - shown.len() {
        0 => Ok(()),
        rest => writeln!(out, "<p class=\"none\">{} shorter ones have no row.</p>", Count(rest)),
    }
}

pub(super) fn verdicts(out: &mut impl Write, account: &Account) -> io::Result<()> {
    let of_paths = account.paths.iter().map(|path| path.verdict);
    let of_alerts = account.alerts.iter().map(|group| group.last.verdict);
    let of_stays = account.longest.iter().map(|stay| stay.verdict);
    let verdicts: BTreeSet<_> = of_paths.chain(of_alerts).chain(of_stays).collect();
    if verdicts.is_empty() {
        return Ok(());
    }
    writeln!(out, "<section id=\"verdicts\">\n<h2>What the verdicts mean</h2>\n<dl>")?;
    for verdict in verdicts {
        let (name, why, remedy) = (verdict.name(), verdict.why(), verdict.remedy());
        writeln!(
            out,
            "<div id=\"verdict-{name}\"><dt>{name}</dt><dd>{}. <b>Do</b> {}. \
             <code>tcptrace explain {name}</code></dd></div>",
            Html(sentence(why)),
            Html(remedy),
        )?;
    }
    writeln!(out, "</dl>\n</section>")
}

pub(super) fn help(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "<section id=\"help\">\n<h2>How to read this page</h2>\n<dl>\n\
         <div><dt>Stay</dt><dd>One socket in one half-closed state, from when to when. Shorter \
         ones than the recording threshold are on this page in numbers only.</dd></div>\n\
         <div><dt>Socket-seconds</dt><dd>How long sockets were stuck, summed up: two sockets for a \
         second are two. What lies outside the window is not counted.</dd></div>\n\
         <div><dt>Stuck at the end</dt><dd>Not ended when the window did, or when the recorder did, \
         whichever was first.</dd></div>\n\
         <div><dt>On this path</dt><dd>Sockets that the same code has opened, or read to the end, since \
         tcptrace has watched the process, and how many of these were closed. Where nearly all \
         were, look for the branch that does not.</dd></div>\n\
         <div><dt>Code path</dt><dd>The innermost function first. The flame graph has the whole \
         stack.</dd></div>\n\
         <div><dt>Keys</dt><dd>In the chart, left and right move through time. In the flame graph, \
         the arrows move between frames, Enter zooms in, Escape zooms out.</dd></div>\n\
         </dl>\n</section>"
    )
}
