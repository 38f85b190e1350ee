//! `tcptrace watch`: one loop that folds everything that happens into the core, and prints what
//! comes out.

use std::io;

use anyhow::{Context as _, Result};

use super::config::{Effective, Layers, rules};
use super::elsewhere::Elsewhere;
use super::journal::{self, Journal};
use super::live::{Live, Sight};
use super::metrics::{self, Metrics, Sources};
use super::output::Output as Stdout;
use super::reload::Reload;
use super::session::{ACCOUNT, LAST_RECORDS, Stop, give_account, runtime};
use super::teller::Teller;
use super::{Style, filters, notice};
use crate::model::engine::{Engine, Input, Output};
use crate::model::event::Transition;
use crate::model::memory::Remembered;
use crate::model::summary::Summary;
use crate::model::time::{Anchor, Instant};
use crate::sys::clock;
use crate::sys::evidence::{Reply, Worker};
use crate::sys::notify::ServiceManager;
use crate::sys::recording::Recorder;

/// Follows until it is told to stop.
pub fn run(layers: Layers<'_>, style: &Style) -> Result<()> {
    run_with(layers, style, || {})
}

/// Does `once_ready` when everything that happens from then on is seen.
pub fn run_with(layers: Layers<'_>, style: &Style, once_ready: impl FnMut()) -> Result<()> {
    let effective = layers.read()?;
    runtime()?.block_on(follow(layers, effective, style, once_ready))
}

async fn follow(
    layers: Layers<'_>,
    effective: Effective,
    style: &Style,
    mut once_ready: impl FnMut(),
) -> Result<()> {
    let args = &effective.args.clone();
    let mut stop = Stop::new()?;
    let listener = metrics::listen(args.listen)?;
    let sight = Sight::open(args)?;
    let began = clock::anchor();
    let mut thresholds = sight.thresholds(args);
    let (remembered, told) = match args.no_record {
        true => Default::default(),
        false => journal::resume(args.record.as_deref(), style),
    };
    let journal = journal::open(args, style, (&sight.probe, &sight.holders), thresholds, began)?;
    thresholds.record = thresholds.record.filter(|_| journal.is_some());
    let config = sight.configuration(
        thresholds,
        (filters::filter(&args.live.filter)?, rules(&effective.config, began)?),
        (args.max_sockets, style.host.boot_id.clone()),
    );
    let elsewhere = Elsewhere::start(&effective.config.sink, style, told, began.monotonic)?;
    let reload = Reload::new(layers, effective, thresholds, began)?;
    let Sight { probe, holders, stacks } = sight;
    let worker = Worker::start(holders, stacks)?;
    let stdout = Stdout::start().context("cannot start the output thread")?;
    let recorder = args.record_raw.as_deref();
    let recorder = recorder
        .map(|path| Recorder::create(path, &style.host, config.clone(), began))
        .transpose()?;
    let mut watch = Watch {
        live: Live::new(Engine::new(config), probe, worker, recorder),
        journal,
        reload,
        metrics: None,
        elsewhere,
        stdout,
        teller: Teller { style, each: args.each },
        manager: ServiceManager::of_environment(),
    };
    watch.look_around(&remembered).await?;
    if let Some(listener) = listener {
        let journal = watch.journal.as_ref().map(Journal::dir);
        watch.metrics = Some(Metrics::start(listener, journal)?);
    }
    watch.manager.ready();
    once_ready();
    stop.after(args.live.stop_after);
    let stopped = watch.run(&mut stop).await;
    watch.manager.stopping();
    watch.finish(began.monotonic).await?;
    stopped
}

struct Watch<'a> {
    live: Live,
    journal: Option<Journal>,
    reload: Reload<'a>,
    metrics: Option<Metrics>,
    elsewhere: Elsewhere,
    stdout: Stdout,
    teller: Teller<'a>,
    manager: ServiceManager,
}

impl Watch<'_> {
    /// Takes in what was there first, and says that it is ready.
    async fn look_around(&mut self, remembered: &[Remembered]) -> Result<()> {
        let asked = clock::now();
        self.tick();
        let Self { live, metrics, .. } = self;
        let snapshot = live.look_around(asked, remembered, |event| see(metrics, event)).await?;
        let journal = self.journal.as_ref().map(Journal::dir);
        let text = words::first_line(&self.live.sources(), journal, &snapshot);
        self.take(Reply::Snapshot(Ok(snapshot)));
        notice(&text);
        notice("ready");
        self.tick();
        Ok(())
    }

    async fn run(&mut self, stop: &mut Stop) -> Result<()> {
        let mut account = tokio::time::interval(ACCOUNT);
        loop {
            let pause = self.live.pause();
            tokio::select! {
                biased;
                () = stop.requested() => return Ok(()),
                kind = self.stdout.closed() => return match kind {
                    io::ErrorKind::BrokenPipe => Ok(()),
                    kind => Err(io::Error::from(kind)).context("cannot write to stdout"),
                },
                terminal_gone = self.reload.requested() => match terminal_gone {
                    true => return Ok(()),
                    false => self.reload(),
                },
                reply = self.live.worker.reply() => self.take(reply?),
                result = self.live.probe.high_water() => {
                    result?;
                    self.drain();
                }
                question = Metrics::question(&mut self.metrics) => {
                    self.sources().answer(question)?;
                }
                _ = account.tick() => self.account()?,
                () = tokio::time::sleep(pause) => {
                    let Self { live, metrics, .. } = self;
                    live.drain_by_time(|event| see(metrics, event));
                }
            }
            self.tick();
            let engine = &self.live.engine;
            self.manager.beat(clock::now(), || words::service_status(engine));
        }
    }

    fn reload(&mut self) {
        self.manager.reloading();
        if let Some((thresholds, rules)) = self.reload.read(clock::anchor()) {
            self.live.tell_engine(Input::Configured(&thresholds, &rules));
            self.elsewhere.reload(self.reload.sinks());
        }
        self.manager.ready();
    }

    fn account(&mut self) -> Result<()> {
        self.live.probe.log();
        let lost = self.live.probe.lost()?;
        let now = self.live.tell_engine(Input::Lost(lost));
        if let Some(journal) = &mut self.journal {
            journal.clock(now);
        }
        if let Some((thresholds, rules)) = self.reload.clock_was_set(now) {
            self.live.tell_engine(Input::Configured(&thresholds, &rules));
        }
        for group in self.elsewhere.ended_meanwhile(now.monotonic) {
            self.tell(&Output::Group(Box::new(group)), now);
        }
        if let Some(metrics) = &mut self.metrics {
            metrics.round(now.monotonic);
        }
        Ok(())
    }

    fn sources(&self) -> Sources<'_> {
        let Self { live: Live { engine, probe, worker, .. }, stdout, elsewhere, .. } = self;
        let journal = self.journal.as_ref();
        Sources { engine, probe, worker, journal, stdout, elsewhere }
    }

    fn drain(&mut self) -> usize {
        let Self { live, metrics, .. } = self;
        live.drain(|event| see(metrics, event))
    }

    fn take(&mut self, reply: Reply) {
        let Self { live, metrics, .. } = self;
        live.take(reply, |event| see(metrics, event));
    }

    fn tick(&mut self) {
        let now = self.live.tell_engine(Input::Tick);
        while let Some(output) = self.live.poll() {
            match output {
                Output::Keep(entry) => {
                    if let Some(journal) = &mut self.journal {
                        journal.keep(entry);
                    }
                }
                told => self.tell(&told, now),
            }
        }
        self.stdout.flush();
    }

    /// Tells whoever wants to hear it.
    fn tell(&mut self, output: &Output, now: Anchor) {
        if let Some(journal) = &mut self.journal {
            journal.told(output);
        }
        self.elsewhere.tell(output, now);
        let teller = &self.teller;
        self.stdout.line(|out| teller.tell(out, now, output));
    }

    async fn finish(mut self, began: Instant) -> Result<()> {
        while self.drain() > 0 {}
        tokio::time::sleep(LAST_RECORDS).await;
        while self.drain() > 0 {}
        let lost = self.live.probe.lost()?;
        self.live.tell_engine(Input::Lost(lost));
        self.live.engine.sum_up(clock::now(), true);
        self.tick();
        self.live.probe.log();
        let now = clock::anchor();
        if let Some(journal) = self.journal.take() {
            journal.finish(now);
        }
        if let Some(recorder) = self.live.recorder.take() {
            words::end_recording(recorder, now, lost);
        }
        let (alerts, groups, groups_resolved) = self.live.engine.told();
        let summary = Summary {
            elapsed: now.monotonic.since(began),
            counts: self.live.engine.counts(),
            lost,
            undecodable: self.live.probe.undecodable(),
            unwritten: self.stdout.unwritten(),
            alerts,
            groups,
            groups_resolved,
            tracked: self.live.engine.tracked(),
            sinks: self.elsewhere.finish(),
        };
        give_account(self.stdout, self.teller.style, &summary, now).await
    }
}

fn see(metrics: &mut Option<Metrics>, event: &Transition) {
    if let Some(metrics) = metrics {
        metrics.see(event);
    }
}

mod words;
