//! Whether one look is enough.

use core::time::Duration;

use super::socket::StayState;
use super::stay::Stay;
use super::time::Instant;

/// What has not moved for so long would hardly do so within a short while.
const STILL: Duration = Duration::from_secs(5);

/// What the kernel's own account says of what moves on a socket. Unknown is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stillness {
    /// Since data was last sent, retransmissions included.
    pub last_send: Option<Duration>,
    /// Since data was last received.
    pub last_recv: Option<Duration>,
    /// Bytes written and not acknowledged.
    pub send_queue: Option<u32>,
}

/// Whether a second look, `apart` from the one of `now`, would show the same: the socket has been in its
/// state for so long that it is not just passing through, and nothing moves in the direction that is
/// still open, if that counts.
pub fn is_settled(stay: &Stay, still: &Stillness, now: Instant, apart: Duration) -> bool {
    let long_ago = |last: Option<Duration>| last.is_some_and(|ago| ago >= STILL);
    stay.age(now) >= apart
        && match stay.state {
            StayState::CloseWait => still.send_queue == Some(0) && long_ago(still.last_send),
            StayState::FinWait2 => stay.orphan || long_ago(still.last_recv),
            StayState::Closed => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::Observed;

    const APART: Duration = Duration::from_millis(200);
    const MINUTE: Option<Duration> = Some(Duration::from_secs(60));
    const MOMENT: Option<Duration> = Some(Duration::from_secs(1));
    const STILL: Stillness =
        Stillness { last_send: MINUTE, last_recv: MINUTE, send_queue: Some(0) };

    fn settled(state: StayState, orphan: bool, age_ms: u64, still: Stillness) -> bool {
        let now = Instant::from_nanos(3_600_000_000_000);
        let age_min = Duration::from_millis(age_ms);
        let socket = Observed { orphan, age_min, ..Observed::example(state) };
        is_settled(&Stay::observed(socket.key, &socket, now), &still, now, APART)
    }

    #[test]
    fn what_may_move_or_pass_through_is_looked_at_again() {
        use StayState::{CloseWait, Closed, FinWait2};
        for state in StayState::ALL {
            assert!(settled(state, false, 200, STILL), "{state}");
            assert!(!settled(state, false, 199, STILL), "{state} may be on its way");
        }
        let sends = Stillness { last_send: MOMENT, ..STILL };
        let receives = Stillness { last_recv: MOMENT, ..STILL };
        let acknowledged = Stillness { send_queue: Some(1), ..STILL };
        let unknown = Stillness::default();
        // Only the direction that is still open counts,
        assert!(!settled(CloseWait, false, 200, sends) && settled(CloseWait, false, 200, receives));
        assert!(!settled(FinWait2, false, 200, receives) && settled(FinWait2, false, 200, sends));
        // acknowledgements move as well,
        assert!(!settled(CloseWait, false, 200, acknowledged));
        // and what is not known is not settled, unless nothing of it counts.
        assert!(
            !settled(CloseWait, false, 200, unknown) && !settled(FinWait2, false, 200, unknown)
        );
        assert!(settled(FinWait2, true, 200, unknown) && settled(Closed, false, 200, unknown));
    }
}
