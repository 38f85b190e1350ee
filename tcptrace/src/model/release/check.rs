//! Whether what a descriptor shows is the connection that was found stuck, and stuck still.

use core::time::Duration;

use super::{Gone, Means, Outcome, Refusal};
use crate::model::snapshot::TICK;
use crate::model::socket::{Endpoints, NetNs, StayState, TcpState};
use crate::model::time::Instant;

/// What may be done, and to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How.
    pub means: Means,
    /// Processes that SIGPIPE would kill count like others.
    pub allow_sigpipe: bool,
    /// How long no byte may have moved.
    pub quiet: Duration,
}

/// The connection that was found stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its cookie.
    pub cookie: u64,
    /// Its network namespace.
    pub netns: NetNs,
    /// Both ends.
    pub endpoints: Endpoints,
    /// Its state.
    pub state: StayState,
    /// Since when it is in that, if it was seen to get there.
    pub since: Option<Instant>,
}

/// What the socket behind a copied descriptor says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// When it was asked.
    pub at: Instant,
    /// `SO_COOKIE`.
    pub cookie: u64,
    /// `tcpi_state`.
    pub state: TcpState,
    /// Both ends; `None`: it is not connected.
    pub endpoints: Option<Endpoints>,
    /// Bytes that the peer has not acknowledged.
    pub send_queue: u32,
    /// Since data was last sent; `None`: it never was.
    pub last_send: Option<Duration>,
    /// Since data was last received, likewise.
    pub last_recv: Option<Duration>,
    /// The interface that it is bound to; 0: none.
    pub device: u32,
}

/// Why the socket that showed `look` is left alone; `None`: it is the one, and may be ended.
pub fn check(expected: &Expected, look: &Look, quiet: Duration) -> Option<Outcome> {
    if look.cookie != expected.cookie {
        return Some(Outcome::Gone(Gone::Reused));
    }
    if look.state != expected.state.state() {
        return Some(match look.state {
            over @ (TcpState::LastAck
            | TcpState::Closing
            | TcpState::TimeWait
            | TcpState::Close) => Outcome::Gone(Gone::Over(over)),
            live => Outcome::Refused(Refusal::Live(live)),
        });
    }
    // The same socket with other ends was connected anew: its cookie stays.
    if look.endpoints.map(Endpoints::canonical) != Some(expected.endpoints.canonical()) {
        return Some(Outcome::Gone(Gone::Reused));
    }
    if look.send_queue > 0 {
        return Some(Outcome::Refused(Refusal::SendBlocked));
    }
    let last_byte = match expected.state {
        StayState::CloseWait => look.last_send,
        StayState::FinWait2 | StayState::Closed => look.last_recv,
    };
    let moved = last_byte.is_some_and(|ago| {
        let since = |since: Instant| ago <= look.at.since(since) + TICK;
        ago < quiet && expected.since.is_none_or(since)
    });
    moved.then_some(Outcome::Refused(Refusal::InUse))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_secs(60);

    fn now() -> Instant {
        Instant::from_nanos(1_000_000_000_000)
    }

    fn ends(port: u16) -> Endpoints {
        Endpoints {
            local: "10.0.0.1:80".parse().unwrap(),
            remote: core::net::SocketAddr::from(([10, 0, 0, 2], port)),
        }
    }

    pub(in crate::model::release) fn expected() -> Expected {
        Expected {
            cookie: 7,
            netns: NetNs(1),
            endpoints: ends(4000),
            state: StayState::CloseWait,
            since: None,
        }
    }

    fn look() -> Look {
        Look {
            at: now(),
            cookie: 7,
            state: TcpState::CloseWait,
            endpoints: Some(ends(4000)),
            send_queue: 0,
            last_send: None,
            last_recv: Some(Duration::ZERO),
            device: 0,
        }
    }

    #[test]
    fn another_socket_is_never_the_one() {
        assert_eq!(check(&expected(), &look(), QUIET), None);
        for other in [
            Look { cookie: 8, ..look() },
            Look { endpoints: Some(ends(4001)), ..look() },
            Look { endpoints: None, ..look() },
        ] {
            assert_eq!(check(&expected(), &other, QUIET), Some(Outcome::Gone(Gone::Reused)));
        }
        let mapped = Endpoints {
            local: "[::ffff:10.0.0.1]:80".parse().unwrap(),
            remote: "[::ffff:10.0.0.2]:4000".parse().unwrap(),
        };
        assert_eq!(check(&expected(), &Look { endpoints: Some(mapped), ..look() }, QUIET), None);
    }

    #[test]
    fn every_other_state_is_over_or_live() {
        for state in crate::model::socket::TCP_STATES {
            let outcome = check(&expected(), &Look { state, ..look() }, QUIET);
            let expected = match state {
                TcpState::CloseWait => None,
                TcpState::LastAck | TcpState::Closing | TcpState::TimeWait | TcpState::Close => {
                    Some(Outcome::Gone(Gone::Over(state)))
                }
                live => Some(Outcome::Refused(Refusal::Live(live))),
            };
            assert_eq!(outcome, expected, "{state}");
        }
    }

    #[test]
    fn bytes_that_move_keep_it() {
        let seconds = Duration::from_secs;
        let refused = |refusal| Some(Outcome::Refused(refusal));
        let waits = Look { send_queue: 1, ..look() };
        assert_eq!(check(&expected(), &waits, QUIET), refused(Refusal::SendBlocked));
        let sent = |ago| Look { last_send: Some(seconds(ago)), ..look() };
        assert_eq!(check(&expected(), &sent(59), QUIET), refused(Refusal::InUse));
        assert_eq!(check(&expected(), &sent(60), QUIET), None);
        // It was seen to become half-closed: what it sent before that does not count.
        let seen = Expected { since: Some(now().before(seconds(10))), ..expected() };
        assert_eq!(check(&seen, &sent(11), QUIET), None);
        assert_eq!(check(&seen, &sent(9), QUIET), refused(Refusal::InUse));
        let waiting = Expected { state: StayState::FinWait2, ..expected() };
        let receiving = Look { state: TcpState::FinWait2, ..look() };
        assert_eq!(check(&waiting, &receiving, QUIET), refused(Refusal::InUse));
        assert_eq!(check(&waiting, &Look { last_recv: None, ..receiving }, QUIET), None);
    }
}
