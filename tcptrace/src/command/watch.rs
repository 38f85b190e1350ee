//! `tcptrace watch`: one loop that folds everything that happens into the core, and prints what
//! comes out.

use core::time::Duration;
use std::io;

use anyhow::{Context as _, Result};

use super::config::{Effective, Layers, rules};
use super::elsewhere::Elsewhere;
use super::journal::{self, Journal};
use super::metrics::{self, Metrics, Sources};
use super::output::Output as Stdout;
use super::reload::Reload;
use super::session::{
    ACCOUNT, BATCH, DRAIN, DRAIN_QUIET, LAST_RECORDS, Stop, attach, give_account, runtime,
};
use super::teller::Teller;
use super::{Style, filters, notice, say_fallback};
use crate::cli::StacksChoice;
use crate::model::engine::{Engine, EngineConfig, Input, Output};
use crate::model::event::Deed;
use crate::model::memory::Remembered;
use crate::model::summary::Summary;
use crate::model::time::{Anchor, Instant};
use crate::model::tracker::Thresholds;
use crate::sys::evidence::{Reply, Request, Worker};
use crate::sys::holders::Holders;
use crate::sys::loader::Kernel;
use crate::sys::notify::ServiceManager;
use crate::sys::probe::{Probe, Source, Wanted};
use crate::sys::recording::Recorder;
use crate::sys::{checkup, clock};

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
    let mut kernel = Kernel::read()?;
    let stacks = args.stacks != StacksChoice::Off;
    let accepts = args.stacks == StacksChoice::All;
    let wanted = Wanted { ring_bytes: args.ring_size, on_cpu: false, stacks, accepts };
    let mut probe = attach(&mut kernel, args.probe, wanted)?;
    if stacks && !(probe.source() == Source::Btf && kernel.has_stacks()) {
        notice(&format!("code paths are not seen: {}", checkup::why_no_code_paths()));
    } else if accepts {
        words::say_blind_to_accepts(&probe);
    }
    let stacks = stacks.then(|| probe.take_stacks(&kernel)).transpose()?;
    let holders = open_holders(&mut kernel);
    // All its types are large, and needed no more.
    drop(kernel);
    let began = clock::anchor();
    let mut thresholds = Thresholds {
        close_wait: args.close_wait,
        fin_wait2: args.fin_wait_2,
        // No other source shows them.
        closed: holders.is_iterator().then_some(args.closed),
        record: Some(args.record_from),
    };
    let (remembered, told) = match args.no_record {
        true => Default::default(),
        false => journal::resume(args.record.as_deref(), style),
    };
    let journal = journal::open(args, style, (&probe, &holders), thresholds, began)?;
    thresholds.record = thresholds.record.filter(|_| journal.is_some());
    let config = EngineConfig {
        thresholds,
        filter: filters::filter(&args.filter)?,
        rules: rules(&effective.config, began)?,
        capacity: args.max_sockets,
        boot_id: style.host.boot_id.clone(),
        identity: probe.identity(),
        eof: probe.deeds().is_some_and(|deeds| deeds.eof.is_ok()),
    };
    let elsewhere = Elsewhere::start(&effective.config.sink, style, told, began.monotonic)?;
    let reload = Reload::new(layers, effective, thresholds, began)?;
    let worker = Worker::start(holders, stacks)?;
    let stdout = Stdout::start().context("cannot start the output thread")?;
    let recorder = args.record_raw.as_deref();
    let recorder = recorder
        .map(|path| Recorder::create(path, &style.host, config.clone(), began))
        .transpose()?;
    let mut watch = Watch {
        engine: Engine::new(config),
        probe,
        deeds: Vec::new(),
        worker,
        recorder,
        journal,
        reload,
        metrics: None,
        elsewhere,
        stdout,
        teller: Teller { style, each: args.each },
        manager: ServiceManager::of_environment(),
        pause: DRAIN,
    };
    watch.look_around(&remembered).await?;
    if let Some(listener) = listener {
        let journal = watch.journal.as_ref().map(Journal::dir);
        watch.metrics = Some(Metrics::start(listener, journal)?);
    }
    watch.manager.ready();
    once_ready();
    stop.after(args.stop_after);
    let stopped = watch.run(&mut stop).await;
    watch.manager.stopping();
    watch.finish(began.monotonic).await?;
    stopped
}

fn open_holders(kernel: &mut Kernel) -> Holders {
    let (holders, why) = Holders::open(Some(kernel));
    say_fallback(why);
    holders
}

struct Watch<'a> {
    engine: Engine,
    probe: Probe,
    deeds: Vec<Deed>,
    worker: Worker,
    recorder: Option<Recorder>,
    journal: Option<Journal>,
    reload: Reload<'a>,
    metrics: Option<Metrics>,
    elsewhere: Elsewhere,
    stdout: Stdout,
    teller: Teller<'a>,
    manager: ServiceManager,
    /// Until the rings are drained again.
    pause: Duration,
}

impl Watch<'_> {
    /// Takes in what was there first, and says that it is ready.
    async fn look_around(&mut self, remembered: &[Remembered]) -> Result<()> {
        let asked = clock::now();
        self.tick();
        let mut reply = loop {
            // A busy host makes more in the meantime than the ring holds.
            tokio::select! {
                reply = self.worker.reply() => break reply?,
                result = self.probe.high_water() => result?,
                () = tokio::time::sleep(DRAIN) => {}
            }
            self.drain();
        };
        if let Reply::Snapshot(Err(error)) = reply {
            return Err(error.context("cannot see which sockets are there already"));
        }
        if let Reply::Snapshot(Ok(snapshot)) = &mut reply {
            snapshot.remember(asked..clock::now(), remembered);
        }
        let text = match &reply {
            Reply::Snapshot(Ok(snapshot)) => {
                let journal = self.journal.as_ref().map(Journal::dir);
                words::first_line(&self.probe, &self.worker, journal, snapshot)
            }
            _ => String::new(),
        };
        self.take(reply);
        notice(&text);
        notice("ready");
        self.tick();
        Ok(())
    }

    async fn run(&mut self, stop: &mut Stop) -> Result<()> {
        let mut account = tokio::time::interval(ACCOUNT);
        loop {
            let pause = self.pause();
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
                reply = self.worker.reply() => self.take(reply?),
                result = self.probe.high_water() => {
                    result?;
                    self.drain();
                }
                question = Metrics::question(&mut self.metrics) => {
                    self.sources().answer(question)?;
                }
                _ = account.tick() => self.account()?,
                () = tokio::time::sleep(pause) => {
                    if self.drain() == 0 {
                        self.pause = (self.pause * 2).min(DRAIN_QUIET);
                    }
                }
            }
            self.tick();
            let engine = &self.engine;
            self.manager.beat(clock::now(), || words::service_status(engine));
        }
    }

    /// How long nothing needs to be done.
    fn pause(&self) -> Duration {
        let deadline = self.engine.next_deadline();
        deadline.map_or(self.pause, |deadline| deadline.since(clock::now()).min(self.pause))
    }

    fn reload(&mut self) {
        self.manager.reloading();
        if let Some((thresholds, rules)) = self.reload.read(clock::anchor()) {
            self.tell_engine(Input::Configured(&thresholds, &rules));
            self.elsewhere.reload(self.reload.sinks());
        }
        self.manager.ready();
    }

    fn account(&mut self) -> Result<()> {
        self.probe.log();
        let lost = self.probe.lost()?;
        let now = self.tell_engine(Input::Lost(lost));
        if let Some(journal) = &mut self.journal {
            journal.clock(now);
        }
        if let Some((thresholds, rules)) = self.reload.clock_was_set(now) {
            self.tell_engine(Input::Configured(&thresholds, &rules));
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
        let Self { engine, probe, worker, stdout, elsewhere, .. } = self;
        let journal = self.journal.as_ref();
        Sources { engine, probe, worker, journal, stdout, elsewhere }
    }

    /// Whatever does not come from the kernel's rings. Returns both clocks at that moment.
    fn tell_engine(&mut self, input: Input<'_>) -> Anchor {
        let now = clock::anchor();
        if let Some(recorder) = &mut self.recorder {
            recorder.input(now, &input, &self.engine);
        }
        self.engine.handle(now.monotonic, input);
        now
    }

    fn drain(&mut self) -> usize {
        let Self { probe, engine, deeds, recorder, metrics, .. } = self;
        let now = clock::now();
        // What was done comes out first and goes in last: what made it possible is then in between.
        probe.take_deeds(deeds, |record| {
            if let Some(recorder) = recorder {
                recorder.deed(now, record);
            }
        });
        let raw = |record: &[u8]| {
            if let Some(recorder) = recorder {
                recorder.transition(now, record);
            }
        };
        let count = probe.drain(BATCH, raw, |event| {
            if let Some(metrics) = metrics {
                metrics.see(event);
            }
            engine.handle(event.at, Input::Transition(event));
        });
        if let Some(recorder) = recorder {
            recorder.place_deeds();
        }
        for deed in deeds.drain(..) {
            engine.handle(deed.at, Input::Deed(&deed));
        }
        if count > 0 {
            self.pause = DRAIN;
        }
        count
    }

    /// Everything that happened before the look ended is in the ring: it comes first, so that
    /// nothing is told of a socket that is gone.
    fn take(&mut self, reply: Reply) {
        while self.drain() > 0 {}
        match reply {
            Reply::Evidence(evidence) => {
                if let Err(error) = &evidence {
                    notice(&format!("cannot look at what is stuck, trying again: {error:#}"));
                }
                self.tell_engine(Input::Evidence(evidence.ok()));
            }
            Reply::Snapshot(snapshot) => {
                if let Err(error) = &snapshot {
                    notice(&format!("cannot look at all sockets, trying again: {error:#}"));
                }
                let snapshot = snapshot.ok();
                self.tell_engine(Input::Snapshot(snapshot.as_ref()));
            }
            Reply::Orphans(at, found, code) => {
                self.tell_engine(Input::Orphans(at, &found, &code));
            }
        }
    }

    fn tick(&mut self) {
        let now = self.tell_engine(Input::Tick);
        while let Some(output) = self.engine.poll() {
            let request = match output {
                Output::Examine(stays) => Request::Examine(stays),
                Output::TakeSnapshot { others } => Request::Snapshot { others },
                Output::FindOrphans { namespaces, closers } => {
                    Request::Orphans { namespaces, closers }
                }
                Output::Alert(_) | Output::Group(_) | Output::Condition(_) => {
                    self.tell(&output, now);
                    continue;
                }
                Output::Keep(entry) => {
                    if let Some(journal) = &mut self.journal {
                        journal.keep(entry);
                    }
                    continue;
                }
            };
            // If the thread has ended, the next answer that is waited for says so.
            let _ = self.worker.ask(request);
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
        let lost = self.probe.lost()?;
        self.tell_engine(Input::Lost(lost));
        self.engine.sum_up(clock::now(), true);
        self.tick();
        self.probe.log();
        let now = clock::anchor();
        if let Some(journal) = self.journal.take() {
            journal.finish(now);
        }
        if let Some(recorder) = self.recorder.take() {
            words::end_recording(recorder, now, lost);
        }
        let (alerts, groups, groups_resolved) = self.engine.told();
        let summary = Summary {
            elapsed: now.monotonic.since(began),
            counts: self.engine.counts(),
            lost,
            undecodable: self.probe.undecodable(),
            unwritten: self.stdout.unwritten(),
            alerts,
            groups,
            groups_resolved,
            tracked: self.engine.tracked(),
            sinks: self.elsewhere.finish(),
        };
        give_account(self.stdout, self.teller.style, &summary, now).await
    }
}

mod words;
