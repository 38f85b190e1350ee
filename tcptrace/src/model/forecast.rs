//! When a leak will have used up what there is.

use core::net::SocketAddr;
use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::BTreeMap;

use super::process::Descriptors;
use super::socket::{Endpoints, canonical};

/// A forecast further away than this is none.
const HORIZON: Duration = Duration::from_secs(30 * 86_400);

/// What a leak uses up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The process's descriptors.
    Descriptors,
    /// The host's ports for connections to one destination (`net.ipv4.ip_local_port_range`).
    Ports,
}

impl Resource {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Descriptors => "file_descriptors",
            Self::Ports => "ephemeral_ports",
        }
    }
}

/// How far something will last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// What.
    pub of: Resource,
    /// How much of it is in use.
    pub used: u64,
    /// How much there is.
    pub limit: u64,
    /// When it is used up if the leak goes on like that.
    pub full_in: Duration,
}

/// Ports in use that the kernel chose, by destination.
#[derive(Clone, Debug, Default)]
pub struct PortUse {
    range: Option<(u16, u16)>,
    destinations: BTreeMap<SocketAddr, u64>,
}

impl PortUse {
    /// Counts a connection; `range` is what the kernel chooses from in its namespace, where known.
    pub fn add(&mut self, Endpoints { local, remote }: Endpoints, range: Option<(u16, u16)>) {
        self.range = self.range.or(range);
        let Some((first, last)) = self.range else { return };
        // A server's own port is fixed, and may lie in the range as well.
        if (first..=last).contains(&local.port()) && !(first..=last).contains(&remote.port()) {
            *self.destinations.entry(canonical(remote)).or_default() += 1;
        }
    }

    /// Counts one less.
    pub fn remove(&mut self, Endpoints { local, remote }: Endpoints) {
        let Some((first, last)) = self.range else { return };
        if (first..=last).contains(&local.port())
            && !(first..=last).contains(&remote.port())
            && let Some(count) = self.destinations.get_mut(&canonical(remote))
        {
            *count -= 1;
            if *count == 0 {
                self.destinations.remove(&canonical(remote));
            }
        }
    }

    /// How many connections go to the destination that most go to, and the ports that there are for
    /// them.
    pub fn most(&self) -> Option<(u64, RangeInclusive<u16>)> {
        let (first, last) = self.range?;
        self.destinations.values().max().map(|&used| (used, first..=last))
    }
}

/// What will be used up first at `growth` a minute; nothing where there is no trend. `ports` are those
/// that connections to one destination may have, with the number that the leak holds.
pub fn forecast(
    descriptors: Option<Descriptors>,
    ports: Option<(u64, RangeInclusive<u16>)>,
    growth_per_min: f64,
) -> Option<Forecast> {
    let descriptors = descriptors.map(|d| (Resource::Descriptors, d.open, d.limit));
    let ports = ports.map(|(used, range)| (Resource::Ports, used, range.len() as u64));
    let forecasts = [descriptors, ports].into_iter().flatten();
    forecasts
        .filter_map(|(of, used, limit)| one(of, used, limit, growth_per_min))
        .min_by_key(|f| f.full_in)
}

fn one(of: Resource, used: u64, limit: u64, growth_per_min: f64) -> Option<Forecast> {
    if growth_per_min < 0.5 {
        return None;
    }
    let seconds = limit.saturating_sub(used) as f64 / growth_per_min * 60.0;
    let full_in = Duration::try_from_secs_f64(seconds).ok().filter(|&full| full <= HORIZON)?;
    Some(Forecast { of, used, limit, full_in })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESCRIPTORS: Descriptors = Descriptors { open: 812, limit: 1024 };

    #[test]
    fn a_trend_ends_at_the_limit_and_none_is_no_forecast() {
        let full_in = |descriptors, growth| {
            forecast(Some(descriptors), None, growth).map(|f| f.full_in.as_secs() / 60)
        };
        assert_eq!(full_in(DESCRIPTORS, 12.0), Some(17));
        assert_eq!(full_in(DESCRIPTORS, 0.0), None);
        assert_eq!(full_in(DESCRIPTORS, -3.0), None);
        let huge = Descriptors { open: 0, limit: 1 << 40 };
        assert_eq!(full_in(huge, 1.0), None, "beyond any horizon");
        assert_eq!(full_in(Descriptors { open: 1024, limit: 1024 }, 1.0), Some(0));
    }

    #[test]
    fn what_is_used_up_first_is_told() {
        let of =
            |used| forecast(Some(DESCRIPTORS), Some((used, 32_768..=60_999)), 10.0).unwrap().of;
        assert_eq!(of(100), Resource::Descriptors);
        assert_eq!(of(28_200), Resource::Ports);
        assert_eq!(forecast(None, None, 10.0), None);
    }
}
