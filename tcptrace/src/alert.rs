//! Alerts and where they go.
//!
//! What is told is made once ([`message`]) and put into a queue for each sink ([`queue`]), whose thread
//! ([`worker`]) delivers it. A sink that is slow or dead holds up neither the others nor whoever tells: its
//! queue has at most one message of each group, and no more than so many.

mod alertmanager;
mod backoff;
mod command;
mod file;
mod http;
mod journald;
pub mod message;
mod queue;
mod slack;
mod webhook;
mod worker;

use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::advice::Advice;
use crate::cli::config::sink::{Common, Sink, Sinks};
use crate::model::condition::ConditionNotice;
use crate::model::delivery::Delivery;
use crate::model::group::GroupNotice;
use crate::model::time::Anchor;
use crate::sys::host::Host;
pub use journald::note;
use message::{Message, Told};
use worker::Worker;

/// How long what waits may take at the end, for all sinks together.
const LAST_CALL: Duration = Duration::from_secs(3);

/// Says something to whoever runs the program.
pub type Notice = fn(&str);

/// Everything that is told goes through here.
pub struct Alerts {
    host: Arc<str>,
    boot_id: Arc<str>,
    workers: Vec<(Sink, Worker)>,
    /// What is not over, as it was last told.
    firing: HashMap<Arc<str>, Arc<Message>>,
    /// What the run before has told of.
    already_told: HashSet<Arc<str>>,
    notice: Notice,
}

impl Alerts {
    /// Starts a thread for each sink. `already_told` are the groups and conditions that an earlier run of
    /// this boot has told of, and not that they are over: nobody is told anew that they fire.
    ///
    /// # Errors
    /// If a secret or a certificate cannot be read, or a thread cannot be started.
    pub fn start(
        sinks: &Sinks,
        host: &Host,
        already_told: &HashSet<Arc<str>>,
        notice: Notice,
    ) -> Result<Self> {
        let mut alerts = Self {
            host: host.name.as_str().into(),
            boot_id: host.boot_id.as_str().into(),
            workers: Vec::new(),
            firing: HashMap::new(),
            already_told: already_told.clone(),
            notice,
        };
        alerts.reload(sinks)?;
        Ok(alerts)
    }

    /// Goes on with other sinks. Those that are as they were keep what they have; new ones that repeat
    /// what goes on learn of it.
    ///
    /// # Errors
    /// As of [`Self::start`]; then everything is as before.
    pub fn reload(&mut self, sinks: &Sinks) -> Result<()> {
        let all = sinks.all();
        let new = all.iter().filter(|sink| !self.workers.iter().any(|(s, _)| s == *sink));
        let opened: Vec<_> =
            new.map(|sink| Ok((sink.clone(), open(sink)?))).collect::<Result<_>>()?;
        for (sink, deliver) in opened {
            let worker = Worker::start(deliver, sink.common(), self.notice)?;
            if repeats(&sink) {
                for message in self.firing.values().filter(|message| wants(&sink, message)) {
                    worker.push(message);
                }
            }
            self.workers.push((sink, worker));
        }
        let (stay, go): (Vec<_>, Vec<_>) =
            self.workers.drain(..).partition(|(sink, _)| all.contains(sink));
        self.workers = stay;
        // What waits there is tried once more, and nobody waits for that.
        go.iter().for_each(|(_, worker)| worker.close());
        Ok(())
    }

    /// Tells of a group.
    pub fn group(&mut self, notice: &GroupNotice, anchor: Anchor) {
        self.tell(Told::Group(Box::new(notice.clone())), anchor);
    }

    /// Tells of a condition.
    pub fn condition(&mut self, notice: &ConditionNotice, anchor: Anchor) {
        self.tell(Told::Condition(notice.clone()), anchor);
    }

    fn tell(&mut self, told: Told, anchor: Anchor) {
        let message =
            Message { host: self.host.clone(), boot_id: self.boot_id.clone(), anchor, told };
        let message = Arc::new(message);
        let id = message.id();
        if message.is_firing() {
            self.firing.insert(Arc::clone(id), Arc::clone(&message));
        } else {
            self.firing.remove(id);
        }
        let known = self.already_told.remove(id) && message.is_first();
        for (sink, worker) in &self.workers {
            if wants(sink, &message) && (!known || repeats(sink)) {
                worker.push(&message);
            }
        }
    }

    /// How it goes.
    pub fn status(&self) -> Vec<Delivery> {
        self.workers.iter().map(|(_, worker)| worker.status()).collect()
    }

    /// Has everything that waits sent, once and within some seconds.
    pub fn finish(self) -> Vec<Delivery> {
        self.workers.iter().for_each(|(_, worker)| worker.close());
        let deadline = Instant::now() + LAST_CALL;
        self.workers.iter().for_each(|(_, worker)| worker.wait(deadline));
        self.status()
    }
}

/// Whether the sink is sent what is no news, and knows by itself that it is none.
const fn repeats(sink: &Sink) -> bool {
    matches!(sink, Sink::Alertmanager(_))
}

fn wants(sink: &Sink, message: &Message) -> bool {
    message.severity() >= sink.common().severity
}

/// Why something was not delivered.
#[derive(Debug)]
struct Failure {
    why: String,
    again: Again,
    /// What somebody can do about it.
    advice: Option<&'static str>,
}

/// Whether to try the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// It would fail again.
    No,
    /// After a pause that grows.
    Later,
    /// Not before so long.
    After(Duration),
}

impl Failure {
    fn later(why: impl Into<String>) -> Self {
        Self { why: why.into(), again: Again::Later, advice: None }
    }

    fn never(why: impl Into<String>) -> Self {
        Self { why: why.into(), again: Again::No, advice: None }
    }

    fn and_try(self, advice: &'static str) -> Self {
        Self { advice: Some(advice), ..self }
    }
}

/// One way to tell.
trait Deliver: Send {
    /// Tells, and returns what was answered.
    fn deliver(&mut self, message: &Message) -> Result<String, Failure>;

    /// When something is to be sent though nothing is told.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// Sends it.
    fn refresh(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

fn open(sink: &Sink) -> Result<Box<dyn Deliver>> {
    let Common { name, kind, .. } = sink.common();
    let opened: Result<Box<dyn Deliver>> = match sink {
        Sink::Alertmanager(sink) => boxed(alertmanager::Alertmanager::open(sink)),
        Sink::Webhook(sink) => boxed(webhook::Webhook::open(sink)),
        Sink::Slack(sink) => boxed(slack::Slack::open(sink)),
        Sink::Journald(sink) => boxed(Ok(journald::Journald::open(sink))),
        Sink::Command(sink) => boxed(Ok(command::Command::open(sink))),
        Sink::File(sink) => boxed(Ok(file::File::open(sink))),
    };
    opened.with_context(|| format!("sink `{name}` ([[sink.{kind}]])"))
}

fn boxed(sink: Result<impl Deliver + 'static>) -> Result<Box<dyn Deliver>> {
    sink.map(|sink| Box::new(sink) as Box<dyn Deliver>)
}

/// What came of a sample.
pub struct Trial {
    /// The sink's name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// What it answered, or why it did not take it.
    pub result: Result<String, String>,
    /// What to do then.
    pub advice: Option<&'static str>,
    /// How long that took.
    pub took: Duration,
}

/// Sends a sample through each of the sinks called `names`, or through all.
///
/// # Errors
/// If there is none of a name, or none at all.
pub fn test(sinks: &Sinks, names: &[String], host: &Host, anchor: Anchor) -> Result<Vec<Trial>> {
    let all = sinks.all();
    let known = || all.iter().map(|sink| sink.common().name).collect::<Vec<_>>().join(", ");
    for name in names {
        if !all.iter().any(|sink| sink.common().name == name) {
            let there = if all.is_empty() { "none".to_owned() } else { known() };
            return Err(Advice::new(format!("there is no sink `{name}`; there is: {there}")).into());
        }
    }
    let chosen = all
        .iter()
        .filter(|sink| names.is_empty() || names.iter().any(|name| sink.common().name == name));
    let trials = chosen.map(|sink| {
        let Common { name, kind, severity, .. } = sink.common();
        let began = Instant::now();
        let sample = Message::sample(host, anchor, severity);
        let result = open(sink)
            .map_err(|why| Failure::never(format!("{:#}", why.root_cause())))
            .and_then(|mut sink| sink.deliver(&sample));
        let advice = result.as_ref().err().and_then(|failure| failure.advice);
        let result = result.map_err(|failure| failure.why);
        Trial { name: name.to_owned(), kind, result, advice, took: began.elapsed() }
    });
    Ok(trials.collect())
}

#[cfg(test)]
mod tests;
