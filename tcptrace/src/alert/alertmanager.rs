//! Alertmanager, by its API v2.
//!
//! There an alert is its labels: several groups with the same ones (of other pids, of other code paths)
//! are one alert, which ends with the last of them. It lives for some minutes and is sent again before
//! that, so what was told is kept here.

mod labels;

use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use serde::Serialize;

use super::http::Client;
use super::message::Message;
use super::{Deliver, Failure};
use crate::cli::config::sink;
use labels::{Labels, annotations, labels};

/// No more alerts than this: each is kept there too.
const MOST: usize = 1000;
/// Alerts in one request.
const CHUNK: usize = 200;
/// How many times one may fail to be sent again before it is taken for over.
const LIVES: u32 = 5;

pub struct Alertmanager {
    client: Client,
    resend: Duration,
    more: BTreeMap<String, String>,
    runbook_url: Option<String>,
    alerts: BTreeMap<Labels, Alert>,
    /// Which alert a group is part of.
    part_of: HashMap<Arc<str>, Labels>,
    next: Option<Instant>,
}

#[derive(Debug)]
struct Alert {
    /// The newest message of each group.
    parts: BTreeMap<Arc<str>, Arc<Message>>,
    began: Timestamp,
    /// Once it is over: the last message, and when.
    last: Option<(Arc<Message>, Timestamp)>,
}

/// As it is posted.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted<'a> {
    labels: &'a Labels,
    annotations: BTreeMap<&'static str, String>,
    starts_at: Timestamp,
    ends_at: Timestamp,
}

impl Alertmanager {
    pub fn open(sink: &sink::Alertmanager) -> Result<Self> {
        Ok(Self {
            client: Client::open(sink.endpoint().map_err(|why| anyhow!(why))?)?,
            resend: sink.resend,
            more: sink.labels.clone(),
            runbook_url: sink.runbook_url.clone(),
            alerts: BTreeMap::new(),
            part_of: HashMap::new(),
            next: None,
        })
    }

    /// Takes in what is told, and returns the alerts that have changed by it.
    fn take(&mut self, message: &Message) -> Result<Vec<Labels>, Failure> {
        let id = Arc::clone(message.id());
        let labels = labels(message, &self.more);
        let mut changed = Vec::new();
        // A process's unit may be known only now.
        if let Some(before) = self.part_of.get(&id)
            && *before != labels
        {
            changed.push(before.clone());
            self.end(&id, message);
        }
        if !message.is_firing() {
            self.end(&id, message);
            changed.push(labels);
            return Ok(changed);
        }
        if !self.alerts.contains_key(&labels) && self.alerts.len() >= MOST {
            let why = format!("{MOST} alerts with labels of their own are enough");
            return Err(Failure::never(why));
        }
        let alert = self.alerts.entry(labels.clone()).or_insert_with(|| Alert {
            parts: BTreeMap::new(),
            began: message.since(),
            last: None,
        });
        if alert.last.take().is_some() {
            // It is another one than that which has just ended.
            alert.began = message.since();
        }
        alert.began = alert.began.min(message.since());
        alert.parts.insert(Arc::clone(&id), Arc::new(message.clone()));
        self.part_of.insert(id, labels.clone());
        changed.push(labels);
        Ok(changed)
    }

    /// Takes a group out of its alert.
    fn end(&mut self, id: &Arc<str>, message: &Message) {
        let Some(labels) = self.part_of.remove(id) else { return };
        let Some(alert) = self.alerts.get_mut(&labels) else { return };
        alert.parts.remove(id);
        if alert.parts.is_empty() {
            alert.last = Some((Arc::new(message.clone()), message.at()));
        }
    }

    /// Posts these alerts. Those that are over are forgotten then.
    fn post(&mut self, which: &[Labels], now: Timestamp) -> Result<String, Failure> {
        let mut answer = String::new();
        for chunk in which.chunks(CHUNK) {
            let alerts = chunk.iter().filter_map(|labels| self.alerts.get_key_value(labels));
            let posted: Vec<_> =
                alerts.map(|(labels, alert)| self.posted(labels, alert, now)).collect();
            let body =
                serde_json::to_vec(&posted).map_err(|why| Failure::never(why.to_string()))?;
            answer = self.client.post(&body, address)?;
            for labels in chunk {
                if self.alerts.get(labels).is_some_and(|alert| alert.last.is_some()) {
                    self.alerts.remove(labels);
                }
            }
        }
        Ok(answer)
    }

    fn posted<'a>(&self, labels: &'a Labels, alert: &Alert, now: Timestamp) -> Posted<'a> {
        let parts: Vec<_> = match &alert.last {
            Some((last, _)) => vec![&**last],
            None => alert.parts.values().map(|message| &**message).collect(),
        };
        let sample = parts.iter().any(|message| message.is_sample());
        let life = if sample { self.resend } else { self.resend * LIVES };
        Posted {
            labels,
            annotations: annotations(&parts, self.runbook_url.as_deref()),
            starts_at: alert.began,
            ends_at: match &alert.last {
                Some((_, ended)) => (*ended).max(alert.began),
                None => now.checked_add(life).unwrap_or(Timestamp::MAX),
            },
        }
    }
}

impl Deliver for Alertmanager {
    fn deliver(&mut self, message: &Message) -> Result<String, Failure> {
        let changed = self.take(message)?;
        let answer = self.post(&changed, Timestamp::now())?;
        // The first one begins the round.
        let next = self.next.unwrap_or_else(|| Instant::now() + self.resend);
        self.next = (!self.alerts.is_empty()).then_some(next);
        Ok(answer)
    }

    fn due(&self) -> Option<Instant> {
        self.next
    }

    fn refresh(&mut self) -> Result<(), Failure> {
        let all: Vec<_> = self.alerts.keys().cloned().collect();
        self.post(&all, Timestamp::now())?;
        self.next = (!self.alerts.is_empty()).then(|| Instant::now() + self.resend);
        Ok(())
    }
}

/// Of the API, below what the configuration has: with or without the path.
fn address(url: &str) -> String {
    const PATH: &str = "/api/v2/alerts";
    let url = url.trim_end_matches('/');
    if url.ends_with(PATH) { url.to_owned() } else { format!("{url}{PATH}") }
}

#[cfg(test)]
mod tests;
