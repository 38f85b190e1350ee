//! Where transitions come from: attaching a tracepoint, proving it, draining its ring.
//!
//! The ring wakes nobody until it is a quarter full, so the reader drains on a timer of its own.
//! Records are in the ring before the system call that caused them returns.

mod classic;
mod deeds;

use core::time::Duration;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::{fs, mem};

use anyhow::{Context as _, Result, bail, ensure};
use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray, RingBuf};
use aya::programs::BtfTracePoint;
use aya_log::EbpfLogger;
use aya_obj::generated::{bpf_cmd, bpf_prog_info};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub use deeds::{Deeds, Place};

use super::bpf::{bpf, nothing};
use super::loader::{Globals, Kernel};
use super::stacks::Stacks;
use super::{host, netns};
use crate::model::decode::{self, DecodeError};
use crate::model::event::{Deed, Lost, Transition};
use crate::model::figures::{ProgramRuns, Ring};
use crate::model::socket::{Identity, TcpState};

/// Size of the ring of short records unless told otherwise, in bytes: what two busy cores can make in 30 ms, and the
/// reader is woken at a quarter. A larger one costs more: it is written to all over, again and again,
/// and what lies in the caches is the programs' own (docs/decisions/0004-small-ring.md).
pub const RING_BYTES: u32 = 1 << 20;
/// What the kernel keeps beside each record (`BPF_RINGBUF_HDR_SZ`).
const RECORD_HEADER: usize = 8;
/// How often the probe is tried on a host that leaves no room in the ring.
const TRIES: u32 = 10;
/// The second stands in for the first where the kernel skips that.
const PROGRAMS: [&str; 2] = ["transition", "transition_again"];
/// Since then the kernel counts the runs that it skips of classic tracepoints' programs
/// (`kernel/trace/bpf_trace.c: trace_call_bpf`).
const COUNTS_CLASSIC: (u32, u32) = (6, 7);

/// Which tracepoint to use. Both are called at the same place of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `tp_btf/inet_sock_set_state`: sees the socket itself.
    Btf,
    /// `tracepoint/sock/inet_sock_set_state`: sees a record of some of its fields.
    Classic,
}

impl Source {
    /// What it is called in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Btf => "tp_btf",
            Self::Classic => "tracepoint",
        }
    }
}

/// What is wanted of a probe.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Size of its ring in bytes.
    pub ring_bytes: u32,
    /// Whether transitions say who was on the CPU.
    pub on_cpu: bool,
    /// Whether to copy stacks of the code that opens, reads to the end, shuts down or closes.
    pub stacks: bool,
    /// Whether to see who accepts connections, too.
    pub accepts: bool,
}

/// The attached probe. Dropping it detaches.
pub struct Probe {
    ebpf: Ebpf,
    source: Source,
    identity: Identity,
    deeds: Option<Deeds>,
    ring: AsyncFd<RingBuf<MapData>>,
    usage: Ring,
    lost: PerCpuArray<MapData, u64>,
    rescued: PerCpuArray<MapData, u64>,
    logger: EbpfLogger<&'static dyn log::Log>,
    undecodable: u64,
    last_error: Option<DecodeError>,
}

impl Probe {
    /// Loads and attaches, then proves on a connection of our own that what it reads is right. Its
    /// transitions say who was on the CPU only if `on_cpu` asks for it.
    ///
    /// # Errors
    /// If the kernel refuses, or shows our own connection otherwise than it is.
    pub fn attach(
        kernel: &mut Kernel,
        source: Source,
        Wanted { ring_bytes, on_cpu, stacks, accepts }: Wanted,
    ) -> Result<Self> {
        let high_water = u64::from(ring_bytes) / 4;
        let globals = Globals { ring_bytes, high_water, holder_states: 0, on_cpu, stacks };
        let mut ebpf = match source {
            Source::Btf => kernel.load(&globals, |ebpf, btf| {
                let mut load = |name| program(ebpf, name)?.load("inet_sock_set_state", btf);
                PROGRAMS.into_iter().try_for_each(&mut load)
            })?,
            Source::Classic => classic::load(kernel, &globals)?,
        };
        let mut map = |name| ebpf.take_map(name).with_context(|| format!("no map {name}"));
        let ring = RingBuf::try_from(map("TRANSITIONS")?)?;
        // SAFETY: the ring owns its map's descriptor and keeps it until it is dropped.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
            .map_err(|error| error.into_parts().1)?;
        let lost = PerCpuArray::try_from(map("TRANSITIONS_LOST")?)?;
        let rescued = PerCpuArray::try_from(map("TRANSITIONS_RESCUED")?)?;
        let logger = EbpfLogger::init(&mut ebpf)?;
        let deeds = match source {
            Source::Btf => {
                let deeds = Deeds::attach(kernel, &mut ebpf, accepts)?;
                for name in PROGRAMS {
                    let attached = program(&mut ebpf, name)?.attach();
                    attached.context("cannot attach to inet_sock_set_state")?;
                }
                Some(deeds)
            }
            Source::Classic => {
                classic::attach(&mut ebpf)?;
                None
            }
        };
        let by_cookie = source == Source::Btf && kernel.has_cookies();
        let identity = if by_cookie { Identity::Cookie } else { Identity::Address };
        let (undecodable, last_error) = (0, None);
        let mut probe = Self {
            ebpf,
            source,
            identity,
            deeds,
            ring,
            usage: Ring { size: ring_bytes.into(), ..Ring::default() },
            lost,
            rescued,
            logger,
            undecodable,
            last_error,
        };
        probe.prove().context("the probe does not read this kernel right")?;
        Ok(probe)
    }

    /// The stacks that are copied, for the one who names them.
    ///
    /// # Errors
    /// If they were taken already.
    pub fn take_stacks(&mut self, kernel: &Kernel) -> Result<Stacks> {
        Stacks::take(&mut self.ebpf, kernel.btf())
    }

    /// Where its transitions come from.
    pub const fn source(&self) -> Source {
        self.source
    }

    /// Which deeds are seen as they happen; `None` where the source has no part in them.
    pub const fn deeds(&self) -> Option<&Deeds> {
        self.deeds.as_ref()
    }

    /// Adds to `deeds` what has been done; `raw` is shown each record as it came. Every transition
    /// that came before is in the ring by then.
    pub fn take_deeds(&mut self, deeds: &mut Vec<Deed>, raw: impl FnMut(&[u8])) {
        let Some(source) = &mut self.deeds else { return };
        for deed in source.drain(raw) {
            match deed {
                Ok(deed) => deeds.push(deed),
                Err(error) => {
                    self.undecodable += 1;
                    self.last_error = Some(error);
                }
            }
        }
    }

    /// What it knows sockets by.
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// Connects to a listener of our own on loopback and compares what the probe saw. Where others
    /// make so many events that ours find no room, it tries again.
    fn prove(&mut self) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("cannot listen on 127.0.0.1, to try the probe on a connection of our own")?;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.prove_by_connecting_to(&listener) {
                Err(_) if tries < TRIES && self.lost()?.ring > 0 => {}
                proof => return proof,
            }
        }
    }

    fn prove_by_connecting_to(&mut self, listener: &TcpListener) -> Result<()> {
        let mut seen = Vec::new();
        // The ring is empty when ours come.
        self.drain(usize::MAX, |_| {}, |_| {});
        let client = TcpStream::connect(listener.local_addr()?)
            .context("cannot connect on 127.0.0.1, to try the probe on a connection of our own")?;
        let (local, remote) = (client.local_addr()?, client.peer_addr()?);
        let cookie = rustix::net::sockopt::socket_cookie(&client)?;
        while self.drain(usize::MAX, |_| {}, |event| seen.push(*event)) > 0 {}
        self.fail_on_undecodable()?;
        let established = seen
            .iter()
            .find(|event| event.old == TcpState::SynSent && event.endpoints.local == local);
        let Some(established) = established else {
            bail!(
                "a connection from {local} to {remote} did not show among {} records",
                seen.len()
            );
        };
        let netns = (self.source == Source::Btf).then(netns::own).transpose()?;
        let cookie = (self.identity == Identity::Cookie).then_some(cookie);
        let shown = (established.new, established.endpoints.remote, established.netns);
        ensure!(
            shown == (TcpState::Established, remote, netns),
            "a connection from {local} to {remote} in {netns:?} shows as {shown:?}"
        );
        let shown = established.key.cookie();
        ensure!(shown == cookie, "cookie {cookie:?} shows as {shown:?}");
        Ok(())
    }

    fn fail_on_undecodable(&self) -> Result<()> {
        match self.last_error {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Resolves when the ring has become a quarter full.
    ///
    /// # Errors
    /// If the event loop is shutting down.
    pub async fn high_water(&self) -> Result<()> {
        self.ring.readable().await?.clear_ready();
        Ok(())
    }

    /// Hands up to `limit` records to `handle` and returns how many came; `raw` is shown each of them
    /// before, as it came.
    pub fn drain(
        &mut self,
        limit: usize,
        mut raw: impl FnMut(&[u8]),
        mut handle: impl FnMut(&Transition),
    ) -> usize {
        let ring = self.ring.get_mut();
        let (mut count, mut bytes) = (0, 0);
        while count < limit
            && let Some(record) = ring.next()
        {
            count += 1;
            bytes += record.len() + RECORD_HEADER;
            raw(&record);
            match &decode::transition(&record) {
                Ok(event) => handle(event),
                Err(error) => {
                    self.undecodable += 1;
                    self.last_error = Some(*error);
                }
            }
        }
        self.usage.drained = bytes as u64;
        self.usage.drained_max = self.usage.drained_max.max(self.usage.drained);
        count
    }

    /// Prints what the programs had to say, and the last record that could not be understood.
    pub fn log(&mut self) {
        self.logger.flush();
        if let Some(error) = self.last_error.take() {
            tracing::warn!(
                "{} records could not be understood, the last: {error}",
                self.undecodable
            );
        }
    }

    /// How many records could not be understood.
    pub const fn undecodable(&self) -> u64 {
        self.undecodable
    }

    /// How its ring is used.
    pub const fn ring(&self) -> Ring {
        self.usage
    }

    /// How often its programs have run; nothing where this kernel does not count that.
    pub fn runs(&self) -> Vec<ProgramRuns> {
        let counted = fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled");
        if counted.map_or(true, |on| on.trim() == "0") {
            return Vec::new();
        }
        let loaded = self.ebpf.programs().filter_map(|(name, program)| {
            let info = program_info(program.fd().ok()?).ok()?;
            let time = Duration::from_nanos(info.run_time_ns);
            Some(ProgramRuns { name: name.to_owned(), runs: info.run_cnt, time })
        });
        loaded.collect()
    }

    /// How many events did not reach the ring, since the probe was attached.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn lost(&self) -> Result<Lost> {
        let (name, counted) = match self.source {
            Source::Btf => (PROGRAMS[0], true),
            Source::Classic => (classic::PROGRAM, host::kernel_version() >= COUNTS_CLASSIC),
        };
        let deeds = self.deeds.as_ref().map_or(Ok(0), Deeds::lost)?;
        let program = self.ebpf.program(name).context("the object has no program")?;
        let skipped = program_info(program.fd()?)?.recursion_misses;
        Ok(Lost {
            ring: sum(&self.lost, 0)? + sum(&self.lost, 1)?,
            deeds,
            recursion: counted.then_some(skipped.saturating_sub(sum(&self.rescued, 0)?)),
        })
    }
}

/// A counter that each CPU has for itself.
fn sum(map: &PerCpuArray<MapData, u64>, slot: u32) -> Result<u64> {
    Ok(map.get(&slot, 0)?.iter().sum())
}

fn program<'a>(
    ebpf: &'a mut Ebpf,
    name: &str,
) -> Result<&'a mut BtfTracePoint, aya::programs::ProgramError> {
    ebpf.program_mut(name).expect("the object is compiled in").try_into()
}

/// The kernel's account of a loaded program. aya does not tell of `recursion_misses`.
fn program_info(program: &aya::programs::ProgramFd) -> Result<bpf_prog_info> {
    // SAFETY: all zeros is a valid value of this plain structure.
    let mut info = unsafe { mem::zeroed::<bpf_prog_info>() };
    let mut attr = nothing();
    attr.info.bpf_fd = program.as_fd().as_raw_fd().cast_unsigned();
    attr.info.info_len = size_of::<bpf_prog_info>() as u32;
    attr.info.info = (&raw mut info).addr() as u64;
    // SAFETY: `attr` names a buffer of the length it says, which outlives the call.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr) }
        .context("cannot ask for the program's info")?;
    Ok(info)
}
