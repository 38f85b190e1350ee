//! What a look at one socket found.

use serde::Serialize;

use super::Wall;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::report::json) struct EvidenceLine {
    pub(in crate::report::json) recv_queue: Option<u32>,
    pub(in crate::report::json) send_queue: Option<u32>,
    pub(in crate::report::json) eof_read_by: Option<u32>,
    pub(in crate::report::json) eof_read_at: Option<Wall>,
    pub(in crate::report::json) eof_peeked_by: Option<u32>,
    pub(in crate::report::json) held_by: Option<&'static str>,
    /// Whether the keepalive timer runs.
    pub(in crate::report::json) keepalive: Option<bool>,
    pub(in crate::report::json) last_send_ms: Option<u64>,
    pub(in crate::report::json) thread_state: Option<&'static str>,
    /// The code that read the end of file, or that closed or shut down, the innermost function first.
    pub(in crate::report::json) stack: Option<Vec<String>>,
    /// `read` or `shutdown`.
    pub(in crate::report::json) stack_of: Option<&'static str>,
    /// Whether it was walked to its outer end.
    pub(in crate::report::json) stack_complete: Option<bool>,
    /// What stands between these functions and the code that ought to close.
    pub(in crate::report::json) stack_caveat: Option<&'static str>,
    /// What became of the sockets that the same code has read the end of.
    pub(in crate::report::json) proof: Option<ProofLine>,
    /// The code that opened the connection.
    pub(in crate::report::json) opened: Option<OpenedLine>,
    /// When resolved: whether our side sent a reset rather than a FIN.
    pub(in crate::report::json) reset_sent: Option<bool>,
    /// `iterator`, `proc`, `sock_diag`.
    pub(in crate::report::json) sources: Vec<&'static str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::report::json) struct ProofLine {
    /// Since when they are counted.
    pub(in crate::report::json) since: Wall,
    /// How many it has read the end of.
    pub(in crate::report::json) read: u64,
    /// How many of these have left CLOSE_WAIT.
    pub(in crate::report::json) closed: u64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::report::json) struct OpenedLine {
    /// `connect`, or `accept` where `--stacks all` asks for it.
    pub(in crate::report::json) by: &'static str,
    /// The innermost function first.
    pub(in crate::report::json) stack: Vec<String>,
    /// Whether it was walked to its outer end.
    pub(in crate::report::json) stack_complete: bool,
    /// What became of the connections that the same code has opened.
    pub(in crate::report::json) proof: Option<OpenedProofLine>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::report::json) struct OpenedProofLine {
    /// Since when they are counted.
    pub(in crate::report::json) since: Wall,
    /// How many it has opened.
    pub(in crate::report::json) opened: u64,
    /// How many of these have been closed.
    pub(in crate::report::json) closed: u64,
}
