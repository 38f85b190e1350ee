//! The configuration file, parsed purely.

pub mod rules;
pub mod secret;
pub mod settings;
pub mod sink;
mod values;

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;

/// Where it is looked for unless `--config` says otherwise.
pub const FILE: &str = "/etc/tcptrace/config.toml";

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What the flags of `watch` say elsewhere.
    pub watch: settings::Watch,
    /// What the filters say elsewhere.
    pub filter: rules::Match,
    /// What to tell of, how soon and how urgently.
    pub rule: Vec<rules::Rule>,
    /// What not to tell of.
    pub ignore: Vec<rules::Ignore>,
    /// What not to tell of for a while.
    pub silence: Vec<rules::Silence>,
    /// Where alerts go.
    pub sink: sink::Sinks,
}

/// A file that is not understood: where, and why.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct ConfigError {
    path: String,
    why: String,
}

impl Config {
    /// Parses `text`, which `path` contains.
    ///
    /// # Errors
    /// With line and column if it is no TOML, has a key that does not exist, or a value that is none for
    /// its key.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let wrong = |why: String| ConfigError { path: path.display().to_string(), why };
        let config: Self = toml::from_str(text).map_err(|error| {
            let mut why = secret::explain(text, &error);
            if let Some(near) = nearest(error.message()) {
                why += &format!("\ndid you mean `{near}`?");
            }
            wrong(why)
        })?;
        config.sink.check().map_err(wrong)?;
        if !config.filter.state.0.is_empty() {
            return Err(wrong(
                "[filter]: `state` is no filter; [[rule]] and [[ignore]] take it".into(),
            ));
        }
        let mut names = HashSet::new();
        match config.rule.iter().find(|rule| !names.insert(&rule.name)) {
            Some(rule) => Err(wrong(format!("two rules have the name `{}`", rule.name))),
            None => Ok(config),
        }
    }
}

/// The valid word nearest to the wrong one that `message` names, if any is near.
fn nearest(message: &str) -> Option<&str> {
    const NEAR: f64 = 0.7;
    let mut names = message.strip_prefix("unknown ")?.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    names
        .map(|name| (strsim::jaro_winkler(unknown, name), name))
        .filter(|&(near, _)| near >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests;
