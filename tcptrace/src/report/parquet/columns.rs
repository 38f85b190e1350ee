//! The columns, in their order, and what of a row is in each.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::Type;

use self::Need::{Always, Sometimes};
use crate::report::row::Row;

/// What is in a column.
pub(super) enum Get {
    /// UTF-8.
    Text(for<'a> fn(&'a Row<'_>) -> Option<Cow<'a, str>>),
    /// Signed, 64 bits.
    Number(fn(&Row<'_>) -> Option<i64>),
    /// Microseconds since 1970, UTC.
    Moment(fn(&Row<'_>) -> Option<Timestamp>),
    /// Double precision.
    Real(fn(&Row<'_>) -> f64),
    /// True or false.
    Flag(fn(&Row<'_>) -> bool),
}

/// Whether every row has a value.
#[derive(Clone, Copy)]
pub(super) enum Need {
    Always,
    Sometimes,
}

fn text<'a>(text: impl Into<Cow<'a, str>>) -> Option<Cow<'a, str>> {
    Some(text.into())
}

/// What does not fit is not known.
fn number(number: impl TryInto<i64>) -> Option<i64> {
    number.try_into().ok()
}

/// Name, need and content.
pub(super) const COLUMNS: [(&str, Need, Get); 37] = [
    ("host", Always, Get::Text(|row| text(&*row.stay.host))),
    ("boot_id", Always, Get::Text(|row| text(&*row.stay.boot_id))),
    ("id", Always, Get::Text(|row| text(&*row.stay.id))),
    ("state", Always, Get::Text(|row| text(row.stay.state.state().name()))),
    ("orphan", Always, Get::Flag(|row| row.stay.orphan)),
    ("verdict", Always, Get::Text(|row| text(row.stay.verdict.name()))),
    ("confidence", Always, Get::Text(|row| text(row.stay.confidence.name()))),
    ("pid", Sometimes, Get::Number(|row| row.process().map(|p| p.pid.into()))),
    ("comm", Sometimes, Get::Text(|row| row.process().map(|p| (&*p.comm).into()))),
    ("exe", Sometimes, Get::Text(|row| row.process()?.exe.as_deref().map(Cow::from))),
    ("unit", Sometimes, Get::Text(|row| row.process()?.unit.as_deref().map(Cow::from))),
    ("container", Sometimes, Get::Text(|row| row.process()?.container.as_deref().map(Cow::from))),
    ("uid", Sometimes, Get::Number(|row| row.process()?.uid.map(i64::from))),
    ("netns", Sometimes, Get::Number(|row| row.stay.netns.map(|netns| netns.0.into()))),
    ("cookie", Sometimes, Get::Number(|row| row.stay.cookie.and_then(number))),
    ("local_addr", Always, Get::Text(|row| text(row.local().0.to_string()))),
    ("local_port", Always, Get::Number(|row| number(row.local().1))),
    ("remote_addr", Always, Get::Text(|row| text(row.remote().0.to_string()))),
    ("remote_port", Always, Get::Number(|row| number(row.remote().1))),
    ("began", Always, Get::Moment(|row| Some(row.stay.began))),
    ("began_ns", Sometimes, Get::Number(|row| number(row.stay.began.as_nanosecond()))),
    ("lasted_ns", Sometimes, Get::Number(|row| number(row.stay.lasted.as_nanos()))),
    ("socket_seconds", Always, Get::Real(|row| row.seconds)),
    ("exact", Always, Get::Flag(|row| row.stay.exact)),
    ("ended_by", Always, Get::Text(|row| text(row.ended_by()))),
    ("alerted", Always, Get::Flag(|row| row.stay.alerted)),
    ("code", Sometimes, Get::Text(|row| row.stay.code.as_deref().map(Cow::from))),
    ("stack", Always, Get::Text(|row| text(row.stack()))),
    ("opened", Sometimes, Get::Text(|row| row.opened.as_deref().map(Cow::from))),
    ("folded", Always, Get::Text(|row| text(&*row.folded))),
    ("recv_queue", Sometimes, Get::Number(|row| row.stay.recv_queue.map(i64::from))),
    ("send_queue", Sometimes, Get::Number(|row| row.stay.send_queue.map(i64::from))),
    ("thread_state", Sometimes, Get::Text(|row| row.stay.threads.map(|t| t.name().into()))),
    ("held_by", Sometimes, Get::Text(|row| row.stay.held_by.map(|keeper| keeper.name().into()))),
    ("eof_read_at", Sometimes, Get::Moment(|row| row.stay.eof_read_at)),
    ("path_total", Sometimes, Get::Number(|row| row.stay.path.and_then(|(all, _)| number(all)))),
    ("path_closed", Sometimes, Get::Number(|row| row.stay.path.and_then(|(_, n)| number(n)))),
];

/// The same, as the format says it.
pub(super) fn schema() -> Result<Type, ParquetError> {
    let column = |(name, need, get): &(&str, Need, Get)| {
        let (physical, logical) = match get {
            Get::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Get::Number(_) => (Physical::INT64, None),
            Get::Moment(_) => {
                let logical = LogicalType::timestamp(true, TimeUnit::MICROS);
                (Physical::INT64, Some(logical))
            }
            Get::Real(_) => (Physical::DOUBLE, None),
            Get::Flag(_) => (Physical::BOOLEAN, None),
        };
        let repetition = match need {
            Always => Repetition::REQUIRED,
            Sometimes => Repetition::OPTIONAL,
        };
        let column = Type::primitive_type_builder(name, physical);
        let column = column.with_logical_type(logical).with_repetition(repetition).build()?;
        Ok(Arc::new(column))
    };
    let columns: Result<Vec<_>, ParquetError> = COLUMNS.iter().map(column).collect();
    Type::group_type_builder("stay").with_fields(columns?).build()
}
