//! Which members the kernel programs read.

use tcptrace_common::Offsets;

use super::{Btf, Result, Structure};

/// All offsets that the kernel programs need.
///
/// # Errors
/// If a member is missing or has an unexpected size.
pub fn offsets(btf: &Btf<'_>) -> Result<Offsets> {
    let sock = btf.structure("sock")?;
    let common = |member: &str, size| sock.offset(&format!("__sk_common.{member}"), size);
    let net = btf.structure("net")?;
    let socket = btf.structure("socket")?;
    let file = btf.structure("file")?;
    let tcp_sock = btf.structure("tcp_sock")?;
    let tcp = |member: &str| tcp_sock.offset(member, 4);
    let task = btf.structure("task_struct")?;
    let register = |name| {
        // Only these registers' unwinding is known.
        if cfg!(target_arch = "x86_64") { btf.structure("pt_regs")?.offset(name, 8) } else { Ok(0) }
    };
    // Without these accepts are not seen; that is all.
    let optional = |of: Result<Structure<'_>>, member: &str| {
        of.and_then(|of| of.offset(member, 8)).unwrap_or(0)
    };
    Ok(Offsets {
        skc_family: common("skc_family", 2)?,
        skc_state: common("skc_state", 1)?,
        skc_dport: common("skc_dport", 2)?,
        skc_num: common("skc_num", 2)?,
        skc_daddr: common("skc_daddr", 4)?,
        skc_rcv_saddr: common("skc_rcv_saddr", 4)?,
        skc_v6_daddr: common("skc_v6_daddr", 16)?,
        skc_v6_rcv_saddr: common("skc_v6_rcv_saddr", 16)?,
        skc_net: common("skc_net.net", 8)?,
        skc_flags: common("skc_flags", 8)?,
        skc_cookie: optional(Ok(sock), "__sk_common.skc_cookie"),
        sk_protocol: sock.offset("sk_protocol", 2)?,
        sk_shutdown: sock.offset("sk_shutdown", 1)?,
        sk_err: sock.offset("sk_err", 4)?,
        sk_socket: sock.offset("sk_socket", 8)?,
        net_inum: net.offset("ns.inum", 4)?,
        socket_file: socket.offset("file", 8)?,
        socket_sk: socket.offset("sk", 8)?,
        file_inode: file.offset("f_inode", 8)?,
        file_private_data: optional(Ok(file), "private_data"),
        inode_ino: btf.structure("inode")?.offset("i_ino", 8)?,
        inet_sport: tcp_sock.offset("inet_conn.icsk_inet.inet_sport", 2)?,
        snd_nxt: tcp("snd_nxt")?,
        snd_una: tcp("snd_una")?,
        write_seq: tcp("write_seq")?,
        rcv_nxt: tcp("rcv_nxt")?,
        copied_seq: tcp("copied_seq")?,
        task_flags: task.offset("flags", 4)?,
        task_tgid: task.offset("tgid", 4)?,
        task_group_leader: task.offset("group_leader", 8)?,
        task_start_boottime: task.offset("start_boottime", 8)?,
        task_files: optional(Ok(task), "files"),
        files_fdt: optional(btf.structure("files_struct"), "fdt"),
        fdtable_fd: optional(btf.structure("fdtable"), "fd"),
        pt_ip: register("ip")?,
        pt_sp: register("sp")?,
        pt_bp: register("bp")?,
        task_thread_pointer: optional(Ok(task), "thread.fsbase"),
        sock_dead_bit: btf.enumerator("sock_flags", "SOCK_DEAD")?,
        sock_done_bit: btf.enumerator("sock_flags", "SOCK_DONE")?,
    })
}
