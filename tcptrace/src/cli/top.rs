//! The command line of `top`, and the filters that are typed into it.

use core::time::Duration;
use std::path::PathBuf;

use clap::{Args, Command, FromArgMatches as _};

use super::FilterArgs;
use super::live::{LiveArgs, WatchArgs};

/// Flags of `top`.
#[derive(Clone, Debug, Args)]
pub struct TopArgs {
    /// What `watch` has as well.
    #[command(flatten)]
    pub live: LiveArgs,
    /// Play what `watch --record-raw` wrote instead; `-` for standard input
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// How fast to play it, from 1 to 1000 times
    #[arg(long, value_name = "N", default_value_t = 1, requires = "replay")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub speed: u16,
}

impl TopArgs {
    /// As `watch` would be told: with no record, and nobody else to tell.
    pub fn as_watch(&self) -> WatchArgs {
        WatchArgs {
            live: self.live.clone(),
            record: None,
            no_record: true,
            record_from: Duration::from_secs(1),
            keep: Duration::ZERO,
            keep_size: 0,
            record_raw: None,
            each: false,
            listen: None,
            ring_size: crate::sys::probe::RING_BYTES,
            max_sockets: 1 << 20,
        }
    }
}

/// The filter flags in a line as it would be typed in a shell.
///
/// # Errors
/// If it is not understood; says why in a line.
pub fn filter_flags(line: &str) -> Result<FilterArgs, String> {
    let words = shlex::split(line).ok_or("a quote is not closed")?;
    let command = Command::new("filter").no_binary_name(true).disable_help_flag(true);
    // What is typed is all that counts.
    let command = FilterArgs::augment_args(command).mut_args(|arg| arg.env(None::<&'static str>));
    let matches =
        command.try_get_matches_from(words).and_then(|m| FilterArgs::from_arg_matches(&m));
    matches.map_err(|error| {
        let text = error.to_string();
        let paragraph = text.split("\n\n").next().unwrap_or_default();
        let words = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        words.strip_prefix("error: ").map_or_else(|| words.clone(), str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::verdict::Verdict;

    #[test]
    fn filters_are_typed_as_flags() {
        let args = filter_flags("--comm 'tmux: server' --port 80,443 --verdict=eof_read").unwrap();
        assert_eq!(args.comm, ["tmux: server"]);
        assert_eq!(args.socket.port, [80, 443]);
        assert_eq!(args.verdict, [Verdict::EofRead]);
        assert!(filter_flags("").unwrap().pid.is_empty());
        for (line, expect) in [
            ("--comm 'java", "a quote is not closed"),
            ("--pid java", "invalid value 'java'"),
            ("--verdict sleepy", "invalid value 'sleepy'"),
            ("java", "unexpected argument 'java'"),
            ("--close-wait 5s", "unexpected argument '--close-wait'"),
            ("--help", "unexpected argument '--help'"),
        ] {
            let error = filter_flags(line).unwrap_err();
            assert!(error.contains(expect) && !error.contains('\n'), "{line}: {error}");
        }
    }
}
