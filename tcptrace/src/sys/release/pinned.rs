//! Processes that are not taken for others: a pid is used again, a pidfd is not.

use core::time::Duration;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::sys::process;

/// A process that is held fast.
#[derive(Debug)]
pub struct Pinned {
    pid: u32,
    fd: OwnedFd,
}

impl Pinned {
    /// The process with this pid that began at `start_ticks`, if that is known; `None` if it has ended.
    ///
    /// # Errors
    /// If there are too many descriptors, or Linux is older than 5.3.
    pub fn open(pid: u32, start_ticks: Option<u64>) -> io::Result<Option<Self>> {
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let fd = match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let pinned = Self { pid, fd };
        // What `/proc` tells by a pid is of this process as long as that has not ended.
        let same = start_ticks.is_none_or(|ticks| process::start_ticks(pid) == Some(ticks));
        Ok((same && !pinned.has_ended()).then_some(pinned))
    }

    /// Its pid.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        any_ended(&mut [PollFd::new(&self.fd, PollFlags::IN)], Duration::ZERO)
    }

    /// A copy of its descriptor `fd`, for as long as the copy is kept.
    pub(super) fn copy(&self, fd: u32) -> Result<OwnedFd, Errno> {
        let fd = i32::try_from(fd).map_err(|_| Errno::BADF)?;
        pidfd_getfd(&self.fd, fd, PidfdGetfdFlags::empty())
    }
}

/// The processes of one run.
#[derive(Debug, Default)]
pub struct Pins(HashMap<(u32, Option<u64>), Option<Pinned>>);

impl Pins {
    /// Holds the process with this pid and start fast, unless it is or has ended.
    ///
    /// # Errors
    /// Those of [`Pinned::open`].
    pub fn pin(&mut self, pid: u32, start_ticks: Option<u64>) -> io::Result<()> {
        if let Entry::Vacant(entry) = self.0.entry((pid, start_ticks)) {
            entry.insert(Pinned::open(pid, start_ticks)?);
        }
        Ok(())
    }

    /// The process with this pid and start; `None` if it is not held fast.
    pub fn get(&self, pid: u32, start_ticks: Option<u64>) -> Option<&Pinned> {
        self.0.get(&(pid, start_ticks))?.as_ref()
    }

    /// One of `processes`, by pid and start, that has ended since it was pinned. Waits `patience` for it.
    pub fn ended(&self, processes: &[(u32, Option<u64>)], patience: Duration) -> Option<u32> {
        let pinned: Vec<_> = processes.iter().filter_map(|key| self.0.get(key)?.as_ref()).collect();
        let mut fds: Vec<_> =
            pinned.iter().map(|pinned| PollFd::new(&pinned.fd, PollFlags::IN)).collect();
        if fds.is_empty() || !any_ended(&mut fds, patience) {
            return None;
        }
        let ended = |(pinned, fd): (&&Pinned, &PollFd<'_>)| {
            fd.revents().contains(PollFlags::IN).then_some(pinned.pid)
        };
        pinned.iter().zip(&fds).find_map(ended)
    }
}

/// A pidfd is readable when its process has ended.
fn any_ended(fds: &mut [PollFd<'_>], patience: Duration) -> bool {
    let patience = Timespec::try_from(patience).ok();
    // Interrupted counts as not ended: it is asked again before the next deed.
    poll(fds, patience.as_ref()).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_ends_is_seen_to() {
        let mut child = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let (pid, start) = (child.id(), process::start_ticks(child.id()));
        let mut pins = Pins::default();
        pins.pin(pid, start).unwrap();
        assert_eq!(pins.get(pid, start).map(Pinned::pid), Some(pid));
        assert_eq!(pins.ended(&[(pid, start)], Duration::ZERO), None);
        drop(child.stdin.take());
        assert_eq!(pins.ended(&[(pid, start)], Duration::from_secs(30)), Some(pid));
        child.wait().unwrap();
        assert!(Pinned::open(pid, start).unwrap().is_none());
    }

    #[test]
    fn a_process_that_began_at_another_time_is_another_one() {
        let own = std::process::id();
        let start = process::start_ticks(own);
        assert!(Pinned::open(own, start).unwrap().is_some());
        assert!(Pinned::open(own, start.map(|ticks| ticks + 1)).unwrap().is_none());
    }
}
