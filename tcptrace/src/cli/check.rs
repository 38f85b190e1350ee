//! Flags of `check`.

use core::time::Duration;
use std::path::PathBuf;

use clap::Args;

use super::{FilterArgs, values};

/// Flags of `check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// How long a socket must have been half-closed to count as stuck
    #[arg(long, value_name = "DUR", default_value = "60s", value_parser = values::duration)]
    pub min_age: Duration,
    /// WARNING from so many stuck sockets up
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = values::count)]
    pub warning: usize,
    /// CRITICAL from so many stuck sockets up
    #[arg(short, long, value_name = "N", default_value = "100", value_parser = values::count)]
    pub critical: usize,
    /// WARNING when one has been stuck for so long
    #[arg(long, value_name = "DUR", value_parser = values::duration)]
    pub warning_age: Option<Duration>,
    /// CRITICAL when one has been stuck for so long
    #[arg(long, value_name = "DUR", value_parser = values::duration)]
    pub critical_age: Option<Duration>,
    /// Take exact ages from the record in this directory [default: /var/lib/tcptrace]
    #[arg(long, value_name = "DIR", env = "TCPTRACE_RECORD")]
    pub record: Option<PathBuf>,
    /// What counts.
    #[command(flatten)]
    pub filter: FilterArgs,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(line: &str) -> Result<CheckArgs, String> {
        let cli = Cli::try_parse_from(line.split_whitespace()).map_err(|e| e.to_string())?;
        let Command::Check(args) = cli.command else { panic!("not check") };
        Ok(*args)
    }

    #[test]
    fn check_takes_what_plugins_take() {
        let line = "tcptrace check -w 5 -c 50 --warning-age 5m --critical-age 1h --min-age 90s \
            --comm java";
        let args = parse(line).unwrap();
        assert_eq!((args.warning, args.critical), (5, 50));
        assert_eq!(args.critical_age, Some(Duration::from_secs(3600)));
        assert_eq!(args.filter.comm, ["java"]);
        let args = parse("tcptrace check").unwrap();
        assert_eq!((args.warning, args.critical), (1, 100));
        assert_eq!((args.min_age, args.warning_age), (Duration::from_secs(60), None));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, expect) in [
            ("tcptrace check -w 0", "not a count of 1 or more"),
            ("tcptrace check -c 10:20", "not a count of 1 or more"),
            ("tcptrace check --warning-age soon", "like 90s or 2h30m"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(expect), "{line}: {error}");
        }
    }
}
