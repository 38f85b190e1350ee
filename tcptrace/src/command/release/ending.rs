//! One socket after the other, at a rate, until something is not as it should be.

use core::time::Duration;

use anyhow::{Error, Result, anyhow};
use tokio::time::sleep;

use super::record::Record;
use crate::advice::Advice;
use crate::command::Style;
use crate::command::ls::Found;
use crate::command::session::Stop;
use crate::model::release::check::Terms;
use crate::model::release::pace::Pace;
use crate::model::release::plan::{Target, plan};
use crate::model::release::{Account, Left, Outcome, Refusal};
use crate::report::json::{Run, RunStatus};
use crate::sys::clock;
use crate::sys::privileges::{Capability, Privileges};
use crate::sys::release::{Failure, Pins, end, sigpipe};

/// How long to see after the last one whether its process survives it.
const AFTERMATH: Duration = Duration::from_millis(250);

/// See the module.
pub struct Ending<'a> {
    terms: Terms,
    limit: Option<usize>,
    pace: Pace,
    record: Option<Record<'a>>,
    /// `None`: a rehearsal, which takes no time.
    stop: Option<Stop>,
    pins: Pins,
    /// Whose sockets have been ended, by pid and start.
    touched: Vec<(u32, Option<u64>)>,
    ended: usize,
}

/// What came of a run.
pub struct Ended {
    /// One for each socket.
    pub outcomes: Vec<Outcome>,
    /// Why it was not gone through with.
    pub stopped: Option<Error>,
}

impl<'a> Ending<'a> {
    pub fn new(terms: Terms, run: Run<'_>, record: Option<Record<'a>>, stop: Option<Stop>) -> Self {
        Self {
            terms,
            limit: run.limit,
            pace: Pace::new(run.rate),
            record,
            stop,
            pins: Pins::default(),
            touched: Vec::new(),
            ended: 0,
        }
    }

    /// Goes through `sockets`.
    pub async fn all(&mut self, sockets: &[Found], style: &Style) -> Ended {
        let mut outcomes = Vec::with_capacity(sockets.len());
        let (mut left, mut stopped) = (None, None);
        for socket in sockets {
            if let Some(left) = left {
                outcomes.push(Outcome::Left(left));
                continue;
            }
            let (outcome, error) = self.one(socket).await;
            let recorded = self.keep(socket, &outcome, style);
            stopped = error.or(recorded.err());
            match outcome {
                Outcome::Left(Left::Interrupted) => left = Some(Left::Interrupted),
                _ if stopped.is_some() => left = Some(Left::Stopped),
                _ => {}
            }
            outcomes.push(outcome);
        }
        let stopped = stopped.or_else(|| self.died(AFTERMATH));
        Ended { outcomes, stopped }
    }

    /// What became of one socket, and why nothing more is to be done.
    async fn one(&mut self, socket: &Found) -> (Outcome, Option<Error>) {
        if let Err(refusal) = self.plan(socket) {
            return (Outcome::Refused(refusal), None);
        }
        if self.limit == Some(self.ended) {
            return (Outcome::Left(Left::Limit), None);
        }
        if let Some(stop) = &mut self.stop {
            let wait = sleep(self.pace.wait(clock::now()));
            tokio::select! {
                biased;
                () = stop.requested() => return (Outcome::Left(Left::Interrupted), None),
                () = wait => {}
            }
            if let Some(error) = self.died(Duration::ZERO) {
                return (Outcome::Left(Left::Stopped), Some(error));
            }
        }
        // Its turn may have been long in coming.
        let target = match self.plan(socket) {
            Ok(target) => target,
            Err(refusal) => return (Outcome::Refused(refusal), None),
        };
        match end(&target, &self.terms, self.stop.is_none(), &mut self.pins) {
            Ok(outcome) => {
                self.count(&target, &outcome);
                (outcome, None)
            }
            Err(failure) => {
                let error = advise(failure);
                (Outcome::Failed(format!("{error:#}").into()), Some(error))
            }
        }
    }

    fn plan(&self, (stay, evidence, finding): &Found) -> Result<Target, Refusal> {
        plan((stay, evidence, finding), &self.terms, sigpipe)
    }

    fn count(&mut self, target: &Target, outcome: &Outcome) {
        match outcome {
            Outcome::Ended(_) => self.pace.done(clock::now()),
            Outcome::Would => {}
            _ => return,
        }
        self.ended += 1;
        for (process, _) in &target.descriptors {
            let key = (process.pid, process.start_ticks);
            if self.stop.is_some() && !self.touched.contains(&key) {
                self.touched.push(key);
            }
        }
    }

    /// Whether a process has ended whose sockets were.
    fn died(&self, patience: Duration) -> Option<Error> {
        let pid = self.pins.ended(&self.touched, patience)?;
        Some(anyhow!(
            "process {pid} has ended since its connections were; that may have been SIGPIPE's doing"
        ))
    }

    fn keep(&mut self, socket: &Found, outcome: &Outcome, style: &Style) -> Result<()> {
        match &mut self.record {
            Some(record) if outcome.is_deed() => record.deed(socket, outcome, style),
            _ => Ok(()),
        }
    }

    /// Notes the end of the run.
    ///
    /// # Errors
    /// If that cannot be noted.
    pub fn finish(
        &mut self,
        status: RunStatus<'_>,
        account: &Account,
        style: &Style,
    ) -> Result<()> {
        self.record.as_mut().map_or(Ok(()), |record| record.end(status, account, style))
    }
}

/// What to do about it.
fn advise(failure: Failure) -> Error {
    let with = |lacks: Capability, otherwise: &str| {
        let why = match Privileges::read().has(lacks) {
            true => otherwise.to_owned(),
            false => format!("{} is missing", lacks.name()),
        };
        Advice::new(format!("{failure} ({why})"))
            .and_try("sudo tcptrace release", "with all rights")
    };
    match failure {
        Failure::CopyDenied { .. } => {
            let advice = with(
                Capability::SysPtrace,
                "kernel.yama.ptrace_scope is 3, or a security module forbids it",
            );
            anyhow!(advice)
        }
        Failure::ResetDenied => anyhow!(with(
            Capability::NetAdmin,
            "its network namespace belongs to another user namespace, or cannot be entered \
             without CAP_SYS_ADMIN",
        )),
        Failure::NoDestroy => anyhow!(
            Advice::new(failure.to_string())
                .and_try("tcptrace release", "without --abort: shuts them down")
        ),
        failure => Error::new(failure).context("something is not as it should be"),
    }
}
