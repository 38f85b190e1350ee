//! Conditions that many sockets make together.

use std::io::{self, Write};

use super::words::{Age, Count, Named};
use super::{FREED, Look, STUCK, resource};
use crate::model::condition::{ConditionNotice, Measure, Scope};
use crate::model::forecast::Forecast;
use crate::report::escape::Escaped;

/// Tells of a condition.
///
/// # Errors
/// Those of `out`.
pub fn condition(out: &mut impl Write, look: &Look, notice: &ConditionNotice) -> io::Result<()> {
    let time = look.time(notice.at);
    let word = match notice.firing {
        true => look.paint(STUCK, "LIMIT"),
        false => look.paint(FREED, "BELOW"),
    };
    write!(out, "{time}  {word}  ")?;
    match &notice.scope {
        Scope::Host => write!(out, "this host")?,
        Scope::Unit(unit) => write!(out, "{}", Escaped(unit))?,
        Scope::Process(process) => write!(out, "{}", Named(process))?,
    }
    let than = if notice.firing { "more than" } else { "no longer more than" };
    match notice.measure {
        Measure::Sockets(count, limit) => {
            write!(out, " has {} half-closed sockets, {than} {}", Count(count), Count(limit))?;
        }
        Measure::GrowthPerMin(growth, limit) => {
            write!(out, " gains {growth} half-closed sockets a minute, {than} {limit}")?;
        }
        Measure::FullIn(Some(Forecast { of, used, limit, full_in }), _) => {
            let (what, used, limit) = (resource(of), Count(used), Count(limit));
            let full_in = Age(full_in);
            write!(out, " has used {used} of {limit} {what}, full in about {full_in}")?;
        }
        Measure::FullIn(None, _) => write!(out, " no longer runs out of anything")?,
    }
    let (rule, severity) = (Escaped(&notice.rule), notice.severity.name());
    match notice.firing {
        true => writeln!(out, " ({rule}, {severity})"),
        false => {
            let lasted = Age(notice.at.since(notice.since));
            writeln!(out, " ({rule}, {severity}, for {lasted})")
        }
    }
}
