//! The lines themselves, as they are serialised.

mod release;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

pub(super) use self::release::{AskerLine, ReleaseLine, ReleaseRunLine};

/// One line.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Line<'a> {
    /// Version of this format.
    pub(super) v: u8,
    /// RFC 3339, UTC, nanoseconds.
    pub(super) at: Wall,
    pub(super) host: &'a str,
    pub(super) boot_id: &'a str,
    #[serde(flatten)]
    pub(super) body: Body<'a>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Body<'a> {
    Alert(AlertLine<'a>),
    Group(GroupLine<'a>),
    Condition(ConditionLine<'a>),
    Delivery(DeliveryLine<'a>),
    Socket(SocketLine<'a>),
    Transition(TransitionLine),
    Summary(SummaryLine<'a>),
    Check(CheckLine<'a>),
    Setting(SettingLine<'a>),
    Monitor(MonitorLine<'a>),
    Report(ReportLine),
    Frame(FrameLine<'a>),
    Stay(StayLine<'a>),
    Release(ReleaseLine<'a>),
    #[serde(rename = "release_run")]
    ReleaseRun(ReleaseRunLine<'a>),
}

/// A moment of wall-clock time.
#[derive(Clone, Copy)]
pub(super) struct Wall(pub(super) Timestamp);

impl Serialize for Wall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.9}", self.0))
    }
}

/// A number that may pass 2^53, as a string.
#[derive(Clone, Copy)]
pub(super) struct Big(pub(super) u64);

impl Serialize for Big {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Anything that is shown as it displays itself.
pub(super) struct Shown<T>(pub(super) T);

impl<T: core::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct AlertLine<'a> {
    /// `firing` or `resolved`.
    pub(super) status: &'static str,
    /// `info`, `warning` or `critical`.
    pub(super) severity: &'static str,
    /// The rule that it is told by; null: none of the configuration's.
    pub(super) rule: Option<&'a str>,
    pub(super) threshold_ms: u64,
    /// What ended it, when resolved.
    pub(super) ended_by: Option<&'static str>,
    /// It goes on: a rule that is new keeps it from being told of.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub(super) withdrawn: bool,
    #[serde(flatten)]
    pub(super) socket: SocketLine<'a>,
}

/// One half-closed socket.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SocketLine<'a> {
    /// The same for the same stay, also after a restart.
    pub(super) id: &'a str,
    /// The group it belongs to.
    pub(super) group: &'a str,
    /// `CLOSE_WAIT`, `FIN_WAIT2`, or `CLOSE` for a descriptor whose TCP has ended.
    pub(super) state: &'static str,
    pub(super) verdict: &'static str,
    /// `high` or `low`.
    pub(super) confidence: &'static str,
    pub(super) age_ms: u64,
    /// `exact` or `at_least`.
    pub(super) age_is: &'static str,
    /// The longest it can have been; null: not bounded.
    pub(super) age_max_ms: Option<u64>,
    pub(super) local: Shown<std::net::SocketAddr>,
    pub(super) remote: Shown<std::net::SocketAddr>,
    /// Null: the probe does not tell.
    pub(super) netns: Option<u32>,
    pub(super) cookie: Option<Big>,
    pub(super) inode: Option<u64>,
    /// Null: they cannot be seen; empty: seen, and there is none.
    pub(super) holders: Option<Vec<HolderLine<'a>>>,
    pub(super) blame: Option<BlameLine<'a>>,
    pub(super) peer_holders: Option<Vec<HolderLine<'a>>>,
    /// Null: never, or not known.
    pub(super) ends_by_itself: Option<EndsLine>,
    pub(super) evidence: EvidenceLine,
    pub(super) remedy: &'static str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct HolderLine<'a> {
    pub(super) pid: u32,
    pub(super) pid_in_ns: Option<u32>,
    pub(super) start: Option<Wall>,
    pub(super) comm: &'a str,
    pub(super) exe: Option<&'a str>,
    pub(super) cmdline: Option<&'a [String]>,
    pub(super) uid: Option<u32>,
    pub(super) fds: &'a [u32],
    pub(super) unit: Option<&'a str>,
    pub(super) container: Option<&'a str>,
    /// The Kubernetes pod's uid.
    pub(super) pod: Option<&'a str>,
    /// Descriptors that are open.
    pub(super) fds_open: Option<u64>,
    /// How many it may have.
    pub(super) fds_limit: Option<u64>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct BlameLine<'a> {
    pub(super) pid: u32,
    pub(super) comm: &'a str,
    pub(super) why: &'a str,
    /// Pids of others that it might as well be.
    pub(super) candidates: &'a [u32],
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct EndsLine {
    /// `keepalive`, `retransmission` or `fin_timeout`.
    pub(super) by: &'static str,
    pub(super) in_ms: Option<u64>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct EvidenceLine {
    pub(super) recv_queue: Option<u32>,
    pub(super) send_queue: Option<u32>,
    pub(super) eof_read_by: Option<u32>,
    pub(super) eof_read_at: Option<Wall>,
    pub(super) eof_peeked_by: Option<u32>,
    pub(super) held_by: Option<&'static str>,
    /// Whether the keepalive timer runs.
    pub(super) keepalive: Option<bool>,
    pub(super) last_send_ms: Option<u64>,
    pub(super) thread_state: Option<&'static str>,
    /// The code that read the end of file, or that closed or shut down, the innermost function first.
    pub(super) stack: Option<Vec<String>>,
    /// `read` or `shutdown`.
    pub(super) stack_of: Option<&'static str>,
    /// Whether it was walked to its outer end.
    pub(super) stack_complete: Option<bool>,
    /// What stands between these functions and the code that ought to close.
    pub(super) stack_caveat: Option<&'static str>,
    /// What became of the sockets that the same code has read the end of.
    pub(super) proof: Option<ProofLine>,
    /// The code that opened the connection.
    pub(super) opened: Option<OpenedLine>,
    /// When resolved: whether our side sent a reset rather than a FIN.
    pub(super) reset_sent: Option<bool>,
    /// `iterator`, `proc`, `sock_diag`.
    pub(super) sources: Vec<&'static str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ProofLine {
    /// Since when they are counted.
    pub(super) since: Wall,
    /// How many it has read the end of.
    pub(super) read: u64,
    /// How many of these have left CLOSE_WAIT.
    pub(super) closed: u64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct OpenedLine {
    /// `connect`, or `accept` where `--stacks all` asks for it.
    pub(super) by: &'static str,
    /// The innermost function first.
    pub(super) stack: Vec<String>,
    /// Whether it was walked to its outer end.
    pub(super) stack_complete: bool,
    /// What became of the connections that the same code has opened.
    pub(super) proof: Option<OpenedProofLine>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct OpenedProofLine {
    /// Since when they are counted.
    pub(super) since: Wall,
    /// How many it has opened.
    pub(super) opened: u64,
    /// How many of these have been closed.
    pub(super) closed: u64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct GroupLine<'a> {
    pub(super) group: &'a str,
    /// `firing`, `growing`, `shrinking` or `resolved`.
    pub(super) status: &'static str,
    /// `info`, `warning` or `critical`.
    pub(super) severity: &'static str,
    /// The rule that it is told by; null: none of the configuration's.
    pub(super) rule: Option<&'a str>,
    pub(super) key: KeyLine<'a>,
    /// `CLOSE_WAIT`, `FIN_WAIT2`, or `CLOSE` for descriptors whose TCP has ended.
    pub(super) state: &'static str,
    /// `high` or `low`.
    pub(super) confidence: &'static str,
    /// The systemd unit of the process that is blamed.
    pub(super) unit: Option<&'a str>,
    pub(super) members: usize,
    pub(super) oldest_ms: u64,
    pub(super) growth_per_min: Option<f64>,
    /// Alert ids.
    pub(super) examples: Vec<&'a str>,
    pub(super) blame: Option<BlameLine<'a>>,
    /// Null: there is no trend.
    pub(super) forecast: Option<ForecastLine>,
    pub(super) remedy: &'static str,
}

/// One place that alerts go to, in the summary.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SinkLine<'a> {
    pub(super) sink: &'a str,
    /// `alertmanager`, `webhook`, `slack`, `journald`, `command` or `file`.
    pub(super) kind: &'static str,
    /// Messages that it took.
    pub(super) sent: u64,
    /// Attempts that failed.
    pub(super) failed: u64,
    /// Messages given up.
    pub(super) dropped: u64,
    /// Messages that still waited at the end.
    pub(super) waiting: usize,
    /// Why the last attempt failed; null: it went well.
    pub(super) error: Option<&'a str>,
}

/// What came of a sample that `alert test` sent.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct DeliveryLine<'a> {
    pub(super) sink: &'a str,
    /// `alertmanager`, `webhook`, `slack`, `journald`, `command` or `file`.
    pub(super) kind: &'static str,
    pub(super) ok: bool,
    pub(super) took_ms: u64,
    /// What it answered, in a line; null when it failed.
    pub(super) answer: Option<&'a str>,
    pub(super) error: Option<&'a str>,
    /// What to do when it failed.
    pub(super) advice: Option<&'a str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ForecastLine {
    /// `file_descriptors` or `ephemeral_ports`.
    pub(super) of: &'static str,
    pub(super) used: u64,
    pub(super) limit: u64,
    pub(super) full_in_ms: u64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct KeyLine<'a> {
    pub(super) process: Option<ProcessKeyLine<'a>>,
    pub(super) verdict: &'static str,
    pub(super) code_path: Option<&'a str>,
    /// What that code did: `read`, `shutdown`, `connect` or `accept`.
    pub(super) code_did: Option<&'static str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ProcessKeyLine<'a> {
    pub(super) pid: u32,
    pub(super) start: Option<Wall>,
    pub(super) comm: &'a str,
}

/// A setting as it counts.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SettingLine<'a> {
    pub(super) key: &'a str,
    /// As TOML.
    pub(super) value: &'a str,
    /// `flag`, `environment`, `file` or `default`.
    pub(super) origin: &'static str,
}

/// A condition that many sockets make together.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ConditionLine<'a> {
    /// The same for the same rule and scope, also after a restart.
    pub(super) condition: &'a str,
    /// `firing` or `resolved`.
    pub(super) status: &'static str,
    /// `info`, `warning` or `critical`.
    pub(super) severity: &'static str,
    pub(super) rule: &'a str,
    /// `sockets`, `growth_per_min` or `full_in_ms`.
    pub(super) measure: &'static str,
    /// Null: there is no trend.
    pub(super) value: Option<f64>,
    pub(super) limit: f64,
    /// How long it has held.
    pub(super) lasted_ms: u64,
    /// `host`, `unit` or `process`.
    pub(super) per: &'static str,
    pub(super) unit: Option<&'a str>,
    pub(super) process: Option<ProcessKeyLine<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct TransitionLine {
    pub(super) old: &'static str,
    pub(super) new: &'static str,
    pub(super) local: Shown<std::net::SocketAddr>,
    pub(super) remote: Shown<std::net::SocketAddr>,
    /// Null: the probe does not tell.
    pub(super) netns: Option<u32>,
    pub(super) cookie: Option<Big>,
    pub(super) skaddr: Option<Big>,
    pub(super) on_cpu_pid: u32,
    pub(super) on_cpu_comm: String,
    pub(super) in_state_ms: Option<u64>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SummaryLine<'a> {
    pub(super) elapsed_ms: u64,
    pub(super) transitions: u64,
    pub(super) lost: LostLine,
    pub(super) repaired: u64,
    pub(super) stays: StaysLine,
    pub(super) alerts: u64,
    pub(super) groups: u64,
    pub(super) sockets_tracked: usize,
    /// Sockets not taken into the full table.
    pub(super) overflow: u64,
    /// Records that could not be understood.
    pub(super) undecodable: u64,
    /// Lines left out because the reader was too slow.
    pub(super) unwritten: u64,
    /// How it went with each place that alerts go to.
    pub(super) sinks: Vec<SinkLine<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct CheckLine<'a> {
    pub(super) name: &'a str,
    /// `good`, `limited` or `missing`.
    pub(super) status: &'static str,
    pub(super) found: &'a str,
    pub(super) gives: &'a str,
    pub(super) advice: Option<&'a str>,
}

/// What `check` tells a monitoring system.
#[derive(Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct MonitorLine<'a> {
    /// `OK`, `WARNING`, `CRITICAL` or `UNKNOWN`.
    pub(super) status: &'static str,
    /// Why it is not known; everything else is then null or empty.
    pub(super) reason: Option<&'a str>,
    /// Sockets that have been half-closed for `min_age_ms` and are not in use.
    pub(super) stuck: Option<usize>,
    /// These by state.
    pub(super) stays: Option<StaysLine>,
    /// Null: none is stuck.
    pub(super) oldest_ms: Option<u64>,
    pub(super) min_age_ms: Option<u64>,
    /// From how many up.
    pub(super) warning: Option<usize>,
    pub(super) critical: Option<usize>,
    /// From which age of the oldest up.
    pub(super) warning_age_ms: Option<u64>,
    pub(super) critical_age_ms: Option<u64>,
    /// By process and verdict, most sockets first.
    pub(super) culprits: Vec<CulpritLine<'a>>,
    /// What could not be seen.
    pub(super) notes: &'a [String],
}

/// The stuck sockets of one process that have one verdict.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct CulpritLine<'a> {
    /// Null, as all of the process: nobody is blamed, or holders cannot be seen.
    pub(super) pid: Option<u32>,
    pub(super) start: Option<Wall>,
    pub(super) comm: Option<&'a str>,
    pub(super) unit: Option<&'a str>,
    pub(super) container: Option<&'a str>,
    pub(super) pod: Option<&'a str>,
    pub(super) verdict: &'static str,
    pub(super) sockets: usize,
    pub(super) oldest_ms: u64,
}

/// What a report is of; its frames follow.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ReportLine {
    /// Null: from the beginning, or not known.
    pub(super) from: Option<Wall>,
    /// Null: not known.
    pub(super) to: Option<Wall>,
    /// The time it is compared with; null: with none.
    pub(super) baseline_from: Option<Wall>,
    pub(super) baseline_to: Option<Wall>,
    /// `seconds` or `count`: what frames are ordered by.
    pub(super) weight: &'static str,
    /// Null: not known, as of folded lines that have sockets.
    pub(super) time_ms: Option<u64>,
    /// Null: not known, as of folded lines that have socket-time.
    pub(super) count: Option<u64>,
    /// How many lines follow.
    pub(super) frames: usize,
}

/// One frame of a report, with everything below it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct FrameLine<'a> {
    /// `host`, `unit`, `process`, `pid`, `state`, `verdict`, `peer`, `function`, `note` or `other`.
    pub(super) kind: &'static str,
    /// The names from the root to this frame.
    pub(super) path: Vec<&'a str>,
    /// Socket-time of this frame and of those below; null: not known.
    pub(super) time_ms: Option<u64>,
    /// Stays of this frame and of those below; null: not known.
    pub(super) count: Option<u64>,
    /// Of those, what ends here.
    pub(super) own_time_ms: Option<u64>,
    pub(super) own_count: Option<u64>,
    /// `time_ms` of the baseline, made as long as the time reported on; null: there is none.
    pub(super) time_ms_before: Option<f64>,
    /// `count` of it, likewise.
    pub(super) count_before: Option<f64>,
}

/// One stay of a journal: the columns of `docs/fleet.md`, as of its end or the last sign of it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct StayLine<'a> {
    /// The same for the same stay, also after a restart.
    pub(super) id: &'a str,
    /// `CLOSE_WAIT`, `FIN_WAIT2`, or `CLOSE` for a descriptor whose TCP has ended.
    pub(super) state: &'static str,
    /// Closed by the program, kept by the kernel: `FIN_WAIT2` only.
    pub(super) orphan: bool,
    pub(super) verdict: &'static str,
    /// `high` or `low`.
    pub(super) confidence: &'static str,
    /// The process that was blamed, else the one that held it.
    pub(super) pid: Option<u32>,
    pub(super) comm: Option<&'a str>,
    pub(super) exe: Option<&'a str>,
    pub(super) unit: Option<&'a str>,
    pub(super) container: Option<&'a str>,
    pub(super) uid: Option<u32>,
    pub(super) netns: Option<u32>,
    pub(super) cookie: Option<Big>,
    pub(super) local_addr: Shown<std::net::IpAddr>,
    pub(super) local_port: u16,
    pub(super) remote_addr: Shown<std::net::IpAddr>,
    pub(super) remote_port: u16,
    pub(super) began: Wall,
    /// By the monotonic clock.
    pub(super) lasted_ns: Big,
    /// How much of it lies in the window that was asked for.
    pub(super) socket_seconds: f64,
    /// Whether its beginning was seen; else it lasted for longer.
    pub(super) exact: bool,
    /// As of an alert; `open`: it went on; `cut_off`: so it did when the recorder died.
    pub(super) ended_by: &'static str,
    /// Whether somebody was told of it.
    pub(super) alerted: bool,
    /// The code path in a line.
    pub(super) code: Option<&'a str>,
    /// The code that read the end of file or shut down, folded; where none was seen, what is known
    /// instead.
    pub(super) stack: &'a str,
    /// The code that opened the connection, folded.
    pub(super) opened: Option<&'a str>,
    /// Unit, process, verdict and `stack`, as `report --format folded` has them.
    pub(super) folded: &'a str,
    pub(super) recv_queue: Option<u32>,
    pub(super) send_queue: Option<u32>,
    pub(super) thread_state: Option<&'static str>,
    pub(super) held_by: Option<&'static str>,
    pub(super) eof_read_at: Option<Wall>,
    /// Sockets that the same code has opened, or read the end of.
    pub(super) path_total: Option<u64>,
    /// How many of these it has closed.
    pub(super) path_closed: Option<u64>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct LostLine {
    pub(super) ring: u64,
    /// Null: this kernel does not count it.
    pub(super) recursion: Option<u64>,
    pub(super) gaps: u64,
    /// Reads of the end of file and releases that went unseen.
    pub(super) deeds: u64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) struct StaysLine {
    pub(super) close_wait: u64,
    #[serde(rename = "FIN_WAIT2")]
    pub(super) fin_wait2: u64,
    pub(super) close: u64,
}

#[cfg(test)]
mod shown_as_strings {
    use schemars::{JsonSchema, Schema, SchemaGenerator};
    use std::borrow::Cow;

    macro_rules! string {
        ($($name:ty),*) => {$(
            impl JsonSchema for $name {
                fn inline_schema() -> bool { true }
                fn schema_name() -> Cow<'static, str> { "string".into() }
                fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                    String::json_schema(generator)
                }
            }
        )*};
    }
    string!(
        super::Wall,
        super::Big,
        super::Shown<std::net::SocketAddr>,
        super::Shown<std::net::IpAddr>
    );
}
