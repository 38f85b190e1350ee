//! From what the core is told to the bytes of a recording.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Kind, frame, open};
use crate::model::engine::{Engine, EngineConfig, Input};
use crate::model::event::Lost;
use crate::model::socket::{SocketKey, StayState};
use crate::model::stay::Stay;
use crate::model::time::{Anchor, Instant};

/// Where and with what a recording was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The machine's name.
    pub host: String,
    /// The version of tcptrace.
    pub tcptrace: String,
    /// The kernel's release.
    pub kernel: String,
    /// The byte order of the kernel's records.
    pub byte_order: ByteOrder,
    /// What the wall clock showed at the beginning.
    pub wall: Timestamp,
    /// What the core was started with; the boot id is part of that.
    pub engine: EngineConfig,
}

/// A machine's byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByteOrder {
    /// As on x86-64.
    Little,
    /// As on s390x.
    Big,
}

impl ByteOrder {
    /// That of this build.
    pub const OWN: Self = if cfg!(target_endian = "little") { Self::Little } else { Self::Big };
}

/// The account at the end of a run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct End {
    /// What the wall clock showed.
    pub wall: Timestamp,
    /// What was lost in all.
    pub lost: Lost,
}

/// Evidence, with the socket that it is on: unlike the stay's id that says the same if frames before
/// it are missing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Examined<E> {
    /// The socket.
    pub key: SocketKey,
    /// The state that it was in.
    pub state: StayState,
    /// What was found out.
    pub evidence: E,
}

/// A recording in the making. It knows neither where its bytes go nor when.
#[derive(Debug, Default)]
pub struct Tape {
    /// Whole frames, to be taken away.
    pub bytes: Vec<u8>,
    /// How many.
    pub frames: u64,
    /// Frames that could not be made.
    pub left_out: u64,
    /// Deeds, which are heard of before the transitions that the core takes in before them.
    held: Vec<u8>,
    held_frames: u64,
}

impl Tape {
    /// The beginning of a recording, made at `at`.
    pub fn new(at: Instant, header: &Header) -> Self {
        let mut tape = Self::default();
        open(&mut tape.bytes);
        tape.json(Kind::Header, at, header);
        tape
    }

    /// Adds a transition's record as the kernel wrote it.
    pub fn transition(&mut self, at: Instant, record: &[u8]) {
        self.add(Kind::Transition, at, record);
    }

    /// Keeps a deed's record until [`Self::place_deeds`].
    pub fn deed(&mut self, at: Instant, record: &[u8]) {
        match frame(&mut self.held, Kind::Deed, at, record) {
            Ok(()) => self.held_frames += 1,
            Err(_) => self.left_out += 1,
        }
    }

    /// Adds the deeds that were kept.
    pub fn place_deeds(&mut self) {
        self.bytes.append(&mut self.held);
        self.frames += core::mem::take(&mut self.held_frames);
    }

    /// Adds what `engine` is about to be told, but for transitions and deeds: those are kept as they
    /// came.
    pub fn input(&mut self, at: Anchor, input: &Input<'_>, engine: &Engine) {
        let now = at.monotonic;
        match input {
            Input::Transition(_) | Input::Deed(_) => {}
            Input::Tick => {
                self.add(Kind::Tick, now, &at.wall.as_nanosecond().to_le_bytes());
            }
            Input::Lost(lost) => self.json(Kind::Lost, now, lost),
            Input::Snapshot(snapshot) => self.json(Kind::Snapshot, now, snapshot),
            Input::Orphans(shown) => self.json(Kind::Orphans, now, shown),
            Input::Configured(thresholds, rules) => {
                self.json(Kind::Configured, now, &(thresholds, rules));
            }
            Input::Evidence(None) => self.json(Kind::Evidence, now, &()),
            Input::Evidence(Some(evidence)) => {
                // Nothing follows from evidence on a stay that is over.
                let examined = evidence.iter().filter_map(|(id, evidence)| {
                    let Stay { key, state, .. } = engine.stay(*id)?;
                    Some(Examined { key, state, evidence })
                });
                self.json(Kind::Evidence, now, &examined.collect::<Vec<_>>());
            }
        }
    }

    /// Adds the account at the end.
    pub fn end(&mut self, at: Anchor, lost: Lost) {
        self.json(Kind::End, at.monotonic, &End { wall: at.wall, lost });
    }

    /// Empties it of frames that nobody takes away, and returns how many.
    pub fn discard(&mut self) -> u64 {
        self.bytes.clear();
        core::mem::take(&mut self.frames)
    }

    fn json(&mut self, kind: Kind, at: Instant, payload: &impl Serialize) {
        match serde_json::to_vec(payload) {
            Ok(payload) => self.add(kind, at, &payload),
            Err(_) => self.left_out += 1,
        }
    }

    fn add(&mut self, kind: Kind, at: Instant, payload: &[u8]) {
        match frame(&mut self.bytes, kind, at, payload) {
            Ok(()) => self.frames += 1,
            Err(_) => self.left_out += 1,
        }
    }
}

/// The frame that says how many are missing where it stands.
pub fn left_out(at: Instant, frames: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Eight bytes are never too long.
    let _ = frame(&mut bytes, Kind::LeftOut, at, &frames.to_le_bytes());
    bytes
}
