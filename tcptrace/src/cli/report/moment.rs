//! Times as people give them. Parsing asks neither clock nor time zone; both come in later.

use core::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::model::profile::window::Window;

/// A moment, absolute or relative.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// So long before now; nothing is now.
    Ago(jiff::Span),
    /// With its offset from UTC.
    At(Timestamp),
    /// By the clock on the wall.
    Local(DateTime),
}

/// Text that is no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time like 2026-11-24T12:00:00Z, \"2026-11-24 12:00\", 2h (two hours ago) or now")]
pub struct NoMoment;

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, NoMoment> {
        if text == "now" {
            return Ok(Self::Ago(jiff::Span::new()));
        }
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        if let Ok(at) = text.parse() {
            return Ok(Self::Local(at));
        }
        // With or without the word `ago`, which makes it negative.
        let span: jiff::Span = text.parse().map_err(|_| NoMoment)?;
        Ok(Self::Ago(span.abs()))
    }
}

/// A moment that is outside all of time.
#[derive(Debug, thiserror::Error)]
#[error("there is no such time: {0}")]
pub struct OutOfTime(#[from] jiff::Error);

impl Moment {
    /// When that is, for somebody whose clock shows `now`. A time that the clock shows twice, or not at
    /// all, is taken as RFC 5545 has it.
    ///
    /// # Errors
    /// If that is before the beginning of the calendar.
    pub fn resolve(self, now: &Zoned) -> Result<Timestamp, OutOfTime> {
        match self {
            Self::Ago(span) => Ok(now.checked_sub(span)?.timestamp()),
            Self::At(at) => Ok(at),
            Self::Local(at) => {
                let zone: &TimeZone = now.time_zone();
                Ok(zone.to_ambiguous_zoned(at).compatible()?.timestamp())
            }
        }
    }
}

/// From one moment to another, as `FROM..TO`.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Its beginning.
    pub from: Moment,
    /// Its end.
    pub to: Moment,
}

/// Text that is no span.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSpan {
    /// There is only one time.
    #[error("not two times like 2d..1d")]
    NotTwo,
    /// One of the two is none.
    #[error("`{0}` is {1}")]
    Moment(String, NoMoment),
}

impl FromStr for Span {
    type Err = NoSpan;

    fn from_str(text: &str) -> Result<Self, NoSpan> {
        let (from, to) = text.split_once("..").ok_or(NoSpan::NotTwo)?;
        let moment =
            |text: &str| text.parse().map_err(|error| NoSpan::Moment(text.to_owned(), error));
        Ok(Self { from: moment(from)?, to: moment(to)? })
    }
}

/// A window that ends before it has begun, or no such time.
#[derive(Debug, thiserror::Error)]
pub enum NoWindow {
    /// There is no such time.
    #[error(transparent)]
    Time(#[from] OutOfTime),
    /// Nothing can be in it.
    #[error("{from} to {to} is no span of time: it ends before it begins")]
    Backwards {
        /// Its beginning.
        from: Timestamp,
        /// Its end.
        to: Timestamp,
    },
}

/// The window between two moments, from the beginning of time where there is no first.
///
/// # Errors
/// If it is empty, or one of them is no time.
pub fn window(from: Option<Moment>, to: Moment, now: &Zoned) -> Result<Window, NoWindow> {
    let from = from.map_or(Ok(Timestamp::MIN), |from| from.resolve(now))?;
    let to = to.resolve(now)?;
    if from >= to {
        return Err(NoWindow::Backwards { from, to });
    }
    Ok(Window { from, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> String {
        // Clocks go forward at 02:00 on 29 March, and back at 03:00 on 25 October.
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let now = "2026-03-29T12:00:00Z".parse::<Timestamp>().unwrap().to_zoned(zone);
        text.parse::<Moment>().unwrap().resolve(&now).unwrap().to_string()
    }

    #[test]
    fn absolute_and_relative_times() {
        for (text, expect) in [
            ("now", "2026-03-29T12:00:00Z"),
            ("30m", "2026-03-29T11:30:00Z"),
            ("1h30m", "2026-03-29T10:30:00Z"),
            ("2h ago", "2026-03-29T10:00:00Z"),
            // A day had 23 hours.
            ("1d", "2026-03-28T13:00:00Z"),
            ("7d", "2026-03-22T13:00:00Z"),
            ("2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z"),
            ("2026-11-24T12:00:00+08:00", "2026-11-24T04:00:00Z"),
            ("2026-11-24 12:00", "2026-11-24T11:00:00Z"),
            ("2026-07-24T12:00:05", "2026-07-24T10:00:05Z"),
            ("2026-11-24", "2026-11-23T23:00:00Z"),
            // Shown twice: the first; not at all: as if the clocks had not been changed yet.
            ("2026-10-25 02:30", "2026-10-25T00:30:00Z"),
            ("2026-03-29 02:30", "2026-03-29T01:30:00Z"),
        ] {
            assert_eq!(resolve(text), expect, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_said_and_does_not_panic() {
        for text in ["", "yesterday", "12", "2026-13-01", "2h;", "99999-01-01"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
        assert_eq!("2d".parse::<Span>().unwrap_err(), NoSpan::NotTwo);
        assert!("2d..soon".parse::<Span>().unwrap_err().to_string().starts_with("`soon` is not"));
        let now = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
        let far = "19000y".parse::<Moment>().unwrap();
        assert!(far.resolve(&now).is_err());
        let backwards = window(Some("1h".parse().unwrap()), "2h".parse().unwrap(), &now);
        assert!(backwards.unwrap_err().to_string().ends_with("it ends before it begins"));
        let all = window(None, "1h".parse().unwrap(), &now).unwrap();
        assert_eq!(all.from, Timestamp::MIN);
    }
}
