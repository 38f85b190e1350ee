//! Flags of `export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::FilterArgs;
use super::report::Moment;

/// Flags of `export`.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// Journals: directories, or single files of them
    #[arg(value_name = "JOURNAL", default_value = crate::journal::DIRECTORY)]
    pub journals: Vec<PathBuf>,
    /// From when: 2026-11-24T12:00:00Z, "2026-11-24 12:00", or 2h for two hours ago [default: the
    /// beginning]
    #[arg(long, value_name = "TIME")]
    pub from: Option<Moment>,
    /// Until when [default: the end]
    #[arg(long, value_name = "TIME")]
    pub to: Option<Moment>,
    /// As what
    #[arg(long, value_enum, value_name = "FORMAT")]
    #[arg(help = "As what [default: parquet, or jsonl with -o json]")]
    pub format: Option<ExportFormat>,
    /// Write to this file, which appears when it is complete; - for stdout
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
    /// What to export.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// What stays are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Columns, compressed, for an engine
    Parquet,
    /// A line a stay
    Jsonl,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(line: &str) -> Result<ExportArgs, String> {
        let cli = Cli::try_parse_from(line.split_whitespace()).map_err(|e| e.to_string())?;
        let Command::Export(args) = cli.command else { panic!("not export") };
        Ok(*args)
    }

    #[test]
    fn export_takes_every_flag_of_the_interface() {
        let line = "tcptrace export a b --from 2d --to now --format jsonl --out x --comm java";
        let args = parse(line).unwrap();
        assert_eq!(args.journals, [PathBuf::from("a"), "b".into()]);
        assert_eq!(args.format, Some(ExportFormat::Jsonl));
        assert_eq!(args.filter.comm, ["java"]);
        let args = parse("tcptrace export").unwrap();
        assert_eq!(args.journals, [PathBuf::from("/var/lib/tcptrace")]);
        assert_eq!((args.out, args.format), (PathBuf::from("-"), None));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, expect) in [
            ("tcptrace export --to soon", "like 2026-11-24T12:00:00Z"),
            ("tcptrace export --format csv", "[possible values: parquet, jsonl]"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(expect), "{line}: {error}");
        }
    }
}
