//! A recording played back through the same core.

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::tape::{ByteOrder, End, Examined, Header};
use super::{Frame, Kind};
use crate::model::decode;
use crate::model::engine::{Engine, Input, Output};
use crate::model::event::Lost;
use crate::model::evidence::Evidence;
use crate::model::orphans::Minisockets;
use crate::model::rules::Rules;
use crate::model::snapshot::Snapshot;
use crate::model::stay::StayId;
use crate::model::summary::Summary;
use crate::model::time::{Anchor, Instant};
use crate::model::tracker::Thresholds;

/// Why a frame whose checksum fits says nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unplayable {
    /// The recording does not begin with a header.
    #[error("the recording does not say where it was made: its first frame is not the header")]
    NoHeader,
    /// Its kernel records are of the other byte order.
    #[error("the recording was made on a machine of the other byte order")]
    ByteOrder,
    /// Its payload is not what its kind has.
    #[error("a frame ({kind}) cannot be understood")]
    Payload {
        /// The frame's kind.
        kind: Kind,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Its payload is not as long as its kind's is, or no moment.
    #[error("a frame ({0}) cannot be understood")]
    Length(Kind),
}

/// What was missing in what was played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Frames that the recorder left out.
    pub left_out: u64,
    /// Frames of kinds that this version does not know.
    pub unknown: u64,
    /// The account at the end: the recorder was killed, or this is not all of the file.
    pub end: bool,
}

/// A core that is told what was recorded.
#[derive(Debug)]
pub struct Player {
    header: Header,
    engine: Engine,
    began: Instant,
    now: Anchor,
    lost: Lost,
    undecodable: u64,
    missing: Missing,
}

impl Player {
    /// Begins with the first frame.
    ///
    /// # Errors
    /// If it is not the header, or this machine cannot play what it announces.
    pub fn new(first: &Frame<'_>) -> Result<Self, Unplayable> {
        if first.kind != Kind::Header as u8 {
            return Err(Unplayable::NoHeader);
        }
        let header: Header = json(Kind::Header, first)?;
        if header.byte_order != ByteOrder::OWN {
            return Err(Unplayable::ByteOrder);
        }
        Ok(Self {
            engine: Engine::new(header.engine.clone()),
            began: first.at,
            now: Anchor { monotonic: first.at, wall: header.wall },
            header,
            lost: Lost::default(),
            undecodable: 0,
            missing: Missing { end: true, ..Missing::default() },
        })
    }

    /// Where and with what it was recorded.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The core.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What was lost as it was recorded, so far.
    pub const fn lost(&self) -> Lost {
        self.lost
    }

    /// The core, before its first input: what it tells of may be chosen anew.
    pub const fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Takes in one frame. Where that made the recorder tell what there was to tell, returns both its
    /// clocks at that moment: the outputs of [`Self::poll`] are due.
    ///
    /// # Errors
    /// If it says nothing; the next one may.
    pub fn play(&mut self, frame: &Frame<'_>) -> Result<Option<Anchor>, Unplayable> {
        let Some(kind) = Kind::of(frame.kind) else {
            self.missing.unknown += 1;
            return Ok(None);
        };
        let (at, engine) = (frame.at, &mut self.engine);
        match kind {
            Kind::Header => return Ok(None),
            Kind::Transition => match decode::transition(frame.payload) {
                Ok(event) => engine.handle(event.at, Input::Transition(&event)),
                Err(_) => self.undecodable += 1,
            },
            Kind::Deed => match decode::deed(frame.payload) {
                Ok(deed) => engine.handle(deed.at, Input::Deed(&deed)),
                Err(_) => self.undecodable += 1,
            },
            Kind::Tick => {
                self.now = Anchor { monotonic: at, wall: wall(frame)? };
                engine.handle(at, Input::Tick);
                return Ok(Some(self.now));
            }
            Kind::Lost => {
                self.lost = json(kind, frame)?;
                engine.handle(at, Input::Lost(self.lost));
            }
            Kind::Evidence => {
                let evidence = json::<Option<Vec<_>>>(kind, frame)?;
                let evidence = evidence.map(|examined| name(engine, examined));
                engine.handle(at, Input::Evidence(evidence));
            }
            Kind::Snapshot => {
                let snapshot: Option<Snapshot> = json(kind, frame)?;
                engine.handle(at, Input::Snapshot(snapshot.as_ref()));
            }
            Kind::Orphans => {
                let shown: Option<Minisockets> = json(kind, frame)?;
                engine.handle(at, Input::Orphans(shown.as_ref()));
            }
            Kind::Configured => {
                let (thresholds, rules): (Thresholds, Rules) = json(kind, frame)?;
                engine.handle(at, Input::Configured(&thresholds, &rules));
            }
            Kind::LeftOut => {
                let frames = frame.payload.try_into().map_err(|_| Unplayable::Length(kind))?;
                let frames = u64::from_le_bytes(frames);
                self.missing.left_out = self.missing.left_out.saturating_add(frames);
            }
            Kind::End => {
                let End { wall, lost } = json(kind, frame)?;
                (self.now, self.lost) = (Anchor { monotonic: at, wall }, lost);
                self.missing.end = false;
            }
        }
        Ok(None)
    }

    /// The next thing that the core wants done.
    pub fn poll(&mut self) -> Option<Output> {
        self.engine.poll()
    }

    /// Both clocks of the recorder, when it last looked at them.
    pub const fn now(&self) -> Anchor {
        self.now
    }

    /// What was missing so far.
    pub const fn missing(&self) -> Missing {
        self.missing
    }

    /// The account of what was played.
    pub fn summary(&self) -> Summary {
        let (alerts, groups, groups_resolved) = self.engine.told();
        Summary {
            elapsed: self.now.monotonic.since(self.began),
            counts: self.engine.counts(),
            lost: self.lost,
            undecodable: self.undecodable,
            unwritten: 0,
            alerts,
            groups,
            groups_resolved,
            tracked: self.engine.tracked(),
            sinks: Vec::new(),
        }
    }
}

/// Evidence by the stays of this run. Where frames are missing some of these may not be known.
fn name(engine: &Engine, examined: Vec<Examined<Evidence>>) -> Vec<(StayId, Evidence)> {
    let named = examined.into_iter().filter_map(|Examined { key, state, evidence }| {
        let stay = engine.stay_of(key).filter(|stay| stay.state == state)?;
        Some((stay.id, evidence))
    });
    named.collect()
}

fn json<T: DeserializeOwned>(kind: Kind, frame: &Frame<'_>) -> Result<T, Unplayable> {
    serde_json::from_slice(frame.payload).map_err(|source| Unplayable::Payload { kind, source })
}

fn wall(frame: &Frame<'_>) -> Result<Timestamp, Unplayable> {
    let wrong = Unplayable::Length(Kind::Tick);
    let Ok(nanos) = frame.payload.try_into().map(i128::from_le_bytes) else { return Err(wrong) };
    Timestamp::from_nanosecond(nanos).map_err(|_| wrong)
}
