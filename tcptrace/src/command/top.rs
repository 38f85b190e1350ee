//! `tcptrace top`: the core of `watch` on a screen.

mod reel;
mod stage;

use core::time::Duration;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use tokio::time::{MissedTickBehavior, interval};

use self::stage::{Stage, Wish};
use super::config::{Layers, rules};
use super::live::{Live, Sight};
use super::session::{ACCOUNT, LAST_RECORDS, runtime};
use super::{Style, filters, notice};
use crate::advice::Advice;
use crate::cli::Given;
use crate::cli::top::TopArgs;
use crate::model::engine::{Engine, Input};
use crate::model::event::{Lost, Transition};
use crate::model::summary::Summary;
use crate::model::time::Anchor;
use crate::report::text;
use crate::sys::clock;
use crate::sys::evidence::{Reply, Worker};

/// How often the screen is drawn.
const FRAME: Duration = Duration::from_millis(500);

/// Shows it until somebody has seen enough.
pub fn run(args: &TopArgs, file: Option<PathBuf>, given: &Given, style: &Style) -> Result<()> {
    if !io::stdout().is_terminal() {
        let advice = Advice::new("tcptrace top draws on a terminal, and stdout is none")
            .and_try("tcptrace watch", "the same in lines")
            .and_try("tcptrace ls", "what there is now, once");
        return Err(anyhow!(advice));
    }
    if let Some(recording) = &args.replay {
        return runtime()?.block_on(reel::play(recording, args, style));
    }
    runtime()?.block_on(follow(args, file, given, style))
}

async fn follow(args: &TopArgs, file: Option<PathBuf>, given: &Given, style: &Style) -> Result<()> {
    let watch = args.as_watch();
    let effective = Layers { file, args: &watch, given }.read()?;
    let args = &effective.args;
    let sight = Sight::open(args)?;
    let began = clock::anchor();
    let mut thresholds = sight.thresholds(args);
    thresholds.record = None;
    let config = sight.configuration(
        thresholds,
        (filters::filter(&args.live.filter)?, rules(&effective.config, began)?),
        (args.max_sockets, style.host.boot_id.clone()),
    );
    let Sight { probe, holders, stacks } = sight;
    let worker = Worker::start(holders, stacks)?;
    let mut live = Live::new(Engine::new(config), probe, worker, None);
    let asked = clock::now();
    live.tell_engine(Input::Tick);
    // Nothing is known yet that could be told.
    while live.poll().is_some() {}
    let snapshot = live.look_around(asked, &[], unseen).await?;
    let source = live.sources();
    live.take(Reply::Snapshot(Ok(snapshot)), unseen);
    let frame = stage::frame(style, source);
    let mut stage = Stage::open(frame, began, filters::filter)?;
    stage.stop.after(args.live.stop_after);
    let shown = show(&mut live, &mut stage).await;
    drop(stage);
    tokio::time::sleep(LAST_RECORDS).await;
    while live.drain(unseen) > 0 {}
    let lost = live.probe.lost()?;
    notice(&text::summary(&summary(&live, began, lost)));
    shown
}

/// Nobody else wants to see what happens.
fn unseen(_: &Transition) {}

async fn show(live: &mut Live, stage: &mut Stage) -> Result<()> {
    let (mut account, mut frames) = (interval(ACCOUNT), interval(FRAME));
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut lost = Lost::default();
    loop {
        let pause = live.pause();
        tokio::select! {
            biased;
            wish = stage.wish() => match wish? {
                Wish::End => return Ok(()),
                Wish::Other(_) => stage.draw()?,
            },
            reply = live.worker.reply() => live.take(reply?, unseen),
            result = live.probe.high_water() => {
                result?;
                live.drain(unseen);
            }
            _ = account.tick() => {
                live.probe.log();
                lost = live.probe.lost()?;
                live.tell_engine(Input::Lost(lost));
            }
            _ = frames.tick() => {
                let now = clock::anchor();
                stage.top.beat(now, &live.engine.figures(now.monotonic), lost);
                stage.draw()?;
            }
            () = tokio::time::sleep(pause) => live.drain_by_time(unseen),
        }
        let now = live.tell_engine(Input::Tick);
        while let Some(output) = live.poll() {
            stage.top.tell(output, now);
        }
    }
}

fn summary(live: &Live, began: Anchor, lost: Lost) -> Summary {
    let (alerts, groups, groups_resolved) = live.engine.told();
    Summary {
        elapsed: clock::now().since(began.monotonic),
        counts: live.engine.counts(),
        lost,
        undecodable: live.probe.undecodable(),
        unwritten: 0,
        alerts,
        groups,
        groups_resolved,
        tracked: live.engine.tracked(),
        sinks: Vec::new(),
    }
}

/// What cannot be drawn.
fn draw_failed<T>(result: io::Result<T>) -> Result<T> {
    result.context("cannot draw on the terminal")
}
