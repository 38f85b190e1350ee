//! `tcptrace doctor`: what this kernel and these privileges allow, and what to do about the rest.

use std::thread;

use anyhow::{Context as _, Result};

use super::Style;
use super::output::Output;
use super::session::runtime;
use crate::cli::OutputFormat;
use crate::report::{json, text};
use crate::sys::{checkup, clock};

/// Tries everything and prints how it went.
pub fn run(style: &Style) -> Result<()> {
    // It visits other network namespaces: not with the thread that goes on.
    let checks =
        thread::spawn(|| -> Result<_> { Ok(runtime()?.block_on(async { checkup::run() })) });
    let checks = checks.join().ok().context("the check-up did not end as it should")??;
    runtime()?.block_on(async {
        let mut stdout = Output::start().context("cannot start the output thread")?;
        match style.format {
            OutputFormat::Json => {
                let (context, now) = (style.context(Style::anchor()), clock::now());
                for check in &checks {
                    stdout.line(|out| json::check(out, context, check, now));
                }
            }
            OutputFormat::Text => {
                let look = style.look(Style::anchor());
                stdout.line(|out| text::checks(out, &look, &checks));
            }
        }
        stdout.finish().await.context("cannot write to stdout")
    })
}
