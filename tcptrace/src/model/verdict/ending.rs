//! Whether it ends by itself.

use core::time::Duration;

use crate::model::evidence::{Evidence, Timer};

/// How a half-closed socket will end without anybody's help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndsByItself {
    /// A timer of the kernel's is running; `by` names it.
    By {
        /// `keepalive`, `retransmission` or `fin_timeout`.
        by: &'static str,
        /// Until it next fires, if that is when it ends.
        within: Option<Duration>,
    },
    /// Nothing will ever end it.
    Never,
    /// Its timer could not be seen.
    Unknown,
}

/// Reads that from the socket's timer. Keepalive ends a socket only when the peer does not answer,
/// so no time is given for it.
pub fn ends_by_itself(evidence: &Evidence) -> EndsByItself {
    match evidence.timer {
        Timer::Unknown => EndsByItself::Unknown,
        Timer::None => EndsByItself::Never,
        Timer::Keepalive(_) => EndsByItself::By { by: "keepalive", within: None },
        Timer::Retransmit(_) => EndsByItself::By { by: "retransmission", within: None },
        Timer::TimeWait(left) => EndsByItself::By { by: "fin_timeout", within: Some(left) },
    }
}
