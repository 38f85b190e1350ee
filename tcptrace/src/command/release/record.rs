//! What was done is noted: in the journal's directory, and in systemd's journal, or on stderr where there
//! is none.

use std::io;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};

use super::ids;
use crate::advice::Advice;
use crate::alert;
use crate::command::ls::Found;
use crate::command::{Style, notice};
use crate::journal::DIRECTORY;
use crate::journal::releases::Releases;
use crate::model::release::{Account, Outcome};
use crate::report::json::{self, Run, RunStatus};
use crate::report::text::{self, Row};

/// As of syslog.
const NOTICE: &str = "5";
const WARNING: &str = "4";

/// The notes on one run.
pub struct Record<'a> {
    releases: Releases,
    run: Run<'a>,
}

impl<'a> Record<'a> {
    /// Notes that `run` begins with so many sockets. Nothing may be done that cannot be noted.
    ///
    /// # Errors
    /// If it cannot.
    pub fn begin(dir: Option<&Path>, style: &Style, run: Run<'a>, selected: usize) -> Result<Self> {
        let dir = dir.unwrap_or(Path::new(DIRECTORY));
        let releases = Releases::open(dir).map_err(|error| {
            let why = format!("what is done could not be noted: {:#}", anyhow!(error));
            anyhow!(Advice::new(why).and_try("tcptrace release --record DIR", "notes it elsewhere"))
        })?;
        let mut record = Self { releases, run };
        record.of_run(RunStatus::Begun(selected), &Account::default(), style)?;
        Ok(record)
    }

    /// Notes what was just done to `socket`.
    ///
    /// # Errors
    /// If it cannot be noted.
    pub fn deed(&mut self, socket: &Found, outcome: &Outcome, style: &Style) -> Result<()> {
        let [id, group] = ids(style, socket);
        let (stay, evidence, finding) = socket;
        let context = style.context(Style::anchor());
        let (run, now) = (self.run, context.anchor.monotonic);
        let seen = (stay, evidence, finding);
        let line =
            self.add(|out| json::release(out, context, &run, (&id, &group), seen, outcome, now))?;
        let row = Row { stay, evidence, finding };
        let note = text::release_note(&row, outcome, run.means, run.asker, now);
        let pid = finding.blame.as_ref().map(|blame| blame.process.pid.to_string());
        let priority = if matches!(outcome, Outcome::Failed(_)) { WARNING } else { NOTICE };
        log(&note, priority, pid.as_deref(), &line);
        Ok(())
    }

    /// Notes how it ended.
    ///
    /// # Errors
    /// If it cannot be noted.
    pub fn end(&mut self, status: RunStatus<'_>, account: &Account, style: &Style) -> Result<()> {
        self.of_run(status, account, style)
    }

    fn of_run(&mut self, status: RunStatus<'_>, account: &Account, style: &Style) -> Result<()> {
        let (context, run) = (style.context(Style::anchor()), self.run);
        let at = context.anchor.monotonic;
        let line = self.add(|out| json::release_run(out, context, &run, status, account, at))?;
        let note = text::release_run_note(status, account, run.means, run.asker);
        let priority = if matches!(status, RunStatus::Stopped(_)) { WARNING } else { NOTICE };
        log(&note, priority, None, &line);
        Ok(())
    }

    /// Adds a line, and returns it without its end.
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Result<String> {
        let mut line = Vec::new();
        let added = write(&mut line).and_then(|()| self.releases.add(&line));
        added.with_context(|| format!("cannot add to {}", self.releases.path().display()))?;
        Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned())
    }
}

/// Adds an entry to systemd's journal; says it on stderr where that takes none.
fn log(note: &str, priority: &str, pid: Option<&str>, line: &str) {
    let mut fields = vec![
        ("MESSAGE", note),
        ("PRIORITY", priority),
        ("SYSLOG_IDENTIFIER", "tcptrace"),
        ("TCPTRACE_RELEASE", line),
    ];
    // With it, `journalctl -u` of the process's unit shows the entry too.
    fields.extend(pid.map(|pid| ("OBJECT_PID", pid)));
    match alert::note(&fields) {
        Ok(()) => tracing::info!("{note}"),
        Err(_) => notice(note),
    }
}
