//! What somebody is told in words, as far as all ways of telling have it in common.

use core::fmt::{self, Display};

use super::escape::Escaped;
use super::text::Age;
use super::text::words::{Count, Ended, Growth, Named, culprit};
use crate::model::code::{CodePath, Did};
use crate::model::condition::{ConditionNotice, Measure, Scope};
use crate::model::forecast::{Forecast, Resource};
use crate::model::group::{GroupNotice, GroupStatus};
use crate::model::proof::Proof;
use crate::model::verdict::{Blame, Confidence, Verdict};

/// Who has left how many connections in which state, or that they are gone. One line, and harmless on a
/// terminal.
pub struct Headline<'a>(pub &'a GroupNotice);

impl Display for Headline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let notice = self.0;
        let who = culprit(notice.blame.as_ref(), notice.verdict);
        if notice.status == GroupStatus::Resolved {
            let (count, ended) = (Count(notice.peak), Ended(&notice.ended));
            return match notice.peak {
                _ if is_told_otherwise(notice) => {
                    write!(f, "{who}: more is known of them now, which is told apart")
                }
                1 => write!(f, "{who}: it is closed{ended}"),
                _ => write!(f, "{who}: all {count} closed{ended}"),
            };
        }
        let (count, oldest) = (Count(notice.members), Age(notice.oldest));
        let least = if notice.exact { "" } else { "at least " };
        let growth = Growth(notice.growth_per_min);
        let noun = if notice.members == 1 { "connection" } else { "connections" };
        let verb = match (notice.status, &notice.blame) {
            (GroupStatus::Growing, Some(_)) => " now has",
            (GroupStatus::Shrinking, Some(_)) => " still has",
            (_, Some(_)) => " has left",
            (GroupStatus::Growing, None) => ": there are now",
            (GroupStatus::Shrinking, None) => ": there are still",
            (_, None) => ": there are",
        };
        let state = notice.state;
        write!(f, "{who}{verb} {count} {noun} in {state}, oldest {least}{oldest}{growth}")
    }
}

/// Whether its members have all become those of other groups.
pub fn is_told_otherwise(notice: &GroupNotice) -> bool {
    notice.status == GroupStatus::Resolved && notice.ended.is_empty() && notice.withdrawn > 0
}

/// What to know of a group besides: labels and texts, each in a line, harmless on a terminal.
pub fn facts(notice: &GroupNotice) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if notice.status == GroupStatus::Resolved {
        return facts;
    }
    let why = Escaped(why(notice.verdict, notice.blame.as_ref())).to_string();
    facts.push(("why", why));
    if notice.confidence == Confidence::Low {
        facts.push(("note", MEANT.to_owned()));
    }
    if let Some(code) = &notice.code {
        facts.push(("code", code_words(code, notice.verdict, notice.proof)));
    }
    if let Some(forecast) = notice.forecast {
        facts.push(("limit", limit(forecast)));
    }
    facts.push(("do", remedy(notice.verdict)));
    facts
}

/// What cannot be told from a leak.
pub(super) const MEANT: &str = "an idle half-close that is meant would look the same";

/// Which end the process has matters more than what became of the socket.
pub(super) fn why(verdict: Verdict, blame: Option<&Blame>) -> &str {
    match (verdict, blame) {
        (Verdict::PeerNotClosing | Verdict::SharedFd, Some(blame)) => &blame.why,
        _ => verdict.why(),
    }
}

/// The code to look at, and what became of other sockets on that path.
pub(super) fn code_words(code: &CodePath, verdict: Verdict, proof: Option<Proof>) -> String {
    let by = match code.did {
        // As the reason says.
        Did::Read => "",
        Did::ShutDown if verdict == Verdict::Orphan => "closed by ",
        Did::ShutDown => "shut down by ",
        Did::Connect => "opened by ",
        Did::Accept => "accepted by ",
    };
    let path = Escaped(&code.line);
    match proof {
        // Of a single one there is nothing to compare.
        Some(Proof { all: all @ 2.., closed, .. }) => {
            let (closed, all) = (Count(closed), Count(all));
            format!("{by}{path}  closed {closed} of {all} from this path")
        }
        _ => format!("{by}{path}"),
    }
}

/// What will be used up, and when.
pub fn limit(Forecast { of, used, limit, full_in }: Forecast) -> String {
    let what = match of {
        Resource::Descriptors => "fds",
        Resource::Ports => "ports to one destination",
    };
    let (used, limit, full_in) = (Count(used), Count(limit), Age(full_in));
    format!("{used} of {limit} {what}, full in about {full_in}")
}

/// What to do, and where to read more.
pub fn remedy(verdict: Verdict) -> String {
    format!("{}; {}", verdict.remedy(), runbook(verdict))
}

/// The command that explains it.
pub fn runbook(verdict: Verdict) -> String {
    format!("tcptrace explain {}", verdict.name())
}

/// What has come about, or is over, and by which rule. One line, and harmless on a terminal.
pub fn condition(notice: &ConditionNotice) -> String {
    let whose = match &notice.scope {
        Scope::Host => "this host".to_owned(),
        Scope::Unit(unit) => Escaped(unit).to_string(),
        Scope::Process(process) => Named(process).to_string(),
    };
    let than = if notice.firing { "more than" } else { "no longer more than" };
    let what = match notice.measure {
        Measure::Sockets(count, most) => {
            format!("has {} half-closed sockets, {than} {}", Count(count), Count(most))
        }
        Measure::GrowthPerMin(growth, least) => {
            format!("gains {growth} half-closed sockets a minute, {than} {least}")
        }
        Measure::FullIn(Some(forecast), _) => format!("has used {}", limit(forecast)),
        Measure::FullIn(None, _) => "no longer runs out of anything".to_owned(),
    };
    let (rule, severity) = (Escaped(&notice.rule), notice.severity.name());
    if notice.firing {
        return format!("{whose} {what} ({rule}, {severity})");
    }
    let lasted = Age(notice.at.since(notice.since));
    format!("{whose} {what} ({rule}, {severity}, for {lasted})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stay::EndedBy;
    use crate::report::samples;

    #[test]
    fn what_is_told_otherwise_is_not_called_closed() {
        let mut notice = GroupNotice {
            status: GroupStatus::Resolved,
            withdrawn: 3,
            ended: vec![],
            ..samples::group()
        };
        let moved = "java[4711] orders.service: more is known of them now, which is told apart";
        assert_eq!(Headline(&notice).to_string(), moved);
        notice.ended = vec![(EndedBy::Closed, 211)];
        assert!(Headline(&notice).to_string().ends_with("all 214 closed (closed)"));
    }
}
