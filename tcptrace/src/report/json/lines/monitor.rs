//! The line of `check`.

use serde::Serialize;

use super::{StaysLine, Wall};

/// What `check` tells a monitoring system.
#[derive(Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::report::json) struct MonitorLine<'a> {
    /// `OK`, `WARNING`, `CRITICAL` or `UNKNOWN`.
    pub(in crate::report::json) status: &'static str,
    /// Why it is not known; everything else is then null or empty.
    pub(in crate::report::json) reason: Option<&'a str>,
    /// Sockets that have been half-closed for `min_age_ms` and are not in use.
    pub(in crate::report::json) stuck: Option<usize>,
    /// These by state.
    pub(in crate::report::json) stays: Option<StaysLine>,
    /// Null: none is stuck.
    pub(in crate::report::json) oldest_ms: Option<u64>,
    pub(in crate::report::json) min_age_ms: Option<u64>,
    /// From how many up.
    pub(in crate::report::json) warning: Option<usize>,
    pub(in crate::report::json) critical: Option<usize>,
    /// From which age of the oldest up.
    pub(in crate::report::json) warning_age_ms: Option<u64>,
    pub(in crate::report::json) critical_age_ms: Option<u64>,
    /// By process and verdict, most sockets first.
    pub(in crate::report::json) culprits: Vec<CulpritLine<'a>>,
    /// What could not be seen.
    pub(in crate::report::json) notes: &'a [String],
}

/// The stuck sockets of one process that have one verdict.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::report::json) struct CulpritLine<'a> {
    /// Null, as all of the process: nobody is blamed, or holders cannot be seen.
    pub(in crate::report::json) pid: Option<u32>,
    pub(in crate::report::json) start: Option<Wall>,
    pub(in crate::report::json) comm: Option<&'a str>,
    pub(in crate::report::json) unit: Option<&'a str>,
    pub(in crate::report::json) container: Option<&'a str>,
    pub(in crate::report::json) pod: Option<&'a str>,
    pub(in crate::report::json) verdict: &'static str,
    pub(in crate::report::json) sockets: usize,
    pub(in crate::report::json) oldest_ms: u64,
}
