//! What to tell of, as the file has it.

use core::fmt;
use core::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::values::{self, Several, Text, Word};
use crate::cli::{FilterArgs, SocketFilterArgs};
use crate::model::condition::{Limit, Per};
use crate::model::rules::Severity;
use crate::model::socket::StayState;
use crate::model::verdict::Verdict;

/// Which sockets: of one key, one value must hold; of several, all.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// `CLOSE_WAIT`, `FIN_WAIT2` or `CLOSE`.
    pub state: Several<Word<StayState>>,
    /// Verdicts, as of `tcptrace explain`.
    pub verdict: Several<Word<Verdict>>,
    /// Names of processes that hold them.
    pub comm: Several<String>,
    /// Pids of processes that hold them.
    pub pid: Several<u32>,
    /// Cgroups, units or containers of processes that hold them.
    pub cgroup: Several<String>,
    /// Local or remote ports.
    pub port: Several<u16>,
    /// Local or remote addresses or networks.
    pub addr: Several<Word<IpNet>>,
    /// Network namespaces: inode numbers, names or paths.
    pub netns: Several<Text>,
}

impl Match {
    /// The states.
    pub fn states(&self) -> Vec<StayState> {
        self.state.0.iter().map(|state| state.0).collect()
    }

    /// The rest, as flags would have it.
    pub fn filter(&self) -> FilterArgs {
        FilterArgs {
            socket: SocketFilterArgs {
                port: self.port.0.clone(),
                addr: self.addr.0.iter().map(|addr| addr.0).collect(),
                netns: self.netns.0.iter().map(|netns| netns.0.clone()).collect(),
            },
            pid: self.pid.0.clone(),
            comm: self.comm.0.clone(),
            cgroup: self.cgroup.0.clone(),
            verdict: self.verdict.0.iter().map(|verdict| verdict.0).collect(),
        }
    }
}

/// One `[[rule]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RuleTable")]
pub struct Rule {
    /// Its name, which no other rule has.
    pub name: String,
    /// How urgent it is.
    pub severity: Severity,
    /// Which sockets it is about.
    pub about: Match,
    /// What it waits for.
    pub when: When,
}

/// What a rule waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// One socket has been stuck for so long; `None`: for as long as its state allows.
    Lasts(Option<Duration>),
    /// Many sockets together pass a limit.
    Passes(Per, Limit),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    name: String,
    #[serde(default)]
    severity: Severity,
    #[serde(default, rename = "match")]
    about: Match,
    #[serde(default, deserialize_with = "values::duration")]
    after: Option<Duration>,
    per: Option<Per>,
    more_than: Option<u64>,
    growth_per_min: Option<f64>,
    #[serde(default, deserialize_with = "values::duration")]
    full_in: Option<Duration>,
}

impl TryFrom<RuleTable> for Rule {
    type Error = String;

    fn try_from(table: RuleTable) -> Result<Self, String> {
        let RuleTable { name, severity, about, after, per, .. } = table;
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err("a rule's name is a line of text".to_owned());
        }
        if table.growth_per_min.is_some_and(|growth| !(growth.is_finite() && growth > 0.0)) {
            return Err(format!("rule `{name}`: growth_per_min is a number above 0"));
        }
        let mut limits = [
            table.more_than.map(Limit::MoreThan),
            table.growth_per_min.map(Limit::GrowthPerMin),
            table.full_in.map(Limit::FullIn),
        ]
        .into_iter()
        .flatten();
        let when = match (limits.next(), limits.next()) {
            (None, _) if per.is_some() => {
                return Err(format!(
                    "rule `{name}`: `per` goes with more_than, growth_per_min or full_in"
                ));
            }
            (None, _) => When::Lasts(after),
            (Some(_), None) if after.is_some() => {
                return Err(format!(
                    "rule `{name}`: `after` is about one socket and does not go with a limit for many"
                ));
            }
            (Some(Limit::FullIn(_)), None) if per == Some(Per::Unit) => {
                return Err(format!(
                    "rule `{name}`: descriptors run out in a process, and ports on a host: `per` is \
                     `process` or `host` with full_in"
                ));
            }
            (Some(limit), None) => When::Passes(per.unwrap_or_default(), limit),
            (Some(_), Some(_)) => {
                return Err(format!(
                    "rule `{name}`: one of more_than, growth_per_min and full_in; make a rule of each"
                ));
            }
        };
        Ok(Self { name, severity, about, when })
    }
}

/// One `[[ignore]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ignore {
    /// Which sockets.
    #[serde(rename = "match", deserialize_with = "some_match")]
    pub about: Match,
    /// Why, for whoever reads the file.
    pub comment: Option<String>,
}

/// One `[[silence]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// Which sockets.
    #[serde(default, rename = "match")]
    pub about: Match,
    /// Until when.
    #[serde(deserialize_with = "values::moment")]
    pub until: Timestamp,
    /// Why, and who says so.
    pub comment: Option<String>,
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut keys = Vec::new();
        let mut key = |name: &str, values: Vec<String>| {
            if !values.is_empty() {
                keys.push(format!("{name}={}", values.join("|")));
            }
        };
        key("state", self.state.0.iter().map(|state| state.0.to_string()).collect());
        key("verdict", self.verdict.0.iter().map(|verdict| verdict.0.name().into()).collect());
        key("comm", self.comm.0.iter().map(|comm| format!("{comm:?}")).collect());
        key("pid", self.pid.0.iter().map(u32::to_string).collect());
        key("cgroup", self.cgroup.0.iter().map(|cgroup| format!("{cgroup:?}")).collect());
        key("port", self.port.0.iter().map(u16::to_string).collect());
        key("addr", self.addr.0.iter().map(|addr| addr.0.to_string()).collect());
        key("netns", self.netns.0.iter().map(|netns| format!("{:?}", netns.0)).collect());
        match &*keys {
            [] => f.write_str("every socket"),
            keys => f.write_str(&keys.join(" ")),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, severity, about, when } = self;
        write!(f, "rule {name:?}: {}, {about}, ", severity.name())?;
        match when {
            When::Lasts(None) => f.write_str("stuck for as long as its state allows"),
            When::Lasts(Some(after)) => write!(f, "stuck for {}", values::shown(*after)),
            When::Passes(per, limit) => {
                match limit {
                    Limit::MoreThan(count) => write!(f, "more than {count}")?,
                    Limit::GrowthPerMin(growth) => write!(f, "more than {growth} a minute")?,
                    Limit::FullIn(left) => write!(f, "limit reached in {}", values::shown(*left))?,
                }
                write!(f, " per {}", per.name())
            }
        }
    }
}

impl fmt::Display for Ignore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ignore: {}", self.about)
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "silence: {}, until {}", self.about, self.until)
    }
}

/// To ignore everything for ever is a mistake.
fn some_match<'de, D: Deserializer<'de>>(from: D) -> Result<Match, D::Error> {
    let about = Match::deserialize(from)?;
    if about == Match::default() {
        return Err(serde::de::Error::custom("it would match every socket"));
    }
    Ok(about)
}
