//! Parsers of single values.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::builder::{PossibleValue, TypedValueParser};
use ipnet::IpNet;
use jiff::{Span, SpanRelativeTo};

use crate::model::release::pace::Rate;
use crate::model::verdict::{VERDICTS, Verdict};

pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<Span>().ok();
    parsed
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok())
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

/// Where metrics are served unless told otherwise (docs/metrics.md says how it was chosen).
const PORT: u16 = 10_858;

pub fn listen(text: &str) -> Result<SocketAddr, String> {
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let text = text.strip_prefix("localhost").unwrap_or(text);
    let port = || {
        let port = text.strip_prefix(':').unwrap_or(text);
        let port = if port.is_empty() { Some(PORT) } else { port.parse().ok() };
        port.map(|port| SocketAddr::new(loopback, port))
    };
    let address = || text.parse().ok().map(|address| SocketAddr::new(address, PORT));
    text.parse().ok().or_else(port).or_else(address).ok_or_else(|| {
        format!("not an address like {loopback}:{PORT}, or a port; names are not looked up")
    })
}

pub fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: u32 = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => 0,
    };
    let bytes = number.parse::<f64>().ok().map(|number| number * f64::from(unit));
    bytes
        .filter(|&bytes| bytes >= 1.0)
        .map(|bytes| bytes as u64)
        .ok_or_else(|| "not a size like 500MB or 1GiB".to_owned())
}

pub fn count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|&count| count > 0);
    count.ok_or_else(|| "not a count of 1 or more".to_owned())
}

pub fn rate(text: &str) -> Result<Rate, String> {
    let (count, unit) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match unit {
        "s" => 1,
        "min" | "m" => 60,
        "h" => 3600,
        _ => 0,
    };
    let rate = count.parse().ok().and_then(|count| Rate::new(count, Duration::from_secs(seconds)));
    rate.ok_or_else(|| "not a rate like 50/s or 10/min".to_owned())
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
