//! What an alert is known by, and what is said of it.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::alert::message::{Message, Told};
use crate::model::condition::Scope;
use crate::model::group::GroupNotice;
use crate::report::message::{limit, runbook};
use crate::report::text::Age;

/// The name of what is told without a rule.
const ALERTNAME: &str = "TcptraceStuckSockets";

/// Names and values.
pub type Labels = BTreeMap<String, String>;

/// What identifies it, and nothing that changes.
pub fn labels(message: &Message, more: &Labels) -> Labels {
    let mut labels = more.clone();
    let mut set = |name: &str, value: &str| {
        // An empty label is none.
        let value = if value.is_empty() { "unknown" } else { value };
        labels.insert(name.to_owned(), value.to_owned());
    };
    set("alertname", message.rule().unwrap_or(ALERTNAME));
    set("instance", &message.host);
    set("severity", message.severity().name());
    let process = || message.process().map(|process| &*process.comm);
    match (&message.told, message.unit()) {
        (_, Some(unit)) => set("unit", unit),
        (Told::Condition(notice), None) if notice.scope == Scope::Host => {}
        (_, None) => set("process", process().unwrap_or("unattributed")),
    }
    match &message.told {
        Told::Group(notice) => {
            set("state", notice.state.state().name());
            set("verdict", notice.verdict.name());
        }
        Told::Condition(notice) => set("measure", notice.measure.name()),
    }
    labels
}

/// Everything that changes, of all parts together.
pub fn annotations(
    parts: &[&Message],
    runbook_url: Option<&str>,
) -> BTreeMap<&'static str, String> {
    let mut annotations = BTreeMap::new();
    let groups: Vec<_> = parts
        .iter()
        .filter_map(|message| match &message.told {
            Told::Group(notice) => Some((&**notice, *message)),
            Told::Condition(_) => None,
        })
        .collect();
    // The largest speaks for all.
    let largest = groups.iter().max_by_key(|(notice, _)| notice.members);
    let Some((notice, message)) = largest else {
        if let Some(message) = parts.first() {
            annotations.insert("summary", message.headline());
            let fields = message.fields();
            let found = fields.into_iter().find(|(name, _)| *name == "TCPTRACE_FOUND");
            annotations.extend(found.map(|(_, found)| ("found", found)));
        }
        return annotations;
    };
    let all = || groups.iter().map(|(notice, _)| *notice);
    let members: usize = all().map(|notice| notice.members).sum();
    let oldest = all().map(|notice| notice.oldest).max().unwrap_or_default();
    annotations.insert("summary", summary(all().count(), members, oldest, notice, message));
    let facts = message.facts().into_iter().map(|(label, text)| format!("{label}: {text}"));
    annotations.insert("description", facts.collect::<Vec<_>>().join("\n"));
    annotations.insert("members", members.to_string());
    annotations.insert("oldest", Age(oldest).to_string());
    let growth = all().filter_map(|notice| notice.growth_per_min).reduce(|a, b| a + b);
    annotations.extend(growth.map(|growth| ("growth_per_min", format!("{growth:.1}"))));
    let forecast = all().filter_map(|notice| notice.forecast).min_by_key(|f| f.full_in);
    annotations.extend(forecast.map(|forecast| ("forecast", limit(forecast))));
    annotations.insert("remedy", notice.verdict.remedy().to_owned());
    annotations.insert("runbook", runbook(notice.verdict));
    let url = runbook_url.map(|url| url.replace("{verdict}", notice.verdict.name()));
    annotations.extend(url.map(|url| ("runbook_url", url)));
    annotations
}

fn summary(
    groups: usize,
    members: usize,
    oldest: Duration,
    notice: &GroupNotice,
    message: &Message,
) -> String {
    let headline = message.headline();
    if groups == 1 {
        return headline;
    }
    let (state, oldest) = (notice.state, Age(oldest));
    format!(
        "{members} connections in {state} in {groups} groups, oldest {oldest}; most: {headline}"
    )
}
