//! What `watch` and `events` have in common: when to drain, when to stop, how to end.

use core::time::Duration;

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant as TokioInstant, sleep_until};

use super::output::Output;
use super::{Style, notice};
use crate::cli::OutputFormat;
use crate::cli::live::ProbeChoice;
use crate::model::summary::Summary;
use crate::model::time::Anchor;
use crate::report::{json, text};
use crate::sys::loader::Kernel;
use crate::sys::probe::{Probe, Source, Wanted};

/// How often the ring is drained: no event waits longer.
pub const DRAIN: Duration = Duration::from_millis(50);
/// And how often at least, however little comes: a ring that fills up wakes in any case.
pub const DRAIN_QUIET: Duration = Duration::from_millis(250);
/// How often the kernel is asked what it lost.
pub const ACCOUNT: Duration = Duration::from_secs(1);
/// At the end of a run, how long a record may still be in the making: the program that writes it
/// can be preempted, and what comes after it in the ring cannot be read before.
pub const LAST_RECORDS: Duration = Duration::from_millis(50);
/// Records taken from the ring before anything else gets its turn.
pub const BATCH: usize = 1 << 16;

/// One thread is enough for the one loop there is.
pub fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start the event loop")
}

/// Attaches the probe that was asked for, or the best there is.
pub fn attach(kernel: &mut Kernel, choice: ProbeChoice, wanted: Wanted) -> Result<Probe> {
    let mut attach = |source| Probe::attach(kernel, source, wanted);
    match choice {
        ProbeChoice::Btf => attach(Source::Btf),
        ProbeChoice::Tracepoint => attach(Source::Classic),
        ProbeChoice::Auto => attach(Source::Btf).or_else(|why| {
            // The better one's failure is the one to tell of.
            let Ok(probe) = attach(Source::Classic) else { return Err(why) };
            notice(&format!("the classic tracepoint is used, which tells less: {why:#}"));
            Ok(probe)
        }),
    }
}

/// Everything that ends a run from outside.
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
    deadline: Option<TokioInstant>,
}

impl Stop {
    /// Listens for SIGINT and SIGTERM.
    pub fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            deadline: None,
        })
    }

    /// Ends the run after `limit`, from now on.
    pub fn after(&mut self, limit: Option<Duration>) {
        self.deadline = limit.and_then(|limit| TokioInstant::now().checked_add(limit));
    }

    /// Resolves when the run is to end.
    pub async fn requested(&mut self) {
        let limit = async {
            match self.deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => core::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = limit => {}
        }
    }
}

/// The last line of a run, and the end of its output.
pub async fn give_account(
    mut stdout: Output,
    style: &Style,
    summary: &Summary,
    now: Anchor,
) -> Result<()> {
    match style.format {
        OutputFormat::Json => {
            stdout.line(|out| json::summary(out, style.context(now), summary, now.monotonic));
        }
        OutputFormat::Text => notice(&text::summary(summary)),
    }
    stdout.finish().await.context("cannot write to stdout")
}
