//! What reading a journal shows on stderr: how far it is, and what it does not know.

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;

use super::notice;
use crate::journal::history::History;
use crate::model::profile::window::Window;
use crate::report::escape::Escaped;
use crate::report::unknown;

/// How many stays pass between two looks at the progress.
const STEP: u64 = 1024;

/// Counts the stays that were read, on stderr if that is a terminal.
pub struct Progress {
    bar: ProgressBar,
    read: u64,
}

impl Progress {
    /// Begins. Where what is read is printed on the same terminal at once, it is not `shown`.
    pub fn new(shown: bool) -> Self {
        let bar = if shown { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        // The template is a constant.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} stays, {per_sec}") {
            bar.set_style(style);
        }
        Self { bar, read: 0 }
    }

    /// One more.
    pub fn stay(&mut self) {
        self.read += 1;
        if self.read.is_multiple_of(STEP) {
            self.bar.inc(STEP);
        }
    }

    /// Takes it off the screen.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// Says which files could not be read, and what else of `window` is not known.
pub fn say_unknown(history: &mut History, window: Window, zone: &TimeZone) -> Result<()> {
    let gaps = history.gaps(window.from..window.to)?;
    for warning in history.warnings() {
        let path = warning.path.display().to_string();
        notice(&format!("{}: {}", Escaped(&path), Escaped(&warning.why)));
    }
    unknown::lines(&gaps, window, zone).iter().for_each(|line| notice(line));
    Ok(())
}
