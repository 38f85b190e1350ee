//! What keeps a socket open that no process holds, from `/proc`.
//!
//! io_uring tells which files are registered with it. That a descriptor is on its way through some
//! unix socket, or that some call outlives its descriptor, shows without saying whose. In CLOSE_WAIT
//! only a call that sends can block, and only while data waits to be sent, which sets the two apart.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use super::process::{self, numbered};
use super::threads::{self, Call};
use crate::model::evidence::HeldBy;

/// Calls that take a descriptor first and can sleep until there is room to send.
const SENDING: [i64; 5] =
    [libc::SYS_write, libc::SYS_writev, libc::SYS_sendto, libc::SYS_sendmsg, libc::SYS_sendmmsg];

/// What was found in one look at all processes.
#[derive(Debug, Default)]
pub struct Keepers {
    registered: HashSet<u64>,
    in_flight: bool,
    in_call: bool,
}

impl Keepers {
    /// Looks at every descriptor and thread of the host.
    pub fn find() -> Self {
        let mut keepers = Self::default();
        for pid in process::pids() {
            keepers.look_at(pid);
        }
        keepers
    }

    fn look_at(&mut self, pid: u32) {
        let dir = Path::new("/proc").join(pid.to_string());
        let mut open = HashSet::new();
        for fd in numbered(&dir.join("fd")) {
            let target = fs::read_link(dir.join("fd").join(fd.to_string())).unwrap_or_default();
            let target = target.to_string_lossy();
            if target.starts_with("socket:") || target == "anon_inode:[io_uring]" {
                let fdinfo = dir.join("fdinfo").join(fd.to_string());
                self.read(&fs::read_to_string(fdinfo).unwrap_or_default());
            }
            open.insert(u64::from(fd));
        }
        self.in_call |= threads::of(pid)
            .filter_map(|tid| threads::call(pid, tid))
            .any(|Call { number, first }| SENDING.contains(&number) && !open.contains(&first));
    }

    /// Takes in a descriptor's `fdinfo`.
    pub fn read(&mut self, fdinfo: &str) {
        for line in fdinfo.lines() {
            if let Some(count) = line.strip_prefix("scm_fds:") {
                self.in_flight |= count.trim() != "0";
            } else if let Some((_, file)) = line.split_once(": ")
                && let Some(inode) = super::holders::socket_inode(Path::new(file.trim()))
            {
                self.registered.insert(inode);
            }
        }
    }

    /// What keeps the socket with this inode, of which data `waits` to be sent or not.
    pub fn of(&self, inode: u64, waits: bool) -> HeldBy {
        if self.registered.contains(&inode) {
            HeldBy::IoUring
        } else if self.in_call && waits {
            HeldBy::BlockedCall
        } else if self.in_flight {
            HeldBy::UnixSocket
        } else {
            HeldBy::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdinfo_tells_of_registered_files_and_of_descriptors_on_their_way() {
        let mut keepers = Keepers::default();
        keepers.read("pos:\t0\nflags:\t02\nUserFiles:\t2\n    0: socket:[77]\n    1: <none>\n");
        keepers.read("pos:\t0\nscm_fds: 0\n");
        let of = |keepers: &Keepers, inode| keepers.of(inode, false);
        assert_eq!((of(&keepers, 77), of(&keepers, 78)), (HeldBy::IoUring, HeldBy::Unknown));
        keepers.read("pos:\t0\nscm_fds: 1\n");
        assert_eq!(of(&keepers, 78), HeldBy::UnixSocket);
        keepers.in_call = true;
        assert_eq!(of(&keepers, 78), HeldBy::UnixSocket, "nothing of it waits to be sent");
        assert_eq!(keepers.of(78, true), HeldBy::BlockedCall);
    }
}
