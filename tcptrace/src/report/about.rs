//! What a report says of itself.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::profile::Measure;
use crate::model::profile::window::Window;

/// What is drawn, and of which time.
#[derive(Clone, Debug)]
pub struct About {
    /// What width stands for.
    pub measure: Measure,
    /// The only side of the weights that is known; `None`: both are. Folded lines have one.
    pub only: Option<Measure>,
    /// The time it is of; `None` where that is not known.
    pub window: Option<Window>,
    /// The time it is compared with.
    pub baseline: Option<Window>,
    /// The zone in which times are shown.
    pub zone: TimeZone,
}

impl About {
    /// Whether this side of the weights is known. If not, their zeros mean nothing.
    pub fn knows(&self, measure: Measure) -> bool {
        self.only.is_none_or(|only| only == measure)
    }

    /// What it is, in a line.
    pub fn title(&self) -> String {
        let what = match self.measure {
            Measure::Time => "Stuck socket-time",
            Measure::Count => "Stuck sockets",
        };
        match &self.window {
            Some(window) => format!("{what}, {}", self.span(window)),
            None => what.to_owned(),
        }
    }

    /// What it is compared with, in a line.
    pub fn compared(&self) -> Option<String> {
        self.baseline.map(|baseline| format!("compared with {}", self.span(&baseline)))
    }

    fn span(&self, window: &Window) -> String {
        let [from, to] = [window.from, window.to].map(|at| at.to_zoned(self.zone.clone()));
        let end = to.strftime("%H:%M:%S %Z");
        let day = "%Y-%m-%d";
        if window.from == Timestamp::MIN {
            format!("up to {} {end}", to.strftime(day))
        } else if (from.date(), from.offset()) == (to.date(), to.offset()) {
            format!("{} to {end}", from.strftime("%Y-%m-%d %H:%M:%S"))
        } else {
            let from = from.strftime("%Y-%m-%d %H:%M:%S %Z");
            format!("{from} to {} {end}", to.strftime(day))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_the_zone_asked_for_and_a_day_once() {
        let title = |from: &str, to: &str| {
            let [from, to] = [from, to].map(|at| at.parse().unwrap());
            let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
            let window = Some(Window { from, to });
            About { measure: Measure::Count, only: None, window, baseline: window, zone }.title()
        };
        assert_eq!(
            title("2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z"),
            "Stuck sockets, 2026-03-01 13:00:00 to 14:00:00 CET"
        );
        assert_eq!(
            title("2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"),
            "Stuck sockets, 2026-03-28 13:00:00 CET to 2026-03-29 14:00:00 CEST"
        );
        let all = title("-009999-01-02T01:59:59Z", "2026-03-01T13:00:00Z");
        assert_eq!(all, "Stuck sockets, up to 2026-03-01 14:00:00 CET");
    }
}
