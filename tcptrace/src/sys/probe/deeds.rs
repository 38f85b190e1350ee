//! What programs do with sockets whose peer is done: optional, each program by itself.

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray, RingBuf};
use aya::programs::BtfTracePoint;

use super::super::loader::Kernel;
use crate::model::decode::{self, DecodeError};
use crate::model::event::Deed;

/// The attached programs, by what they tell.
pub struct Deeds {
    /// Reads of the end of file; an error says why they are not seen.
    pub eof: Result<()>,
    /// Releases of sockets whose TCP is over, likewise.
    pub released: Result<()>,
    ring: RingBuf<MapData>,
    lost: PerCpuArray<MapData, u64>,
}

impl Deeds {
    pub(super) fn attach(kernel: &Kernel, ebpf: &mut Ebpf) -> Result<Self> {
        let mut map = |name| ebpf.take_map(name).with_context(|| format!("no map {name}"));
        let ring = RingBuf::try_from(map("DEEDS")?)?;
        let lost = PerCpuArray::try_from(map("DEEDS_LOST")?)?;
        let mut attach = |name, tracepoint| -> Result<()> {
            let btf = kernel.btf().context("this kernel does not tell its types")?;
            let program: &mut BtfTracePoint =
                ebpf.program_mut(name).context("the object has no such program")?.try_into()?;
            program.load(tracepoint, btf)?;
            program.attach()?;
            Ok(())
        };
        Ok(Self {
            eof: attach("eof", "sock_recv_length"),
            released: attach("released", "tcp_destroy_sock"),
            ring,
            lost,
        })
    }

    /// Everything that waits in the ring.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Result<Deed, DecodeError>> {
        core::iter::from_fn(|| self.ring.next().map(|record| decode::deed(&record)))
    }

    pub(super) fn lost(&self) -> Result<u64> {
        let one = |slot| -> Result<u64> { Ok(self.lost.get(&slot, 0)?.iter().sum()) };
        Ok(one(0)? + one(1)?)
    }
}
