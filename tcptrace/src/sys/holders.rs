//! Who holds which socket: one pass over all file descriptors of the host.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use aya::Ebpf;
use aya::programs::Iter;
use tcptrace_common::HolderRecord;

use super::loader::{Globals, Kernel};
use super::process::{self, numbered};
use crate::model::decode::{self, HeldFd};
use crate::model::process::ticks;
use crate::model::socket::TcpState;
use crate::model::verdict::HOLDER_STATES;

const PROGRAM: &str = "holders";

/// Where holders are read from.
pub enum Holders {
    /// `iter/task_file`: one program run a descriptor, every namespace, by cookie.
    Iterator(Box<Iterator>),
    /// `/proc/PID/fd`: one `readlink` a descriptor, by inode.
    Proc,
}

/// The loaded iterator program.
pub struct Iterator {
    ebpf: Ebpf,
    buffer: Vec<u8>,
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

/// What a pass found.
#[derive(Debug, Default)]
pub struct Pass {
    /// Descriptors with everything the kernel knows of their sockets, from the iterator.
    pub held: Vec<HeldFd>,
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

    /// One pass. `/proc` looks only for the sockets with `inodes`.
    ///
    /// # Errors
    /// If the iterator cannot be read.
    pub fn pass(&mut self, inodes: &dyn Fn(u64) -> bool) -> Result<Pass> {
        match self {
            Self::Iterator(iterator) => {
                Ok(Pass { held: iterator.read()?, by_inode: HashMap::new(), complete: true })
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

impl Iterator {
    fn load(kernel: &mut Kernel) -> Result<Self> {
        let globals = Globals {
            ring_bytes: None,
            high_water: u64::MAX,
            holder_states: HOLDER_STATES,
            on_cpu: false,
            stacks: false,
        };
        let ebpf = kernel.load(&globals, |ebpf, btf| program(ebpf)?.load("task_file", btf))?;
        // Sockets are joined with sock_diag's by their cookies.
        ensure!(kernel.has_cookies(), "the programs of this kernel cannot read socket cookies");
        let mut iterator = Self { ebpf, buffer: Vec::new() };
        iterator.prove()?;
        Ok(iterator)
    }

    /// Looks for a listener of our own. In a nested pid namespace the kernel's pids are not ours.
    fn prove(&mut self) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let cookie = rustix::net::sockopt::socket_cookie(&listener)?;
        let (local, inode) = (listener.local_addr()?, rustix::fs::fstat(&listener)?.st_ino);
        let ours = self.read()?.into_iter().find(|fd| fd.inode == inode);
        let ours = ours.context("a pass over all descriptors does not show our own")?;
        ensure!(
            (ours.key.cookie(), ours.endpoints.local, ours.state)
                == (Some(cookie), local, TcpState::Listen),
            "a pass over all descriptors shows our own listener as {ours:?}"
        );
        ensure!(
            ours.pid == std::process::id(),
            "this is a nested pid namespace: the kernel calls us {}",
            ours.pid
        );
        Ok(())
    }

    fn read(&mut self) -> Result<Vec<HeldFd>> {
        let program = program(&mut self.ebpf)?;
        let link = program.attach().context("cannot attach the iterator")?;
        let mut file = program.take_link(link)?.into_file().context("cannot open the iterator")?;
        self.buffer.clear();
        file.read_to_end(&mut self.buffer).context("cannot read the iterator")?;
        let records = self.buffer.chunks_exact(size_of::<HolderRecord>());
        Ok(records.filter_map(|record| decode::held_fd(record).ok()).collect())
    }
}

fn program(ebpf: &mut Ebpf) -> Result<&mut Iter, aya::programs::ProgramError> {
    let program = ebpf.program_mut(PROGRAM).expect("the object is compiled in");
    program.try_into()
}

/// Every process's descriptors. A table that a thread has unshared from its leader's is looked
/// into as well, and so are those of a process whose leader has exited.
fn scan_proc(wanted: &dyn Fn(u64) -> bool) -> Pass {
    let mut pass = Pass { complete: true, ..Pass::default() };
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
    use super::*;

    #[test]
    fn proc_shows_a_socket_of_our_own() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = rustix::fs::fstat(&listener).unwrap().st_ino;
        let pass = scan_proc(&|wanted| wanted == inode);
        use std::os::fd::AsRawFd as _;
        let fd = listener.as_raw_fd().cast_unsigned();
        let ours = FdOf { pid: std::process::id(), start_ticks: None, fd };
        assert_eq!(pass.by_inode[&inode], [ours]);
    }
}
