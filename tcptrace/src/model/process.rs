//! Processes and what they hold.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `USER_HZ`, the unit of times in `/proc`: fixed at 100 on every architecture we build for.
pub const TICKS_PER_SECOND: u64 = 100;

/// Clock ticks since boot, from the kernel's nanoseconds.
pub const fn ticks(boottime_ns: u64) -> u64 {
    boottime_ns / (1_000_000_000 / TICKS_PER_SECOND)
}

/// A process, as it was when it was looked at. Pids are reused, so [`Process::start`] belongs to
/// its identity. Strings are what the process says of itself: hostile, and here made valid UTF-8
/// by replacement but not escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// In the pid namespace tcptrace runs in.
    pub pid: u32,
    /// In the innermost pid namespace of its own, where that could be read.
    pub pid_in_ns: Option<u32>,
    /// The parent.
    pub ppid: Option<u32>,
    /// When it began: clock ticks since boot, as `/proc/PID/stat` tells.
    pub start_ticks: Option<u64>,
    /// When it began, by the wall clock.
    pub start: Option<Timestamp>,
    /// The thread group leader's name.
    pub comm: String,
    /// The executable's path; `None` without the privilege to read it.
    pub exe: Option<String>,
    /// The arguments.
    pub cmdline: Option<Vec<String>>,
    /// Real user id.
    pub uid: Option<u32>,
    /// Path in the cgroup hierarchy.
    pub cgroup: Option<String>,
    /// The systemd unit, from the cgroup's path.
    pub unit: Option<String>,
    /// The container's id, from the cgroup's path.
    pub container: Option<String>,
    /// The Kubernetes pod's uid, likewise. Records of before it was known have none.
    #[serde(default)]
    pub pod: Option<String>,
    /// How many descriptors it has and may have.
    pub descriptors: Option<Descriptors>,
}

/// How many descriptors a process has and may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptors {
    /// That are open.
    pub open: u64,
    /// Its soft limit (`RLIMIT_NOFILE`).
    pub limit: u64,
}

/// A process that has one or more descriptors of a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Who.
    pub process: Arc<Process>,
    /// Its descriptors of this socket, ascending.
    pub fds: Vec<u32>,
}

/// Which of several equal holders to name: the one that all others descend from, else the oldest.
/// Returns its position, or `None` of an empty list.
pub fn eldest(holders: &[Holder]) -> Option<usize> {
    let parent_of = |pid: u32| {
        holders.iter().find(|holder| holder.process.pid == pid).and_then(|h| h.process.ppid)
    };
    let descends = |pid: u32, ancestor: u32| {
        // A chain of parents is no longer than the list unless pids were reused meanwhile.
        let mut at = Some(pid);
        for _ in 0..=holders.len() {
            match at {
                Some(pid) if pid == ancestor => return true,
                Some(pid) => at = parent_of(pid),
                None => return false,
            }
        }
        false
    };
    let pids = || holders.iter().map(|holder| holder.process.pid);
    holders.iter().position(|holder| pids().all(|pid| descends(pid, holder.process.pid))).or_else(
        || {
            (0..holders.len()).min_by_key(|&i| {
                let process = &holders[i].process;
                (process.start_ticks.unwrap_or(u64::MAX), process.pid)
            })
        },
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn process(pid: u32, ppid: u32, start_ticks: u64) -> Process {
        Process {
            pid,
            pid_in_ns: Some(pid),
            ppid: Some(ppid),
            start_ticks: Some(start_ticks),
            start: Some(Timestamp::UNIX_EPOCH),
            comm: format!("program{pid}"),
            exe: Some("/usr/bin/program".into()),
            cmdline: Some(vec!["program".into()]),
            uid: Some(1000),
            cgroup: Some("/system.slice/program.service".into()),
            unit: Some("program.service".into()),
            container: None,
            pod: None,
            descriptors: Some(Descriptors { open: 812, limit: 1024 }),
        }
    }

    pub(crate) fn holder(pid: u32, ppid: u32, start_ticks: u64) -> Holder {
        Holder { process: Arc::new(process(pid, ppid, start_ticks)), fds: vec![3] }
    }

    #[test]
    fn the_common_ancestor_is_named_before_the_oldest() {
        assert_eq!(eldest(&[]), None);
        assert_eq!(eldest(&[holder(5, 1, 10)]), Some(0));
        // 5 began later than 9 (a pid that came round), but is its parent.
        assert_eq!(eldest(&[holder(9, 5, 10), holder(5, 1, 20)]), Some(1));
        assert_eq!(eldest(&[holder(7, 6, 30), holder(6, 5, 20), holder(5, 1, 10)]), Some(2));
        // Unrelated: the oldest.
        assert_eq!(eldest(&[holder(9, 1, 10), holder(5, 1, 20)]), Some(0));
        // A cycle, from pids reused between two reads, must end.
        assert_eq!(eldest(&[holder(9, 5, 20), holder(5, 9, 10)]), Some(0));
    }
}
