//! The configuration file: found and read.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::cli::Common;
use crate::cli::config::Config;

/// Where it is unless somebody says otherwise.
pub const PATH: &str = "/etc/tcptrace/config.toml";

/// Reads the file that `--config` or `TCPTRACE_CONFIG` names, or the usual one if it is there.
pub fn load(common: &Common) -> Result<Config> {
    let path = common.config.as_deref().unwrap_or(Path::new(PATH));
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && common.config.is_none() => {
            return Ok(Config::default());
        }
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    Ok(Config::parse(&text, path)?)
}
