//! `tcptrace config`, and the configuration as the other commands take it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

use super::{Style, destination, filters};
use crate::advice::Advice;
use crate::cli::config::rules::{Match, Rule, When};
use crate::cli::config::settings::Setting;
use crate::cli::config::{Config, FILE};
use crate::cli::live::WatchArgs;
use crate::cli::{ConfigCommand, Given, OutputFormat};
use crate::model::condition::Condition;
use crate::model::rules::{About, Ignored, Rule as StayRule, Rules};
use crate::model::time::Anchor;
use crate::report::json;
use crate::sys::clock;

/// What counts: the command line over the environment over the file.
pub struct Layers<'a> {
    /// The file asked for.
    pub file: Option<PathBuf>,
    /// The command line.
    pub args: &'a WatchArgs,
    /// What of it was given.
    pub given: &'a Given,
}

/// One reading of all layers.
pub struct Effective {
    /// The file.
    pub config: Config,
    /// The flags as they count.
    pub args: WatchArgs,
    /// Where each of them is from.
    pub settings: Vec<Setting>,
}

impl Layers<'_> {
    /// Reads the file, which may have changed.
    ///
    /// # Errors
    /// If it cannot be read or is not understood. That the usual one is not there is no error.
    pub fn read(&self) -> Result<Effective> {
        let config = load(self.file.as_deref())?;
        let mut args = self.args.clone();
        let settings = config.fill(&mut args, |key| self.given.origin(key));
        Ok(Effective { config, args, settings })
    }
}

/// Reads `file`, or the usual one if there is one.
///
/// # Errors
/// As those of [`Layers::read`].
pub fn load(file: Option<&Path>) -> Result<Config> {
    let path = file.unwrap_or(Path::new(FILE));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if file.is_none() && error.kind() == ErrorKind::NotFound => {
            return Ok(Config::default());
        }
        Err(error) => {
            let advice =
                Advice::new(format!("cannot read the configuration {}: {error}", path.display()))
                    .and_try("tcptrace config show", "what counts without it");
            return Err(anyhow!(advice));
        }
    };
    Config::parse(&text, path).context("the configuration is not understood")
}

/// The rules that the core goes by. Moments are taken from the wall clock to the monotonic one.
///
/// # Errors
/// If a network namespace that is named is not there.
pub fn rules(config: &Config, now: Anchor) -> Result<Rules> {
    let about = |about: &Match| -> Result<About> {
        Ok(About { states: about.states(), filter: filters::filter(&about.filter())? })
    };
    let mut rules = Rules::default();
    for Rule { name, severity, about: of, when } in &config.rule {
        let (name, severity, about) = (name.as_str().into(), *severity, about(of)?);
        match *when {
            When::Lasts(after) => rules.stuck.push(StayRule { name, severity, about, after }),
            When::Passes(per, limit) => {
                rules.conditions.push(Condition { name, severity, about, per, limit });
            }
        }
    }
    for ignore in &config.ignore {
        rules.ignored.push(Ignored { about: about(&ignore.about)?, until: None });
    }
    for silence in &config.silence {
        // One that is over says nothing.
        if let Ok(left) = silence.until.duration_since(now.wall).try_into() {
            let until = Some(now.monotonic.after(left));
            rules.ignored.push(Ignored { about: about(&silence.about)?, until });
        }
    }
    Ok(rules)
}

/// Says whether the file is understood, or what counts.
///
/// # Errors
/// If it is not understood.
pub fn run(
    command: &ConfigCommand,
    file: Option<&Path>,
    given: &Given,
    style: &Style,
) -> Result<()> {
    match command {
        ConfigCommand::Check => check(file),
        ConfigCommand::Show(args) => {
            let layers = Layers { file: file.map(Path::to_owned), args, given };
            show(&layers.read()?, style)
        }
    }
}

fn check(file: Option<&Path>) -> Result<()> {
    let config = load(file)?;
    // Names of namespaces are looked up.
    rules(&config, clock::anchor())?;
    let path = file.unwrap_or(Path::new(FILE));
    let counts = [
        (config.rule.len(), "rule"),
        (config.ignore.len(), "ignore rule"),
        (config.silence.len(), "silence"),
        (config.sink.all().len(), "sink"),
    ];
    let counts =
        counts.map(|(count, what)| format!("{count} {what}{}", if count == 1 { "" } else { "s" }));
    destination::to_stdout(|out| writeln!(out, "{}: {}", path.display(), counts.join(", ")))
}

fn show(effective: &Effective, style: &Style) -> Result<()> {
    let Effective { config, settings, .. } = effective;
    destination::to_stdout(|out| {
        let mut out = out;
        if style.format == OutputFormat::Json {
            let context = style.context(Style::anchor());
            return settings.iter().try_for_each(|one| json::setting(&mut out, context, one));
        }
        for Setting { key, value, origin } in settings {
            let section = if filters::KEYS.contains(key) { "filter" } else { "watch" };
            let line = format!("{section}.{key} = {value}");
            writeln!(out, "{line:<48}  # {}", origin.name())?;
        }
        config.rule.iter().try_for_each(|rule| writeln!(out, "{rule}"))?;
        config.ignore.iter().try_for_each(|ignore| writeln!(out, "{ignore}"))?;
        config.silence.iter().try_for_each(|silence| writeln!(out, "{silence}"))?;
        write!(out, "{}", config.sink.shown())
    })
}

/// Which settings a running watch cannot change, of those that differ.
pub fn need_restart<'a>(before: &[Setting], now: &'a [Setting]) -> Vec<&'a str> {
    const CHANGE: [&str; 3] = ["close_wait", "fin_wait_2", "closed"];
    let differs = |setting: &&Setting| {
        let same = |other: &Setting| other.key == setting.key && other.value == setting.value;
        !CHANGE.contains(&setting.key) && !before.iter().any(same)
    };
    now.iter().filter(differs).map(|setting| setting.key).collect()
}
