//! When a leak will have used up what there is.

use core::time::Duration;

use super::process::Descriptors;

/// A forecast further away than this is none.
const HORIZON: Duration = Duration::from_secs(30 * 86_400);

/// How far a process's descriptors will last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// What it has and may have.
    pub descriptors: Descriptors,
    /// When they are used up if the leak goes on like that.
    pub full_in: Duration,
}

/// What becomes of `descriptors` at `growth` a minute; nothing where there is no trend.
pub fn forecast(descriptors: Descriptors, growth_per_min: f64) -> Option<Forecast> {
    if growth_per_min < 0.5 {
        return None;
    }
    let left = descriptors.limit.saturating_sub(descriptors.open);
    let seconds = left as f64 / growth_per_min * 60.0;
    let full_in = Duration::try_from_secs_f64(seconds).ok().filter(|&full| full <= HORIZON)?;
    Some(Forecast { descriptors, full_in })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_ends_at_the_limit_and_none_is_no_forecast() {
        let descriptors = Descriptors { open: 812, limit: 1024 };
        let full_in = |growth| forecast(descriptors, growth).map(|f| f.full_in.as_secs() / 60);
        assert_eq!(full_in(12.0), Some(17));
        assert_eq!(full_in(0.0), None);
        assert_eq!(full_in(-3.0), None);
        let huge = Descriptors { open: 0, limit: 1 << 40 };
        assert_eq!(forecast(huge, 1.0), None, "beyond any horizon");
        let full = Descriptors { open: 1024, limit: 1024 };
        assert_eq!(forecast(full, 1.0).unwrap().full_in, Duration::ZERO);
    }
}
