//! `tcptrace export`: stays for an engine that holds those of many hosts.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use jiff::{Timestamp, Zoned};

use super::{Style, destination, filters, notice};
use crate::advice::Advice;
use crate::cli::OutputFormat;
use crate::cli::export::{ExportArgs, ExportFormat};
use crate::cli::report::{Moment, window};
use crate::journal::history::History;
use crate::model::filter::Filter;
use crate::model::profile::window::Window;
use crate::report::escape::Escaped;
use crate::report::json;
use crate::report::parquet::Writer;
use crate::report::row::{Row, Rows};
use crate::sys::clock;

/// Reads and writes, one stay after the other.
pub fn run(args: &ExportArgs, style: &Style) -> Result<()> {
    let format = args.format.unwrap_or(match style.format {
        OutputFormat::Text => ExportFormat::Parquet,
        OutputFormat::Json => ExportFormat::Jsonl,
    });
    if format == ExportFormat::Parquet && args.out == Path::new("-") && io::stdout().is_terminal() {
        let advice = Advice::new("Parquet is not for a terminal")
            .and_try("tcptrace export --out stays.parquet", "write it to a file")
            .and_try("tcptrace export --format jsonl", "see the stays here");
        return Err(anyhow!(advice));
    }
    let now = Zoned::new(clock::anchor().wall, style.zone.clone());
    let to = args.to.unwrap_or(Moment::At(Timestamp::MAX));
    let window = window(args.from, to, &now).context("--from and --to")?;
    let filter = filters::filter(&args.filter)?;
    let mut history = History::open(&args.journals)?;
    let written = destination::write(&args.out, |mut out| match format {
        ExportFormat::Jsonl => each(&mut history, window, &filter, |row| json::stay(&mut out, row)),
        ExportFormat::Parquet => parquet(out, &mut history, window, &filter),
    });
    for warning in history.warnings() {
        let path = warning.path.display().to_string();
        notice(&format!("{}: {}", Escaped(&path), Escaped(&warning.why)));
    }
    written
}

fn parquet(
    out: &mut (dyn Write + Send),
    history: &mut History,
    window: Window,
    filter: &Filter,
) -> io::Result<()> {
    let bounded = |at: Timestamp, edge| (at != edge).then(|| at.to_string());
    let from = bounded(window.from, Timestamp::MIN);
    let mut writer = Writer::new(out, from, bounded(window.to, Timestamp::MAX))?;
    each(history, window, filter, |row| writer.write(row))?;
    writer.finish()
}

/// Gives `write` every stay of `window` that `filter` admits, as a row.
fn each(
    history: &mut History,
    window: Window,
    filter: &Filter,
    mut write: impl FnMut(&Row<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut rows = Rows::new(window);
    let read = history.stays(window.from..window.to, &mut |stay| {
        if filter.admits_past(&stay)
            && let Some(row) = rows.of(&stay)
        {
            write(&row)?;
        }
        Ok(())
    });
    // What kind of error it is decides whether it is one: a reader may have left.
    read.map_err(|error| error.downcast().unwrap_or_else(io::Error::other))
}
