//! The words and numbers that lines are made of.

use core::fmt::{self, Display};
use core::time::Duration;

use crate::model::group::Peer;
use crate::model::process::{Holder, Process};
use crate::model::stay::{EndedBy, Stay};
use crate::model::verdict::{Blame, Finding, Verdict};
use crate::report::escape::Escaped;

/// The process blamed, or what stands in its place.
pub(in crate::report) fn culprit<'a>(blame: Option<&'a Blame>, verdict: Verdict) -> Culprit<'a> {
    Culprit(blame.map(|blame| &*blame.process), verdict)
}

pub(in crate::report) struct Culprit<'a>(
    pub(in crate::report) Option<&'a Process>,
    pub(in crate::report) Verdict,
);

impl Display for Culprit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (Some(process), _) => write!(f, "{}", Named(process)),
            (None, Verdict::Orphan) => f.write_str("closed by their program"),
            (None, Verdict::NoFd) => f.write_str("held by no process"),
            (None, _) => f.write_str("unattributed"),
        }
    }
}

pub(in crate::report) struct Named<'a>(pub(in crate::report) &'a Process);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = self.0;
        write!(f, "{}[{}]", Escaped(&process.comm), process.pid)?;
        if let Some(unit) = &process.unit {
            write!(f, " {}", Escaped(unit))?;
        }
        if let Some(container) = &process.container {
            write!(f, " container {}", Escaped(container.get(..12).unwrap_or(container)))?;
        }
        if let Some(pod) = &process.pod {
            write!(f, " pod {}", Escaped(pod))?;
        }
        Ok(())
    }
}

pub(super) struct Holders<'a>(pub(super) Option<&'a [Holder]>, pub(super) &'a Finding);

impl Display for Holders<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1.verdict, &self.1.blame) {
            (None, ..) => f.write_str("cannot be seen"),
            (Some([]), Verdict::NotAccepted, Some(blame)) => {
                write!(f, "none; listener: {}", Named(&blame.process))
            }
            (Some([]), ..) => f.write_str("none"),
            (Some(holders), ..) => {
                for (i, holder) in holders.iter().enumerate() {
                    let separator = if i == 0 { "" } else { ", " };
                    write!(f, "{separator}{} fd {}", Named(&holder.process), Fds(&holder.fds))?;
                }
                Ok(())
            }
        }
    }
}

pub(super) struct Fds<'a>(pub(super) &'a [u32]);

impl Display for Fds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fd) in self.0.iter().enumerate() {
            write!(f, "{}{fd}", if i == 0 { "" } else { "+" })?;
        }
        Ok(())
    }
}

pub(super) struct Ends<'a>(pub(super) &'a Stay);

impl Display for Ends<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ↔ {}", self.0.endpoints.local, self.0.endpoints.remote)
    }
}

pub(super) struct Peers<'a>(pub(super) &'a [(Peer, usize)]);

impl Display for Peers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (peer, count)) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            match peer.port {
                Some(port) => write!(f, "{}", std::net::SocketAddr::new(peer.ip, port))?,
                None => write!(f, "{}", peer.ip)?,
            }
            write!(f, " ({})", Count(*count))?;
        }
        Ok(())
    }
}

pub(in crate::report) struct Ended<'a>(pub(in crate::report) &'a [(EndedBy, usize)]);

impl Display for Ended<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            [(by, _)] => write!(f, " ({})", ended_words(*by)),
            several => {
                for (i, (by, count)) in several.iter().enumerate() {
                    let separator = if i == 0 { " (" } else { ", " };
                    write!(f, "{separator}{} {}", Count(*count), ended_words(*by))?;
                }
                f.write_str(")")
            }
        }
    }
}

pub(in crate::report) const fn ended_words(by: EndedBy) -> &'static str {
    match by {
        EndedBy::Closed => "closed",
        EndedBy::Shutdown => "shut down, the descriptor kept",
        EndedBy::ClosedWithReset => "closed with a reset",
        EndedBy::PeerClosed => "the peer closed",
        EndedBy::ResetByPeer => "reset by the peer",
        EndedBy::TimedOut => "timed out",
        EndedBy::ProcessExit => "process exited",
        EndedBy::Killed => "ended from outside",
        EndedBy::ListenerClosed => "the listener was closed",
        EndedBy::Expired => "the kernel's timer ran out",
        EndedBy::Unknown => "how is not known",
    }
}

pub(in crate::report) struct Growth(pub(in crate::report) Option<f64>);

impl Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(per_min) if per_min.abs() >= 0.5 => write!(f, ", {per_min:+.0}/min"),
            _ => Ok(()),
        }
    }
}

/// A count with its thousands set apart.
pub(in crate::report) struct Count<T>(pub(in crate::report) T);

impl<T: Copy + TryInto<u64>> Display for Count<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number: u64 = self.0.try_into().unwrap_or(u64::MAX);
        let digits = number.to_string();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// A duration in its two largest units.
pub struct Age(pub Duration);

impl Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let text = match seconds {
            0 if self.0.as_millis() == 0 => format!("{} µs", self.0.as_micros()),
            0 => format!("{} ms", self.0.as_millis()),
            1..=9 => format!("{:.1} s", (self.0.as_millis() / 100) as f64 / 10.0),
            10..=59 => format!("{seconds} s"),
            60..=3599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
            3600..=86_399 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
            _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3600 % 24),
        };
        f.pad(&text)
    }
}
