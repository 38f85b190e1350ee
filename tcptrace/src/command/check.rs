//! `tcptrace check`: a plugin for monitoring systems. Everything it says goes to stdout, which is
//! what they keep, and whatever goes wrong is UNKNOWN: their 2 means CRITICAL.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Result, anyhow};

use super::ls::{self, BETWEEN_LOOKS};
use super::{Style, filters, journal};
use crate::advice::Advice;
use crate::cli::OutputFormat;
use crate::cli::check::CheckArgs;
use crate::model::monitor::{Census, Level, Limit, Limits, stuck};
use crate::report::{json, nagios};
use crate::sys::clock;

const UNKNOWN: u8 = 3;

/// Looks once and says how bad it is.
pub(super) fn run(args: &CheckArgs, style: &Style) -> ExitCode {
    match survey(args, style) {
        Ok((census, limits, notes)) => {
            let level = census.level(&limits);
            let seen = (&census, &limits, level);
            said(
                print(|out| match style.format {
                    OutputFormat::Text => nagios::census(out, seen, &notes),
                    OutputFormat::Json => json::monitor(
                        out,
                        style.context(Style::anchor()),
                        seen,
                        &notes,
                        clock::now(),
                    ),
                }),
                exit_code(level),
            )
        }
        Err(error) if style.format == OutputFormat::Json => {
            let (context, now) = (style.context(Style::anchor()), clock::now());
            let reason = format!("{error:#}");
            said(print(|out| json::monitor_failed(out, context, &reason, now)), UNKNOWN)
        }
        Err(error) => unknown(&error),
    }
}

/// Says that nothing can be said, and why. Also for what goes wrong before [`run`].
pub fn unknown(error: &anyhow::Error) -> ExitCode {
    let advice = error.chain().find_map(|cause| cause.downcast_ref::<Advice>());
    let tries = advice.map_or(&[][..], |advice| &advice.tries);
    said(print(|out| nagios::unknown(out, &format!("{error:#}"), tries)), UNKNOWN)
}

fn survey(args: &CheckArgs, style: &Style) -> Result<(Census, Limits, Vec<String>)> {
    let limits = Limits {
        min_age: args.min_age,
        count: Limit { warning: Some(args.warning), critical: Some(args.critical) },
        age: Limit { warning: args.warning_age, critical: args.critical_age },
    };
    if limits.count.is_reversed() || limits.age.is_reversed() {
        return Err(anyhow!("the limit for WARNING is above the one for CRITICAL"));
    }
    let filter = filters::filter(&args.filter)?;
    let (remembered, why) = match journal::recall(args.record.as_deref(), style) {
        Ok(remembered) => (remembered, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let mut seen = ls::look(&remembered)?;
    seen.notes.extend(why);
    let now = clock::now();
    let people = seen.people();
    let found: Vec<_> = seen
        .all()
        .iter()
        .filter_map(|known| {
            let (stay, evidence) = seen.socket(known, &people)?;
            let finding = stuck(&stay, &evidence, (now, args.min_age, BETWEEN_LOOKS))?;
            filter.admits_finding(&stay, &evidence, &finding).then_some((stay, finding))
        })
        .collect();
    let found = found.iter().map(|(stay, finding)| (stay, finding));
    Ok((Census::take(found, now), limits, seen.notes))
}

const fn exit_code(level: Level) -> u8 {
    match level {
        Level::Ok => 0,
        Level::Warning => 1,
        Level::Critical => 2,
    }
}

fn print(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
    let mut out = Vec::new();
    write(&mut out)?;
    io::stdout().lock().write_all(&out)
}

/// A verdict that nobody could read is none.
fn said(printed: io::Result<()>, code: u8) -> ExitCode {
    ExitCode::from(if printed.is_ok() { code } else { UNKNOWN })
}
