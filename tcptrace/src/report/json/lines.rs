//! The lines themselves, as they are serialised.

mod evidence;
mod monitor;
mod past;
mod release;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

pub(super) use self::evidence::{EvidenceLine, OpenedLine, OpenedProofLine, ProofLine};
pub(super) use self::monitor::{CulpritLine, MonitorLine};
pub(super) use self::past::{FrameLine, ReportLine, StayLine};
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
