//! What people have been told and not yet told the end of, for a run that goes on from there.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use jiff::Timestamp;

use super::super::shard;
use super::History;
use crate::model::group::GroupStatus;
use crate::model::history::PastGroup;

/// See the module.
#[derive(Debug, Default)]
pub struct Told {
    /// Groups that were not empty when they were told of last, as they were then.
    pub groups: HashMap<Arc<str>, PastGroup>,
    /// Conditions that held, by id.
    pub conditions: HashSet<Arc<str>>,
}

/// What the runs of `boot_id` in `dir` have told.
///
/// # Errors
/// If `dir` cannot be read. Shards that cannot be are left out.
pub fn told(dir: &Path, boot_id: &str) -> Result<Told> {
    let mut told = Told::default();
    if shard::list(dir)?.is_empty() {
        return Ok(told);
    }
    let mut history = History::open(&[dir.to_owned()])?;
    history.groups(Timestamp::MIN..Timestamp::MAX, &mut |group| {
        if &*group.boot_id == boot_id {
            match group.status {
                GroupStatus::Resolved => told.groups.remove(&group.id),
                _ => told.groups.insert(Arc::clone(&group.id), group),
            };
        }
        Ok(())
    })?;
    for source in &history.sources {
        let here = source.runs.iter().any(|run| &*run.boot_id == boot_id);
        if let Err(error) = if here { conditions(source, boot_id, &mut told) } else { Ok(()) } {
            tracing::warn!("cannot read {}: {error}", source.path.display());
        }
    }
    Ok(told)
}

fn conditions(
    source: &super::source::Source,
    boot_id: &str,
    told: &mut Told,
) -> rusqlite::Result<()> {
    let connection = source.connect()?;
    // The first version of the schema had none.
    if !connection.table_exists(None, "condition")? {
        return Ok(());
    }
    let mut statement = connection.prepare(
        "SELECT name, firing FROM condition JOIN run ON run.id = condition.run WHERE boot_id = ? \
         ORDER BY condition.id",
    )?;
    let mut rows = statement.query([boot_id])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        if row.get(1)? {
            told.conditions.insert(name.into());
        } else {
            told.conditions.remove(&*name);
        }
    }
    Ok(())
}
