//! The tables: complete without a script, sorted and filtered with one.

use core::fmt::Display;
use std::io::{self, Write};

use jiff::Timestamp;

use super::markup::Html;
use super::words::{SocketSeconds, Words, code, end, forecast};
use crate::model::history::PastStay;
use crate::model::postmortem::{Account, CodePath, Episodes, Program};
use crate::model::verdict::Verdict;
use crate::report::escape::Escaped;
use crate::report::text::Age;
use crate::report::text::words::Count;

/// So many code paths and groups have a row of their own.
const MOST_ROWS: usize = 200;

/// A column: its heading, and whether it holds numbers.
pub(super) type Column = (&'static str, bool);

pub(super) fn open(out: &mut impl Write, label: &str, columns: &[Column]) -> io::Result<()> {
    write!(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{label}\"><table>\n<thead><tr>"
    )?;
    for (heading, number) in columns {
        let class = if *number { " class=\"n\"" } else { "" };
        write!(out, "<th scope=\"col\"{class}>{heading}</th>")?;
    }
    writeln!(out, "</tr></thead>\n<tbody>")
}

pub(super) fn close(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "</tbody></table></div>")
}

pub(super) fn text(out: &mut impl Write, class: &str, text: impl Display) -> io::Result<()> {
    write!(out, "<td class=\"{class}\">{}</td>", Html(text))
}

/// A number as it is shown and as it is sorted by.
pub(super) fn number(out: &mut impl Write, value: u128, shown: impl Display) -> io::Result<()> {
    write!(out, "<td class=\"n\" data-v=\"{value}\">{}</td>", Html(shown))
}

pub(super) fn count(out: &mut impl Write, count: u64) -> io::Result<()> {
    number(out, count.into(), Count(count))
}

fn unknown(out: &mut impl Write) -> io::Result<()> {
    write!(out, "<td class=\"n\" data-v=\"-1\">–</td>")
}

fn time(out: &mut impl Write, words: &Words, at: Timestamp) -> io::Result<()> {
    write!(out, "<td class=\"t\" data-v=\"{}\">{}</td>", at.as_millisecond(), words.element(at))
}

fn verdict(out: &mut impl Write, verdict: Verdict) -> io::Result<()> {
    let name = verdict.name();
    write!(out, "<td class=\"v\"><a href=\"#verdict-{name}\">{name}</a></td>")
}

pub(super) fn paths(out: &mut impl Write, account: &Account, words: &Words) -> io::Result<()> {
    writeln!(out, "<section id=\"paths\">\n<h2>Code paths</h2>")?;
    if account.paths.is_empty() {
        return writeln!(out, "<p class=\"none\">There are none.</p>\n</section>");
    }
    open(
        out,
        "Code paths",
        &[
            ("Program", false),
            ("Verdict", false),
            ("Code path", false),
            ("On this path", true),
            ("Of these closed", true),
            ("Stays", true),
            ("Stuck at the end", true),
            ("Socket-seconds", true),
            ("Do", false),
        ],
    )?;
    for path in account.paths.iter().take(MOST_ROWS) {
        path_row(out, path, words)?;
    }
    close(out)?;
    let rest = account.paths.iter().skip(MOST_ROWS);
    let time = rest.clone().map(|path| path.tally.time).sum();
    left_out(out, rest.count(), "code paths", SocketSeconds(time))?;
    writeln!(out, "</section>")
}

fn path_row(out: &mut impl Write, path: &CodePath, words: &Words) -> io::Result<()> {
    write!(out, "<tr>")?;
    text(out, "w", words.who(&path.program, path.verdict, Some(&path.processes)))?;
    verdict(out, path.verdict)?;
    text(
        out,
        code_class(path.code.as_deref()),
        code(path.code.as_deref(), path.verdict, path.threads),
    )?;
    match path.processes.proof() {
        Some((read, closed)) => {
            count(out, read)?;
            count(out, closed)?;
        }
        None => {
            unknown(out)?;
            unknown(out)?;
        }
    }
    count(out, path.tally.stays)?;
    count(out, path.tally.still)?;
    number(out, path.tally.time.as_millis(), SocketSeconds(path.tally.time))?;
    text(out, "r", path.verdict.remedy())?;
    writeln!(out, "</tr>")
}

const fn code_class(code: Option<&str>) -> &'static str {
    if code.is_some() { "c" } else { "c q" }
}

fn left_out(
    out: &mut impl Write,
    rows: usize,
    what: &str,
    seconds: impl Display,
) -> io::Result<()> {
    if rows == 0 {
        return Ok(());
    }
    let rows = Count(rows);
    writeln!(
        out,
        "<p class=\"none\">{rows} more {what} with {seconds} socket-seconds have no row.</p>"
    )
}

pub(super) fn longest(out: &mut impl Write, account: &Account, words: &Words) -> io::Result<()> {
    writeln!(out, "<section id=\"stays\">\n<h2>Longest stays</h2>")?;
    if account.longest.is_empty() {
        return writeln!(out, "<p class=\"none\">There are none.</p>\n</section>");
    }
    let (shown, all) = (Count(account.longest.len()), Count(account.total.stays));
    writeln!(out, "<p class=\"lead\">The longest {shown} of {all}, each one socket.</p>")?;
    open(
        out,
        "Longest stays",
        &[
            ("Process", false),
            ("State", false),
            ("Verdict", false),
            ("Began", true),
            ("Lasted", true),
            ("Ended by", false),
            ("Local", false),
            ("Remote", false),
            ("Code path", false),
        ],
    )?;
    for stay in &account.longest {
        stay_row(out, stay, words)?;
    }
    close(out)?;
    writeln!(out, "</section>")
}

fn stay_row(out: &mut impl Write, stay: &PastStay, words: &Words) -> io::Result<()> {
    write!(out, "<tr>")?;
    text(out, "w", words.who(&Program::of(stay), stay.verdict, None))?;
    text(out, "v", stay.state)?;
    verdict(out, stay.verdict)?;
    time(out, words, stay.began)?;
    let least = if stay.exact { "" } else { "≥ " };
    number(out, stay.lasted.as_millis(), format_args!("{least}{}", Age(stay.lasted)))?;
    text(out, "e", end(stay.end))?;
    text(out, "a", stay.local)?;
    text(out, "a", stay.remote)?;
    let path = code(stay.code.as_deref(), stay.verdict, stay.threads);
    text(out, code_class(stay.code.as_deref()), path)?;
    writeln!(out, "</tr>")
}

pub(super) fn alerts(out: &mut impl Write, account: &Account, words: &Words) -> io::Result<()> {
    writeln!(out, "<section id=\"alerts\">\n<h2>Alerts</h2>")?;
    if account.alerts.is_empty() {
        return writeln!(out, "<p class=\"none\">Nobody was told of anything.</p>\n</section>");
    }
    open(
        out,
        "Alerts",
        &[
            ("First", true),
            ("Last", true),
            ("Status", false),
            ("Program", false),
            ("Verdict", false),
            ("Fired", true),
            ("Most sockets", true),
            ("Oldest", true),
            ("Forecast", false),
            ("Code path", false),
            ("Group", false),
        ],
    )?;
    // The worst, in order of time.
    let mut rows: Vec<_> = account.alerts.iter().enumerate().collect();
    rows.sort_by_key(|(_, group)| core::cmp::Reverse(group.peak));
    rows.truncate(MOST_ROWS);
    rows.sort_by_key(|&(position, _)| position);
    for (_, group) in &rows {
        alert_row(out, group, words)?;
    }
    close(out)?;
    if let Some(rest @ 1..) = account.alerts.len().checked_sub(rows.len()) {
        let rest = Count(rest);
        writeln!(out, "<p class=\"none\">{rest} more groups with fewer sockets have no row.</p>")?;
    }
    writeln!(out, "</section>")
}

fn alert_row(out: &mut impl Write, group: &Episodes, words: &Words) -> io::Result<()> {
    let last = &group.last;
    write!(out, "<tr>")?;
    time(out, words, group.first)?;
    time(out, words, last.at)?;
    text(out, if group.is_firing() { "s on" } else { "s" }, last.status.name())?;
    text(out, "w", words.who(&last.program, last.verdict, None))?;
    verdict(out, last.verdict)?;
    number(out, group.fired.into(), format_args!("{} ×", Count(group.fired)))?;
    count(out, group.peak)?;
    number(out, group.oldest.as_millis(), Age(group.oldest))?;
    match group.forecast {
        Some((at, soonest)) => {
            text(out, "f", format_args!("{} (as of {})", forecast(soonest), words.time(at)))?;
        }
        None => text(out, "f", "–")?,
    }
    text(out, code_class(last.code.as_deref()), code(last.code.as_deref(), last.verdict, None))?;
    text(out, "a", Escaped(&last.group))?;
    writeln!(out, "</tr>")
}
