//! `tcptrace ls`: every half-closed socket now, once.

use core::time::Duration;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread::{self, ScopedJoinHandle};

use anyhow::{Context as _, Result};

use super::output::Output;
use super::session::runtime;
use super::{Style, fallback, filters, journal, notice};
use crate::cli::{LsArgs, OutputFormat};
use crate::model::alert::alert_id;
use crate::model::evidence::Evidence;
use crate::model::group::group_id;
use crate::model::memory::{Memory, Remembered};
use crate::model::rules::Urgency;
use crate::model::snapshot::{Observed, Recollection};
use crate::model::socket::{NetNs, SocketKey};
use crate::model::stay::Stay;
use crate::model::time::Instant;
use crate::model::verdict::{Finding, find};
use crate::report::json;
use crate::report::text::{Row, Sockets};
use crate::sys::clock;
use crate::sys::evidence::{Gatherer, People, Survey};

/// Between the two looks that tell whether bytes move. The kernel's own account would not do where it
/// tells of something recent: a reply sent just before the peer closed looks like one sent since.
pub const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// So many sockets take longer than it takes to make a thread, and to read about their processes again.
const WORTH_A_THREAD: usize = 5000;

/// Looks and prints.
pub fn run(args: &LsArgs, style: &Style) -> Result<()> {
    let filter = filters::filter(&args.filter)?;
    let remembered = recall(args.record.as_deref(), style);
    let seen = look(&remembered)?;
    seen.notes.iter().for_each(|note| notice(note));
    let now = clock::now();
    let ages = (args.min_age, now);
    let admits =
        |stay: &_, evidence: &_, finding: &_| filter.admits_finding(stay, evidence, finding);
    if style.format == OutputFormat::Json {
        let people = seen.people();
        let found = seen.all().iter().filter_map(|known| seen.found(known, &people, ages, admits));
        return runtime()?.block_on(print_lines(found, style, now));
    }
    let tables = seen.in_parts(|part| {
        let (people, mut sockets) = (seen.people(), Sockets::new(now));
        for known in part {
            if let Some((stay, evidence, finding)) = seen.found(known, &people, ages, admits) {
                sockets.add(&Row { stay: &stay, evidence: &evidence, finding: &finding });
            }
        }
        sockets
    });
    match tables.into_iter().reduce(Sockets::followed_by) {
        Some(sockets) if !sockets.is_empty() => runtime()?.block_on(print_table(&sockets)),
        _ => {
            notice("no half-closed sockets");
            Ok(())
        }
    }
}

/// What a record knows of stays that go on; nothing, and a notice, if that cannot be read.
pub fn recall(record: Option<&Path>, style: &Style) -> Vec<Remembered> {
    journal::recall(record, style).unwrap_or_else(|why| {
        notice(&why);
        Vec::new()
    })
}

/// A half-closed socket, and what is to be said of it.
pub type Found = (Stay, Evidence, Finding);

/// What a look at the host shows.
pub struct Seen<'a> {
    survey: Survey,
    recollection: Recollection<'a>,
    sockets: Vec<Known>,
    /// What could not be seen, or not well.
    pub notes: Vec<String>,
}

/// A half-closed socket and since when it is one. There may be a hundred thousand, so the rest is worked
/// out for one after the other.
type Known = (Instant, SocketKey, NetNs);

impl<'a> Seen<'a> {
    /// All of them, those that have been so for the longest time first.
    pub fn all(&self) -> &[Known] {
        &self.sockets
    }

    /// The processes behind them, for one thread.
    pub fn people(&self) -> People {
        self.survey.people()
    }

    /// What was found out about one of them; `None` if it was not half-closed at every look.
    pub fn socket(&self, &(_, key, netns): &Known, people: &People) -> Option<(Stay, Evidence)> {
        let (spot, observed) = self.survey.socket(key, netns)?;
        let (stay, memory) = self.stay(observed);
        let mut evidence = self.survey.evidence(&stay, &spot, people);
        if let Some(memory) = memory {
            evidence.recall(memory);
        }
        let still_so = evidence.state.is_some_and(|state| state == stay.state.state());
        still_so.then_some((stay, evidence))
    }

    /// The same with what is to be said of it, if it is not too young at `now` and `admits` it.
    pub fn found(
        &self,
        known: &Known,
        people: &People,
        (min_age, now): (Option<Duration>, Instant),
        admits: impl Fn(&Stay, &Evidence, &Finding) -> bool,
    ) -> Option<Found> {
        let (stay, evidence) = self.socket(known, people)?;
        let old = min_age.is_none_or(|min_age| stay.age(now) >= min_age);
        let finding = old.then(|| find(&stay, &evidence, BETWEEN_LOOKS))?;
        admits(&stay, &evidence, &finding).then_some((stay, evidence, finding))
    }

    /// Has `make` work on parts of all of them, at the same time if there are many.
    fn in_parts<T: Send>(&self, make: impl Fn(&[Known]) -> T + Sync) -> Vec<T> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let parts = cores.min(self.sockets.len() / WORTH_A_THREAD);
        if parts < 2 {
            return vec![make(&self.sockets)];
        }
        let parts = self.sockets.chunks(self.sockets.len().div_ceil(parts));
        let make = &make;
        thread::scope(|scope| {
            let threads: Vec<_> = parts.map(|part| scope.spawn(move || make(part))).collect();
            let done = threads.into_iter().map(ScopedJoinHandle::join);
            done.map(|made| made.unwrap_or_else(|panic| resume_unwind(panic))).collect()
        })
    }

    fn stay(&self, mut socket: Observed) -> (Stay, Option<&'a Memory>) {
        let memory = self.recollection.recall(&mut socket);
        (Stay::observed(socket.key, &socket, self.survey.taken().end), memory)
    }

    /// Looks again at those of which another look may show anything else.
    fn settle(&mut self, mut gatherer: Gatherer) -> Result<()> {
        let mut unsettled = Vec::new();
        for (socket, still) in self.survey.half_closed() {
            let (key, netns) = (socket.key, socket.netns);
            let (stay, _) = self.stay(socket);
            if !self.survey.is_settled(&stay, &still, BETWEEN_LOOKS) {
                unsettled.push((key, netns));
            }
            self.sockets.push((stay.since, key, netns));
        }
        self.sockets.sort_unstable();
        if unsettled.len() < self.sockets.len() {
            self.survey.drop_those_gone(&mut gatherer)?;
        }
        if unsettled.is_empty() {
            return Ok(());
        }
        let observed = unsettled.iter().filter_map(|&(key, netns)| self.survey.socket(key, netns));
        let stays: Vec<_> = observed.map(|(_, observed)| self.stay(observed).0).collect();
        self.survey.look_again(&mut gatherer, &stays, BETWEEN_LOOKS)
    }
}

/// Looks at every half-closed socket, and twice where something may move or change hands.
///
/// # Errors
/// If they cannot be seen.
pub fn look(remembered: &[Remembered]) -> Result<Seen<'_>> {
    let (survey, gatherer, why) = Survey::take().context("cannot see which sockets there are")?;
    let mut notes: Vec<_> = why.as_ref().map(fallback).into_iter().collect();
    let closed = survey.closed();
    if closed > 0 {
        notes.push(format!(
            "{closed} network namespaces cannot be entered (CAP_SYS_ADMIN and CAP_SYS_PTRACE allow \
             it): what no process holds does not show there"
        ));
    }
    let recollection = Recollection::new(survey.taken(), remembered);
    let mut seen = Seen { survey, recollection, sockets: Vec::new(), notes };
    seen.settle(gatherer).context("cannot look at the sockets")?;
    Ok(seen)
}

async fn print_lines(
    found: impl Iterator<Item = Found>,
    style: &Style,
    now: Instant,
) -> Result<()> {
    let mut stdout = Output::start().context("cannot start the output thread")?;
    let context = style.context(Style::anchor());
    for (stay, evidence, finding) in found {
        let boot_id = &style.host.boot_id;
        let group = group_id(boot_id, &stay, &finding, &Urgency::default());
        let ids = (&*alert_id(boot_id, &stay), &*group);
        stdout.line(|out| json::socket(out, context, ids, &stay, &evidence, &finding, now));
        stdout.flush_patiently().await;
    }
    stdout.finish().await.context("cannot write to stdout")
}

async fn print_table(sockets: &Sockets) -> Result<()> {
    let mut stdout = Output::start().context("cannot start the output thread")?;
    for line in sockets.lines() {
        stdout.line(|out| line.write(out));
        stdout.flush_full_patiently().await;
    }
    stdout.finish().await.context("cannot write to stdout")
}
