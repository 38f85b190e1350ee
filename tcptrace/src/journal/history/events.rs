//! Alerts, groups and intervals of the past.

use core::net::SocketAddr;
use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use jiff::Timestamp;
use rusqlite::{Row, params};

use super::super::names::Word as _;
use super::super::writer::rows::{ForecastJson, ShortJson};
use super::shared::{Odd, Values, from_json};
use super::source::{Source, edge, moment};
use super::stays::usual_id;
use super::{Fault, History};
use crate::model::event::Lost;
use crate::model::forecast::{Forecast, Resource};
use crate::model::history::{Histogram, Interval, PastAlert, PastGroup, PastInterval, ShortStays};
use crate::model::socket::{StayState, TcpState};
use crate::model::time::Instant;
use crate::model::verdict::Verdict;

const ALERTS: &str = "SELECT alert.*, socket, state, orphan, local, local_port, remote, \
    remote_port, process, alert_id FROM alert JOIN stay ON stay.id = alert.stay \
    WHERE at_wall >= ?1 AND at_wall < ?2 ORDER BY alert.id";
const GROUPS: &str =
    "SELECT * FROM grouped WHERE at_wall >= ?1 AND at_wall < ?2 ORDER BY grouped.id";
const INTERVALS: &str = "SELECT * FROM interval WHERE to_wall > ?1 AND from_wall < ?2 ORDER BY id";

const SHORT: &str =
    "SELECT short FROM interval WHERE to_wall > ?1 AND from_wall < ?2 AND short <> '[]'";

type Read<T> = fn(&Source, &mut Values<'_>, &Row<'_>) -> Result<T, Odd>;

impl History {
    /// Gives the alerts in `window` to `f`.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn alerts(
        &mut self,
        window: Range<Timestamp>,
        f: &mut dyn FnMut(PastAlert) -> Result<()>,
    ) -> Result<()> {
        self.rows(ALERTS, &window, past_alert, f)
    }

    /// Gives what was told of groups in `window` to `f`.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn groups(
        &mut self,
        window: Range<Timestamp>,
        f: &mut dyn FnMut(PastGroup) -> Result<()>,
    ) -> Result<()> {
        self.rows(GROUPS, &window, past_group, f)
    }

    /// The same, of the shard at `at` alone, whenever it was told.
    pub(super) fn groups_of(
        &mut self,
        at: usize,
        f: &mut dyn FnMut(PastGroup) -> Result<()>,
    ) -> Result<()> {
        let ever = Timestamp::MIN..Timestamp::MAX;
        let result = self.rows_of(at, GROUPS, &ever, past_group, f);
        self.note(at, result)
    }

    /// Gives the intervals of which a part lies in `window` to `f`.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn intervals(
        &mut self,
        window: Range<Timestamp>,
        f: &mut dyn FnMut(PastInterval) -> Result<()>,
    ) -> Result<()> {
        self.rows(INTERVALS, &window, past_interval, f)
    }

    /// Gives the stays that were too short to be kept to `f`, those of each interval of which a part
    /// lies in `window`. It reads no more than that: there are thousands of intervals a day.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn short(
        &mut self,
        window: Range<Timestamp>,
        f: &mut dyn FnMut(BTreeMap<ShortStays, Histogram>) -> Result<()>,
    ) -> Result<()> {
        self.rows(SHORT, &window, short_stays, f)
    }

    fn rows<T>(
        &mut self,
        query: &str,
        window: &Range<Timestamp>,
        read: Read<T>,
        f: &mut dyn FnMut(T) -> Result<()>,
    ) -> Result<()> {
        for at in 0..self.sources.len() {
            let result = self.rows_of(at, query, window, read, f);
            self.note(at, result)?;
        }
        Ok(())
    }

    fn rows_of<T>(
        &mut self,
        at: usize,
        query: &str,
        window: &Range<Timestamp>,
        read: Read<T>,
        f: &mut dyn FnMut(T) -> Result<()>,
    ) -> Result<(), Fault> {
        let source = &self.sources[at];
        let connection = source.connect()?;
        let mut values = Values::new(&connection, &mut self.shared);
        let mut statement = connection.prepare(query)?;
        let mut rows = statement.query(params![edge(window.start), edge(window.end)])?;
        let mut odd = None;
        while let Some(row) = rows.next()? {
            match read(source, &mut values, row) {
                Ok(past) => f(past).map_err(Fault::Caller)?,
                Err(Odd::Sqlite(error)) if error.sqlite_error_code().is_some() => {
                    return Err(error.into());
                }
                Err(error) => odd = Some(error),
            }
        }
        odd.map_or(Ok(()), |error| Err(Fault::Row(error)))
    }
}

fn duration(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

fn past_alert(source: &Source, values: &mut Values<'_>, row: &Row<'_>) -> Result<PastAlert, Odd> {
    let id: i64 = row.get("run")?;
    let run = source.run(id).ok_or(Odd::Missing { table: "run", id })?;
    let state: StayState = values.word(row.get("state")?)?;
    let local = SocketAddr::new(values.address(row.get("local")?)?, row.get("local_port")?);
    let remote = SocketAddr::new(values.address(row.get("remote")?)?, row.get("remote_port")?);
    let own_id: Option<Box<str>> = row.get("alert_id")?;
    let (socket, orphan): (i64, bool) = (row.get("socket")?, row.get("orphan")?);
    let process: Option<i64> = row.get("process")?;
    let ended_by: Option<i64> = row.get("ended_by")?;
    Ok(PastAlert {
        host: Arc::clone(&run.host),
        boot_id: Arc::clone(&run.boot_id),
        id: own_id.unwrap_or_else(|| usual_id(run, socket, (state, orphan), local, remote)),
        group: values.text(row.get("group_id")?)?,
        at: moment(row.get("at_wall")?),
        threshold: duration(row.get("threshold_ns")?),
        state,
        verdict: values.word(row.get("verdict")?)?,
        local,
        remote,
        process: process.map(|id| values.process(id)).transpose()?,
        ended_by: ended_by.map(|id| values.word(id)).transpose()?,
    })
}

fn past_group(source: &Source, values: &mut Values<'_>, row: &Row<'_>) -> Result<PastGroup, Odd> {
    let id: i64 = row.get("run")?;
    let run = source.run(id).ok_or(Odd::Missing { table: "run", id })?;
    let process: Option<i64> = row.get("process")?;
    let code: Option<i64> = row.get("code")?;
    let forecast: Option<String> = row.get("forecast")?;
    let forecast = forecast.map(|text| {
        let ForecastJson { of, used, limit, full_in_ms } = from_json(&text)?;
        let full_in = Duration::from_millis(full_in_ms);
        let of = Resource::parse(&of).ok_or_else(|| Odd::Word(of.into()))?;
        Ok::<_, Odd>(Forecast { of, used, limit, full_in })
    });
    Ok(PastGroup {
        host: Arc::clone(&run.host),
        boot_id: Arc::clone(&run.boot_id),
        id: values.text(row.get("group_id")?)?,
        at: moment(row.get("at_wall")?),
        status: values.word(row.get("status")?)?,
        state: values.word(row.get("state")?)?,
        verdict: values.word(row.get("verdict")?)?,
        process: process.map(|id| values.process(id)).transpose()?,
        code: code.map(|id| values.text(id)).transpose()?,
        members: row.get::<_, i64>("members")?.cast_unsigned(),
        peak: row.get::<_, i64>("peak")?.cast_unsigned(),
        oldest: duration(row.get("oldest_ns")?),
        growth_per_min: row.get("growth_per_min")?,
        forecast: forecast.transpose()?,
    })
}

fn past_interval(source: &Source, _: &mut Values<'_>, row: &Row<'_>) -> Result<PastInterval, Odd> {
    let id: i64 = row.get("run")?;
    let run = source.run(id).ok_or(Odd::Missing { table: "run", id })?;
    let count = |name| row.get::<_, i64>(name).map(i64::cast_unsigned);
    let recursion: Option<i64> = row.get("lost_recursion")?;
    Ok(PastInterval {
        host: Arc::clone(&run.host),
        from: moment(row.get("from_wall")?),
        to: moment(row.get("to_wall")?),
        of: Interval {
            from: Instant::from_nanos(count("from_ns")?),
            to: Instant::from_nanos(count("to_ns")?),
            transitions: transitions(&row.get::<_, String>("transitions")?)?,
            short: short(&row.get::<_, String>("short")?)?,
            half_closed: [count("close_wait")?, count("fin_wait2")?, count("closed")?],
            lost: Lost {
                ring: count("lost_ring")?,
                recursion: recursion.map(i64::cast_unsigned),
                deeds: count("lost_deeds")?,
            },
            gaps: count("gaps")?,
            repaired: count("repaired")?,
        },
    })
}

fn transitions(json: &str) -> Result<BTreeMap<(TcpState, TcpState), u64>, Odd> {
    let counts: Vec<(String, String, u64)> = from_json(json)?;
    let state = |name: String| TcpState::parse(&name).ok_or_else(|| Odd::Word(name.into()));
    counts.into_iter().map(|(old, new, count)| Ok(((state(old)?, state(new)?), count))).collect()
}

fn short_stays(
    _: &Source,
    _: &mut Values<'_>,
    row: &Row<'_>,
) -> Result<BTreeMap<ShortStays, Histogram>, Odd> {
    short(&row.get::<_, String>("short")?)
}

fn short(json: &str) -> Result<BTreeMap<ShortStays, Histogram>, Odd> {
    let counts: Vec<ShortJson> = from_json(json)?;
    let one = |short: ShortJson| {
        let odd = |word: String| Odd::Word(word.into());
        let verdict =
            short.verdict.map(|word| Verdict::parse(&word).ok_or_else(|| odd(word))).transpose()?;
        let state = StayState::parse(&short.state).ok_or_else(|| odd(short.state))?;
        let mut lasted =
            Histogram { sum: Duration::from_nanos(short.sum_ns), ..Default::default() };
        for (bucket, count) in lasted.buckets.iter_mut().zip(short.buckets) {
            *bucket = count;
        }
        Ok((ShortStays { state, comm: short.comm.map(Arc::from), verdict }, lasted))
    };
    counts.into_iter().map(one).collect()
}
