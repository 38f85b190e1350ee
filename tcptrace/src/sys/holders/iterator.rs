//! `iter/task_file`: the program that runs once for every descriptor, and the files it writes.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process;

use anyhow::{Context as _, Result, ensure};
use aya_obj::generated::{bpf_attach_type, bpf_cmd};
use tcptrace_common::HolderRecord;

use crate::model::decode::{HeldFd, RawHeldFd};
use crate::model::socket::TcpState;
use crate::model::verdict::HOLDER_STATES;
use crate::sys::bpf::{bpf_fd, nothing};
use crate::sys::loader::Kernel;

/// The kernel hands out half of it at a time (`kernel/bpf/bpf_iter.c: bpf_seq_read`).
const BUFFER: usize = 64 << 10;

/// The loaded program.
pub struct Iterator {
    program: OwnedFd,
    buffer: Vec<u8>,
}

/// The `task` of `union bpf_iter_link_info` (6.1): which tasks to look at.
#[repr(C)]
struct Tasks {
    tid: u32,
    pid: u32,
    pid_fd: u32,
    rest: u32,
}

impl Iterator {
    pub(super) fn load(kernel: &mut Kernel) -> Result<Self> {
        let program = kernel.load_iterator(HOLDER_STATES)?;
        // Sockets are joined with sock_diag's by their cookies.
        ensure!(kernel.has_cookies(), "the programs of this kernel cannot read socket cookies");
        let mut iterator = Self { program, buffer: vec![0; BUFFER] };
        iterator.prove()?;
        Ok(iterator)
    }

    /// Looks for a listener of our own. In a nested pid namespace the kernel's pids are not ours.
    fn prove(&mut self) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let cookie = rustix::net::sockopt::socket_cookie(&listener)?;
        let (local, inode) = (listener.local_addr()?, rustix::fs::fstat(&listener)?.st_ino);
        let mut ours = None;
        self.read(Some(process::id()), |_, fd| {
            ours = (fd.inode == inode).then_some(*fd).or(ours);
        })?;
        let ours = ours.context("a pass over all descriptors does not show our own")?;
        ensure!(
            (ours.key.cookie(), ours.endpoints.local, ours.state)
                == (Some(cookie), local, TcpState::Listen),
            "a pass over all descriptors shows our own listener as {ours:?}"
        );
        ensure!(
            ours.pid == process::id(),
            "this is a nested pid namespace: the kernel calls us {}",
            ours.pid
        );
        Ok(())
    }

    /// Shows `each` descriptor of every process, or of at least the one with this `pid`.
    pub(super) fn read(
        &mut self,
        pid: Option<u32>,
        mut each: impl FnMut(RawHeldFd, &HeldFd),
    ) -> Result<()> {
        let file = match self.open(pid) {
            // A kernel that cannot choose does not take the question.
            Err(error) if pid.is_some() && error.raw_os_error() == Some(libc::E2BIG) => {
                self.open(None)
            }
            file => file,
        };
        let mut file = file.context("cannot open the iterator")?;
        // What has come and is not a whole record yet.
        let mut waiting = 0;
        loop {
            let read = match file.read(&mut self.buffer[waiting..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.context("cannot read the iterator")?,
            };
            if read == 0 {
                return Ok(());
            }
            let (whole, rest) =
                self.buffer[..waiting + read].as_chunks::<{ size_of::<HolderRecord>() }>();
            for (raw, held) in whole.iter().filter_map(|bytes| RawHeldFd::new(bytes).ok()) {
                each(raw, &held);
            }
            waiting = rest.len();
            let from = whole.len() * size_of::<HolderRecord>();
            self.buffer.copy_within(from..from + waiting, 0);
        }
    }

    fn open(&self, pid: Option<u32>) -> io::Result<File> {
        let mut attr = nothing();
        attr.link_create.__bindgen_anon_1.prog_fd = self.program.as_raw_fd().cast_unsigned();
        attr.link_create.attach_type = bpf_attach_type::BPF_TRACE_ITER as u32;
        let tasks = pid.map(|pid| Tasks { tid: 0, pid, pid_fd: 0, rest: 0 });
        if let Some(tasks) = &tasks {
            let start: *const Tasks = tasks;
            // SAFETY: of this union the part for iterators is written to.
            let of_iterator = unsafe { &mut attr.link_create.__bindgen_anon_3.__bindgen_anon_1 };
            of_iterator.iter_info = start.addr() as u64;
            of_iterator.iter_info_len = size_of::<Tasks>() as u32;
        }
        // SAFETY: if it names `tasks`, these are as long as it says and outlive the call.
        let link = unsafe { bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr) }?;
        let mut attr = nothing();
        attr.iter_create.link_fd = link.as_raw_fd().cast_unsigned();
        // SAFETY: it holds no addresses.
        unsafe { bpf_fd(bpf_cmd::BPF_ITER_CREATE, &mut attr) }.map(File::from)
    }
}
