//! `top --replay`: a recording on the screen, as fast as it is wanted.

use core::time::Duration;
use std::path::Path;

use anyhow::{Context as _, Error, Result};
use tokio::time::{Instant as TokioInstant, MissedTickBehavior, interval, sleep_until};

use super::FRAME;
use super::stage::{self, Stage, Wish};
use crate::cli::top::TopArgs;
use crate::command::{Style, notice, replay};
use crate::model::filter::Filter;
use crate::model::time::{Anchor, Instant};
use crate::model::top::Said;
use crate::model::top::key::Faster;
use crate::report::text;

/// How fast at most.
const FASTEST: u32 = 1000;
/// Frames played before keys get their turn.
const BATCH: usize = 512;

/// Plays it until its end has been looked at for long enough.
pub async fn play(file: &Path, args: &TopArgs, style: &Style) -> Result<()> {
    let filter = replay::told_of(&args.live.filter)?;
    let mut frames = replay::open(file).map_err(|error| replay::advise(error, file))?;
    let shown = file.display();
    let cannot = || format!("cannot replay {shown}");
    let mut player = replay::begin(&mut frames, filter).with_context(cannot)?;
    let style = style.of_host(replay::host_of(player.header()));
    let mut pace = Pace::new(player.now(), u32::from(args.speed), TokioInstant::now());
    let frame = stage::frame(&style, pace.words());
    let understand = |args: &_| Ok(replay::told_of(args)?.unwrap_or_else(Filter::default));
    let mut stage = Stage::open(frame, player.now(), understand)?;
    stage.stop.after(args.live.stop_after);
    let mut flaws = replay::Flaws::default();
    let mut drawn = interval(FRAME);
    drawn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What was read and is not due yet.
    let mut next: Option<Owned> = None;
    let mut is_over = false;
    loop {
        let mut played = 0;
        while !is_over && !stage.top.is_frozen() && played < BATCH {
            let frame = match next.take() {
                Some(frame) => frame,
                None => match frames.next_frame().with_context(cannot)? {
                    Some(Ok(frame)) => Owned::of(&frame),
                    Some(Err(flaw)) => {
                        flaws.found(&flaw);
                        continue;
                    }
                    None => {
                        is_over = true;
                        stage.top.say(Said::Done("the recording ends here; q to quit".to_owned()));
                        break;
                    }
                },
            };
            if frame.at > pace.now(TokioInstant::now()) {
                next = Some(frame);
                break;
            }
            played += 1;
            match player.play(&frame.borrow()) {
                Ok(None) => {}
                Ok(Some(now)) => {
                    while let Some(output) = player.poll() {
                        stage.top.tell(output, now);
                    }
                }
                Err(error) => flaws.say(&format!("{:#}", Error::from(error))),
            }
        }
        // With a full batch there is more to be done at once.
        let until = match &next {
            _ if played == BATCH => TokioInstant::now(),
            Some(frame) if !stage.top.is_frozen() => pace.moment(frame.at),
            _ => TokioInstant::now() + FRAME,
        };
        tokio::select! {
            biased;
            wish = stage.wish() => match wish? {
                Wish::End => break,
                Wish::Other(faster) => {
                    if let Some(faster) = faster {
                        pace.change(faster, TokioInstant::now());
                    }
                    pace.pause(stage.top.is_frozen(), TokioInstant::now());
                    stage.frame.source = pace.words();
                    stage.draw()?;
                }
            },
            _ = drawn.tick() => {
                let now = match is_over {
                    true => player.now(),
                    false => pace.anchor(player.now(), TokioInstant::now()),
                };
                let figures = player.engine().figures(now.monotonic);
                stage.top.beat(now, &figures, player.lost());
                stage.draw()?;
            }
            () = sleep_until(until) => {}
        }
    }
    drop(stage);
    flaws.end();
    if is_over {
        replay::say_missing(player.missing());
    }
    notice(&text::summary(&player.summary()));
    Ok(())
}

/// A frame that outlives the next one's being read.
struct Owned {
    kind: u8,
    at: Instant,
    payload: Vec<u8>,
}

impl Owned {
    fn of(frame: &crate::model::recording::Frame<'_>) -> Self {
        Self { kind: frame.kind, at: frame.at, payload: frame.payload.to_vec() }
    }

    fn borrow(&self) -> crate::model::recording::Frame<'_> {
        crate::model::recording::Frame { kind: self.kind, at: self.at, payload: &self.payload }
    }
}

/// What time it is in the recording.
struct Pace {
    /// A moment of the recording, and when it was played.
    from: Instant,
    since: TokioInstant,
    speed: u32,
    paused: bool,
}

impl Pace {
    fn new(now: Anchor, speed: u32, clock: TokioInstant) -> Self {
        Self { from: now.monotonic, since: clock, speed, paused: false }
    }

    fn now(&self, clock: TokioInstant) -> Instant {
        match self.paused {
            true => self.from,
            false => self.from.after((clock - self.since).saturating_mul(self.speed)),
        }
    }

    /// When `at` is to be played.
    fn moment(&self, at: Instant) -> TokioInstant {
        let ahead = at.since(self.from) / self.speed;
        // A timer is no finer, and what is due meanwhile is played at once.
        self.since + ahead.max(Duration::from_millis(1))
    }

    /// Both clocks; `known` is when the recorder looked at them last.
    fn anchor(&self, known: Anchor, clock: TokioInstant) -> Anchor {
        let monotonic = self.now(clock).max(known.monotonic);
        Anchor { monotonic, wall: known.wall_at(monotonic) }
    }

    fn set(&mut self, speed: u32, paused: bool, clock: TokioInstant) {
        (self.from, self.since) = (self.now(clock), clock);
        (self.speed, self.paused) = (speed, paused);
    }

    fn change(&mut self, faster: Faster, clock: TokioInstant) {
        let speed = match faster {
            Faster::Twice => self.speed.saturating_mul(2).min(FASTEST),
            Faster::Half => (self.speed / 2).max(1),
        };
        self.set(speed, self.paused, clock);
    }

    fn pause(&mut self, paused: bool, clock: TokioInstant) {
        if paused != self.paused {
            self.set(self.speed, paused, clock);
        }
    }

    fn words(&self) -> String {
        format!("replay at {}×", self.speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_as_fast_as_it_is_told_to_and_stands_still() {
        let wall = "2026-01-01T00:00:00Z".parse().unwrap();
        let start = TokioInstant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(Anchor { monotonic: Instant::default(), wall }, 10, start);
        let played = |pace: &Pace, clock| pace.now(clock).since(Instant::default()).as_secs();
        assert_eq!(played(&pace, at(3)), 30);
        assert_eq!(pace.moment(Instant::default().after(Duration::from_secs(50))), at(5));
        pace.change(Faster::Twice, at(3));
        assert_eq!(played(&pace, at(4)), 50);
        pace.pause(true, at(4));
        assert_eq!(played(&pace, at(13)), 50);
        pace.pause(false, at(13));
        assert_eq!(played(&pace, at(14)), 70);
        (0..20).for_each(|_| pace.change(Faster::Twice, at(14)));
        assert_eq!(pace.words(), "replay at 1000×");
        (0..20).for_each(|_| pace.change(Faster::Half, at(14)));
        assert_eq!((pace.words().as_str(), played(&pace, at(14))), ("replay at 1×", 70));
    }
}
