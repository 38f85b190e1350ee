//! `watch --listen`: figures for machines, and whether it is really tracing.
//!
//! A scrape asks the loop, which answers when it comes round: a tracer that nobody asks computes
//! nothing. No more than once a second, however many ask. The loop itself makes a connection of its
//! own every few seconds and looks for it among the transitions.

use core::time::Duration;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::{Instant as TokioInstant, timeout};

use super::elsewhere::Elsewhere;
use super::journal::Journal;
use super::notice;
use super::output::Output;
use crate::journal::size_on_disk;
use crate::model::engine::Engine;
use crate::model::event::Transition;
use crate::model::figures::{Figures, Usage};
use crate::model::health::{EVERY, Health};
use crate::model::time::Instant;
use crate::report::openmetrics::{self, Format};
use crate::sys::canary::Canary;
use crate::sys::evidence::Worker;
use crate::sys::http::{Answer, Answers, Listener};
use crate::sys::probe::{Probe, Source};
use crate::sys::{clock, host, usage};

/// Figures are good for so long.
const FRESH: Duration = Duration::from_secs(1);
/// How long a scrape waits for the loop.
const PATIENCE: Duration = Duration::from_secs(3);

const INDEX: &str = "tcptrace: /metrics for Prometheus, /healthz says whether it is tracing\n";

type Question = oneshot::Sender<Figures>;

/// The loop's end.
pub struct Metrics {
    questions: mpsc::Receiver<Question>,
    health: watch::Sender<Health>,
    canary: Canary,
    flown: Instant,
}

/// Takes the address, before anything else is done.
///
/// # Errors
/// If it is another's.
pub fn listen(address: Option<SocketAddr>) -> Result<Option<Listener>> {
    let Some(address) = address else { return Ok(None) };
    let listener = Listener::bind(address)?;
    let at = listener.address;
    notice(&format!("metrics on http://{at}/metrics"));
    if !at.ip().is_loopback() {
        notice(&format!("{at} is open to the network: whoever reaches it can read the metrics"));
    }
    Ok(Some(listener))
}

impl Metrics {
    /// Serves from now on; `journal` is where the record is kept.
    ///
    /// # Errors
    /// If there can be no thread, or no connection of our own.
    pub fn start(listener: Listener, journal: Option<&Path>) -> Result<Self> {
        let canary = Canary::new().context("cannot take a port on 127.0.0.1 for /healthz")?;
        let now = clock::now();
        let (ask, questions) = mpsc::channel(1);
        let (health, told) = watch::channel(Health::new(now));
        let last = Mutex::new(None);
        listener.serve(Desk { ask, last, health: told, journal: journal.map(Path::to_owned) })?;
        let mut metrics = Self { questions, health, canary, flown: now };
        metrics.fly(now);
        Ok(metrics)
    }

    /// Is shown every transition.
    pub fn see(&mut self, event: &Transition) {
        if self.canary.is(event) {
            self.health.send_modify(|health| {
                health.seen = health.seen.max(event.at);
                health.failed = None;
            });
        }
    }

    /// About once a second: the loop goes round.
    pub fn round(&mut self, now: Instant) {
        self.health.send_modify(|health| health.round = now);
        if now.since(self.flown) >= EVERY {
            self.fly(now);
        }
    }

    fn fly(&mut self, now: Instant) {
        self.flown = now;
        if let Err(error) = self.canary.fly() {
            let why = Some(error.to_string().into());
            self.health.send_modify(|health| health.failed = why);
        }
    }

    /// Resolves when somebody wants figures; never where there are none.
    pub async fn question(metrics: &mut Option<Self>) -> Question {
        match metrics {
            Some(metrics) => match metrics.questions.recv().await {
                Some(question) => question,
                None => core::future::pending().await,
            },
            None => core::future::pending().await,
        }
    }
}

/// What figures are taken from.
pub struct Sources<'a> {
    pub engine: &'a Engine,
    pub probe: &'a Probe,
    pub worker: &'a Worker,
    pub journal: Option<&'a Journal>,
    pub stdout: &'a Output,
    pub elsewhere: &'a Elsewhere,
}

impl Sources<'_> {
    /// Answers `question`, with all that the loop knows.
    ///
    /// # Errors
    /// If the kernel does not tell what was lost.
    pub fn answer(&self, question: Question) -> Result<()> {
        let Self { engine, probe, journal, stdout, .. } = self;
        // Whoever asked while nobody answered has gone.
        if question.is_closed() {
            return Ok(());
        }
        let now = clock::now();
        let figures = Figures {
            sockets: engine.figures(now),
            lost: probe.lost()?,
            undecodable: probe.undecodable(),
            unwritten: stdout.unwritten(),
            probes: self.probes(),
            programs: probe.runs(),
            ring: probe.ring(),
            queues: journal.iter().map(|journal| journal.queue()).chain([stdout.queue()]).collect(),
            journal: journal.map(Journal::figures),
            sinks: self.elsewhere.status(),
            health: (Health::new(now), now),
            usage: Usage::default(),
            version: env!("CARGO_PKG_VERSION"),
            kernel: host::kernel_release(),
        };
        let _ = question.send(figures);
        Ok(())
    }

    fn probes(&self) -> Vec<(&'static str, bool)> {
        let source = self.probe.source();
        let deeds = self.probe.deeds();
        let on = |deed: Option<&Result<&str>>| deed.is_some_and(Result::is_ok);
        vec![
            ("tp_btf", source == Source::Btf),
            ("tracepoint", source == Source::Classic),
            ("eof", on(deeds.map(|deeds| &deeds.eof))),
            ("released", on(deeds.map(|deeds| &deeds.released))),
            ("accepted", on(deeds.and_then(|deeds| deeds.accepted.as_ref()))),
            ("iterator", self.worker.holders() == "iterator"),
        ]
    }
}

/// The server's end.
struct Desk {
    ask: mpsc::Sender<Question>,
    /// The last figures, if any could be had, and when. Whoever asks meanwhile waits for the same.
    last: Mutex<Option<(TokioInstant, Option<Arc<Figures>>)>>,
    health: watch::Receiver<Health>,
    journal: Option<PathBuf>,
}

impl Answers for Desk {
    async fn answer(&self, path: &str, accept: Option<&str>) -> Answer {
        match path {
            "/" => Answer::text(200, INDEX),
            "/metrics" => self.metrics(Format::accepted(accept)).await,
            "/healthz" => self.healthz(),
            _ => Answer::text(404, INDEX),
        }
    }
}

impl Desk {
    async fn metrics(&self, format: Format) -> Answer {
        let Some(figures) = self.figures().await else {
            return Answer::text(
                503,
                "the tracer does not answer: it is starting, ending or busy\n",
            );
        };
        let mut body = Vec::new();
        match openmetrics::write(&mut body, figures, format) {
            Ok(()) => Answer { status: 200, content_type: format.content_type(), body },
            Err(error) => Answer::text(500, format!("{error}\n")),
        }
    }

    async fn figures(&self) -> Option<Arc<Figures>> {
        let mut last = self.last.lock().await;
        if let Some((_, figures)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return figures.clone();
        }
        let figures = timeout(PATIENCE, self.ask()).await.ok().flatten().map(Arc::new);
        *last = Some((TokioInstant::now(), figures.clone()));
        figures
    }

    /// What the loop knows, and what it need not be asked for.
    async fn ask(&self) -> Option<Figures> {
        let (question, answer) = oneshot::channel();
        self.ask.send(question).await.ok()?;
        let mut figures = answer.await.ok()?;
        figures.usage = usage::own();
        figures.health.0 = self.health.borrow().clone();
        if let (Some(journal), Some(dir)) = (&mut figures.journal, &self.journal) {
            journal.bytes = size_on_disk(dir);
        }
        Some(figures)
    }

    fn healthz(&self) -> Answer {
        let (health, now) = (self.health.borrow(), clock::now());
        let age = health.age(now).as_secs_f64();
        match health.check(now) {
            Ok(()) => {
                Answer::text(200, format!("ok: saw a connection of its own {age:.1} s ago\n"))
            }
            Err(ill) => Answer::text(503, format!("{ill}\n")),
        }
    }
}
