//! The `tcptrace` command.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::CommandFactory as _;
use tcptrace::advice::Advice;
use tcptrace::cli::{Cli, Command};
use tcptrace::command;
use tcptrace::sys::stacks::namer;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == namer::ARGUMENT) {
        return namer::serve();
    }
    let cli = match Cli::try_read() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && is_check() => {
            return command::check::unknown(&anyhow!("{}", first_paragraph(&error.to_string())));
        }
        Err(error) => error.exit(),
    };
    log(cli.common.verbose);
    let is_check = matches!(cli.command, Command::Check(_));
    match command::run(cli) {
        Ok(code) => code,
        Err(error) if is_check => command::check::unknown(&error),
        Err(error) => {
            // Nobody is left to tell if stderr is closed.
            let _ = complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Whether a command line that is wrong was meant for `check`: monitoring systems take the usual 2 for
/// CRITICAL.
fn is_check() -> bool {
    let matches = Cli::command().ignore_errors(true).try_get_matches();
    matches.is_ok_and(|matches| matches.subcommand_name() == Some("check"))
}

/// What is wrong, on one line and without how it is meant.
fn first_paragraph(error: &str) -> String {
    let paragraph = error.split("\n\n").next().unwrap_or(error);
    let words = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    words.strip_prefix("error: ").map_or_else(|| words.clone(), str::to_owned)
}

fn log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let mut filter = EnvFilter::try_from_env("TCPTRACE_LOG").unwrap_or_else(|_| level.into());
    // What these would tell are URLs and headers, which hold secrets.
    for silent in ["ureq=off", "ureq_proto=off", "rustls=off"] {
        filter = filter.add_directive(silent.parse().expect("a level for a name"));
    }
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}

fn complain(error: &anyhow::Error) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    writeln!(stderr, "error: {error:#}")?;
    for advice in error.chain().filter_map(|cause| cause.downcast_ref::<Advice>()) {
        let width = advice.tries.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
        for (i, (command, what_for)) in advice.tries.iter().enumerate() {
            let word = if i == 0 { "try" } else { "or" };
            writeln!(stderr, "  {word:<3}  {command:width$}  {what_for}")?;
        }
    }
    Ok(())
}
