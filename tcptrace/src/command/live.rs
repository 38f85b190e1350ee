//! The core on the running kernel: what `watch` and `top` have in common.

use core::time::Duration;

use anyhow::Result;

use super::notice;
use super::say_fallback;
use super::session::{BATCH, DRAIN, DRAIN_QUIET, attach};
use crate::cli::live::{StacksChoice, WatchArgs};
use crate::model::engine::{Engine, EngineConfig, Input, Output};
use crate::model::event::{Deed, Transition};
use crate::model::filter::Filter;
use crate::model::memory::Remembered;
use crate::model::rules::Rules;
use crate::model::snapshot::Snapshot;
use crate::model::time::{Anchor, Instant};
use crate::model::tracker::Thresholds;
use crate::sys::evidence::{Reply, Request, Worker};
use crate::sys::holders::Holders;
use crate::sys::loader::Kernel;
use crate::sys::probe::{Probe, Source, Wanted};
use crate::sys::recording::Recorder;
use crate::sys::stacks::Stacks;
use crate::sys::{checkup, clock};

/// What there is to see with, before anything is seen.
pub struct Sight {
    pub probe: Probe,
    pub holders: Holders,
    pub stacks: Option<Stacks>,
}

impl Sight {
    /// Attaches what `args` ask for, and says what is not to be had.
    pub fn open(args: &WatchArgs) -> Result<Self> {
        let mut kernel = Kernel::read()?;
        let stacks = args.live.stacks != StacksChoice::Off;
        let accepts = args.live.stacks == StacksChoice::All;
        let wanted = Wanted { ring_bytes: args.ring_size, on_cpu: false, stacks, accepts };
        let mut probe = attach(&mut kernel, args.live.probe, wanted)?;
        if stacks && !(probe.source() == Source::Btf && kernel.has_stacks()) {
            notice(&format!("code paths are not seen: {}", checkup::why_no_code_paths()));
        } else if accepts {
            say_blind_to_accepts(&probe);
        }
        let stacks = stacks.then(|| probe.take_stacks(&kernel)).transpose()?;
        let (holders, why) = Holders::open(Some(&mut kernel));
        say_fallback(why);
        // All the kernel's types are large, and needed no more.
        Ok(Self { probe, holders, stacks })
    }

    /// When to look, as far as can be seen.
    pub fn thresholds(&self, args: &WatchArgs) -> Thresholds {
        Thresholds {
            close_wait: args.live.close_wait,
            fin_wait2: args.live.fin_wait_2,
            // No other source shows them.
            closed: self.holders.is_iterator().then_some(args.live.closed),
            record: Some(args.record_from),
        }
    }

    /// What the core is to be given.
    pub fn configuration(
        &self,
        thresholds: Thresholds,
        (filter, rules): (Filter, Rules),
        (capacity, boot_id): (usize, String),
    ) -> EngineConfig {
        let eof = self.probe.deeds().is_some_and(|deeds| deeds.eof.is_ok());
        let identity = self.probe.identity();
        EngineConfig { thresholds, filter, rules, capacity, boot_id, identity, eof }
    }
}

/// Says so, if the code that accepts was asked for and is not to be seen.
fn say_blind_to_accepts(probe: &Probe) {
    if let Some(Err(why)) = probe.deeds().and_then(|deeds| deeds.accepted.as_ref()) {
        notice(&format!("the code that accepts is not seen: {why:#}"));
    }
}

/// The core, and what it is told by.
pub struct Live {
    pub engine: Engine,
    pub probe: Probe,
    pub worker: Worker,
    pub recorder: Option<Recorder>,
    deeds: Vec<Deed>,
    /// Until the rings are drained again.
    pause: Duration,
}

impl Live {
    pub fn new(engine: Engine, probe: Probe, worker: Worker, recorder: Option<Recorder>) -> Self {
        Self { engine, probe, worker, recorder, deeds: Vec::new(), pause: DRAIN }
    }

    /// Which evidence is on.
    pub fn sources(&self) -> String {
        let eof = self.probe.deeds().is_some_and(|deeds| deeds.eof.is_ok());
        let eof = if eof { ", EOF evidence" } else { "" };
        format!("{}{eof}, {}", self.probe.source().name(), self.worker.holders())
    }

    /// Waits for the first look at what was there before, which the first tick has asked for after
    /// `asked`. It is then to be taken in.
    pub async fn look_around(
        &mut self,
        asked: Instant,
        remembered: &[Remembered],
        mut see: impl FnMut(&Transition),
    ) -> Result<Snapshot> {
        let reply = loop {
            // A busy host makes more in the meantime than the ring holds.
            tokio::select! {
                reply = self.worker.reply() => break reply?,
                result = self.probe.high_water() => result?,
                () = tokio::time::sleep(DRAIN) => {}
            }
            self.drain(&mut see);
        };
        let snapshot = match reply {
            Reply::Snapshot(snapshot) => snapshot,
            Reply::Evidence(_) | Reply::Orphans(_) => anyhow::bail!("nothing else was asked for"),
        };
        let mut snapshot = snapshot
            .map_err(|error| error.context("cannot see which sockets are there already"))?;
        snapshot.remember(asked..clock::now(), remembered);
        Ok(snapshot)
    }

    /// How long nothing needs to be done.
    pub fn pause(&self) -> Duration {
        let deadline = self.engine.next_deadline();
        deadline.map_or(self.pause, |deadline| deadline.since(clock::now()).min(self.pause))
    }

    /// Whatever does not come from the kernel's rings. Returns both clocks at that moment.
    pub fn tell_engine(&mut self, input: Input<'_>) -> Anchor {
        let now = clock::anchor();
        if let Some(recorder) = &mut self.recorder {
            recorder.input(now, &input, &self.engine);
        }
        self.engine.handle(now.monotonic, input);
        now
    }

    /// Takes in what the rings hold, when it was time; next time is later if that was nothing.
    pub fn drain_by_time(&mut self, see: impl FnMut(&Transition)) {
        if self.drain(see) == 0 {
            self.pause = (self.pause * 2).min(DRAIN_QUIET);
        }
    }

    /// Takes in what the rings hold, and shows it to `see` as well. Returns how many transitions.
    pub fn drain(&mut self, mut see: impl FnMut(&Transition)) -> usize {
        let Self { probe, engine, deeds, recorder, .. } = self;
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
            see(event);
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
    pub fn take(&mut self, reply: Reply, mut see: impl FnMut(&Transition)) {
        while self.drain(&mut see) > 0 {}
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
            Reply::Orphans(orphans) => {
                if let Err(error) = &orphans {
                    notice(&format!("cannot look for orphans, trying again: {error:#}"));
                }
                self.tell_engine(Input::Orphans(orphans.as_ref().ok()));
            }
        }
    }

    /// The next thing to be told or kept. What is to be looked at is asked for on the way.
    pub fn poll(&mut self) -> Option<Output> {
        loop {
            let request = match self.engine.poll()? {
                Output::Examine(stays) => Request::Examine(stays),
                Output::TakeSnapshot { others } => Request::Snapshot { others },
                Output::FindOrphans { namespaces, closers } => {
                    Request::Orphans { namespaces, closers }
                }
                told => return Some(told),
            };
            // If the thread has ended, the next answer that is waited for says so.
            let _ = self.worker.ask(request);
        }
    }
}
