//! The stays that go on, for whoever has not seen them begin.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use rusqlite::Connection;

use super::super::names::Word as _;
use super::History;
use super::shared::{Odd, Shared, Values, from_json};
use crate::model::code::Stack;
use crate::model::history::OpenStay;
use crate::model::memory::{Memory, Remembered};
use crate::model::socket::StayState;
use crate::model::time::Instant;

/// The stays of the boot `boot_id` that go on, or went on when the last recorder in `dir` ended. Only
/// those with a cookie: nothing else names a socket in another process. Where a run has taken stays
/// over, the last one's word counts.
///
/// # Errors
/// If `dir` cannot be read. Shards that cannot be are left out.
pub fn open_stays(dir: &Path, boot_id: &str) -> Result<Vec<Remembered>> {
    Ok(super::of_directory(dir)?
        .map_or_else(Vec::new, |mut history| going_on(&mut history, boot_id)))
}

/// The same, of what was opened already.
pub(super) fn going_on(history: &mut History, boot_id: &str) -> Vec<Remembered> {
    let last = history.sources.iter().flat_map(|source| &source.runs);
    let last = last.filter(|run| &*run.boot_id == boot_id).map(|run| run.began_ns).max();
    let mut stays = Vec::new();
    for source in &history.sources {
        let runs = source.runs.iter().filter(|run| {
            &*run.boot_id == boot_id && Some(run.began_ns) == last && run.open.is_some()
        });
        for run in runs {
            // A damaged shard has no say; ages are bounds then, as without a journal.
            let connected = source.connect().map_err(Odd::from);
            let shared = &mut history.shared;
            let done = connected.and_then(|from| read(&from, shared, run.id, &mut stays));
            if let Err(error) = done {
                tracing::warn!("cannot read {}: {error}", source.path.display());
            }
        }
    }
    stays
}

fn read(
    from: &Connection,
    shared: &mut Shared,
    run: i64,
    to: &mut Vec<Remembered>,
) -> Result<(), Odd> {
    // The first version of the schema had none.
    let memory = match from.column_exists(None, "stay", "memory")? {
        true => "memory",
        false => "NULL",
    };
    let mut statement = from.prepare(&format!(
        "SELECT socket, text.body, orphan, since_ns, ifnull(earliest_ns, since_ns), exact, stack, \
         opened, {memory} FROM stay JOIN text ON text.id = state \
         WHERE run = ? AND ended_by IS NULL AND socket >= 0",
    ))?;
    let mut values = Values::new(from, shared);
    let mut rows = statement.query([run])?;
    while let Some(row) = rows.next()? {
        let Some(state) = StayState::parse(&row.get::<_, String>(1)?) else { continue };
        let instant = |at: i64| Instant::from_nanos(at.cast_unsigned());
        let mut stack = |id: Option<i64>| -> Result<Option<Arc<Stack>>, Odd> {
            id.map(|id| values.stack(id)).transpose()
        };
        let seen: Option<String> = row.get(8)?;
        let seen = seen.map(|seen| from_json::<Memory>(&seen)).transpose()?.unwrap_or_default();
        let memory = Memory { stack: stack(row.get(6)?)?, opened: stack(row.get(7)?)?, ..seen };
        let stay = OpenStay {
            cookie: row.get::<_, i64>(0)?.cast_unsigned(),
            state,
            orphan: row.get(2)?,
            since: instant(row.get(3)?),
            since_earliest: instant(row.get(4)?),
            exact: row.get(5)?,
        };
        to.push(Remembered { stay, memory });
    }
    Ok(())
}
