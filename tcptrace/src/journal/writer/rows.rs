//! One commit.

use rusqlite::{
    Connection, OptionalExtension as _, Result, Transaction, TransactionBehavior, params,
};
use serde::{Deserialize, Serialize};

use super::super::clock::{Clock, nanos};
use super::super::intern::{Interner, json};
use super::super::ledger::{AlertRow, Kind, Ledger};
use super::super::names::Word as _;
use super::super::recorder::RunInfo;
use super::super::shard::Shard;
use crate::model::condition::ConditionNotice;
use crate::model::group::GroupNotice;
use crate::model::history::Interval;
use crate::model::time::Anchor;

/// A run in this shard.
#[derive(Clone, Copy)]
struct Run {
    id: i64,
    /// A stay's row is this and its serial number.
    base: i64,
    /// The shard did not have it yet.
    new: bool,
}

/// Writes all that waits in `ledger`, and the sign of life.
pub fn write(
    shard: &mut Shard,
    interner: &mut Interner,
    ledger: &Ledger,
    info: &RunInfo,
    (began, from, over): (Anchor, Anchor, bool),
) -> Result<()> {
    let connection = &mut shard.connection;
    let to = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let clock = &ledger.clock;
    let run = register(&to, info, began, from)?;
    write_stays(&to, interner, ledger, info, run)?;
    for alert in &ledger.alerts {
        write_alert(&to, interner, clock, run, alert)?;
    }
    for group in &ledger.groups {
        write_group(&to, interner, clock, run, group)?;
    }
    for condition in &ledger.conditions {
        write_condition(&to, clock, run, condition)?;
    }
    for interval in &ledger.intervals {
        write_interval(&to, clock, run, interval)?;
    }
    for step in &ledger.steps {
        let at = step.monotonic.as_nanos().cast_signed();
        to.prepare_cached("INSERT INTO clock VALUES (?, ?, ?)")?.execute(params![
            run.id,
            at,
            nanos(step.wall)
        ])?;
    }
    let left_out = &ledger.left_out;
    for (kind, count) in Kind::ALL.iter().zip(left_out.counts).filter(|(_, count)| *count > 0) {
        let (from, to_wall) = (clock.wall_at(left_out.from), clock.wall_at(left_out.to));
        to.prepare_cached("INSERT INTO left_out VALUES (?, ?, ?, ?, ?)")?.execute(params![
            run.id,
            from,
            to_wall,
            kind.name(),
            count.cast_signed()
        ])?;
    }
    let alive = clock.last();
    to.prepare_cached("UPDATE run SET alive_ns = ?, alive_wall = ?, ended = ? WHERE id = ?")?
        .execute(params![
            alive.monotonic.as_nanos().cast_signed(),
            nanos(alive.wall),
            over.then_some("in order"),
            run.id
        ])?;
    to.commit()
}

fn find(to: &Connection, info: &RunInfo, began: Anchor) -> Result<Option<(i64, i64)>> {
    to.prepare_cached("SELECT id, base FROM run WHERE boot_id = ? AND began_ns = ?")?
        .query_row(params![info.boot_id, began.monotonic.as_nanos().cast_signed()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
}

fn register(to: &Connection, info: &RunInfo, began: Anchor, from: Anchor) -> Result<Run> {
    if let Some((id, base)) = find(to, info, began)? {
        return Ok(Run { id, base, new: false });
    }
    let base = to.query_row("SELECT ifnull(max(id) + 1, 0) FROM stay", [], |row| row.get(0))?;
    let id = to
        .prepare("INSERT INTO run VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, NULL)")?
        .insert(params![
            base,
            info.host,
            info.boot_id,
            info.version,
            json(&info.probes)?,
            json(&info.thresholds)?,
            i64::try_from(info.recording.as_nanos()).unwrap_or(i64::MAX),
            began.monotonic.as_nanos().cast_signed(),
            nanos(began.wall),
            from.monotonic.as_nanos().cast_signed(),
            nanos(from.wall),
        ])?;
    Ok(Run { id, base, new: true })
}

/// Says in the shard before that its run goes on in another one.
pub fn mark_continued(to: &Connection, info: &RunInfo, began: Anchor) -> Result<()> {
    if let Some((id, _)) = find(to, info, began)? {
        to.execute("UPDATE run SET ended = 'continued' WHERE id = ?", [id])?;
    }
    Ok(())
}

/// The stays that changed; in a shard that does not have the run yet, all that go on.
fn write_stays(
    to: &Transaction<'_>,
    interner: &mut Interner,
    ledger: &Ledger,
    info: &RunInfo,
    run: Run,
) -> Result<()> {
    let mut open: Vec<_> = if run.new {
        ledger.open.iter().map(|(serial, row)| (*serial, &**row)).collect()
    } else {
        let rows = ledger.changed.iter();
        rows.filter_map(|serial| Some((*serial, &**ledger.open.get(serial)?))).collect()
    };
    open.extend(ledger.over.iter().map(|(serial, row)| (*serial, &**row)));
    // In their order, so that pages fill up.
    open.sort_unstable_by_key(|(serial, _)| *serial);
    for (serial, row) in open {
        let id = run.base + serial.cast_signed();
        row.write(to, interner, &ledger.clock, &info.boot_id, (run.id, id))?;
    }
    Ok(())
}

fn write_alert(
    to: &Connection,
    interner: &mut Interner,
    clock: &Clock,
    run: Run,
    alert: &AlertRow,
) -> Result<()> {
    to.prepare_cached("INSERT INTO alert VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)")?.execute(params![
        run.id,
        run.base + alert.serial.cast_signed(),
        clock.wall_at(alert.at),
        interner.text(to, &alert.group)?,
        interner.word(to, alert.verdict)?,
        alert.threshold,
        alert.ended_by.map(|by| interner.word(to, by)).transpose()?,
    ])?;
    Ok(())
}

/// A forecast as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct ForecastJson {
    /// What runs out.
    pub of: String,
    /// How much of it is in use.
    pub used: u64,
    /// How much there is.
    pub limit: u64,
    /// When it is used up.
    pub full_in_ms: u64,
}

fn write_group(
    to: &Connection,
    interner: &mut Interner,
    clock: &Clock,
    run: Run,
    group: &GroupNotice,
) -> Result<()> {
    let process = group.blame.as_ref().map(|blame| interner.process(to, &blame.process));
    let forecast = group.forecast.map(|forecast| {
        json(&ForecastJson {
            of: forecast.of.word().to_owned(),
            used: forecast.used,
            limit: forecast.limit,
            full_in_ms: u64::try_from(forecast.full_in.as_millis()).unwrap_or(u64::MAX),
        })
    });
    to.prepare_cached("INSERT INTO grouped VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
            run.id,
            interner.text(to, &group.id)?,
            clock.wall_at(group.at),
            interner.word(to, group.status)?,
            interner.word(to, group.state)?,
            interner.word(to, group.verdict)?,
            process.transpose()?,
            group.code.as_ref().map(|code| interner.text(to, &code.line)).transpose()?,
            group.members as i64,
            group.peak as i64,
            i64::try_from(group.oldest.as_nanos()).unwrap_or(i64::MAX),
            group.growth_per_min,
            forecast.transpose()?,
        ])?;
    Ok(())
}

fn write_condition(
    to: &Connection,
    clock: &Clock,
    run: Run,
    notice: &ConditionNotice,
) -> Result<()> {
    let (value, limit) = notice.measure.figures();
    to.prepare_cached("INSERT INTO condition VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?.execute(
        params![
            run.id,
            notice.id,
            notice.rule,
            notice.severity.name(),
            clock.wall_at(notice.at),
            notice.firing,
            notice.measure.name(),
            value,
            limit,
        ],
    )?;
    Ok(())
}

/// Short stays of one kind, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShortJson {
    /// The state.
    pub state: String,
    /// The process's name.
    pub comm: Option<String>,
    /// The verdict.
    pub verdict: Option<String>,
    /// How long all of them lasted together.
    pub sum_ns: u64,
    /// How many lasted less than 1, 2, 4, … ms, without zeros at the end.
    pub buckets: Vec<u64>,
}

fn write_interval(to: &Connection, clock: &Clock, run: Run, interval: &Interval) -> Result<()> {
    let transitions: Vec<_> = interval
        .transitions
        .iter()
        .map(|((old, new), count)| (old.name(), new.name(), count))
        .collect();
    let short: Vec<_> = interval
        .short
        .iter()
        .map(|(key, lasted)| {
            let used = lasted.buckets.iter().rposition(|&count| count > 0).map_or(0, |at| at + 1);
            ShortJson {
                state: key.state.word().to_owned(),
                comm: key.comm.as_deref().map(str::to_owned),
                verdict: key.verdict.map(|verdict| verdict.word().to_owned()),
                sum_ns: u64::try_from(lasted.sum.as_nanos()).unwrap_or(u64::MAX),
                buckets: lasted.buckets[..used].to_vec(),
            }
        })
        .collect();
    let [close_wait, fin_wait2, closed] = interval.half_closed.map(u64::cast_signed);
    to.prepare_cached(
        "INSERT INTO interval VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        run.id,
        interval.from.as_nanos().cast_signed(),
        clock.wall_at(interval.from),
        interval.to.as_nanos().cast_signed(),
        clock.wall_at(interval.to),
        json(&transitions)?,
        json(&short)?,
        close_wait,
        fin_wait2,
        closed,
        interval.lost.ring.cast_signed(),
        interval.lost.recursion.map(u64::cast_signed),
        interval.lost.deeds.cast_signed(),
        interval.gaps.cast_signed(),
        interval.repaired.cast_signed(),
    ])?;
    Ok(())
}
