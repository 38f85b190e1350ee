//! Loading the kernel programs, with what they must know of this kernel.

mod blob;
mod iterator;

use core::cell::OnceCell;
use std::io;

use anyhow::{Result, anyhow};
use aya::maps::MapError;
use aya::programs::ProgramError;
use aya::{Btf, Ebpf, EbpfError, EbpfLoader, Pod};
use blob::Blob;
use tcptrace_common::{Offsets, feature};

use super::btf::{self, KERNEL_BTF};
use super::host;
use super::privileges::{Capability, Privileges};
use crate::advice::Advice;

#[cfg(ebpf_object)]
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("TCPTRACE_EBPF_OBJECT"));
#[cfg(not(ebpf_object))]
static OBJECT: &[u8] = &[];

/// Everything that a kernel may lack.
const NEWEST: u32 = feature::COOKIE | feature::TASK_BTF | feature::STACKS | feature::PYTHON;
/// What loading fails without.
const NEEDED: [Capability; 2] = [Capability::Bpf, Capability::Perfmon];

#[derive(Clone, Copy)]
#[repr(transparent)]
struct PodOffsets(Offsets);

// SAFETY: `repr(C)` of `u32`s only, without padding.
unsafe impl Pod for PodOffsets {}

/// The running kernel, as far as its programs must know it.
pub struct Kernel {
    types: Result<Types, Advice>,
    features: u32,
}

/// What its BTF tells.
struct Types {
    /// All of them, as aya wants to have them: read when it does.
    all: OnceCell<Result<Btf, Advice>>,
    offsets: Offsets,
    arguments: [Option<usize>; 2],
    /// The function that the iterator over descriptors is attached to, if there is one.
    iterator: Option<u32>,
}

/// The functions whose arguments are counted: their number has changed, and a program for another
/// number would read the wrong one.
const COUNTED: [&str; 2] = ["tcp_recvmsg", "inet_csk_accept"];

/// Globals that only some programs have.
pub struct Globals {
    /// Size of the transitions' ring in bytes, a power of two and at least a page.
    pub ring_bytes: u32,
    /// Bytes waiting in it from which the reader is woken.
    pub high_water: u64,
    /// The states that a holder pass shows, a bit each.
    pub holder_states: u32,
    /// Whether transitions say who was on the CPU.
    pub on_cpu: bool,
    /// Whether to copy stacks.
    pub stacks: bool,
}

impl Kernel {
    /// Reads the kernel's BTF. A kernel that has none, or not what the programs read, loads only
    /// programs that do without.
    ///
    /// # Errors
    /// If this build has no programs to load.
    pub fn read() -> Result<Self> {
        if OBJECT.is_empty() {
            return Err(Advice::new("this tcptrace was built without its kernel programs")
                .and_try("cargo xtask build", "builds them and the rest")
                .into());
        }
        Ok(Self { types: Types::read(), features: NEWEST })
    }

    /// Loads the object and has `load` load some of its programs that need the kernel's types, with
    /// fewer of the optional helpers if the kernel refuses.
    ///
    /// # Errors
    /// If it refuses all the same.
    pub fn load(
        &mut self,
        globals: &Globals,
        load: impl Fn(&mut Ebpf, &Btf) -> Result<(), ProgramError>,
    ) -> Result<Ebpf> {
        self.fit(|types, features| {
            let btf = types.all()?;
            let mut ebpf = object(globals, features, Some(btf), &types.offsets)?;
            load(&mut ebpf, btf)?;
            Ok(ebpf)
        })
    }

    /// Has `load` load programs that need the kernel's types, with fewer of the optional helpers if it
    /// says by a [`ProgramError`] that the kernel refuses.
    fn fit<T>(&mut self, load: impl Fn(&Types, u32) -> Result<T>) -> Result<T> {
        let types = self.types.as_ref().map_err(Clone::clone)?;
        let mut features = self.features;
        loop {
            let error = match load(types, features) {
                Ok(loaded) => {
                    self.features = features;
                    return Ok(loaded);
                }
                Err(error) => error.downcast::<ProgramError>()?,
            };
            if let ProgramError::LoadError { verifier_log, .. } = &error {
                let log = verifier_log.to_string();
                let why = verdict(&log).unwrap_or("no reason given");
                tracing::debug!("refused with features {features:#x}: {why}");
            }
            features = match features {
                0 => return Err(explain(error.into())),
                _ if is_refusal(&error) => return Err(explain(error.into())),
                // A verifier may have had enough of it.
                _ if features & feature::PYTHON != 0 => features & !feature::PYTHON,
                // From the newest to the oldest: 5.15 has a task's registers, 5.12 cookies, 5.11 the
                // current task.
                _ if features & feature::STACKS != 0 => features & !feature::STACKS,
                _ if features & feature::COOKIE != 0 => features & !feature::COOKIE,
                _ if features & feature::TASK_BTF != 0 => feature::PROBE_READ,
                _ => 0,
            };
        }
    }

    /// Loads the object and has `load` load some of its programs that do without the kernel's types.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn load_untyped(
        &self,
        globals: &Globals,
        load: impl Fn(&mut Ebpf) -> Result<(), ProgramError>,
    ) -> Result<Ebpf> {
        let mut ebpf = object(globals, 0, None, &Offsets::default())?;
        load(&mut ebpf).map_err(|error| explain(error.into()))?;
        Ok(ebpf)
    }

    /// The kernel's types, for programs that are loaded beside others.
    pub fn btf(&self) -> Option<&Btf> {
        self.types.as_ref().ok()?.all().ok()
    }

    /// How many arguments `tcp_recvmsg` takes.
    pub fn recvmsg_arguments(&self) -> Option<usize> {
        self.types.as_ref().ok()?.arguments[0]
    }

    /// How many arguments `inet_csk_accept` takes.
    pub fn accept_arguments(&self) -> Option<usize> {
        self.types.as_ref().ok()?.arguments[1]
    }

    /// Whether the kernel tells where a process's descriptors are.
    pub fn tells_descriptors(&self) -> bool {
        self.types.as_ref().is_ok_and(|types| {
            let Offsets { task_files, files_fdt, file_private_data, skc_cookie, .. } =
                types.offsets;
            [task_files, files_fdt, file_private_data, skc_cookie].iter().all(|&offset| offset != 0)
        })
    }

    /// Why the programs that need the kernel's types cannot be loaded, if they cannot.
    pub fn types_missing(&self) -> Option<&Advice> {
        self.types.as_ref().err()
    }

    /// Whether code paths are seen, if they are asked for.
    pub const fn has_stacks(&self) -> bool {
        const NEEDED: u32 = feature::STACKS | feature::TASK_BTF;
        cfg!(target_arch = "x86_64") && self.types.is_ok() && self.features & NEEDED == NEEDED
    }

    /// Whether the functions of Python programs are among them.
    pub const fn has_python(&self) -> bool {
        self.has_stacks() && self.features & feature::PYTHON != 0
    }

    /// Whether sockets are known by their cookies, or by addresses that are used again.
    pub const fn has_cookies(&self) -> bool {
        self.types.is_ok() && self.features & feature::COOKIE != 0
    }
}

impl Types {
    fn read() -> Result<Self, Advice> {
        let bytes = Blob::open(KERNEL_BTF).map_err(|error| no_btf(&error))?;
        let btf = btf::Btf::parse(bytes.get()).map_err(|error| unfit(&error.to_string()))?;
        let offsets = btf::offsets(&btf).map_err(|error| unfit(&error.to_string()))?;
        let arguments = COUNTED.map(|function| btf.arguments(function).ok());
        let iterator = btf.function(iterator::FUNCTION).ok();
        Ok(Self { all: OnceCell::new(), offsets, arguments, iterator })
    }

    fn all(&self) -> Result<&Btf, Advice> {
        let read = || Btf::from_sys_fs().map_err(|error| unfit(&error.to_string()));
        self.all.get_or_init(read).as_ref().map_err(Clone::clone)
    }
}

fn object(globals: &Globals, features: u32, btf: Option<&Btf>, offsets: &Offsets) -> Result<Ebpf> {
    let on_cpu = if globals.on_cpu { feature::ON_CPU } else { 0 };
    let unwanted = if globals.stacks { 0 } else { feature::STACKS | feature::PYTHON };
    let (offsets, features) = (PodOffsets(*offsets), (features | on_cpu) & !unwanted);
    let mut loader = EbpfLoader::new();
    loader
        .btf(btf)
        .override_global("OFFSETS", &offsets, true)
        .override_global("FEATURES", &features, true)
        .override_global("HIGH_WATER", &globals.high_water, true)
        .override_global("HOLDER_STATES", &globals.holder_states, true)
        .map_max_entries("TRANSITIONS", globals.ring_bytes);
    loader.load(OBJECT).map_err(|error| explain(error.into()))
}

fn is_refusal(error: &ProgramError) -> bool {
    matches!(error, ProgramError::LoadError { io_error, verifier_log }
        if io_error.kind() == io::ErrorKind::PermissionDenied && verifier_log.to_string().is_empty())
}

fn no_btf(error: &io::Error) -> Advice {
    let release = host::kernel_release();
    Advice::new(format!("this kernel ({release}) does not tell its types: {KERNEL_BTF}: {error}"))
        .and_try("zcat /proc/config.gz | grep DEBUG_INFO_BTF", "must say =y; Linux 5.12 and later")
        .and_try("tcptrace doctor", "what works without")
}

fn unfit(why: &str) -> Advice {
    let release = host::kernel_release();
    Advice::new(format!("this kernel ({release}) is not one that tcptrace knows: {why}"))
}

/// Says what a failure to load means. A cause is named only where it is established.
fn explain(error: anyhow::Error) -> anyhow::Error {
    let missing = Privileges::read().missing(&NEEDED);
    let denied = error.chain().any(|cause| {
        let os_error = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        os_error == Some(io::ErrorKind::PermissionDenied) || denied_inside(cause)
    });
    if denied && !missing.is_empty() {
        return lacking(&missing);
    }
    let release = host::kernel_release();
    if denied {
        return anyhow!(
            "the kernel ({release}) refused a program that has all the capabilities it needs \
             (EPERM): {error:#}"
        );
    }
    if let Some(ProgramError::LoadError { io_error, verifier_log }) = error.downcast_ref() {
        let log = verifier_log.to_string();
        tracing::debug!("the verifier's log:\n{log}");
        let why = verdict(&log).map_or_else(|| io_error.to_string(), str::to_owned);
        return anyhow!("this kernel ({release}) does not load the programs: {why}");
    }
    error.context(format!("this kernel ({release}) does not load the programs"))
}

/// The line of a verifier's log that says what it did not like: the last but for its statistics.
fn verdict(log: &str) -> Option<&str> {
    const STATISTICS: [&str; 3] = ["verification time", "stack depth", "processed"];
    let said = |line: &&str| !line.is_empty() && !STATISTICS.iter().any(|s| line.starts_with(s));
    log.lines().map(str::trim).rfind(said)
}

/// aya keeps some causes in fields that are not part of the chain.
fn denied_inside(cause: &(dyn std::error::Error + 'static)) -> bool {
    let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    if let Some(ProgramError::LoadError { io_error, .. }) = cause.downcast_ref() {
        return denied(io_error);
    }
    if let Some(EbpfError::MapError(MapError::CreateError { io_error, .. })) = cause.downcast_ref()
    {
        return denied(io_error);
    }
    false
}

/// The error for a user who may not load programs.
fn lacking(missing: &[Capability]) -> anyhow::Error {
    let names: Vec<_> = missing.iter().map(|capability| capability.name()).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    Advice::new(format!(
        "tcptrace needs to load eBPF programs, and this user may not ({} {verb} missing)",
        names.join(" and ")
    ))
    .and_try("sudo tcptrace", "the same command as root")
    .and_try("tcptrace doctor", "what works without")
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_told_in_a_line() {
        let log = "7: (bf) r1 = r7\n8: (85) call unknown#162\ninvalid func unknown#162\n\
                   verification time 356 usec\nstack depth 112\nprocessed 9 insns\n\n";
        assert_eq!(verdict(log), Some("invalid func unknown#162"));
        assert_eq!(verdict(""), None);
    }
}
