//! The command line, parsed purely: nothing here looks at the system. What flags mean is in
//! [`crate::command`].

pub mod check;
pub mod config;
pub mod export;
pub mod live;
pub mod release;
pub mod report;
pub mod top;
mod values;

use core::time::Duration;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{
    ArgMatches, Args, ColorChoice, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    ValueEnum,
};
use ipnet::IpNet;

use self::config::settings::Origin;
use self::live::{ProbeChoice, WatchArgs};
use crate::model::verdict::Verdict;

/// Who left these sockets in CLOSE_WAIT and FIN_WAIT_2, since when, and why
#[derive(Clone, Debug, Parser)]
#[command(name = "tcptrace", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What of it was said, and where.
    #[arg(skip)]
    pub given: Given,
}

impl Cli {
    /// The command line of this process.
    ///
    /// # Errors
    /// If it is wrong, or asks for help.
    pub fn try_read() -> Result<Self, clap::Error> {
        let mut matches = Self::command().try_get_matches()?;
        let mut given = &matches;
        while let Some((_, of_subcommand)) = given.subcommand() {
            given = of_subcommand;
        }
        let given = Given(given.clone());
        match Self::from_arg_matches_mut(&mut matches) {
            Ok(cli) => Ok(Self { given, ..cli }),
            Err(error) => Err(error.format(&mut Self::command())),
        }
    }
}

/// Where the arguments of a subcommand are from.
#[derive(Clone, Debug, Default)]
pub struct Given(ArgMatches);

impl Given {
    /// Where the argument with this name is from.
    pub fn origin(&self, name: &str) -> Origin {
        match self.0.try_contains_id(name).ok().and_then(|_| self.0.value_source(name)) {
            Some(ValueSource::CommandLine) => Origin::Flag,
            Some(ValueSource::EnvVariable) => Origin::Environment,
            _ => Origin::Default,
        }
    }
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// For people, or one JSON object a line
    #[arg(short, long, value_enum, global = true, env = "TCPTRACE_OUTPUT", default_value = "text")]
    pub output: OutputFormat,
    /// When to colour [NO_COLOR and CLICOLOR_FORCE count as well]
    #[arg(long, global = true, default_value = "auto", value_name = "WHEN")]
    pub color: ColorChoice,
    /// Say more on stderr; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Configuration file
    #[arg(long, global = true, env = "TCPTRACE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "clap would print them")]
pub enum OutputFormat {
    Text,
    Json,
}

/// The subcommands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Follow all sockets, tell of each that is stuck, and when it no longer is
    Watch(Box<WatchArgs>),
    /// Follow all sockets on a screen that shows a leak as it grows
    Top(Box<top::TopArgs>),
    /// Show every half-closed socket there is now: age, verdict, holders
    Ls(LsArgs),
    /// Show every transition as it happens
    Events(EventsArgs),
    /// Run a raw recording through the same core, and print what watch would have
    Replay(ReplayArgs),
    /// Draw a flame-style report from recorded history
    Report(Box<report::ReportArgs>),
    /// Write stays as Parquet or JSON lines, for an engine of your own
    Export(Box<export::ExportArgs>),
    /// End stuck connections from outside; without --yes, tell what would be done
    Release(Box<release::ReleaseArgs>),
    /// Tell a monitoring system, once, whether too many sockets are stuck: Nagios exit codes
    Check(Box<check::CheckArgs>),
    /// Tell what this kernel and these privileges allow, and what to do about the rest
    Doctor,
    /// See that alerts get to where they should
    Alert {
        /// What to do.
        #[command(subcommand)]
        command: AlertCommand,
    },
    /// Show a leaking server of our own, caught before your eyes
    Demo(DemoArgs),
    /// Check the configuration, or show what counts
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Explain a verdict: symptom, cause, fix, and how to confirm it
    Explain(ExplainArgs),
    /// Write man pages and shell completions, made from this very command line, into a directory
    #[command(hide = true)]
    Generate(GenerateArgs),
}

/// What `config` does.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether the file is understood
    Check,
    /// Show every setting as it counts with these flags, and where it is from
    Show(Box<WatchArgs>),
}

/// What can be done with alerts.
#[derive(Clone, Debug, Subcommand)]
pub enum AlertCommand {
    /// Send a sample through each sink of the configuration, and tell what came back
    Test(AlertTestArgs),
}

/// Flags of `alert test`.
#[derive(Clone, Debug, Args)]
pub struct AlertTestArgs {
    /// Only through the sinks with these names
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// Flags of `explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// Which
    #[arg(value_parser = values::VerdictParser)]
    pub verdict: Verdict,
    /// In which language
    #[arg(long, value_enum, default_value = "auto", value_name = "LANG")]
    pub lang: LanguageChoice,
}

/// Flags of `generate`.
#[derive(Clone, Debug, Args)]
pub struct GenerateArgs {
    /// Where `man` and `completions` are made
    pub dir: PathBuf,
}

/// A language to print in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LanguageChoice {
    /// That of the locale
    Auto,
    /// English
    En,
    /// Chinese
    Zh,
}

/// Flags of `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// What is done wrong
    #[arg(long, value_enum, default_value = "eof_unread")]
    pub cause: Cause,
    /// Be the process that leaks
    #[arg(long, hide = true)]
    pub act: bool,
}

/// The classic ways to leak a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Cause {
    /// The end of file is read and the connection not closed
    EofRead,
    /// The program never looks at the connection again
    EofUnread,
    /// A child has inherited the descriptor
    SharedFd,
    /// The server does not accept
    NotAccepted,
    /// One side shuts down sending, the other does not close
    HalfClose,
}

impl Cause {
    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EofRead => "eof_read",
            Self::EofUnread => "eof_unread",
            Self::SharedFd => "shared_fd",
            Self::NotAccepted => "not_accepted",
            Self::HalfClose => "half_close",
        }
    }
}

/// Flags of `ls`.
#[derive(Clone, Debug, Args)]
pub struct LsArgs {
    /// Only sockets that have been half-closed at least so long
    #[arg(long, value_name = "DUR", value_parser = values::duration)]
    pub min_age: Option<Duration>,
    /// Take exact ages from the record in this directory [default: /var/lib/tcptrace]
    #[arg(long, value_name = "DIR", env = "TCPTRACE_RECORD")]
    pub record: Option<PathBuf>,
    /// What to show.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// Flags of `replay`.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// What `watch --record-raw` wrote; `-` for standard input
    pub file: PathBuf,
    /// In text, tell of every socket rather than of groups
    #[arg(long)]
    pub each: bool,
    /// What to tell of, if not of the same as the recorder.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// Flags of `events`.
#[derive(Clone, Debug, Args)]
pub struct EventsArgs {
    /// Stop by itself after this time
    #[arg(long = "for", value_name = "DUR", value_parser = values::duration)]
    pub stop_after: Option<Duration>,
    /// Stop after so many transitions
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Which kernel programs to use
    #[arg(long, value_enum, default_value = "auto", env = "TCPTRACE_PROBE")]
    pub probe: ProbeChoice,
    /// What to show.
    #[command(flatten)]
    pub filter: SocketFilterArgs,
}

/// Filters on the socket alone. Each may be given several times; one of them must hold.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Filters (of one kind, one must hold; of several, all)")]
pub struct SocketFilterArgs {
    /// Local or remote port
    #[arg(long, value_name = "PORT", env = "TCPTRACE_PORT", value_delimiter = ',')]
    pub port: Vec<u16>,
    /// Local or remote address or network
    #[arg(long, value_name = "CIDR", env = "TCPTRACE_ADDR", value_delimiter = ',')]
    #[arg(value_parser = values::network)]
    pub addr: Vec<IpNet>,
    /// Network namespace: its inode number, a name as of `ip netns`, or a path
    #[arg(long, value_name = "NETNS", env = "TCPTRACE_NETNS", value_delimiter = ',')]
    pub netns: Vec<String>,
}

/// All filters.
#[derive(Clone, Debug, Default, Args)]
pub struct FilterArgs {
    /// Filters on the socket alone.
    #[command(flatten)]
    pub socket: SocketFilterArgs,
    /// Process that holds the socket
    #[arg(long, value_name = "PID", env = "TCPTRACE_PID", value_delimiter = ',')]
    pub pid: Vec<u32>,
    /// Name of a process that holds the socket
    #[arg(long, value_name = "NAME", env = "TCPTRACE_COMM")]
    pub comm: Vec<String>,
    /// Cgroup of a process that holds the socket: a path with all below it, a unit, a container or a
    /// pod's uid
    #[arg(long, value_name = "CGROUP", env = "TCPTRACE_CGROUP")]
    pub cgroup: Vec<String>,
    /// Verdict
    #[arg(long, value_name = "VERDICT", env = "TCPTRACE_VERDICT", value_delimiter = ',')]
    #[arg(value_parser = values::VerdictParser)]
    pub verdict: Vec<Verdict>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, String> {
        Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn watch_takes_every_flag_of_the_interface() {
        let line = "tcptrace watch --close-wait 90s --fin-wait-2 2h30m --closed 5s --for 1m \
            --record /tmp/x --record-raw /tmp/y --probe tracepoint --stacks all --each \
            --listen 127.0.0.1:9 --pid 1 --pid 2 --comm java --port 80 --port 443 \
            --addr 10.0.0.0/8 --addr ::1 --netns 4026531840 --cgroup /system.slice \
            --verdict eof_unread --verdict drained -o json --color never -v --config /dev/null";
        let Command::Watch(watch) = parse(line).unwrap().command else { panic!("not watch") };
        assert_eq!(watch.live.close_wait, Duration::from_secs(90));
        assert_eq!(watch.live.fin_wait_2, Duration::from_secs(9000));
        assert_eq!(watch.live.filter.pid, [1, 2]);
        assert_eq!(watch.live.filter.socket.addr[1], "::1/128".parse().unwrap());
        assert_eq!(watch.live.filter.verdict, [Verdict::EofUnread, Verdict::Drained]);
        assert!(parse("tcptrace watch --no-record").is_ok());
        assert!(
            parse("tcptrace watch --no-record --record /tmp/x").is_ok(),
            "as from TCPTRACE_RECORD"
        );
        let line = "tcptrace watch --keep 7d --keep-size 1.5GB --record-from 10s";
        let Command::Watch(watch) = parse(line).unwrap().command else { panic!("not watch") };
        assert_eq!((watch.keep.as_secs(), watch.keep_size), (7 * 86_400, 1_500_000_000));
        for (given, meant) in [
            ("", "127.0.0.1:10858"),
            ("9000", "127.0.0.1:9000"),
            (":9000", "127.0.0.1:9000"),
            ("localhost:9000", "127.0.0.1:9000"),
            ("10.0.0.1", "10.0.0.1:10858"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("::1", "[::1]:10858"),
            ("[::1]:9000", "[::1]:9000"),
        ] {
            let line = format!("tcptrace watch --listen {given} --each");
            let Command::Watch(watch) = parse(&line).unwrap().command else { panic!("not watch") };
            assert_eq!(watch.listen, Some(meant.parse().unwrap()), "{given}");
            assert!(watch.each);
        }
        assert!(parse("tcptrace explain eof_read --lang zh").is_ok());
        assert!(parse("tcptrace ls --min-age 5s --pid 7 --verdict orphan").is_ok());
        assert!(parse("tcptrace replay /tmp/y --each --verdict drained").is_ok());
        assert!(parse("tcptrace replay -").is_ok());
        assert!(parse("tcptrace top --close-wait 5s --pid 7 --for 1m --stacks off").is_ok());
        assert!(parse("tcptrace top --replay /tmp/y --speed 1000").is_ok());
        assert!(parse("tcptrace alert test --config /tmp/x pager slack").is_ok());
        assert!(parse("tcptrace events --for 1s --limit 5 --port 80 --netns x").is_ok());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, expect) in [
            ("tcptrace watch --close-wait soon", "like 90s or 2h30m"),
            ("tcptrace watch --close-wait=-5s", "like 90s or 2h30m"),
            ("tcptrace watch --verdict sleepy", "[possible values: kernel, not_accepted"),
            ("tcptrace explain sleepy", "[possible values: kernel, not_accepted"),
            ("tcptrace watch --addr 10.0.0.0/40", "an address or a network"),
            ("tcptrace watch --ring-size 5000", "a power of two"),
            ("tcptrace watch --keep-size much", "like 500MB or 1GiB"),
            ("tcptrace watch --keep-size=-1GB", "like 500MB or 1GiB"),
            ("tcptrace watch --listen 70000", "like 127.0.0.1:10858"),
            ("tcptrace watch --listen example.org:80", "like 127.0.0.1:10858"),
            ("tcptrace replay", "<FILE>"),
            ("tcptrace top --speed 10", "--replay"),
            ("tcptrace top --replay x --speed 1001", "1..=1000"),
            ("tcptrace events --pid 5", "unexpected argument '--pid'"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(expect), "{line}: {error}");
        }
    }
}
