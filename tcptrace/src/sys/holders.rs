//! Who holds which socket: one pass over all file descriptors of the host.

mod iterator;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::Result;
pub use iterator::Iterator;

use super::loader::Kernel;
use super::process::{self, numbered};
use crate::model::decode::{HeldFd, RawHeldFd};
use crate::model::process::ticks;

/// Where holders are read from.
pub enum Holders {
    /// `iter/task_file`: one program run a descriptor, every namespace, by cookie.
    Iterator(Box<Iterator>),
    /// `/proc/PID/fd`: one `readlink` a descriptor, by inode.
    Proc,
}

/// One descriptor of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FdOf {
    /// The process.
    pub pid: u32,
    /// When it began, in clock ticks since boot; `None` where the source does not tell.
    pub start_ticks: Option<u64>,
    /// The descriptor.
    pub fd: u32,
}

/// What a pass found besides what it has shown.
#[derive(Debug)]
pub struct Pass {
    /// Descriptors by inode of their socket, from `/proc`.
    pub by_inode: HashMap<u64, Vec<FdOf>>,
    /// Whether every process could be looked into.
    pub complete: bool,
}

impl Holders {
    /// The iterator if this kernel and user allow it and it shows a socket of our own as ours;
    /// else `/proc`, with the reason.
    pub fn open(kernel: Option<&mut Kernel>) -> (Self, Option<anyhow::Error>) {
        let Some(kernel) = kernel else { return (Self::Proc, None) };
        match Iterator::load(kernel) {
            Ok(iterator) => (Self::Iterator(Box::new(iterator)), None),
            Err(error) => (Self::Proc, Some(error)),
        }
    }

    /// One pass. The iterator shows `each` descriptor with everything that the kernel knows of its
    /// socket; `/proc` looks only for the sockets with `inodes`.
    ///
    /// # Errors
    /// If the iterator cannot be read.
    pub fn pass(
        &mut self,
        inodes: impl Fn(u64) -> bool,
        each: impl FnMut(RawHeldFd, &HeldFd),
    ) -> Result<Pass> {
        match self {
            Self::Iterator(iterator) => {
                iterator.read(None, each)?;
                Ok(Pass { by_inode: HashMap::new(), complete: true })
            }
            Self::Proc => Ok(scan_proc(inodes)),
        }
    }

    /// What it is called in output.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Iterator(_) => "iterator",
            Self::Proc => "/proc",
        }
    }

    /// Whether this is the iterator.
    pub const fn is_iterator(&self) -> bool {
        matches!(self, Self::Iterator(_))
    }
}

/// Every process's descriptors. A table that a thread has unshared from its leader's is looked
/// into as well, and so are those of a process whose leader has exited.
fn scan_proc(wanted: impl Fn(u64) -> bool) -> Pass {
    let mut pass = Pass { by_inode: HashMap::new(), complete: true };
    for process in process::pids() {
        let dir = Path::new("/proc").join(process.to_string());
        let mut threads = numbered(&dir.join("task")).collect::<Vec<_>>();
        if threads.len() > 1 {
            threads.retain(|&tid| tid == process || !shares_table(process, tid));
        }
        for tid in threads {
            let fds = dir.join("task").join(tid.to_string()).join("fd");
            match fs::read_dir(&fds) {
                Err(error) => {
                    pass.complete &= error.kind() == std::io::ErrorKind::NotFound;
                }
                Ok(_) => {
                    for fd in numbered(&fds) {
                        let link = fs::read_link(fds.join(fd.to_string())).ok();
                        if let Some(inode) = link.as_deref().and_then(socket_inode)
                            && wanted(inode)
                        {
                            let fd = FdOf { pid: process, start_ticks: None, fd };
                            pass.by_inode.entry(inode).or_default().push(fd);
                        }
                    }
                }
            }
        }
    }
    for fds in pass.by_inode.values_mut() {
        fds.sort_unstable();
        fds.dedup();
    }
    pass
}

/// The inode that a link in `/proc/PID/fd` names, if it is a socket's.
pub fn socket_inode(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Whether two threads have the same descriptor table, by `kcmp(2)`. If the kernel does not tell,
/// both are looked into.
fn shares_table(leader: u32, thread: u32) -> bool {
    const KCMP_FILES: libc::c_int = 2;
    // SAFETY: `kcmp` takes integers only.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, leader, thread, KCMP_FILES, 0, 0) };
    order == 0
}

impl From<&HeldFd> for FdOf {
    fn from(held: &HeldFd) -> Self {
        Self { pid: held.pid, start_ticks: Some(ticks(held.start_boottime_ns)), fd: held.fd }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn proc_shows_a_socket_of_our_own() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = rustix::fs::fstat(&listener).unwrap().st_ino;
        let pass = scan_proc(|wanted| wanted == inode);
        use std::os::fd::AsRawFd as _;
        let fd = listener.as_raw_fd().cast_unsigned();
        let ours = FdOf { pid: std::process::id(), start_ticks: None, fd };
        assert_eq!(pass.by_inode[&inode], [ours]);
    }
}
