//! The words and numbers of a page.

use core::fmt::{self, Display};
use core::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Page;
use super::markup::Html;
use crate::model::evidence::ThreadState;
use crate::model::forecast::{Forecast, Resource};
use crate::model::history::{GapKind, PastEnd};
use crate::model::postmortem::{Processes, Program};
use crate::model::profile::window::Window;
use crate::model::verdict::Verdict;
use crate::report::escape::Escaped;
use crate::report::text::Age;
use crate::report::text::words::{Count, Named, ended_words};

/// How this page says things.
pub(super) struct Words {
    zone: TimeZone,
    /// Machines are named where there are several.
    hosts: bool,
}

impl Words {
    pub(super) fn new(page: &Page<'_>) -> Self {
        Self { zone: page.zone.clone(), hosts: page.postmortem.hosts.len() > 1 }
    }

    /// Date and time.
    pub(super) fn time(&self, at: Timestamp) -> impl Display {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S")
    }

    /// In another form.
    pub(super) fn format(&self, at: Timestamp, format: &'static str) -> String {
        at.to_zoned(self.zone.clone()).strftime(format).to_string()
    }

    /// That as an element that says the offset as well.
    pub(super) fn element(&self, at: Timestamp) -> String {
        let exact = self.format(at, "%Y-%m-%dT%H:%M:%S%:z");
        format!("<time datetime=\"{}\">{}</time>", Html(exact), Html(self.time(at)))
    }

    /// Seconds by which the local clock is ahead of UTC.
    pub(super) fn offset(&self, at: Timestamp) -> i64 {
        i64::from(self.zone.to_offset(at).seconds())
    }

    /// From when to when.
    pub(super) fn window(&self, window: Window) -> String {
        let (from, to) = (self.format(window.from, "%Y-%m-%d"), self.format(window.to, "%Y-%m-%d"));
        let end = if from == to { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        format!("{} to {}", self.time(window.from), self.format(window.to, end))
    }

    /// Which zone times are in, and how far that is from UTC within `window`.
    pub(super) fn zone(&self, window: Window) -> String {
        let offset = |at| self.format(at, "%:z");
        let (from, to) = (offset(window.from), offset(window.to));
        let name = self.zone.iana_name().map(|name| format!("{name} ")).unwrap_or_default();
        if from == to { format!("{name}{from}") } else { format!("{name}{from}, later {to}") }
    }

    pub(super) fn generated(&self, at: Timestamp) -> String {
        let version = env!("CARGO_PKG_VERSION");
        format!("tcptrace {version}, {}", self.format(at, "%Y-%m-%d %H:%M:%S %:z"))
    }

    pub(super) fn who<'a>(
        &self,
        program: &'a Program,
        verdict: Verdict,
        processes: Option<&'a Processes>,
    ) -> Who<'a> {
        Who { program, verdict, processes, host: self.hosts }
    }
}

/// A program, or what stands in its place.
pub(super) struct Who<'a> {
    program: &'a Program,
    verdict: Verdict,
    /// Named by its pid if it is one, else counted.
    processes: Option<&'a Processes>,
    host: bool,
}

impl Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.program.process, self.processes.map(Processes::count)) {
            (Some(process), None | Some((0 | 1, _))) => Named(process).fmt(f)?,
            (Some(process), Some((count, more))) => {
                write!(f, "{}", Escaped(&process.comm))?;
                if let Some(unit) = &process.unit {
                    write!(f, " {}", Escaped(unit))?;
                }
                if let Some(container) = &process.container {
                    let short = container.get(..12).unwrap_or(container);
                    write!(f, " container {}", Escaped(short))?;
                }
                if let Some(pod) = &process.pod {
                    write!(f, " pod {}", Escaped(pod))?;
                }
                let least = if more { "over " } else { "" };
                write!(f, " ({least}{} processes)", Count(count))?;
            }
            (None, _) => f.write_str(match self.verdict {
                Verdict::Orphan => "closed by their program",
                Verdict::NoFd => "held by no process",
                Verdict::Kernel => "the kernel",
                _ => "process not known",
            })?,
        }
        if self.host {
            write!(f, " on {}", Escaped(&self.program.host))?;
        }
        Ok(())
    }
}

/// A code path, or what is known instead.
pub(super) fn code(code: Option<&str>, verdict: Verdict, threads: Option<ThreadState>) -> String {
    if let Some(code) = code {
        return Escaped(code).to_string();
    }
    let what = match verdict {
        Verdict::NotAccepted => "never accepted",
        Verdict::DataUnread | Verdict::EofUnread => "no read since the peer closed",
        _ => "no code was seen",
    };
    match threads {
        Some(threads) => format!("{what}, threads {}", threads.name()),
        None => what.to_owned(),
    }
}

/// Socket-time in seconds.
pub(super) struct SocketSeconds(pub(super) Duration);

impl Display for SocketSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0..100 => write!(f, "{:.1}", self.0.as_secs_f64()),
            seconds => Count(seconds).fmt(f),
        }
    }
}

pub(super) fn forecast(forecast: Forecast) -> String {
    format!("{}, full in about {}", used(forecast), Age(forecast.full_in))
}

pub(super) fn used(Forecast { of, used, limit, .. }: Forecast) -> String {
    let what = match of {
        Resource::Descriptors => "descriptors",
        Resource::Ports => "ports to one destination",
    };
    format!("{} of {} {what}", Count(used), Count(limit))
}

pub(super) const fn end(end: PastEnd) -> &'static str {
    match end {
        PastEnd::By(by) => ended_words(by),
        PastEnd::Open => "still open",
        PastEnd::CutOff => "not known, the recorder died",
    }
}

pub(super) fn gap(why: &GapKind) -> String {
    match why {
        GapKind::NotRunning => "nothing was recorded".to_owned(),
        GapKind::Lost(count) => format!("{} transitions were lost", Count(*count)),
        GapKind::LeftOut(count) => {
            format!("{} entries were left out: the disk was too slow or full", Count(*count))
        }
        GapKind::Unreadable(why) => format!("a file cannot be read: {}", Escaped(why)),
    }
}

/// `part` of `whole` in per cent.
pub(super) fn percent(part: f64, whole: f64) -> String {
    let share = if whole > 0.0 { part / whole * 100.0 } else { 0.0 };
    if share > 0.0 && share < 1.0 { "under 1 %".to_owned() } else { format!("{share:.0} %") }
}
