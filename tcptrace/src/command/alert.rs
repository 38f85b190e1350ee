//! `tcptrace alert test`: a sample through each sink, and what came back.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::output::Output;
use super::session::runtime;
use super::{Style, config};
use crate::advice::Advice;
use crate::alert::{self, Trial};
use crate::cli::config::FILE;
use crate::cli::{AlertCommand, OutputFormat};
use crate::model::delivery::Delivered;
use crate::report::{json, text};

/// Sends and reports.
pub fn run(command: &AlertCommand, file: Option<&Path>, style: &Style) -> Result<()> {
    let AlertCommand::Test(args) = command;
    let sinks = config::load(file)?.sink;
    if sinks.all().is_empty() {
        let file = file.unwrap_or(Path::new(FILE)).display();
        let message = format!("there is no sink in {file}: alerts go nowhere");
        let advice = Advice::new(message)
            .and_try(format!("printf '[[sink.journald]]\\n' >> {file}"), "to the journal")
            .and_try("docs/alerting.md", "has all kinds and their keys");
        return Err(advice.into());
    }
    let anchor = Style::anchor();
    let trials = alert::test(&sinks, &args.names, &style.host, anchor)?;
    runtime()?.block_on(async {
        let mut stdout = Output::start().context("cannot start the output thread")?;
        for Trial { name, kind, result, advice, took } in &trials {
            let delivered = Delivered {
                sink: name,
                kind,
                result: result.as_deref().map_err(String::as_str),
                advice: *advice,
                took: *took,
            };
            stdout.line(|out| match style.format {
                OutputFormat::Json => json::delivered(out, style.context(anchor), &delivered),
                OutputFormat::Text => text::delivered(out, &style.look(anchor), &delivered),
            });
        }
        stdout.finish().await.context("cannot write to stdout")
    })?;
    match trials.iter().filter(|trial| trial.result.is_err()).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} sinks did not take the sample", trials.len()),
    }
}
