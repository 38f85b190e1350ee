//! Stays of the past, one after the other.

use core::net::SocketAddr;
use core::ops::Range;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Result;
use jiff::Timestamp;
use rusqlite::types::FromSql;
use rusqlite::{Row, params};

use super::shared::{Odd, Values};
use super::source::{ShardRun, Source, edge, moment};
use super::{Fault, History};
use crate::model::alert::alert_id;
use crate::model::history::{PastEnd, PastStay};
use crate::model::socket::{Endpoints, NetNs, SocketKey, StayState};
use crate::model::stay::{Stay, StayId};
use crate::model::time::Instant;

/// In the order in which [`past_stay`] takes them: finding a column by its name costs more than it holds.
const STAYS: &str = "SELECT run, ended_by, state, socket, orphan, since_ns, until_ns, local, \
    local_port, remote, remote_port, alert_id, verdict, confidence, netns, process, since_wall, \
    exact, code, stack, opened, threads, held_by, eof_read_wall, recv_queue, send_queue, path_read, \
    path_closed, alerted \
    FROM stay WHERE since_wall < ?1 \
    AND (ended_by IS NULL OR since_wall + (until_ns - since_ns) >= ?2)";

/// The columns of a row, one after the other.
struct Columns<'a> {
    row: &'a Row<'a>,
    next: usize,
}

impl Columns<'_> {
    fn take<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        self.next += 1;
        self.row.get(self.next - 1)
    }
}

/// A socket in a state, in all runs of a boot.
type SameStay = (Arc<str>, i64, String, bool);

/// Since when a later run has the stays that it found going on, by the moment at which it began.
type TakenOver = HashMap<SameStay, Vec<(i64, i64)>>;

impl History {
    /// Gives every stay of which a part lies in `window` to `f`, shard by shard. One that was told of
    /// by several shards or runs is given once, or in parts that do not overlap.
    ///
    /// # Errors
    /// Those of `f`. What cannot be read becomes a [`super::Warning`].
    pub fn stays(
        &mut self,
        window: Range<Timestamp>,
        f: &mut dyn FnMut(PastStay) -> Result<()>,
    ) -> Result<()> {
        let taken_over = self.taken_over();
        for at in 0..self.sources.len() {
            let result = self.stays_of(at, &window, &taken_over, f);
            self.note(at, result)?;
        }
        Ok(())
    }

    fn stays_of(
        &mut self,
        at: usize,
        window: &Range<Timestamp>,
        taken_over: &TakenOver,
        f: &mut dyn FnMut(PastStay) -> Result<()>,
    ) -> Result<(), Fault> {
        let source = &self.sources[at];
        let connection = source.connect()?;
        let mut values = Values::new(&connection, &mut self.shared);
        let mut statement = connection.prepare(STAYS)?;
        let mut rows = statement.query(params![edge(window.end), edge(window.start)])?;
        let mut odd = None;
        while let Some(row) = rows.next()? {
            match past_stay(source, &mut values, row, taken_over) {
                Ok(Some(stay)) if overlaps(&stay, window) => f(stay).map_err(Fault::Caller)?,
                Ok(_) => {}
                Err(Odd::Sqlite(error)) if error.sqlite_error_code().is_some() => {
                    return Err(error.into());
                }
                // A row that is not understood does not hide the others.
                Err(error) => odd = Some(error),
            }
        }
        odd.map_or(Ok(()), |error| Err(Fault::Row(error)))
    }

    /// Stays that a later run of the same boot found going on: the earlier run's part of them ends
    /// where the later one's begins.
    fn taken_over(&mut self) -> TakenOver {
        let mut taken_over = TakenOver::new();
        for at in 0..self.sources.len() {
            let result = taken_over_in(&self.sources[at], &mut taken_over);
            // The same fault comes up when its stays are read.
            drop(result);
        }
        taken_over
    }
}

fn taken_over_in(source: &Source, taken_over: &mut TakenOver) -> rusqlite::Result<()> {
    let connection = source.connect()?;
    for run in &source.runs {
        let mut statement = connection.prepare(
            "SELECT socket, text.body, orphan, since_ns FROM stay JOIN text ON text.id = state \
             WHERE run = ? AND since_ns < ?",
        )?;
        let mut rows = statement.query([run.id, run.began_ns])?;
        while let Some(row) = rows.next()? {
            let stay = (Arc::clone(&run.boot_id), row.get(0)?, row.get(1)?, row.get(2)?);
            taken_over.entry(stay).or_default().push((run.began_ns, row.get(3)?));
        }
    }
    Ok(())
}

fn overlaps(stay: &PastStay, window: &Range<Timestamp>) -> bool {
    let end = stay.began.saturating_add(stay.lasted).unwrap_or(Timestamp::MAX);
    stay.began < window.end && (end > window.start || stay.began >= window.start)
}

/// The stay in `row`; `None` if another shard or run has it.
fn past_stay(
    source: &Source,
    values: &mut Values<'_>,
    row: &Row<'_>,
    taken_over: &TakenOver,
) -> Result<Option<PastStay>, Odd> {
    let mut row = Columns { row, next: 0 };
    let id: i64 = row.take()?;
    let run = source.run(id).ok_or(Odd::Missing { table: "run", id })?;
    let ended_by: Option<i64> = row.take()?;
    let end = match ended_by {
        Some(by) => PastEnd::By(values.word(by)?),
        None => match run.open {
            Some(end) => end,
            None => return Ok(None),
        },
    };
    let state: StayState = values.word(row.take()?)?;
    let (socket, orphan): (i64, bool) = (row.take()?, row.take()?);
    let (since_ns, mut until_ns): (i64, i64) = (row.take()?, row.take()?);
    if ended_by.is_none() {
        until_ns = until_ns.max(run.alive_ns);
        let key = (Arc::clone(&run.boot_id), socket, state.state().name().to_owned(), orphan);
        let later = taken_over.get(&key).into_iter().flatten();
        let later = later.filter(|(began, _)| *began > run.began_ns).map(|(_, since)| *since);
        if let Some(since) = later.min().filter(|&since| since < until_ns) {
            until_ns = since;
            if until_ns <= since_ns {
                return Ok(None);
            }
        }
    }
    let local = SocketAddr::new(values.address(row.take()?)?, row.take()?);
    let remote = SocketAddr::new(values.address(row.take()?)?, row.take()?);
    let own_id: Option<Box<str>> = row.take()?;
    let id = own_id.unwrap_or_else(|| usual_id(run, socket, (state, orphan), local, remote));
    let lasted = u64::try_from(until_ns.saturating_sub(since_ns)).unwrap_or(0);
    let verdict = values.word(row.take()?)?;
    let confidence = values.word(row.take()?)?;
    let netns: Option<u32> = row.take()?;
    let process: Option<i64> = row.take()?;
    let began = moment(row.take()?);
    let exact = row.take()?;
    let [code, stack, opened]: [Option<i64>; 3] = [row.take()?, row.take()?, row.take()?];
    let [threads, held_by]: [Option<i64>; 2] = [row.take()?, row.take()?];
    let eof_read_at: Option<i64> = row.take()?;
    let [recv_queue, send_queue]: [Option<u32>; 2] = [row.take()?, row.take()?];
    let [read, closed]: [Option<i64>; 2] = [row.take()?, row.take()?];
    Ok(Some(PastStay {
        host: Arc::clone(&run.host),
        boot_id: Arc::clone(&run.boot_id),
        id,
        state,
        orphan,
        verdict,
        confidence,
        local,
        remote,
        netns: netns.map(NetNs),
        cookie: u64::try_from(socket).ok(),
        process: process.map(|id| values.process(id)).transpose()?,
        began,
        lasted: Duration::from_nanos(lasted),
        exact,
        end,
        code: code.map(|id| values.text(id)).transpose()?,
        stack: stack.map(|id| values.stack(id)).transpose()?,
        opened: opened.map(|id| values.stack(id)).transpose()?,
        threads: threads.map(|id| values.word(id)).transpose()?,
        held_by: held_by.map(|id| values.word(id)).transpose()?,
        eof_read_at: eof_read_at.map(moment),
        recv_queue,
        send_queue,
        path: read.zip(closed).map(|(read, closed)| (read.cast_unsigned(), closed.cast_unsigned())),
        alerted: row.take()?,
    }))
}

/// The id that every run of this boot gives to the stay.
pub fn usual_id(
    run: &ShardRun,
    socket: i64,
    (state, orphan): (StayState, bool),
    local: SocketAddr,
    remote: SocketAddr,
) -> Box<str> {
    let none = Instant::default();
    let stay = Stay {
        id: StayId::default(),
        key: SocketKey::new(socket.cast_unsigned(), 0),
        cookie: u64::try_from(socket).ok(),
        netns: None,
        endpoints: Endpoints { local, remote },
        state,
        orphan,
        since: none,
        since_earliest: none,
        exact: false,
        entered: none,
        circumstances: None,
        progress: None,
        progress_at: none,
        opened: None,
        accepted: false,
        shut: None,
    };
    (&*alert_id(&run.boot_id, &stay)).into()
}
