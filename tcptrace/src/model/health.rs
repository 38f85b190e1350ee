//! Whether tcptrace is really tracing: a connection of its own has been seen lately.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use super::time::Instant;

/// How often a connection is made that has to be seen.
pub const EVERY: Duration = Duration::from_secs(5);
/// For so long nothing may be seen: two that did not show are no accident.
const LATELY: Duration = Duration::from_secs(15);
/// The loop says about once a second that it goes round.
const ROUND: Duration = Duration::from_secs(5);

/// What is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// When the loop last went round.
    pub round: Instant,
    /// When a connection of ours was last seen, or was first made.
    pub seen: Instant,
    /// Why the last one could not be made.
    pub failed: Option<Arc<str>>,
}

/// Why it is not tracing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ill {
    /// The loop has stood still for so long.
    Stuck(Duration),
    /// No connection of ours has been seen for so long, perhaps because none could be made.
    Blind(Duration, Option<Arc<str>>),
}

impl Health {
    /// At the first connection.
    pub const fn new(now: Instant) -> Self {
        Self { round: now, seen: now, failed: None }
    }

    /// How long ago a connection of ours was seen.
    pub const fn age(&self, now: Instant) -> Duration {
        now.since(self.seen)
    }

    /// Whether all is well.
    ///
    /// # Errors
    /// If it is not: why.
    pub fn check(&self, now: Instant) -> Result<(), Ill> {
        let still = now.since(self.round);
        if still > ROUND {
            return Err(Ill::Stuck(still));
        }
        match self.age(now) {
            age if age > LATELY => Err(Ill::Blind(age, self.failed.clone())),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Ill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stuck(still) => write!(f, "the tracer has stood still for {} s", still.as_secs()),
            Self::Blind(age, why) => {
                write!(f, "no connection of its own was seen for {} s", age.as_secs())?;
                why.as_ref().map_or(Ok(()), |why| write!(f, ": none can be made: {why}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn it_is_well_while_it_goes_round_and_sees() {
        let mut health = Health::new(at(100));
        assert_eq!(health.check(at(103)), Ok(()));
        assert_eq!(health.check(at(107)), Err(Ill::Stuck(Duration::from_secs(7))));
        health.round = at(115);
        assert_eq!(health.check(at(115)), Ok(()));
        health.round = at(116);
        health.failed = Some("Network is unreachable".into());
        let ill = health.check(at(116)).unwrap_err();
        assert_eq!(
            ill.to_string(),
            "no connection of its own was seen for 16 s: none can be made: Network is unreachable"
        );
        health.seen = at(116);
        assert_eq!(health.check(at(117)), Ok(()), "as long as they are seen");
    }
}
