//! What the record says of what is over: reports and exports.

use serde::Serialize;

use super::{Big, Shown, Wall};

/// What a report is of; its frames follow.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::report::json) struct ReportLine {
    /// Null: from the beginning, or not known.
    pub(in crate::report::json) from: Option<Wall>,
    /// Null: not known.
    pub(in crate::report::json) to: Option<Wall>,
    /// The time it is compared with; null: with none.
    pub(in crate::report::json) baseline_from: Option<Wall>,
    pub(in crate::report::json) baseline_to: Option<Wall>,
    /// `seconds` or `count`: what frames are ordered by.
    pub(in crate::report::json) weight: &'static str,
    /// Null: not known, as of folded lines that have sockets.
    pub(in crate::report::json) time_ms: Option<u64>,
    /// Null: not known, as of folded lines that have socket-time.
    pub(in crate::report::json) count: Option<u64>,
    /// How many lines follow.
    pub(in crate::report::json) frames: usize,
}

/// One frame of a report, with everything below it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::report::json) struct FrameLine<'a> {
    /// `host`, `unit`, `process`, `pid`, `state`, `verdict`, `peer`, `function`, `note` or `other`.
    pub(in crate::report::json) kind: &'static str,
    /// The names from the root to this frame.
    pub(in crate::report::json) path: Vec<&'a str>,
    /// Socket-time of this frame and of those below; null: not known.
    pub(in crate::report::json) time_ms: Option<u64>,
    /// Stays of this frame and of those below; null: not known.
    pub(in crate::report::json) count: Option<u64>,
    /// Of those, what ends here.
    pub(in crate::report::json) own_time_ms: Option<u64>,
    pub(in crate::report::json) own_count: Option<u64>,
    /// `time_ms` of the baseline, made as long as the time reported on; null: there is none.
    pub(in crate::report::json) time_ms_before: Option<f64>,
    /// `count` of it, likewise.
    pub(in crate::report::json) count_before: Option<f64>,
}

/// One stay of a journal: the columns of `docs/fleet.md`, as of its end or the last sign of it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::report::json) struct StayLine<'a> {
    /// The same for the same stay, also after a restart.
    pub(in crate::report::json) id: &'a str,
    /// `CLOSE_WAIT`, `FIN_WAIT2`, or `CLOSE` for a descriptor whose TCP has ended.
    pub(in crate::report::json) state: &'static str,
    /// Closed by the program, kept by the kernel: `FIN_WAIT2` only.
    pub(in crate::report::json) orphan: bool,
    pub(in crate::report::json) verdict: &'static str,
    /// `high` or `low`.
    pub(in crate::report::json) confidence: &'static str,
    /// The process that was blamed, else the one that held it.
    pub(in crate::report::json) pid: Option<u32>,
    pub(in crate::report::json) comm: Option<&'a str>,
    pub(in crate::report::json) exe: Option<&'a str>,
    pub(in crate::report::json) unit: Option<&'a str>,
    pub(in crate::report::json) container: Option<&'a str>,
    pub(in crate::report::json) uid: Option<u32>,
    pub(in crate::report::json) netns: Option<u32>,
    pub(in crate::report::json) cookie: Option<Big>,
    pub(in crate::report::json) local_addr: Shown<std::net::IpAddr>,
    pub(in crate::report::json) local_port: u16,
    pub(in crate::report::json) remote_addr: Shown<std::net::IpAddr>,
    pub(in crate::report::json) remote_port: u16,
    pub(in crate::report::json) began: Wall,
    /// By the monotonic clock.
    pub(in crate::report::json) lasted_ns: Big,
    /// How much of it lies in the window that was asked for.
    pub(in crate::report::json) socket_seconds: f64,
    /// Whether its beginning was seen; else it lasted for longer.
    pub(in crate::report::json) exact: bool,
    /// As of an alert; `open`: it went on; `cut_off`: so it did when the recorder died.
    pub(in crate::report::json) ended_by: &'static str,
    /// Whether somebody was told of it.
    pub(in crate::report::json) alerted: bool,
    /// The code path in a line.
    pub(in crate::report::json) code: Option<&'a str>,
    /// The code that read the end of file or shut down, folded; where none was seen, what is known
    /// instead.
    pub(in crate::report::json) stack: &'a str,
    /// The code that opened the connection, folded.
    pub(in crate::report::json) opened: Option<&'a str>,
    /// Unit, process, verdict and `stack`, as `report --format folded` has them.
    pub(in crate::report::json) folded: &'a str,
    pub(in crate::report::json) recv_queue: Option<u32>,
    pub(in crate::report::json) send_queue: Option<u32>,
    pub(in crate::report::json) thread_state: Option<&'static str>,
    pub(in crate::report::json) held_by: Option<&'static str>,
    pub(in crate::report::json) eof_read_at: Option<Wall>,
    /// Sockets that the same code has opened, or read the end of.
    pub(in crate::report::json) path_total: Option<u64>,
    /// How many of these it has closed.
    pub(in crate::report::json) path_closed: Option<u64>,
}
