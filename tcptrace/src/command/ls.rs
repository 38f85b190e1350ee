//! `tcptrace ls`: every half-closed socket now, once.

use core::time::Duration;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::output::Output;
use super::session::runtime;
use super::{Style, fallback, filters, journal, notice};
use crate::cli::{LsArgs, OutputFormat};
use crate::model::alert::alert_id;
use crate::model::evidence::{Evidence, Suspect};
use crate::model::group::group_id;
use crate::model::memory::Remembered;
use crate::model::rules::Urgency;
use crate::model::socket::Identity;
use crate::model::stay::{Stay, StayId};
use crate::model::time::Instant;
use crate::model::tracker::{Thresholds, Tracker};
use crate::model::verdict::{Finding, find};
use crate::report::text::Row;
use crate::report::{json, text};
use crate::sys::clock;
use crate::sys::evidence::{Reply, Request, Worker};
use crate::sys::holders::Holders;
use crate::sys::loader::Kernel;

/// Between the two looks that tell whether bytes move. The kernel's own account would not do: a
/// reply sent just before the peer closed looks like one sent since.
pub const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Looks once and prints.
pub fn run(args: &LsArgs, style: &Style) -> Result<()> {
    let filter = filters::filter(&args.filter)?;
    let runtime = runtime()?;
    let remembered = recall(args.record.as_deref(), style);
    let seen = runtime.block_on(look(&remembered))?;
    seen.notes.iter().for_each(|note| notice(note));
    let now = clock::now();
    let admits = |(stay, evidence, finding): &Found| filter.admits_finding(stay, evidence, finding);
    let shown = select(seen, admits, args.min_age, now);
    runtime.block_on(print(&shown, style, now))
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

/// What of `seen` `admits` and is old enough, the longest half-closed first.
pub fn select(
    seen: Seen,
    admits: impl Fn(&Found) -> bool,
    min_age: Option<Duration>,
    now: Instant,
) -> Vec<Found> {
    let mut selected: Vec<_> = seen
        .sockets
        .into_iter()
        .map(|(stay, evidence)| {
            let finding = find(&stay, &evidence, BETWEEN_LOOKS);
            (stay, evidence, finding)
        })
        .filter(admits)
        .filter(|(stay, ..)| min_age.is_none_or(|min_age| stay.age(now) >= min_age))
        .collect();
    selected.sort_by_key(|(stay, ..)| (stay.since, stay.key));
    selected
}

/// What a look at the host shows.
pub struct Seen {
    /// Half-closed sockets that were so at both looks.
    pub sockets: Vec<(Stay, Evidence)>,
    /// What could not be seen, or not well.
    pub notes: Vec<String>,
}

/// Looks twice at every half-closed socket.
///
/// # Errors
/// If they cannot be seen.
pub async fn look(remembered: &[Remembered]) -> Result<Seen> {
    // Without the right to load programs /proc and sock_diag still say a lot.
    let kernel = Kernel::read();
    let (holders, why) = match kernel {
        Ok(mut kernel) => Holders::open(Some(&mut kernel)),
        Err(error) => (Holders::Proc, Some(error)),
    };
    let mut notes: Vec<_> = why.as_ref().map(fallback).into_iter().collect();
    let mut worker = Worker::start(holders, None)?;
    let asked = clock::now();
    worker.ask(Request::Snapshot { others: false })?;
    let Reply::Snapshot(snapshot) = worker.reply().await? else {
        bail!("the evidence thread answered another question");
    };
    let mut snapshot = snapshot.context("cannot see which sockets there are")?;
    if snapshot.closed > 0 {
        let closed = snapshot.closed;
        notes.push(format!(
            "{closed} network namespaces cannot be entered (CAP_SYS_ADMIN and CAP_SYS_PTRACE allow \
             it): what no process holds does not show there"
        ));
    }
    let mut tracker = Tracker::new(Thresholds::NEVER, usize::MAX, Identity::Cookie);
    tracker.snapshot_begins(asked);
    snapshot.remember(asked..clock::now(), remembered);
    // A table of one moment takes minisockets as well: nothing here waits for their end.
    for socket in &mut snapshot.half_closed {
        socket.minisocket = None;
    }
    tracker.snapshot_ends(clock::now(), &snapshot, |_| true);
    let stays: Vec<_> = tracker.stays().collect();
    tokio::time::sleep(BETWEEN_LOOKS).await;
    worker.ask(Request::Examine(stays.into_iter().map(Suspect::from).collect()))?;
    let Reply::Evidence(evidence) = worker.reply().await? else {
        bail!("the evidence thread answered another question");
    };
    let evidence = evidence.context("cannot look at the sockets")?;
    let recalled = |(id, mut evidence): (StayId, Evidence)| {
        let stay = tracker.get(id)?;
        if let Some(memory) = stay.cookie.and_then(|cookie| snapshot.memories.get(&cookie)) {
            evidence.recall(memory);
        }
        Some((stay, evidence))
    };
    let still_so = |stay: &Stay, evidence: &Evidence| {
        evidence.state.is_some_and(|state| state == stay.state.state())
    };
    let sockets = evidence
        .into_iter()
        .filter_map(recalled)
        .filter(|(stay, evidence)| still_so(stay, evidence))
        .collect();
    Ok(Seen { sockets, notes })
}

async fn print(shown: &[Found], style: &Style, now: Instant) -> Result<()> {
    let mut stdout = Output::start().context("cannot start the output thread")?;
    match style.format {
        OutputFormat::Json => {
            let context = style.context(Style::anchor());
            for (stay, evidence, finding) in shown {
                let boot_id = &style.host.boot_id;
                let group = group_id(boot_id, stay, finding, &Urgency::default());
                let ids = (&*alert_id(boot_id, stay), &*group);
                stdout.line(|out| json::socket(out, context, ids, stay, evidence, finding, now));
                stdout.flush_patiently().await;
            }
        }
        OutputFormat::Text if shown.is_empty() => notice("no half-closed sockets"),
        OutputFormat::Text => {
            let rows = shown.iter();
            let rows = rows.map(|(stay, evidence, finding)| Row { stay, evidence, finding });
            let rows: Vec<_> = rows.collect();
            stdout.line(|out| text::sockets(out, &rows, now));
        }
    }
    stdout.finish().await.context("cannot write to stdout")
}
