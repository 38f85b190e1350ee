//! Flags of `report`.

mod moment;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub use self::moment::{Moment, Span, window};
use super::FilterArgs;
use crate::model::profile::by::By;

/// Flags of `report`.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// Journals: directories, or single files of them
    #[arg(value_name = "JOURNAL", default_value = "/var/lib/tcptrace")]
    pub journals: Vec<PathBuf>,
    /// From when: 2026-11-24T12:00:00Z, "2026-11-24 12:00", or 2h for two hours ago [default: the
    /// beginning]
    #[arg(long, value_name = "TIME", conflicts_with = "folded")]
    pub from: Option<Moment>,
    /// Until when
    #[arg(long, value_name = "TIME", default_value = "now")]
    pub to: Moment,
    /// As what
    #[arg(long, value_enum, value_name = "FORMAT")]
    #[arg(help = "As what [default: text, or json with -o json]")]
    pub format: Option<ReportFormat>,
    /// Write to this file, which appears when it is complete; - for stdout
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
    /// Frames from the root: host, unit, process, pid, state, verdict, peer, stack
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    #[arg(default_value = "unit,process,verdict,stack")]
    pub by: Vec<By>,
    /// What width stands for
    #[arg(long, value_enum, default_value = "seconds")]
    pub weight: WeightChoice,
    /// Draw what has changed since this time, as in 2d..1d
    #[arg(long, value_name = "FROM..TO", requires = "from", conflicts_with = "folded")]
    pub baseline: Option<Span>,
    /// Draw these folded lines, in socket-milliseconds (or sockets), instead of a journal; - for stdin
    #[arg(long, value_name = "FILE")]
    pub folded: Option<PathBuf>,
    /// What to report on.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// A page with everything, for a browser
    Html,
    /// The flame graph, for a browser
    Svg,
    /// A line a path, for other tools
    Folded,
    /// For speedscope.app
    Speedscope,
    /// For the pprof tool
    Pprof,
    /// The flame in the terminal
    Text,
    /// A line a frame
    Json,
}

/// What width stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WeightChoice {
    /// Stuck socket-seconds
    Seconds,
    /// Stuck sockets
    Count,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(line: &str) -> Result<ReportArgs, String> {
        let cli = Cli::try_parse_from(line.split_whitespace()).map_err(|e| e.to_string())?;
        let Command::Report(args) = cli.command else { panic!("not report") };
        Ok(*args)
    }

    #[test]
    fn report_takes_every_flag_of_the_interface() {
        let line = "tcptrace report a b --from 2d --to now --format pprof --out x.pb.gz \
            --by host,process,stack --weight count --baseline 4d..2d --pid 7 --port 80";
        let args = parse(line).unwrap();
        assert_eq!(args.journals, [PathBuf::from("a"), "b".into()]);
        assert_eq!(args.by, [By::Host, By::Process, By::Stack]);
        assert_eq!((args.format, args.weight), (Some(ReportFormat::Pprof), WeightChoice::Count));
        let args = parse("tcptrace report --folded -").unwrap();
        assert_eq!(args.by, By::DEFAULT);
        assert_eq!(args.journals, [PathBuf::from("/var/lib/tcptrace")]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, expect) in [
            ("tcptrace report --by process,sleepy", "none of host, unit, process, pid, state"),
            ("tcptrace report --from yesterday", "like 2026-11-24T12:00:00Z"),
            ("tcptrace report --from 2h --baseline 2d", "like 2d..1d"),
            ("tcptrace report --baseline 2d..1d", "--from <TIME>"),
            ("tcptrace report --folded - --from 2h", "cannot be used with"),
            ("tcptrace report --format gif", "[possible values: html, svg"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(expect), "{line}: {error}");
        }
    }
}
