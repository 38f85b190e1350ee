//! The `tcptrace` command.

use std::io::{self, Write as _};
use std::process::ExitCode;

use tcptrace::advice::Advice;
use tcptrace::cli::Cli;
use tcptrace::command;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::read();
    log(cli.common.verbose);
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if stderr is closed.
            let _ = complain(&error);
            ExitCode::FAILURE
        }
    }
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
