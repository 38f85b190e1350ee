//! `tcptrace export`: stays for an engine that holds those of many hosts.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use jiff::{Timestamp, Zoned};

use super::past::{Progress, say_unknown};
use super::{Style, destination, filters};
use crate::advice::Advice;
use crate::cli::OutputFormat;
use crate::cli::export::{ExportArgs, ExportFormat};
use crate::cli::report::{Moment, window};
use crate::journal::history::History;
use crate::model::filter::Filter;
use crate::model::profile::window::Window;
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
    let on_terminal = args.out == Path::new("-") && io::stdout().is_terminal();
    if format == ExportFormat::Parquet && on_terminal {
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
    let mut progress = Progress::new(!on_terminal);
    let asked = Asked { history: &mut history, window, filter, progress: &mut progress };
    let written = destination::write(&args.out, |mut out| match format {
        ExportFormat::Jsonl => asked.each(|row| json::stay(&mut out, row)),
        ExportFormat::Parquet => parquet(out, asked),
    });
    progress.finish();
    written.and(say_unknown(&mut history, window, &style.zone))
}

fn parquet(out: &mut (dyn Write + Send), asked: Asked<'_>) -> io::Result<()> {
    let window = asked.window;
    let bounded = |at: Timestamp, edge| (at != edge).then(|| at.to_string());
    let from = bounded(window.from, Timestamp::MIN);
    let mut writer = Writer::new(out, from, bounded(window.to, Timestamp::MAX))?;
    asked.each(|row| writer.write(row))?;
    writer.finish()
}

/// What is exported.
struct Asked<'a> {
    history: &'a mut History,
    window: Window,
    filter: Filter,
    progress: &'a mut Progress,
}

impl Asked<'_> {
    /// Gives `write` every stay of the window that the filter admits, as a row.
    fn each(self, mut write: impl FnMut(&Row<'_>) -> io::Result<()>) -> io::Result<()> {
        let Self { history, window, filter, progress } = self;
        let mut rows = Rows::new(window);
        let read = history.stays(window.from..window.to, &mut |stay| {
            progress.stay();
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
}
