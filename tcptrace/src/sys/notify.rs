//! Tells the service manager how it goes (`sd_notify(3)`), where one has started this process.

use core::time::Duration;
use std::env;

use sd_notify::NotifyState;

use crate::model::time::Instant;

/// How often the status is told where no watchdog asks for more.
const STATUS: Duration = Duration::from_secs(10);

/// The service manager; nobody, if this process is no service.
pub struct ServiceManager {
    listens: bool,
    watchdog: bool,
    every: Duration,
    due: Instant,
}

impl ServiceManager {
    /// The one that the environment names.
    pub fn of_environment() -> Self {
        let watchdog = sd_notify::watchdog_enabled();
        Self {
            listens: env::var_os("NOTIFY_SOCKET").is_some(),
            watchdog: watchdog.is_some(),
            // Twice as often as it is asked for, as sd_watchdog_enabled(3) advises.
            every: watchdog.map_or(STATUS, |limit| (limit / 2).min(STATUS)),
            due: Instant::default(),
        }
    }

    /// Everything that happens from now on is seen.
    pub fn ready(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// Shows `status` and that the loop that calls this goes round, if it is time to.
    pub fn beat(&mut self, now: Instant, status: impl FnOnce() -> String) {
        if !self.listens || now < self.due {
            return;
        }
        self.due = now.after(self.every);
        let status = status();
        let beat = [NotifyState::Status(&status), NotifyState::Watchdog];
        self.tell(&beat[..if self.watchdog { 2 } else { 1 }]);
    }

    /// A reload begins; [`Self::ready`] ends it, whether it was a success or not.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!("the monotonic clock cannot be read: {error}"),
        }
    }

    /// This process is about to end.
    pub fn stopping(&self) {
        self.tell(&[NotifyState::Stopping]);
    }

    fn tell(&self, state: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(state) {
            tracing::warn!("the service manager cannot be told: {error}");
        }
    }
}
