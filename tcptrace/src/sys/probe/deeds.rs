//! What programs do with sockets whose peer is done: optional, each program by itself.

use anyhow::{Context as _, Result, anyhow, bail};
use aya::maps::{MapData, PerCpuArray, RingBuf};
use aya::programs::{BtfTracePoint, FExit, TracePoint};
use aya::{Btf, Ebpf};

use super::super::loader::Kernel;
use super::super::tracefs::with_tracefs;
use super::sum;
use crate::model::decode::{self, DecodeError};
use crate::model::event::Deed;

/// The place in the kernel that a program is attached to.
pub type Place = &'static str;

/// The attached programs, by what they tell.
pub struct Deeds {
    /// Where reads of the end of file are seen; an error says why they are not.
    pub eof: Result<Place>,
    /// Releases of sockets whose TCP is over, likewise.
    pub released: Result<Place>,
    /// Who accepts connections, likewise; `None` where nobody asked for it.
    pub accepted: Option<Result<Place>>,
    ring: RingBuf<MapData>,
    lost: PerCpuArray<MapData, u64>,
}

impl Deeds {
    pub(super) fn attach(kernel: &Kernel, ebpf: &mut Ebpf, accepts: bool) -> Result<Self> {
        let mut map = |name| ebpf.take_map(name).with_context(|| format!("no map {name}"));
        let ring = RingBuf::try_from(map("DEEDS")?)?;
        let lost = PerCpuArray::try_from(map("DEEDS_LOST")?)?;
        let btf = kernel.btf().context("this kernel does not tell its types")?;
        let eof = attach_tracepoint(ebpf, btf, "eof", "sock_recv_length");
        let eof = eof.map(|()| "tp_btf/sock_recv_length").or_else(|why| {
            attach_recvmsg(ebpf, btf, kernel.recvmsg_arguments()).map_err(|and_why| {
                anyhow!(
                    "no tp_btf/sock_recv_length, which Linux 6.3 and later have ({why:#}), and no \
                     fexit/tcp_recvmsg ({and_why:#})"
                )
            })
        });
        let released = attach_tracepoint(ebpf, btf, "released", "tcp_destroy_sock");
        let released = released.map(|()| "tp_btf/tcp_destroy_sock");
        let accepted = accepts.then(|| {
            attach_accept(ebpf, btf, kernel.accept_arguments()).or_else(|why| {
                if !kernel.tells_descriptors() {
                    return Err(why);
                }
                attach_accept_calls(ebpf)
            })
        });
        Ok(Self { eof, released, accepted, ring, lost })
    }

    /// Everything that waits in the ring; `raw` is shown each record as it came.
    pub(super) fn drain(
        &mut self,
        mut raw: impl FnMut(&[u8]),
    ) -> impl Iterator<Item = Result<Deed, DecodeError>> {
        core::iter::from_fn(move || {
            let record = self.ring.next()?;
            raw(&record);
            Some(decode::deed(&record))
        })
    }

    pub(super) fn lost(&self) -> Result<u64> {
        Ok(sum(&self.lost, 0)? + sum(&self.lost, 1)? + sum(&self.lost, 2)?)
    }
}

fn attach_tracepoint(ebpf: &mut Ebpf, btf: &Btf, name: &str, tracepoint: &str) -> Result<()> {
    let program = ebpf.program_mut(name).context("the object has no such program")?;
    let program: &mut BtfTracePoint = program.try_into()?;
    program.load(tracepoint, btf)?;
    program.attach()?;
    Ok(())
}

/// The end of `tcp_recvmsg`, by the program that was made for its number of arguments.
fn attach_recvmsg(ebpf: &mut Ebpf, btf: &Btf, arguments: Option<usize>) -> Result<Place> {
    let (name, place) = match arguments {
        Some(5) => ("eof_recvmsg5", "fexit/tcp_recvmsg, 5 arguments"),
        Some(6) => ("eof_recvmsg6", "fexit/tcp_recvmsg, 6 arguments"),
        other => bail!("no program for a tcp_recvmsg of {other:?} arguments"),
    };
    attach_fexit(ebpf, btf, name, "tcp_recvmsg").map(|()| place)
}

/// The end of `inet_csk_accept`, likewise.
fn attach_accept(ebpf: &mut Ebpf, btf: &Btf, arguments: Option<usize>) -> Result<Place> {
    let (name, place) = match arguments {
        Some(2) => ("accepted2", "fexit/inet_csk_accept, 2 arguments"),
        Some(4) => ("accepted4", "fexit/inet_csk_accept, 4 arguments"),
        other => bail!("no program for an inet_csk_accept of {other:?} arguments"),
    };
    attach_fexit(ebpf, btf, name, "inet_csk_accept").map(|()| place)
}

fn attach_fexit(ebpf: &mut Ebpf, btf: &Btf, name: &str, function: &str) -> Result<()> {
    let program = ebpf.program_mut(name).context("the object has no such program")?;
    let program: &mut FExit = program.try_into()?;
    program.load(function, btf)?;
    program.attach()?;
    Ok(())
}

/// The ends of the system calls.
fn attach_accept_calls(ebpf: &mut Ebpf) -> Result<Place> {
    let program = ebpf.program_mut("accept_returns").context("the object has no such program")?;
    let program: &mut TracePoint = program.try_into()?;
    program.load()?;
    with_tracefs(|_| {
        for call in ["sys_exit_accept", "sys_exit_accept4"] {
            program.attach("syscalls", call).with_context(|| format!("cannot attach to {call}"))?;
        }
        Ok("tracepoint/syscalls/sys_exit_accept")
    })
}
