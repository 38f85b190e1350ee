//! A stay of the past as a line.

use std::io::{self, Write};

use super::lines::{Big, Body, Line, Shown, StayLine, Wall};
use crate::model::evidence::{HeldBy, ThreadState};
use crate::report::row::Row;

/// Writes a `stay`, as of its end or the last sign of it.
///
/// # Errors
/// Those of `out`.
pub fn stay(out: &mut impl Write, row: &Row<'_>) -> io::Result<()> {
    let (stay, process) = (row.stay, row.process());
    let ((local_addr, local_port), (remote_addr, remote_port)) = (row.local(), row.remote());
    let at = stay.began.saturating_add(stay.lasted).unwrap_or(jiff::Timestamp::MAX);
    let body = StayLine {
        id: &stay.id,
        state: stay.state.state().name(),
        orphan: stay.orphan,
        verdict: stay.verdict.name(),
        confidence: stay.confidence.name(),
        pid: process.map(|process| process.pid),
        comm: process.map(|process| &*process.comm),
        exe: process.and_then(|process| process.exe.as_deref()),
        unit: process.and_then(|process| process.unit.as_deref()),
        container: process.and_then(|process| process.container.as_deref()),
        uid: process.and_then(|process| process.uid),
        netns: stay.netns.map(|netns| netns.0),
        cookie: stay.cookie.map(Big),
        local_addr: Shown(local_addr),
        local_port,
        remote_addr: Shown(remote_addr),
        remote_port,
        began: Wall(stay.began),
        lasted_ns: Big(u64::try_from(stay.lasted.as_nanos()).unwrap_or(u64::MAX)),
        socket_seconds: row.seconds,
        exact: stay.exact,
        ended_by: row.ended_by(),
        alerted: stay.alerted,
        code: stay.code.as_deref(),
        stack: row.stack(),
        opened: row.opened.as_deref(),
        folded: &row.folded,
        recv_queue: stay.recv_queue,
        send_queue: stay.send_queue,
        thread_state: stay.threads.map(ThreadState::name),
        held_by: stay.held_by.map(HeldBy::name),
        eof_read_at: stay.eof_read_at.map(Wall),
        path_total: stay.path.map(|(total, _)| total),
        path_closed: stay.path.map(|(_, closed)| closed),
    };
    let line = Line {
        v: 1,
        at: Wall(at),
        host: &stay.host,
        boot_id: &stay.boot_id,
        body: Body::Stay(body),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}
