//! A postmortem as one HTML file that opens from disk: no network, nothing that a hostile name could
//! execute, tables that need no script.

mod data;
mod headline;
mod markup;
mod notes;
mod short;
mod tables;
mod words;

use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use self::data::Data;
use self::markup::{Html, embedded};
use self::words::Words;
use crate::model::postmortem::Account;
use crate::model::profile::Profile;
use crate::model::profile::difference::Difference;
use crate::model::profile::window::Window;

const STYLE: &str = include_str!("html/style.css");
/// In the order in which they stand in the one script.
const SCRIPTS: [&str; 4] = [
    include_str!("html/base.js"),
    include_str!("html/chart.js"),
    include_str!("html/flame.js"),
    include_str!("html/table.js"),
];

/// What a browser may run and apply: these two, known by their SHA-256. A test compares.
const STYLE_HASH: &str = "sha256-GCNVU6qYOTNRgqtcInnRqD40lKtkcUTET8iOSh+cUt0=";
const SCRIPT_HASH: &str = "sha256-uqsKPdqt4KD1Ap1OnmMswpqXEnDLbwrQES2e0Xhbmc0=";

/// What a page is made of.
pub struct Page<'a> {
    /// What it is about, in a word or two; the hosts, if empty. Shown above the headline.
    pub title: &'a str,
    /// What was found out.
    pub postmortem: &'a Account,
    /// The flame graph; that of [`Difference::after`] where there is a baseline.
    pub profile: &'a Profile,
    /// What the flame graph is compared with.
    pub baseline: Option<Baseline<'a>>,
    /// The zone in which times are shown.
    pub zone: TimeZone,
    /// When the page is made.
    pub generated: Timestamp,
}

/// Another window to compare with.
#[derive(Clone, Copy)]
pub struct Baseline<'a> {
    /// The window.
    pub window: Window,
    /// How the page's own differs from it.
    pub difference: &'a Difference,
}

/// Writes a page.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut impl Write, page: &Page<'_>) -> io::Result<()> {
    let words = Words::new(page);
    head(out, page, &words)?;
    headline::write(out, page, &words)?;
    writeln!(out, "<main>")?;
    chart(out, page)?;
    flame(out, page, &words)?;
    tables::paths(out, page.postmortem, &words)?;
    tables::longest(out, page.postmortem, &words)?;
    short::write(out, page.postmortem)?;
    tables::alerts(out, page.postmortem, &words)?;
    notes::unknown(out, page.postmortem, &words)?;
    notes::verdicts(out, page.postmortem)?;
    notes::help(out)?;
    writeln!(out, "</main>\n<footer>{}</footer>", Html(words.generated(page.generated)))?;
    let data = serde_json::to_string(&Data::new(page, &words))?;
    writeln!(out, "<script type=\"application/json\" id=\"data\">{}</script>", embedded(&data))?;
    writeln!(out, "<script>{}</script>\n</body>\n</html>", SCRIPTS.concat())
}

fn head(out: &mut impl Write, page: &Page<'_>, words: &Words) -> io::Result<()> {
    let title = headline::title(page, words);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         script-src '{SCRIPT_HASH}'; style-src '{STYLE_HASH}'; base-uri 'none'; \
         form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        Html(title)
    )
}

fn chart(out: &mut impl Write, page: &Page<'_>) -> io::Result<()> {
    writeln!(out, "<section id=\"chart\">\n<h2>Half-closed sockets over time</h2>")?;
    if page.postmortem.total.stays == 0 {
        return writeln!(out, "<p class=\"none\">There were none.</p>\n</section>");
    }
    writeln!(
        out,
        "<p class=\"lead\">By program and verdict, on average in each step. The area is socket-time. \
         Hatched: not everything is known.</p>\n<div id=\"chart-here\"></div>\n\
         <noscript><p class=\"none\">The chart is drawn by the script in this file. Without it, the \
         tables below have the numbers.</p></noscript>\n</section>"
    )
}

fn flame(out: &mut impl Write, page: &Page<'_>, words: &Words) -> io::Result<()> {
    writeln!(out, "<section id=\"flame\">\n<h2>Where the time went</h2>")?;
    if page.profile.is_empty() && page.baseline.is_none() {
        return writeln!(out, "<p class=\"none\">No time went anywhere.</p>\n</section>");
    }
    write!(
        out,
        "<p class=\"lead\">The wider a frame, the longer sockets were stuck there. Callers are above \
         what they call. "
    )?;
    if let Some(baseline) = &page.baseline {
        let window = words.window(baseline.window);
        write!(
            out,
            "Compared with {}, at the same length: a frame is as wide as both together, orange where \
             it got worse and blue where it got better.",
            Html(window)
        )?;
    }
    writeln!(
        out,
        "</p>\n<div id=\"flame-here\"></div>\n<noscript><p class=\"none\">The flame graph is drawn \
         by the script in this file. Without it, the code paths below have the numbers.</p>\
         </noscript>\n</section>"
    )
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
