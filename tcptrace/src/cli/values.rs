//! Parsers of single values.

use core::time::Duration;
use std::net::IpAddr;

use clap::builder::{PossibleValue, TypedValueParser};
use ipnet::IpNet;
use jiff::SignedDuration;

use crate::model::verdict::{VERDICTS, Verdict};

pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().ok();
    parsed
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "not a duration like 90s or 2h30m".to_owned())
}

pub fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse()
        .ok()
        .or_else(address)
        .ok_or_else(|| "not an address or a network like 10.0.0.0/8".to_owned())
}

pub fn ring_bytes(text: &str) -> Result<u32, String> {
    let bytes = text.parse::<u32>().ok();
    bytes
        .filter(|bytes| bytes.is_power_of_two() && *bytes >= 4096)
        .ok_or_else(|| "not a power of two of 4096 or more".to_owned())
}

/// Verdicts by their names.
#[derive(Clone)]
pub struct VerdictParser;

impl TypedValueParser for VerdictParser {
    type Value = Verdict;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Verdict, clap::Error> {
        let names = clap::builder::PossibleValuesParser::new(VERDICTS.map(Verdict::name));
        let name = names.parse_ref(command, arg, value)?;
        let verdict = VERDICTS.into_iter().find(|verdict| verdict.name() == name);
        verdict.ok_or_else(|| clap::Error::new(clap::error::ErrorKind::InvalidValue))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue>>> {
        Some(Box::new(VERDICTS.into_iter().map(|verdict| PossibleValue::new(verdict.name()))))
    }
}
