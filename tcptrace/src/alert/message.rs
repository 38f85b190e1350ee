//! What is told, once for all sinks.

use core::time::Duration;
use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;

use crate::model::condition::{ConditionNotice, Scope};
use crate::model::group::{GroupNotice, GroupStatus};
use crate::model::process::Process;
use crate::model::rules::{Severity, Urgency};
use crate::model::socket::StayState;
use crate::model::time::Anchor;
use crate::model::verdict::{Blame, Confidence, Verdict};
use crate::report::json::{self, Context};
use crate::report::message::{Headline, condition, facts, is_told_otherwise};
use crate::sys::host::Host;

/// The rule of a sample.
pub const SAMPLE: &str = "tcptrace alert test";
/// Texts are cut after so many bytes, for receivers that take no more.
const LONGEST: usize = 8 << 10;

/// What is told, by whom and when.
#[derive(Clone, Debug)]
pub struct Message {
    /// The host's name.
    pub host: Arc<str>,
    /// Its boot id.
    pub boot_id: Arc<str>,
    /// Ties the monotonic clock to the wall clock.
    pub anchor: Anchor,
    /// What is told.
    pub told: Told,
}

/// What there is to tell.
#[derive(Clone, Debug)]
pub enum Told {
    /// Of sockets with one cause.
    Group(Box<GroupNotice>),
    /// Of a rule on many.
    Condition(ConditionNotice),
}

impl Message {
    /// What it is about; the same until that is over.
    pub fn id(&self) -> &Arc<str> {
        match &self.told {
            Told::Group(notice) => &notice.id,
            Told::Condition(notice) => &notice.id,
        }
    }

    /// How urgent it is.
    pub fn severity(&self) -> Severity {
        match &self.told {
            Told::Group(notice) => notice.urgency.severity,
            Told::Condition(notice) => notice.severity,
        }
    }

    /// The rule, if it is one of the configuration's.
    pub fn rule(&self) -> Option<&str> {
        match &self.told {
            Told::Group(notice) => notice.urgency.rule.as_deref(),
            Told::Condition(notice) => Some(&notice.rule),
        }
    }

    /// `firing`, `growing`, `shrinking` or `resolved`.
    pub fn status(&self) -> &'static str {
        match &self.told {
            Told::Group(notice) => notice.status.name(),
            Told::Condition(ConditionNotice { firing: true, .. }) => GroupStatus::Firing.name(),
            Told::Condition(_) => GroupStatus::Resolved.name(),
        }
    }

    /// Whether it is not over.
    pub fn is_firing(&self) -> bool {
        match &self.told {
            Told::Group(notice) => notice.status != GroupStatus::Resolved,
            Told::Condition(notice) => notice.firing,
        }
    }

    /// Whether it is the first of its kind.
    pub fn is_first(&self) -> bool {
        match &self.told {
            Told::Group(notice) => notice.status == GroupStatus::Firing,
            Told::Condition(notice) => notice.firing,
        }
    }

    /// The same, told to somebody who has not been told anything of it before.
    #[must_use]
    pub fn as_first(&self) -> Self {
        let mut first = self.clone();
        if let Told::Group(notice) = &mut first.told
            && notice.status != GroupStatus::Resolved
        {
            notice.status = GroupStatus::Firing;
        }
        first
    }

    /// When it was told.
    pub fn at(&self) -> Timestamp {
        match &self.told {
            Told::Group(notice) => self.anchor.wall_at(notice.at),
            Told::Condition(notice) => self.anchor.wall_at(notice.at),
        }
    }

    /// Since when it has been so.
    pub fn since(&self) -> Timestamp {
        match &self.told {
            Told::Group(notice) => self.anchor.wall_at(notice.at.before(notice.oldest)),
            Told::Condition(notice) => self.anchor.wall_at(notice.since),
        }
    }

    /// The process that it is about.
    pub fn process(&self) -> Option<&Process> {
        match &self.told {
            Told::Group(notice) => notice.blame.as_ref().map(|blame| &*blame.process),
            Told::Condition(ConditionNotice { scope: Scope::Process(process), .. }) => {
                Some(process)
            }
            Told::Condition(_) => None,
        }
    }

    /// The systemd unit that it is about.
    pub fn unit(&self) -> Option<&str> {
        match &self.told {
            Told::Condition(ConditionNotice { scope: Scope::Unit(unit), .. }) => Some(unit),
            _ => self.process().and_then(|process| process.unit.as_deref()),
        }
    }

    /// One line for people.
    pub fn headline(&self) -> String {
        cut(match &self.told {
            Told::Group(notice) => Headline(notice).to_string(),
            Told::Condition(notice) => condition(notice),
        })
    }

    /// What else they should know: labels and texts.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let facts = match &self.told {
            Told::Group(notice) => facts(notice),
            Told::Condition(_) => Vec::new(),
        };
        facts.into_iter().map(|(label, text)| (label, cut(text))).collect()
    }

    /// `STUCK` or `FREED`, as on a terminal.
    pub fn word(&self) -> &'static str {
        match &self.told {
            Told::Group(notice) if is_told_otherwise(notice) => "MOVED",
            _ if self.is_firing() => "STUCK",
            _ => "FREED",
        }
    }

    /// The line that `-o json` prints, with the end of its line.
    pub fn json(&self) -> Vec<u8> {
        let context = Context { host: &self.host, boot_id: &self.boot_id, anchor: self.anchor };
        let mut line = Vec::new();
        let written: io::Result<()> = match &self.told {
            Told::Group(notice) => json::group(&mut line, context, notice),
            Told::Condition(notice) => json::condition(&mut line, context, notice),
        };
        debug_assert!(written.is_ok(), "a vector takes everything");
        line
    }

    /// The same as names and texts, for receivers that have nothing else. None has a NUL.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let process = self.process();
        let mut fields = vec![
            ("TCPTRACE_ID", Some(self.id().to_string())),
            ("TCPTRACE_STATUS", Some(self.status().to_owned())),
            ("TCPTRACE_SEVERITY", Some(self.severity().name().to_owned())),
            ("TCPTRACE_RULE", self.rule().map(str::to_owned)),
            ("TCPTRACE_HOST", Some(self.host.to_string())),
            ("TCPTRACE_SUMMARY", Some(self.headline())),
            ("TCPTRACE_PID", process.map(|process| process.pid.to_string())),
            ("TCPTRACE_COMM", process.map(|process| process.comm.clone())),
            ("TCPTRACE_UNIT", self.unit().map(str::to_owned)),
            ("TCPTRACE_CONTAINER", process.and_then(|process| process.container.clone())),
        ];
        match &self.told {
            Told::Group(notice) => fields.extend([
                ("TCPTRACE_TYPE", Some("group".to_owned())),
                ("TCPTRACE_STATE", Some(notice.state.state().name().to_owned())),
                ("TCPTRACE_VERDICT", Some(notice.verdict.name().to_owned())),
                ("TCPTRACE_CONFIDENCE", Some(notice.confidence.name().to_owned())),
                ("TCPTRACE_MEMBERS", Some(notice.members.to_string())),
                ("TCPTRACE_OLDEST_MS", Some(notice.oldest.as_millis().to_string())),
                ("TCPTRACE_GROWTH_PER_MIN", notice.growth_per_min.map(|g| g.to_string())),
                ("TCPTRACE_FULL_IN_MS", notice.forecast.map(|f| f.full_in.as_millis().to_string())),
                ("TCPTRACE_CODE_PATH", notice.code.as_ref().map(|code| code.line.to_string())),
                ("TCPTRACE_REMEDY", Some(notice.verdict.remedy().to_owned())),
            ]),
            Told::Condition(notice) => fields.extend([
                ("TCPTRACE_TYPE", Some("condition".to_owned())),
                ("TCPTRACE_MEASURE", Some(notice.measure.name().to_owned())),
                ("TCPTRACE_FOUND", notice.measure.figures().0.map(|found| found.to_string())),
            ]),
        }
        fields
            .into_iter()
            .filter_map(|(name, text)| Some((name, cut(text?.replace('\0', "\u{fffd}")))))
            .collect()
    }

    /// What `alert test` sends: made up, and says so.
    pub fn sample(host: &Host, anchor: Anchor, severity: Severity) -> Self {
        let process = Process {
            pid: std::process::id(),
            pid_in_ns: None,
            ppid: None,
            start_ticks: None,
            start: None,
            comm: "sample".to_owned(),
            exe: None,
            cmdline: None,
            uid: None,
            cgroup: None,
            unit: None,
            container: None,
            pod: None,
            descriptors: None,
        };
        let why = Cow::Borrowed("nothing is wrong: tcptrace alert test made this up");
        let (at, state) = (anchor.monotonic, StayState::CloseWait);
        let notice = GroupNotice {
            urgency: Urgency { severity, rule: Some(SAMPLE.into()) },
            confidence: Confidence::High,
            blame: Some(Blame { process: Arc::new(process), why, candidates: Vec::new() }),
            members: 1,
            peak: 1,
            oldest: Duration::from_secs(60),
            exact: true,
            ..GroupNotice::bare("sample".into(), at, state, Verdict::EofRead)
        };
        let (name, boot_id) = (host.name.as_str().into(), host.boot_id.as_str().into());
        Self { host: name, boot_id, anchor, told: Told::Group(Box::new(notice)) }
    }

    /// Whether it is made up.
    pub fn is_sample(&self) -> bool {
        self.rule() == Some(SAMPLE)
    }
}

/// At most [`LONGEST`] bytes of it.
fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}
