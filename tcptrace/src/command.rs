//! The subcommands: wiring, no decisions.

mod alert;
pub mod check;
mod config;
mod demo;
mod destination;
mod doctor;
mod elsewhere;
mod events;
mod explain;
mod export;
mod filters;
mod generate;
mod journal;
mod live;
mod ls;
mod metrics;
mod output;
mod past;
mod release;
mod reload;
mod replay;
mod report;
mod session;
mod teller;
mod top;
mod watch;

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use clap::ColorChoice;
use jiff::tz::TimeZone;

use self::config::Layers;
use crate::cli::{Cli, Command, Common, OutputFormat};
use crate::model::time::Anchor;
use crate::report::json;
use crate::report::text::Look;
use crate::sys::clock;
use crate::sys::host::Host;

/// Does what was asked, and says with what to exit.
///
/// # Errors
/// If it cannot be done.
pub fn run(cli: Cli) -> Result<ExitCode> {
    let style = Style::new(&cli.common)?;
    let (file, given) = (cli.common.config, &cli.given);
    let done = match cli.command {
        Command::Check(args) => return Ok(check::run(&args, &style)),
        Command::Watch(args) => watch::run(Layers { file, args: &args, given }, &style),
        Command::Top(args) => top::run(&args, file, given, &style),
        Command::Ls(args) => ls::run(&args, &style),
        Command::Events(args) => events::run(&args, &style),
        Command::Replay(args) => replay::run(&args, &style),
        Command::Report(args) => report::run(&args, &style),
        Command::Export(args) => export::run(&args, &style),
        Command::Release(args) => release::run(&args, &style),
        Command::Doctor => doctor::run(&style),
        Command::Demo(args) => demo::run(&args, &style),
        Command::Config(command) => config::run(&command, file.as_deref(), given, &style),
        Command::Alert { command } => alert::run(&command, file.as_deref(), &style),
        Command::Explain(args) => explain::run(&args),
        Command::Generate(args) => generate::run(&args),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// How this run prints.
struct Style {
    format: OutputFormat,
    color: bool,
    zone: TimeZone,
    host: Host,
}

impl Style {
    fn new(common: &Common) -> Result<Self> {
        let color = match common.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
            }
        };
        Ok(Self { format: common.output, color, zone: TimeZone::system(), host: Host::read()? })
    }

    /// The same for lines about another machine.
    fn of_host(&self, host: Host) -> Self {
        Self { format: self.format, color: self.color, zone: self.zone.clone(), host }
    }

    fn look(&self, anchor: Anchor) -> Look {
        Look { color: self.color, zone: self.zone.clone(), anchor }
    }

    fn context(&self, anchor: Anchor) -> json::Context<'_> {
        json::Context { host: &self.host.name, boot_id: &self.host.boot_id, anchor }
    }

    /// Both clocks now, for a batch of lines.
    fn anchor() -> Anchor {
        clock::anchor()
    }
}

/// Says why holders are not read from the iterator, if they are not.
fn say_fallback(why: Option<anyhow::Error>) {
    if let Some(why) = why {
        notice(&fallback(&why));
    }
}

/// Why holders are not read from the iterator, in words.
fn fallback(why: &anyhow::Error) -> String {
    format!("holders are read from /proc, which is slower: {why:#}")
}

/// Tells the user something on stderr, whatever the log level.
#[expect(clippy::print_stderr, reason = "the one place that prints notices")]
fn notice(text: &str) {
    eprintln!("{text}");
}
