//! The answer, in a sentence and a few facts.

use core::fmt::Display;
use std::io::{self, Write};

use jiff::Timestamp;

use super::Page;
use super::markup::{Html, name};
use super::words::{SocketSeconds, Words, percent, used};
use crate::model::forecast::Forecast;
use crate::model::postmortem::{Account, Episodes, Series};
use crate::report::text::Age;
use crate::report::text::words::{Count, ended_words};

/// For the browser's own title.
pub(super) fn title(page: &Page<'_>, words: &Words) -> String {
    let window = words.window(page.postmortem.window);
    match page.postmortem.series.first() {
        Some(worst) => format!("{}: {window}", who(worst, words)),
        None => format!("tcptrace: {window}"),
    }
}

fn who<'a>(series: &'a Series, words: &Words) -> impl Display + 'a {
    words.who(&series.program, series.verdict, Some(&series.processes))
}

pub(super) fn write(out: &mut impl Write, page: &Page<'_>, words: &Words) -> io::Result<()> {
    let account = page.postmortem;
    write!(out, "<header id=\"top\">\n<p class=\"kicker\">")?;
    match (page.title, &*account.hosts) {
        ("", []) => write!(out, "tcptrace postmortem")?,
        ("", [host]) => write!(out, "Postmortem of {}", name(host))?,
        ("", hosts) => write!(out, "Postmortem of {} hosts", Count(hosts.len()))?,
        (title, _) => write!(out, "{}", name(title))?,
    }
    let (window, zone) = (words.window(account.window), words.zone(account.window));
    writeln!(out, "<span>{} <small>{}</small></span></p>", Html(window), Html(zone))?;
    let Some(worst) = account.series.first() else {
        writeln!(out, "<h1>No half-closed socket was recorded in this time</h1>")?;
        if !account.gaps.is_empty() {
            let note = "Not everything was seen: <a href=\"#unknown\">what is not known</a>.";
            writeln!(out, "<p class=\"lead\">{note}</p>")?;
        }
        return writeln!(out, "</header>");
    };
    let (stays, state) = (worst.tally.stays, worst.state);
    let noun = if stays == 1 { "connection" } else { "connections" };
    let (who, stays) = (Html(who(worst, words)), Count(stays));
    match worst.program.process {
        Some(_) => writeln!(out, "<h1>{who} left {stays} {noun} in {state}</h1>")?,
        None => writeln!(out, "<h1>{stays} {noun} in {state}, {who}</h1>")?,
    }
    writeln!(out, "<p class=\"why\">{}.</p>", Html(sentence(worst.verdict.why())))?;
    facts(out, account, worst, words)?;
    writeln!(out, "</header>")?;
    navigation(out)
}

fn facts(out: &mut impl Write, account: &Account, worst: &Series, words: &Words) -> io::Result<()> {
    let tally = &worst.tally;
    writeln!(out, "<dl class=\"facts\">")?;
    if let Some((since, exact)) = tally.since {
        let before = if exact { "" } else { "before " };
        fact(out, "Since", format_args!("{before}{}", words.element(since)), None)?;
    }
    let share = percent(tally.time.as_secs_f64(), account.total.time.as_secs_f64());
    let all = format!("{share} of all {}", SocketSeconds(account.total.time));
    fact(out, "Socket-seconds", SocketSeconds(tally.time), Some(&all))?;
    if let Some(peak) = account.peak {
        let when = format!("all programs, at {}", words.time(peak.at));
        fact(out, "Peak", format_args!("{} sockets", Count(peak.sockets)), Some(&when))?;
    }
    let note = (tally.cut_off > 0).then(|| format!("{} more are not known", Count(tally.cut_off)));
    fact(out, "Stuck at the end", Count(tally.still), note.as_deref())?;
    let ended = tally.ended();
    let count: u64 = ended.iter().map(|&(_, count)| count).sum();
    let by = ended.iter().map(|&(by, n)| format!("{} {}", Count(n), ended_words(by)));
    fact(out, "Ended", Count(count), Some(&by.collect::<Vec<_>>().join(", ")))?;
    if let Some((at, soonest)) = account.alerts.iter().filter_map(|g| about(g, worst)).next() {
        let note = format!("{}, as of {}", used(soonest), words.time(at));
        let full = format_args!("full in about {}", Age(soonest.full_in));
        fact(out, "Forecast", full, Some(&note))?;
    }
    writeln!(
        out,
        "</dl>\n<p class=\"do\"><b>Do</b> {}. <a href=\"#verdict-{v}\">{v}</a></p>",
        Html(worst.verdict.remedy()),
        v = worst.verdict.name(),
    )
}

/// The forecast of a group of `series`.
fn about(group: &Episodes, series: &Series) -> Option<(Timestamp, Forecast)> {
    let same = group.last.verdict == series.verdict && group.last.program == series.program;
    group.forecast.filter(|_| same)
}

fn fact(
    out: &mut impl Write,
    term: &str,
    value: impl Display,
    note: Option<&str>,
) -> io::Result<()> {
    write!(out, "<div><dt>{term}</dt><dd>{value}")?;
    if let Some(note) = note.filter(|note| !note.is_empty()) {
        write!(out, "<small>{}</small>", Html(note))?;
    }
    writeln!(out, "</dd></div>")
}

/// With a capital letter.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn navigation(out: &mut impl Write) -> io::Result<()> {
    let sections = [
        ("chart", "Over time"),
        ("flame", "Flame graph"),
        ("paths", "Code paths"),
        ("stays", "Longest stays"),
        ("short", "Shorter stays"),
        ("alerts", "Alerts"),
        ("unknown", "Not known"),
        ("help", "How to read this"),
    ];
    write!(out, "<nav aria-label=\"Sections\">")?;
    for (id, text) in sections {
        write!(out, "<a href=\"#{id}\">{text}</a>")?;
    }
    writeln!(out, "</nav>")
}
