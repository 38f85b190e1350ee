//! What may change while `watch` runs: thresholds and rules, on SIGHUP.

use std::io::{self, IsTerminal as _};

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::config::{Effective, Layers, need_restart, rules};
use super::notice;
use crate::cli::config::Config;
use crate::cli::config::settings::Setting;
use crate::cli::config::sink::Sinks;
use crate::model::rules::Rules;
use crate::model::time::Anchor;
use crate::model::tracker::Thresholds;

/// Nanoseconds by which the wall clock may be off before moments are taken anew.
const OFF: i128 = 1_000_000_000;

/// See the module.
pub struct Reload<'a> {
    layers: Layers<'a>,
    /// What counted at the start.
    settings: Vec<Setting>,
    thresholds: Thresholds,
    config: Config,
    /// The wall clock less the monotonic one, when silences were taken to the latter.
    offset: i128,
    hangup: Signal,
    /// Whether the signal means that the terminal has gone away.
    terminal: bool,
}

impl<'a> Reload<'a> {
    /// Listens for the signal, given what counts now.
    ///
    /// # Errors
    /// If signals cannot be listened for.
    pub fn new(
        layers: Layers<'a>,
        effective: Effective,
        thresholds: Thresholds,
        now: Anchor,
    ) -> Result<Self> {
        Ok(Self {
            layers,
            settings: effective.settings,
            thresholds,
            config: effective.config,
            offset: offset(now),
            hangup: signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?,
            terminal: io::stdin().is_terminal(),
        })
    }

    /// Resolves at a SIGHUP: whether the terminal has gone away, rather than that the file is to be read
    /// again.
    pub async fn requested(&mut self) -> bool {
        self.hangup.recv().await;
        self.terminal
    }

    /// Where alerts go now.
    pub const fn sinks(&self) -> &Sinks {
        &self.config.sink
    }

    /// Reads the file again. One that is not understood changes nothing, which is said.
    pub fn read(&mut self, now: Anchor) -> Option<(Thresholds, Rules)> {
        match self.try_read(now) {
            Ok(configured) => {
                notice("the configuration was read again");
                Some(configured)
            }
            Err(error) => {
                notice(&format!("the configuration stays as it was: {error:#}"));
                None
            }
        }
    }

    fn try_read(&mut self, now: Anchor) -> Result<(Thresholds, Rules)> {
        let Effective { config, args, settings } = self.layers.read()?;
        let rules = rules(&config, now)?;
        let restart = need_restart(&self.settings, &settings);
        if !restart.is_empty() {
            notice(&format!("a restart is needed for {} to count", restart.join(", ")));
        }
        self.thresholds = Thresholds {
            close_wait: args.live.close_wait,
            fin_wait2: args.live.fin_wait_2,
            closed: self.thresholds.closed.map(|_| args.live.closed),
            ..self.thresholds
        };
        (self.config, self.offset) = (config, offset(now));
        Ok((self.thresholds, rules))
    }

    /// The same rules, if the wall clock has been set since they were made and one of them ends by it.
    pub fn clock_was_set(&mut self, now: Anchor) -> Option<(Thresholds, Rules)> {
        let offset = offset(now);
        if self.config.silence.is_empty() || (offset - self.offset).abs() < OFF {
            return None;
        }
        self.offset = offset;
        rules(&self.config, now).ok().map(|rules| (self.thresholds, rules))
    }
}

fn offset(now: Anchor) -> i128 {
    now.wall.as_nanosecond() - i128::from(now.monotonic.as_nanos())
}
