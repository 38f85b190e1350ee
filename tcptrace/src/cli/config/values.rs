//! Values of the file, read by the parsers of the command line.

use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;
use std::net::SocketAddr;

use clap::ValueEnum;
use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::de::{Error, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::cli::values;
use crate::model::socket::StayState;
use crate::model::verdict::{VERDICTS, Verdict};

fn parsed<'de, T, D: Deserializer<'de>>(
    from: D,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).map_err(|why| Error::custom(format!("{text:?} is {why}")))
}

pub fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    parsed(from, values::duration).map(Some)
}

pub fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    parsed(from, values::size).map(Some)
}

pub fn ring_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    let bytes = u32::deserialize(from)?;
    values::ring_bytes(&bytes.to_string()).map(Some).map_err(Error::custom)
}

pub fn listen<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    parsed(from, values::listen).map(Some)
}

/// One of the words that a flag takes.
pub fn choice<'de, T: ValueEnum, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(from)?;
    let known = T::from_str(&text, false).ok();
    known.map(Some).ok_or_else(|| {
        let all = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        unknown(&text, all.map(|value| value.get_name().to_owned()))
    })
}

fn unknown<E: Error>(text: &str, all: impl Iterator<Item = String>) -> E {
    let all = all.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    E::custom(format!("unknown value `{text}`, expected one of {all}"))
}

/// A moment: with its offset from UTC, or by the clock of this machine.
pub fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    // TOML has dates of its own, with and without quotes.
    let text = match toml::Value::deserialize(from)? {
        toml::Value::String(text) => text,
        toml::Value::Datetime(moment) => moment.to_string(),
        other => return Err(Error::custom(format!("a date is needed, not {}", other.type_str()))),
    };
    let local = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::system()).ok();
    let moment = text.parse().ok().or_else(|| local().map(|zoned| zoned.timestamp()));
    moment.ok_or_else(|| {
        Error::custom(format!("{text:?} is no moment like 2026-12-01T08:00:00Z or 2026-12-01"))
    })
}

/// One value, or an array of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Several<T>(pub Vec<T>);

impl<T> Default for Several<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Several<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OneOrMore<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMore<T> {
            type Value = Several<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or an array of values")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(text.into_deserializer()).map(|one| Several(vec![one]))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                T::deserialize(number.into_deserializer()).map(|one| Several(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = seq.next_element()? {
                    all.push(one);
                }
                Ok(Several(all))
            }
        }
        from.deserialize_any(OneOrMore(PhantomData))
    }
}

/// A word with a meaning of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<T>(pub T);

impl<'de> Deserialize<'de> for Word<Verdict> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        named(from, &VERDICTS, Verdict::name).map(Word)
    }
}

impl<'de> Deserialize<'de> for Word<StayState> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        named(from, &StayState::ALL, |state| state.state().name()).map(Word)
    }
}

impl<'de> Deserialize<'de> for Word<IpNet> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        parsed(from, values::network).map(Word)
    }
}

fn named<'de, T: Copy, D: Deserializer<'de>>(
    from: D,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    let known = all.iter().copied().find(|&one| name(one) == text);
    known.ok_or_else(|| unknown(&text, all.iter().map(|&one| name(one).to_owned())))
}

/// A name or a number, as a flag would have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a number")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
        }
        from.deserialize_any(Either)
    }
}

/// How a duration is written in the file.
pub fn shown(duration: Duration) -> String {
    jiff::SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{}s", duration.as_secs()), |signed| format!("{signed:#}"))
}
