//! Ends connections of other processes.
//!
//! What is looked at and what is ended is one and the same copy of a descriptor: whatever its number is of
//! by then, nothing but the socket that was found stuck is touched. Where there is no descriptor the kernel
//! compares cookie and both ends itself.

mod asker;
mod destroy;
mod look;
mod pinned;
mod sigpipe;

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::Shutdown;

pub use self::asker::asker;
use self::look::look;
pub use self::pinned::{Pinned, Pins};
pub use self::sigpipe::sigpipe;
use super::clock;
use crate::model::release::check::{Expected, Look, Terms, check};
use crate::model::release::plan::Target;
use crate::model::release::{Gone, Means, Outcome};
use crate::model::socket::TcpState;

/// Why nothing more should be tried.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// This user may not copy descriptors of that process.
    #[error("this user may not copy descriptors of process {pid}")]
    CopyDenied {
        /// The process.
        pid: u32,
    },
    /// This user may not reset connections.
    #[error("this user may not reset connections")]
    ResetDenied,
    /// The kernel has no SOCK_DESTROY.
    #[error("this kernel cannot reset connections of others (CONFIG_INET_DIAG_DESTROY)")]
    NoDestroy,
    /// A system call failed in a way that it should not.
    #[error("{call} of process {pid}")]
    Call {
        /// Which.
        call: &'static str,
        /// Whose descriptor it was about.
        pid: u32,
        /// What the system says.
        source: io::Error,
    },
    /// Its namespace could not be entered, or the kernel did not answer.
    #[error("cannot reset a connection in network namespace {netns}")]
    Reset {
        /// The inode of the namespace.
        netns: u32,
        /// What the system says.
        source: io::Error,
    },
    /// It was ended, and is not.
    #[error("it is still in {0} after it was ended")]
    Still(TcpState),
}

/// Does to the socket of `target` what `terms` say, unless that is a `rehearsal`, which does everything else.
///
/// # Errors
/// If that fails in a way that will not be different for the next one.
pub fn end(
    target: &Target,
    terms: &Terms,
    rehearsal: bool,
    pins: &mut Pins,
) -> Result<Outcome, Failure> {
    if target.descriptors.is_empty() {
        return destroy::unaccepted(&target.expected, rehearsal);
    }
    // All of them, and before anything is done: whoever dies of it was alive then.
    for (process, _) in &target.descriptors {
        let failed = |source| Failure::Call { call: "pidfd_open", pid: process.pid, source };
        pins.pin(process.pid, process.start_ticks).map_err(failed)?;
    }
    let mut outcome = Outcome::Gone(Gone::Closed);
    for (process, fd) in &target.descriptors {
        let Some(pinned) = pins.get(process.pid, process.start_ticks) else { continue };
        outcome = end_by(pinned, *fd, &target.expected, terms, rehearsal)?;
        // Another holder's descriptor may be the socket's still.
        if !matches!(outcome, Outcome::Gone(Gone::Closed | Gone::Reused)) {
            break;
        }
    }
    Ok(outcome)
}

/// The same by one descriptor of one process.
///
/// # Errors
/// Likewise.
pub fn end_by(
    pinned: &Pinned,
    fd: u32,
    expected: &Expected,
    terms: &Terms,
    rehearsal: bool,
) -> Result<Outcome, Failure> {
    let pid = pinned.pid();
    let copy = match pinned.copy(fd) {
        Ok(copy) => copy,
        Err(Errno::BADF | Errno::SRCH) => return Ok(Outcome::Gone(Gone::Closed)),
        Err(Errno::PERM) => return Err(Failure::CopyDenied { pid }),
        Err(error) => {
            return Err(Failure::Call { call: "pidfd_getfd", pid, source: error.into() });
        }
    };
    let see = || look(&copy, clock::now());
    let failed = |call| move |source| Failure::Call { call, pid, source };
    let Some(look) = see().map_err(failed("getsockopt"))? else {
        return Ok(Outcome::Gone(Gone::Reused));
    };
    if let Some(outcome) = check(expected, &look, terms.quiet) {
        return Ok(outcome);
    }
    if rehearsal {
        return Ok(Outcome::Would);
    }
    match terms.means {
        Means::Shutdown => shut_down(&copy).map_err(failed("shutdown"))?,
        Means::Abort => {
            if !destroy::held(expected, &look)? {
                return Ok(Outcome::Gone(Gone::Closed));
            }
        }
    }
    let after = see().map_err(failed("getsockopt"))?.map(|look: Look| look.state);
    match after {
        Some(state) if state == expected.state.state() => Err(Failure::Still(state)),
        state => Ok(Outcome::Ended(state)),
    }
}

/// ENOTCONN: the peer's reset came first.
fn shut_down(copy: &OwnedFd) -> io::Result<()> {
    match rustix::net::shutdown(copy, Shutdown::Both) {
        Ok(()) | Err(Errno::NOTCONN) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
