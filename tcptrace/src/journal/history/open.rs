//! The stays that go on, for whoever has not seen them begin.

use std::path::Path;

use anyhow::Result;

use super::super::names::Word as _;
use super::super::shard;
use super::History;
use crate::model::history::OpenStay;
use crate::model::socket::StayState;
use crate::model::time::Instant;

/// The stays of the boot `boot_id` that go on, or went on when the last recorder in `dir` ended. Only
/// those with a cookie: nothing else names a socket in another process. Where a run has taken stays
/// over, the last one's word counts.
///
/// # Errors
/// If `dir` cannot be read. Shards that cannot be are left out.
pub fn open_stays(dir: &Path, boot_id: &str) -> Result<Vec<OpenStay>> {
    if shard::list(dir)?.is_empty() {
        return Ok(Vec::new());
    }
    let history = History::open(&[dir.to_owned()])?;
    let last = history.sources.iter().flat_map(|source| &source.runs);
    let last = last.filter(|run| &*run.boot_id == boot_id).map(|run| run.began_ns).max();
    let mut stays = Vec::new();
    for source in &history.sources {
        let runs = source.runs.iter().filter(|run| {
            &*run.boot_id == boot_id && Some(run.began_ns) == last && run.open.is_some()
        });
        for run in runs {
            // A damaged shard has no say; ages are bounds then, as without a journal.
            if let Err(error) = read(source, run.id, &mut stays) {
                tracing::warn!("cannot read {}: {error}", source.path.display());
            }
        }
    }
    Ok(stays)
}

fn read(source: &super::source::Source, run: i64, to: &mut Vec<OpenStay>) -> rusqlite::Result<()> {
    let connection = source.connect()?;
    let mut statement = connection.prepare(
        "SELECT socket, text.body, orphan, since_ns, ifnull(earliest_ns, since_ns), exact \
         FROM stay JOIN text ON text.id = state \
         WHERE run = ? AND ended_by IS NULL AND socket >= 0",
    )?;
    let mut rows = statement.query([run])?;
    while let Some(row) = rows.next()? {
        let Some(state) = StayState::parse(&row.get::<_, String>(1)?) else { continue };
        let instant = |at: i64| Instant::from_nanos(at.cast_unsigned());
        to.push(OpenStay {
            cookie: row.get::<_, i64>(0)?.cast_unsigned(),
            state,
            orphan: row.get(2)?,
            since: instant(row.get(3)?),
            since_earliest: instant(row.get(4)?),
            exact: row.get(5)?,
        });
    }
    Ok(())
}
