//! Flags of `release`.

use core::time::Duration;
use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::{FilterArgs, values};
use crate::model::release::pace::Rate;

/// Flags of `release`.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("selection").required(true).multiple(true).args([
    "min_age", "port", "addr", "netns", "pid", "comm", "cgroup", "verdict",
]))]
pub struct ReleaseArgs {
    /// Only sockets that have been half-closed at least so long, and over which no byte has moved for as
    /// long [without it: 60s without a byte]
    #[arg(long, value_name = "DUR", value_parser = values::duration)]
    pub min_age: Option<Duration>,
    /// Reset the connections instead of shutting them down: the peer gets a reset, the program an error
    #[arg(long)]
    pub abort: bool,
    /// Do it; without this, only tell what would be done
    #[arg(long)]
    pub yes: bool,
    /// Also where SIGPIPE would kill the program when it next writes to the connection
    #[arg(long)]
    pub allow_sigpipe: bool,
    /// How many at most in a time: 50/s, 10/min
    #[arg(long, value_name = "RATE", default_value = "50/s", value_parser = values::rate)]
    pub rate: Rate,
    /// End so many at most, those that have been half-closed longest first
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub limit: Option<usize>,
    /// Note what is done, and take exact ages, in this directory [default: /var/lib/tcptrace]
    #[arg(long, value_name = "DIR", env = "TCPTRACE_RECORD")]
    pub record: Option<PathBuf>,
    /// What to end.
    #[command(flatten)]
    pub filter: FilterArgs,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(line: &str) -> Result<ReleaseArgs, String> {
        let cli = Cli::try_parse_from(line.split_whitespace()).map_err(|e| e.to_string())?;
        let Command::Release(args) = cli.command else { panic!("not release") };
        Ok(*args)
    }

    #[test]
    fn it_does_nothing_unless_told_to_and_slowly_then() {
        let args = parse("tcptrace release --pid 7").unwrap();
        assert!(!args.yes && !args.abort && !args.allow_sigpipe);
        assert_eq!((args.rate.per_second(), args.limit), (50.0, None));
        let line = "tcptrace release --yes --abort --allow-sigpipe --rate 30/min --limit 5 \
            --min-age 2h --comm java --record /tmp/x";
        let args = parse(line).unwrap();
        assert!(args.yes && args.abort && args.allow_sigpipe);
        assert_eq!((args.rate.per_second(), args.limit), (0.5, Some(5)));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, expect) in [
            ("tcptrace release", "--min-age <DUR>|--port <PORT>"),
            ("tcptrace release --yes --limit 5", "--min-age <DUR>|--port <PORT>"),
            ("tcptrace release --pid 1 --rate fast", "not a rate like 50/s"),
            ("tcptrace release --pid 1 --rate 0/s", "not a rate like 50/s"),
            ("tcptrace release --pid 1 --rate 5/fortnight", "not a rate like 50/s"),
            ("tcptrace release --pid 1 --limit 0", "not a count of 1 or more"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(expect), "{line}: {error}");
        }
    }
}
