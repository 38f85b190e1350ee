//! What people have been told and not yet told the end of, for a run that goes on from there.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anyhow::Result;

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

/// What the runs of `boot_id` have told. Shards without any are left alone.
///
/// # Errors
/// None that a damaged shard makes.
pub(super) fn told(history: &mut History, boot_id: &str) -> Result<Told> {
    let mut told = Told::default();
    for at in 0..history.sources.len() {
        if !history.sources[at].runs.iter().any(|run| &*run.boot_id == boot_id) {
            continue;
        }
        history.groups_of(at, &mut |group| {
            if &*group.boot_id == boot_id {
                match group.status {
                    GroupStatus::Resolved => told.groups.remove(&group.id),
                    _ => told.groups.insert(Arc::clone(&group.id), group),
                };
            }
            Ok(())
        })?;
        let source = &history.sources[at];
        if let Err(error) = conditions(source, boot_id, &mut told) {
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
