//! `tcptrace release`: ends stuck connections from outside.

mod ending;
mod record;

use core::time::Duration;

use anyhow::{Context as _, Result};

use self::ending::{Ended, Ending};
use self::record::Record;
use super::ls::{self, BETWEEN_LOOKS, Found};
use super::output::Output;
use super::session::{Stop, runtime};
use super::{Style, filters, notice};
use crate::cli::OutputFormat;
use crate::cli::release::ReleaseArgs;
use crate::model::alert::alert_id;
use crate::model::group::group_id;
use crate::model::release::check::Terms;
use crate::model::release::{Account, Means, Outcome};
use crate::model::rules::Urgency;
use crate::model::time::Instant;
use crate::report::json::{Run, RunStatus};
use crate::report::text::Row;
use crate::report::{json, text};
use crate::sys::clock;
use crate::sys::release::asker;

/// How long no byte may have moved where no `--min-age` says it: what `watch` gives a CLOSE_WAIT.
const QUIET: Duration = Duration::from_secs(60);

/// Looks, and ends what it may; or only tells what it would.
pub fn run(args: &ReleaseArgs, style: &Style) -> Result<()> {
    let filter = filters::filter(&args.filter)?;
    let remembered = ls::recall(args.record.as_deref(), style);
    let terms = Terms {
        means: if args.abort { Means::Abort } else { Means::Shutdown },
        allow_sigpipe: args.allow_sigpipe,
        quiet: args.min_age.unwrap_or(QUIET).max(BETWEEN_LOOKS),
    };
    let asker = asker();
    let run = Run { means: terms.means, rate: args.rate, limit: args.limit, asker: &asker };
    runtime()?.block_on(async {
        let seen = ls::look(&remembered)?;
        seen.notes.iter().for_each(|note| notice(note));
        let now = clock::now();
        let people = seen.people();
        let admits =
            |stay: &_, evidence: &_, finding: &_| filter.admits_held(stay, evidence, finding);
        let found = |known| seen.found(known, &people, (args.min_age, now), admits);
        let sockets: Vec<_> = seen.all().iter().filter_map(found).collect();
        let record = match args.yes && !sockets.is_empty() {
            true => Some(Record::begin(args.record.as_deref(), style, run, sockets.len())?),
            false => None,
        };
        let stop = args.yes.then(Stop::new).transpose()?;
        let mut ending = Ending::new(terms, run, record, stop);
        let Ended { outcomes, stopped } = ending.all(&sockets, style).await;
        let account = Account::of(outcomes.iter());
        let why = stopped.as_ref().map(|error| format!("{error:#}"));
        let status = match &why {
            Some(why) => RunStatus::Stopped(why),
            None if args.yes => RunStatus::Ended,
            None => RunStatus::Rehearsed,
        };
        let recorded = ending.finish(status, &account, style);
        print(&sockets, &outcomes, &run, status, style, now).await?;
        stopped.map_or(recorded, Err)
    })
}

/// The ids of a socket's alert and of its group.
fn ids(style: &Style, (stay, _, finding): &Found) -> [std::sync::Arc<str>; 2] {
    let boot_id = &style.host.boot_id;
    [alert_id(boot_id, stay), group_id(boot_id, stay, finding, &Urgency::default())]
}

async fn print(
    sockets: &[Found],
    outcomes: &[Outcome],
    run: &Run<'_>,
    status: RunStatus<'_>,
    style: &Style,
    now: Instant,
) -> Result<()> {
    let account = Account::of(outcomes.iter());
    let mut stdout = Output::start().context("cannot start the output thread")?;
    match style.format {
        OutputFormat::Json => {
            let context = style.context(Style::anchor());
            for (socket @ (stay, evidence, finding), outcome) in sockets.iter().zip(outcomes) {
                let [id, group] = ids(style, socket);
                let (ids, seen) = ((&*id, &*group), (stay, evidence, finding));
                stdout.line(|out| json::release(out, context, run, ids, seen, outcome, now));
                stdout.flush_patiently().await;
            }
            let at = context.anchor.monotonic;
            stdout.line(|out| json::release_run(out, context, run, status, &account, at));
        }
        OutputFormat::Text if sockets.is_empty() => {
            notice("no half-closed sockets are selected");
        }
        OutputFormat::Text => {
            let rows =
                sockets.iter().map(|(stay, evidence, finding)| Row { stay, evidence, finding });
            stdout.line(|out| text::released(out, rows.zip(outcomes), run.means, now));
            let rehearsal = matches!(status, RunStatus::Rehearsed);
            notice(&text::release_account(&account, run.means, rehearsal));
        }
    }
    stdout.finish().await.context("cannot write to stdout")
}
