//! What crosses the kernel boundary of tcptrace: integers and byte arrays only.
//!
//! Both sides are compiled from this file, but user space never trusts a layout: it decodes the
//! bytes field by field (`tcptrace::model::decode`), so every field here is in decoding order and
//! no record has padding.
#![no_std]

/// `CLOCK_MONOTONIC` nanoseconds, as `bpf_ktime_get_ns` gives them.
pub type MonotonicNs = u64;

/// One TCP state change, as `sock:inet_sock_set_state` reports it.
///
/// The kernel calls the tracepoint before it stores the new state, and with the socket locked.
/// Sequence numbers, `err`, `shutdown` and `flags` are read only where a half-closed state is entered
/// or left or CLOSE is entered, and say so by [`flag::DETAILS`]; who was on the CPU is 0 unless
/// [`feature::ON_CPU`] asks for it. The classic tracepoint tells neither cookie nor namespace nor details.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TransitionRecord {
    /// When.
    pub at_ns: MonotonicNs,
    /// The socket's cookie; 0 where the kernel has no helper for it (before 5.12).
    pub cookie: u64,
    /// The address of the `struct sock`. Reused within microseconds.
    pub skaddr: u64,
    /// Inode number of the network namespace; 0 where the probe cannot tell.
    pub netns: u32,
    /// `tcp_sock.snd_nxt`: the next sequence number to be sent.
    pub snd_nxt: u32,
    /// `tcp_sock.snd_una`: the oldest sequence number not yet acknowledged.
    pub snd_una: u32,
    /// `tcp_sock.rcv_nxt`: the next sequence number expected. A FIN takes one.
    pub rcv_nxt: u32,
    /// The thread group on this CPU. It need not have to do with the socket.
    pub on_cpu_pid: u32,
    /// The thread on this CPU.
    pub on_cpu_tid: u32,
    /// Local address; an IPv4 address takes the first four bytes.
    pub local_addr: [u8; 16],
    /// Remote address, likewise.
    pub remote_addr: [u8; 16],
    /// Local port, host byte order.
    pub local_port: u16,
    /// Remote port, host byte order.
    pub remote_port: u16,
    /// `sk_err`, a positive errno.
    pub err: u16,
    /// `AF_INET` (2) or `AF_INET6` (10).
    pub family: u8,
    /// The state left, as `include/net/tcp_states.h` numbers them.
    pub old_state: u8,
    /// The state entered.
    pub new_state: u8,
    /// `sk_shutdown`: 1 receive, 2 send.
    pub shutdown: u8,
    /// [`flag`] bits.
    pub flags: u8,
    /// Always 0.
    pub reserved: u8,
    /// Name of the thread on this CPU, as the kernel keeps it: any bytes, ends at the first NUL.
    pub on_cpu_comm: [u8; 16],
    /// The code that connects (`-> SYN_SENT`) or closes and shuts down (`-> FIN_WAIT1`), see
    /// [`StackRecord::path`]; 0: not known.
    pub path: u32,
    /// Always 0. With the eight bytes that the ring puts before it, a record takes two cache lines.
    pub reserved2: [u8; 8],
}

impl TransitionRecord {
    /// A record that says nothing.
    pub const ZERO: Self = Self {
        at_ns: 0,
        cookie: 0,
        skaddr: 0,
        netns: 0,
        snd_nxt: 0,
        snd_una: 0,
        rcv_nxt: 0,
        on_cpu_pid: 0,
        on_cpu_tid: 0,
        local_addr: [0; 16],
        remote_addr: [0; 16],
        local_port: 0,
        remote_port: 0,
        err: 0,
        family: 0,
        old_state: 0,
        new_state: 0,
        shutdown: 0,
        flags: 0,
        reserved: 0,
        on_cpu_comm: [0; 16],
        path: 0,
        reserved2: [0; 8],
    };
}

/// A [`TransitionRecord`] of an IPv4 socket without who was on the CPU, which is what most are. With the
/// eight bytes that the ring puts before it, it takes one cache line, which no other CPU writes to.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ShortTransitionRecord {
    /// As in the long one.
    pub at_ns: MonotonicNs,
    /// The socket's cookie; where the kernel has no helper for it, the address of the `struct sock`,
    /// whose highest bit is set.
    pub socket: u64,
    /// As in the long one.
    pub netns: u32,
    /// As in the long one.
    pub snd_nxt: u32,
    /// As in the long one.
    pub snd_una: u32,
    /// As in the long one.
    pub rcv_nxt: u32,
    /// Local address.
    pub local_addr: [u8; 4],
    /// Remote address.
    pub remote_addr: [u8; 4],
    /// As in the long one.
    pub local_port: u16,
    /// As in the long one.
    pub remote_port: u16,
    /// As in the long one.
    pub err: u16,
    /// As in the long one.
    pub old_state: u8,
    /// As in the long one.
    pub new_state: u8,
    /// As in the long one.
    pub shutdown: u8,
    /// As in the long one.
    pub flags: u8,
    /// Always 0.
    pub reserved: [u8; 2],
    /// As in the long one.
    pub path: u32,
}

/// One file descriptor of one process that refers to a TCP socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct HolderRecord {
    /// The socket's cookie; 0 where the kernel has no helper for it.
    pub cookie: u64,
    /// The address of the `struct sock`.
    pub skaddr: u64,
    /// Inode number of the socket's file, as in `/proc/PID/fd`.
    pub inode: u64,
    /// When the process began: `CLOCK_BOOTTIME` nanoseconds of the thread group's leader.
    pub start_boottime_ns: u64,
    /// The thread group, in the initial pid namespace.
    pub pid: u32,
    /// The descriptor's number.
    pub fd: u32,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// `tcp_sock.snd_nxt`.
    pub snd_nxt: u32,
    /// `tcp_sock.snd_una`.
    pub snd_una: u32,
    /// `tcp_sock.write_seq`: one past the last byte the program wrote.
    pub write_seq: u32,
    /// `tcp_sock.rcv_nxt`.
    pub rcv_nxt: u32,
    /// `tcp_sock.copied_seq`: the next byte the program will read.
    pub copied_seq: u32,
    /// Local address; an IPv4 address takes the first four bytes.
    pub local_addr: [u8; 16],
    /// Remote address, likewise.
    pub remote_addr: [u8; 16],
    /// Local port, host byte order.
    pub local_port: u16,
    /// Remote port, host byte order.
    pub remote_port: u16,
    /// `AF_INET` (2) or `AF_INET6` (10).
    pub family: u8,
    /// The state now.
    pub state: u8,
    /// `sk_shutdown`: 1 receive, 2 send.
    pub shutdown: u8,
    /// Always 0.
    pub reserved: u8,
}

/// What a program did with a socket whose peer is done, or whose TCP is over.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct DeedRecord {
    /// When.
    pub at_ns: MonotonicNs,
    /// The socket's cookie; 0 where the kernel has no helper for it.
    pub cookie: u64,
    /// The address of the `struct sock`.
    pub skaddr: u64,
    /// When the process began: `CLOCK_BOOTTIME` nanoseconds of the thread group's leader; 0 where
    /// the kernel has no helper for it.
    pub start_boottime_ns: u64,
    /// The thread group, in the initial pid namespace.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// What it did: one of [`deed`].
    pub kind: u8,
    /// [`flag::EXITING`] and [`flag::TASK`], or nothing.
    pub flags: u8,
    /// Always 0.
    pub reserved: [u8; 6],
    /// Name of the thread, as the kernel keeps it: any bytes, ends at the first NUL.
    pub comm: [u8; 16],
    /// For [`deed::EOF_READ`] and [`deed::ACCEPTED`]: the code that did it, see
    /// [`StackRecord::path`]; 0: not known.
    pub path: u32,
    /// Always 0.
    pub reserved2: [u8; 4],
}

/// Stacks are copied by pages of this size, whatever the machine's are.
pub const STACK_PAGE: usize = 4096;
/// Python functions that are copied at most.
pub const PYTHON_FRAMES: usize = 24;
/// How much of a stack is copied at most.
pub const STACK_BYTES: usize = 4 * STACK_PAGE;

/// A thread's registers and the top of its stack in user space, when it opened a connection, read the
/// end of file, shut down or closed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct StackRecord {
    /// What a code path is known by, never 0. Made of the process, the instruction and how deep in its
    /// page the stack is: two paths that differ in none of these are taken for one.
    pub path: u32,
    /// The thread group, in the initial pid namespace.
    pub pid: u32,
    /// The instruction pointer.
    pub ip: u64,
    /// The stack pointer. The copy begins with the page that it points into.
    pub sp: u64,
    /// The frame pointer.
    pub bp: u64,
    /// How many bytes were copied.
    pub len: u32,
    /// How many of the Python functions of this thread are in `python`; 0: none, or not known.
    pub python_len: u32,
    /// Which of them were called from C, a bit each: these have a C frame of the interpreter's.
    pub python_entries: u32,
    /// 1 if the last of them is the outermost.
    pub python_ended: u32,
    /// The Python functions, the innermost first: addresses of the code object and of the instruction
    /// before the next one. What is past `python_len` is of no meaning.
    pub python: [[u64; 2]; PYTHON_FRAMES],
    /// The copy.
    pub stack: [u8; STACK_BYTES],
}

/// Values of [`DeedRecord::kind`].
pub mod deed {
    /// A receive without `MSG_PEEK` returned 0 in CLOSE_WAIT. The first of each process.
    pub const EOF_READ: u8 = 1;
    /// One with `MSG_PEEK` did. The first of each process.
    pub const EOF_PEEKED: u8 = 2;
    /// The kernel let go of a socket that was in CLOSE with a file.
    pub const RELEASED: u8 = 3;
    /// A program accepted a connection. Told only if somebody asks for it.
    pub const ACCEPTED: u8 = 4;
}

const _: () = assert!(size_of::<DeedRecord>() == 72);
const _: () = assert!(size_of::<StackRecord>() == 48 + 16 * PYTHON_FRAMES + STACK_BYTES);
const _: () = assert!(size_of::<TransitionRecord>() == 120);
const _: () = assert!(size_of::<ShortTransitionRecord>() == 56);
const _: () = assert!(size_of::<HolderRecord>() == 104);

/// Bits of [`TransitionRecord::flags`].
pub mod flag {
    /// `sk_socket` is not NULL: the socket was accepted or created by a program or the kernel.
    pub const HAS_SOCKET: u8 = 1 << 0;
    /// `sk_socket->file` is not NULL: there is a file for it.
    pub const HAS_FILE: u8 = 1 << 1;
    /// `SOCK_DEAD` is set: the kernel has taken the socket over.
    pub const DEAD: u8 = 1 << 2;
    /// The task on this CPU has `PF_EXITING`.
    pub const EXITING: u8 = 1 << 3;
    /// `SOCK_DONE` is set: the peer's FIN has been taken in.
    pub const DONE: u8 = 1 << 6;
    /// Whether the task was looked at.
    pub const TASK: u8 = 1 << 5;
    /// The sequence numbers, `err`, `shutdown` and the other flags were read.
    pub const DETAILS: u8 = 1 << 4;
}

/// Which of the kernel's optional helpers a program may call. A program is verified for these
/// constants, so what is off is never looked at.
pub mod feature {
    /// `bpf_get_socket_cookie` in tracing programs (5.12).
    pub const COOKIE: u32 = 1 << 0;
    /// `bpf_get_current_task_btf` (5.11).
    pub const TASK_BTF: u32 = 1 << 1;
    /// Somebody wants to know who was on the CPU: no kernel lacks it, but it has its price.
    pub const ON_CPU: u32 = 1 << 2;
    /// Where [`TASK_BTF`] is missing, `bpf_probe_read_kernel` stands in: refused where the kernel is
    /// locked down for confidentiality.
    pub const PROBE_READ: u32 = 1 << 4;
    /// The functions of Python programs are wanted in code paths.
    pub const PYTHON: u32 = 1 << 5;
    /// Code paths are wanted (`bpf_task_pt_regs`, 5.15).
    pub const STACKS: u32 = 1 << 3;
}

/// Offsets in bytes into the running kernel's structures, found in its BTF at start-up and given
/// to the programs as one read-only global. Nested members are offsets from the outermost type.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// `sock.__sk_common.skc_family`
    pub skc_family: u32,
    /// `sock.__sk_common.skc_state`
    pub skc_state: u32,
    /// `sock.__sk_common.skc_dport`
    pub skc_dport: u32,
    /// `sock.__sk_common.skc_num`
    pub skc_num: u32,
    /// `sock.__sk_common.skc_daddr`
    pub skc_daddr: u32,
    /// `sock.__sk_common.skc_rcv_saddr`
    pub skc_rcv_saddr: u32,
    /// `sock.__sk_common.skc_v6_daddr`
    pub skc_v6_daddr: u32,
    /// `sock.__sk_common.skc_v6_rcv_saddr`
    pub skc_v6_rcv_saddr: u32,
    /// `sock.__sk_common.skc_net.net`
    pub skc_net: u32,
    /// `sock.__sk_common.skc_flags`
    pub skc_flags: u32,
    /// `sock.__sk_common.skc_cookie`
    pub skc_cookie: u32,
    /// `sock.sk_protocol`
    pub sk_protocol: u32,
    /// `sock.sk_shutdown`
    pub sk_shutdown: u32,
    /// `sock.sk_err`
    pub sk_err: u32,
    /// `sock.sk_socket`
    pub sk_socket: u32,
    /// `net.ns.inum`
    pub net_inum: u32,
    /// `socket.file`
    pub socket_file: u32,
    /// `socket.sk`
    pub socket_sk: u32,
    /// `file.f_inode`
    pub file_inode: u32,
    /// `file.private_data`
    pub file_private_data: u32,
    /// `inode.i_ino`
    pub inode_ino: u32,
    /// `tcp_sock.inet_conn.icsk_inet.inet_sport`
    pub inet_sport: u32,
    /// `tcp_sock.snd_nxt`
    pub snd_nxt: u32,
    /// `tcp_sock.snd_una`
    pub snd_una: u32,
    /// `tcp_sock.write_seq`
    pub write_seq: u32,
    /// `tcp_sock.rcv_nxt`
    pub rcv_nxt: u32,
    /// `tcp_sock.copied_seq`
    pub copied_seq: u32,
    /// `task_struct.flags`
    pub task_flags: u32,
    /// `task_struct.tgid`
    pub task_tgid: u32,
    /// `task_struct.group_leader`
    pub task_group_leader: u32,
    /// `task_struct.start_boottime`
    pub task_start_boottime: u32,
    /// `task_struct.files`; this and those of the descriptor table are 0 if the kernel does not tell.
    pub task_files: u32,
    /// `files_struct.fdt`
    pub files_fdt: u32,
    /// `fdtable.fd`
    pub fdtable_fd: u32,
    /// `pt_regs.ip`; 0 on architectures whose stacks are not taken.
    pub pt_ip: u32,
    /// `pt_regs.sp`
    pub pt_sp: u32,
    /// `pt_regs.bp`
    pub pt_bp: u32,
    /// `task_struct.thread.fsbase`; 0 where it is not to be had.
    pub task_thread_pointer: u32,
    /// Which bit of `skc_flags` is `SOCK_DEAD`, from `enum sock_flags`.
    pub sock_dead_bit: u32,
    /// Which is `SOCK_DONE`.
    pub sock_done_bit: u32,
}
