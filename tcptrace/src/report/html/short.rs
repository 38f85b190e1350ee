//! The table of stays that were too short to have a row each.

use std::io::{self, Write};

use super::markup::Html;
use super::tables::{close, count, number, open, text};
use crate::model::history::{Histogram, ShortStays};
use crate::model::postmortem::Account;
use crate::report::short::{Between, SHARES, Who, why};
use crate::report::text::words::Count;

/// So many kinds have a row.
const MOST_ROWS: usize = 50;

pub(super) fn write(out: &mut impl Write, account: &Account) -> io::Result<()> {
    let short = &account.short;
    writeln!(out, "<section id=\"short\">\n<h2>Shorter stays</h2>")?;
    let all = short.count();
    if all == 0 {
        return writeln!(out, "<p class=\"none\">None were counted.</p>\n</section>");
    }
    writeln!(
        out,
        "<p class=\"lead\">{} were too short to be recorded one by one: of these there are numbers \
         only, and the process where it was seen to read the end of file.</p>",
        Html(Count(all))
    )?;
    let columns = [
        ("Process", false),
        ("State", false),
        ("Verdict", false),
        ("Stays", true),
        ("Median", true),
        ("99 %", true),
        ("Longest", true),
    ];
    open(out, "Shorter stays", &columns)?;
    let mut shown = 0;
    for (kind, lasted) in short.kinds.iter().take(MOST_ROWS) {
        shown += lasted.count();
        row(out, kind, lasted)?;
    }
    close(out)?;
    if all > shown {
        let rest = Count(all - shown);
        writeln!(out, "<p class=\"none\">{rest} more, of kinds with fewer, have no row.</p>")?;
    }
    writeln!(out, "</section>")
}

fn row(out: &mut impl Write, kind: &ShortStays, lasted: &Histogram) -> io::Result<()> {
    write!(out, "<tr>")?;
    text(out, if kind.comm.is_some() { "w" } else { "w q" }, Who(kind))?;
    text(out, "v", kind.state)?;
    text(out, "v", why(kind))?;
    count(out, lasted.count())?;
    for bounds in SHARES.into_iter().filter_map(|share| lasted.quantile(share)) {
        number(out, bounds.from.as_millis(), Between(bounds))?;
    }
    writeln!(out, "</tr>")
}
