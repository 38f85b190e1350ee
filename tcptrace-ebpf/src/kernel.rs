//! Reading the kernel's structures at offsets that user space found in BTF.
//!
//! Rust has no CO-RE yet. The offsets come as a read-only global, so the verifier sees a constant
//! added to a `PTR_TO_BTF_ID` and checks the access against the kernel's own types; a load through
//! such a pointer that faults reads zero. Every function here is inlined for that reason.

use core::ptr::read_volatile;

use aya_ebpf::{
    helpers::{
        bpf_probe_read_kernel,
        generated::{
            bpf_get_current_task, bpf_get_current_task_btf, bpf_get_socket_cookie,
            bpf_skc_to_tcp_sock,
        },
    },
    programs::BtfTracePointContext,
};
use tcptrace_common::{Offsets, feature, flag};

/// `IPPROTO_TCP`. SCTP and DCCP use the same tracepoint with states of their own, MPTCP (262)
/// sockets have no `tcp_sock`.
pub const IPPROTO_TCP: u16 = 6;
const AF_INET6: u16 = 10;
/// `PF_EXITING` of `include/linux/sched.h`.
const PF_EXITING: u32 = 0x4;
/// `PF_KTHREAD`.
const PF_KTHREAD: u32 = 0x0020_0000;

#[unsafe(no_mangle)]
static OFFSETS: Offsets = ZERO;
#[unsafe(no_mangle)]
static FEATURES: u32 = 0;

const ZERO: Offsets = Offsets {
    skc_family: 0,
    skc_state: 0,
    skc_dport: 0,
    skc_num: 0,
    skc_daddr: 0,
    skc_rcv_saddr: 0,
    skc_v6_daddr: 0,
    skc_v6_rcv_saddr: 0,
    skc_net: 0,
    skc_flags: 0,
    skc_cookie: 0,
    sk_protocol: 0,
    sk_shutdown: 0,
    sk_err: 0,
    sk_socket: 0,
    net_inum: 0,
    socket_file: 0,
    socket_sk: 0,
    file_inode: 0,
    file_private_data: 0,
    inode_ino: 0,
    inet_sport: 0,
    snd_nxt: 0,
    snd_una: 0,
    write_seq: 0,
    rcv_nxt: 0,
    copied_seq: 0,
    task_flags: 0,
    task_tgid: 0,
    task_group_leader: 0,
    task_start_boottime: 0,
    task_files: 0,
    files_fdt: 0,
    fdtable_fd: 0,
    pt_ip: 0,
    pt_sp: 0,
    pt_bp: 0,
    task_thread_pointer: 0,
    sock_dead_bit: 0,
    sock_done_bit: 0,
};

/// A constant that user space sets before the load. The volatile read keeps the compiler from
/// folding in the zero that stands in the object file.
#[inline(always)]
fn known(value: &'static u32) -> u32 {
    // SAFETY: a reference to an initialised static.
    unsafe { read_volatile(value) }
}

/// Whether the running kernel has what `bit` of [`feature`] stands for.
#[inline(always)]
pub fn has(bit: u32) -> bool {
    known(&FEATURES) & bit != 0
}

/// Whether the kernel tells a task's thread pointer.
#[inline(always)]
pub fn has_thread_pointer() -> bool {
    known(&OFFSETS.task_thread_pointer) != 0
}

/// `SOCK_DEAD` and `SOCK_DONE` of a socket's flags, as [`flag::DEAD`] and [`flag::DONE`].
#[inline(always)]
pub fn sock_flags(sk: KernelPtr) -> u8 {
    let bits: u64 = sk.load(|o| &o.skc_flags);
    let has = |bit: &'static u32| bits >> (known(bit) & 63) & 1 == 1;
    let dead = if has(&OFFSETS.sock_dead_bit) { flag::DEAD } else { 0 };
    let done = if has(&OFFSETS.sock_done_bit) { flag::DONE } else { 0 };
    dead | done
}

/// A pointer into the kernel that the verifier knows the type of.
#[derive(Clone, Copy)]
pub struct KernelPtr(pub *const u8);

impl KernelPtr {
    /// The `n`th argument of a BTF tracepoint, which must be a pointer to a structure.
    #[inline(always)]
    pub fn argument(ctx: &BtfTracePointContext, n: usize) -> Self {
        Self(ctx.arg::<*const u8>(n))
    }

    #[inline(always)]
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// Loads a `T` at the offset named by `offset`.
    #[inline(always)]
    pub fn load<T>(self, offset: impl FnOnce(&'static Offsets) -> &'static u32) -> T {
        let offset = known(offset(&OFFSETS)) as usize;
        // SAFETY: the verifier refuses the program if this is no BTF pointer or the access leaves
        // its type, and turns a fault at run time into a zero.
        unsafe { read_volatile(self.0.add(offset).cast::<T>()) }
    }

    /// Loads a `T` at the offset named by `offset` by the address alone: of a pointer that the verifier
    /// knows nothing of. Nothing where the address is not mapped, or the kernel is locked down for
    /// confidentiality.
    #[inline(always)]
    pub fn probe<T>(self, offset: impl FnOnce(&'static Offsets) -> &'static u32) -> Option<T> {
        let at = self.0.wrapping_add(known(offset(&OFFSETS)) as usize);
        // SAFETY: the helper checks the address and fails where nothing is.
        unsafe { bpf_probe_read_kernel(at.cast::<T>()) }.ok()
    }

    /// The pointer that lies here, by the address alone.
    #[inline(always)]
    pub fn read(self) -> Option<Self> {
        // SAFETY: the helper checks the address and fails where nothing is.
        unsafe { bpf_probe_read_kernel(self.0.cast::<*const u8>()) }.ok().map(Self)
    }

    /// Follows the pointer member at the offset named by `offset`.
    #[inline(always)]
    pub fn follow(self, offset: impl FnOnce(&'static Offsets) -> &'static u32) -> Self {
        Self(self.load::<*const u8>(offset))
    }
}

/// The task on this CPU, as far as it may be looked at.
#[derive(Clone, Copy)]
pub struct Task(KernelPtr);

impl Task {
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: helper calls without arguments. Without BTF the pointer is a number to the
        // verifier, and is read with a helper.
        Self(KernelPtr(unsafe {
            if has(feature::TASK_BTF) {
                bpf_get_current_task_btf().cast::<u8>().cast_const()
            } else {
                bpf_get_current_task() as *const u8
            }
        }))
    }

    /// The task as a pointer that the verifier knows; only with [`feature::TASK_BTF`].
    #[inline(always)]
    pub fn known(self) -> KernelPtr {
        self.0
    }

    /// Whether it runs code of a program's: neither a kernel thread nor one that is exiting, whose
    /// memory is gone. Only with [`feature::TASK_BTF`].
    #[inline(always)]
    pub fn in_program(self) -> bool {
        self.0.load::<u32>(|o| &o.task_flags) & (PF_EXITING | PF_KTHREAD) == 0
    }

    /// What the thread library knows the thread by: `pthread_self()`. Thread ids would be those of the
    /// process's own pid namespace. Only with [`feature::TASK_BTF`] and [`has_thread_pointer`].
    #[inline(always)]
    pub fn thread_pointer(self) -> u64 {
        self.0.load(|o| &o.task_thread_pointer)
    }

    /// `PF_EXITING` as [`flag::EXITING`], with [`flag::TASK`] if it could be looked at.
    #[inline(always)]
    pub fn flags(self) -> u8 {
        let flags: u32 = match self.load(self.0, |o| &o.task_flags) {
            Some(flags) => flags,
            None => return 0,
        };
        flag::TASK | if flags & PF_EXITING != 0 { flag::EXITING } else { 0 }
    }

    /// When the process began, `CLOCK_BOOTTIME` nanoseconds; 0 if that could not be looked at.
    #[inline(always)]
    pub fn start_boottime_ns(self) -> u64 {
        let leader: Option<*const u8> = self.load(self.0, |o| &o.task_group_leader);
        let leader = leader.map(KernelPtr);
        leader.and_then(|leader| self.load(leader, |o| &o.task_start_boottime)).unwrap_or(0)
    }

    #[inline(always)]
    fn load<T: Copy>(
        self,
        from: KernelPtr,
        offset: impl FnOnce(&'static Offsets) -> &'static u32,
    ) -> Option<T> {
        if has(feature::TASK_BTF) {
            Some(from.load(offset))
        } else if has(feature::PROBE_READ) {
            from.probe(offset)
        } else {
            None
        }
    }
}

/// What both probes read of a socket.
pub struct Identity {
    pub cookie: u64,
    pub netns: u32,
    pub family: u8,
    pub local_addr: [u64; 2],
    pub remote_addr: [u64; 2],
    pub local_port: u16,
    pub remote_port: u16,
}

/// Whether `sk` is a TCP socket.
#[inline(always)]
pub fn is_tcp(sk: KernelPtr) -> bool {
    sk.load::<u16>(|o| &o.sk_protocol) == IPPROTO_TCP
}

/// `sk` as a `struct tcp_sock`, or NULL.
#[inline(always)]
pub fn tcp_sock(sk: KernelPtr) -> KernelPtr {
    // SAFETY: a helper call; the verifier checks that `sk` is a socket.
    KernelPtr(unsafe { bpf_skc_to_tcp_sock(sk.0.cast_mut().cast()) }.cast::<u8>().cast_const())
}

/// The cookie of `sk`, made now if it has none; 0 where there is no helper for it.
#[inline(always)]
pub fn cookie(sk: KernelPtr) -> u64 {
    if !has(feature::COOKIE) {
        return 0;
    }
    // SAFETY: a helper call; the verifier checks that `sk` is a socket.
    unsafe { bpf_get_socket_cookie(sk.0.cast_mut().cast()) }
}

/// Reads who `sk` is; `tcp` is the same socket from [`tcp_sock`].
#[inline(always)]
pub fn identity(sk: KernelPtr, tcp: KernelPtr) -> Identity {
    let family: u16 = sk.load(|o| &o.skc_family);
    let (local_addr, remote_addr) = if family == AF_INET6 {
        (sk.load(|o| &o.skc_v6_rcv_saddr), sk.load(|o| &o.skc_v6_daddr))
    } else {
        let local: u32 = sk.load(|o| &o.skc_rcv_saddr);
        let remote: u32 = sk.load(|o| &o.skc_daddr);
        ([u64::from(local), 0], [u64::from(remote), 0])
    };
    // At ->CLOSE skc_num is 0 already for accepted and ephemeral ports, inet_sport is not; before
    // a connect or listen has bound the port it is the other way round.
    let bound: u16 = tcp.load(|o| &o.inet_sport);
    let local_port = if bound != 0 { u16::from_be(bound) } else { sk.load(|o| &o.skc_num) };
    Identity {
        cookie: cookie(sk),
        netns: sk.follow(|o| &o.skc_net).load(|o| &o.net_inum),
        family: family as u8,
        local_addr,
        remote_addr,
        local_port,
        remote_port: u16::from_be(sk.load(|o| &o.skc_dport)),
    }
}

/// The bytes of an address as loaded, in the order in which they lie in memory.
#[inline(always)]
pub fn address_bytes(words: [u64; 2]) -> [u8; 16] {
    // SAFETY: both are sixteen plain bytes.
    unsafe { core::mem::transmute(words) }
}
