//! Recordings of everything the core was told, as a file: how one is written ([`tape`]), read (here)
//! and played back ([`player`]). The format is described in `docs/raw-recording.md`.

pub mod player;
pub mod tape;

use core::fmt;
use std::io::{self, Read};

use bytes::{Buf as _, BufMut as _};

use super::time::Instant;

/// What a recording begins with.
pub const MAGIC: [u8; 13] = *b"TCPTRACE-RAW\n";
/// The version written and understood. It rises when a frame means something else than before, and
/// when the kernel's records or what is known of a socket look otherwise.
pub const VERSION: u32 = 2;
/// Bytes of what comes before the first frame.
const OPENING: usize = MAGIC.len() + size_of::<u32>();
/// Bytes of a frame before its payload: kind, length, time.
const PREFIX: usize = 1 + 4 + 8;
/// Bytes of its checksum, which comes last.
const CHECKSUM: usize = 4;
/// The longest payload there is: a look at some hundred thousand stuck sockets. What claims to be
/// longer is damaged.
pub const LONGEST: usize = 256 << 20;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Where and with what it was recorded; the first frame.
    Header = 1,
    /// A transition, as the kernel wrote it.
    Transition = 2,
    /// A deed, likewise.
    Deed = 3,
    /// Time passed; what the wall clock showed.
    Tick = 4,
    /// How much was lost since the start.
    Lost = 5,
    /// What was found out about suspects.
    Evidence = 6,
    /// All sockets at one moment.
    Snapshot = 7,
    /// The minisockets of some namespaces.
    Orphans = 8,
    /// How many frames were left out here.
    LeftOut = 9,
    /// The run ended; the last frame.
    End = 10,
    /// What to tell of, and when, from then on.
    Configured = 11,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Header,
        Self::Transition,
        Self::Deed,
        Self::Tick,
        Self::Lost,
        Self::Evidence,
        Self::Snapshot,
        Self::Orphans,
        Self::LeftOut,
        Self::End,
        Self::Configured,
    ];

    /// The kind with this number, if this version knows it.
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&kind| kind as u8 == number)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Transition => "transition",
            Self::Deed => "deed",
            Self::Tick => "tick",
            Self::Lost => "count of losses",
            Self::Evidence => "evidence",
            Self::Snapshot => "snapshot",
            Self::Orphans => "orphans",
            Self::LeftOut => "count of what was left out",
            Self::End => "end",
            Self::Configured => "rules",
        })
    }
}

/// One frame of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The number of its [`Kind`], which may be one of another version.
    pub kind: u8,
    /// When the core was told.
    pub at: Instant,
    /// What it was told.
    pub payload: &'a [u8],
}

/// A payload is longer than [`LONGEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes is longer than a recording can hold")]
pub struct TooLong(pub usize);

/// Writes what comes before the first frame.
pub fn open(out: &mut Vec<u8>) {
    out.put_slice(&MAGIC);
    out.put_u32_le(VERSION);
}

/// Appends one frame to `out`.
///
/// # Errors
/// If `payload` is too long; `out` is as it was then.
pub fn frame(out: &mut Vec<u8>, kind: Kind, at: Instant, payload: &[u8]) -> Result<(), TooLong> {
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= LONGEST);
    let length = length.ok_or(TooLong(payload.len()))?;
    let start = out.len();
    out.put_u8(kind as u8);
    out.put_u32_le(length);
    out.put_u64_le(at.as_nanos());
    out.put_slice(payload);
    let checksum = crc32fast::hash(&out[start..]);
    out.put_u32_le(checksum);
    Ok(())
}

/// Why a file cannot be read as a recording at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It begins otherwise.
    #[error("this is no recording of `tcptrace watch --record-raw`")]
    Foreign,
    /// It is of another version than [`VERSION`].
    #[error("the recording has format {0}, and this tcptrace reads format {VERSION}")]
    Version(u32),
    /// It cannot be read.
    #[error("cannot read the recording")]
    Io(#[from] io::Error),
}

/// A place where a recording is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The checksum does not fit. What follows may be whole.
    Damaged {
        /// Where the frame begins.
        offset: u64,
        /// What it seems to be.
        kind: Option<Kind>,
        /// How long it seems to be, all in all.
        bytes: u64,
    },
    /// A frame claims to be longer than any. Where the next one begins is not known: the last thing
    /// that is read.
    Lengthless {
        /// Where the frame begins.
        offset: u64,
    },
    /// The recording ends in the middle of a frame.
    Torn {
        /// Where the frame begins.
        offset: u64,
        /// How much of it is there.
        bytes: u64,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Damaged { offset, kind: Some(kind), bytes } => {
                write!(f, "{bytes} bytes at offset {offset} are damaged: a frame ({kind}) is lost")
            }
            Self::Damaged { offset, kind: None, bytes } => {
                write!(f, "{bytes} bytes at offset {offset} are damaged: a frame is lost")
            }
            Self::Lengthless { offset } => {
                write!(f, "the recording is damaged at offset {offset}: all that follows is lost")
            }
            Self::Torn { offset, bytes } => write!(
                f,
                "the recording ends in the middle of a frame at offset {offset}: its {bytes} bytes \
                 are lost"
            ),
        }
    }
}

/// A recording as it is read, frame by frame.
#[derive(Debug)]
pub struct Frames<R> {
    from: R,
    offset: u64,
    /// Of the frame that was read last: payload and checksum.
    rest: Vec<u8>,
    over: bool,
}

impl<R: Read> Frames<R> {
    /// Reads what comes before the first frame.
    ///
    /// # Errors
    /// If it is no recording, or one of another version.
    pub fn open(mut from: R) -> Result<Self, OpenError> {
        let mut opening = Vec::with_capacity(OPENING);
        from.by_ref().take(OPENING as u64).read_to_end(&mut opening)?;
        let version = opening.strip_prefix(&MAGIC).ok_or(OpenError::Foreign)?;
        let version = version.try_into().map(u32::from_le_bytes);
        match version.map_err(|_| OpenError::Foreign)? {
            VERSION => Ok(Self { from, offset: OPENING as u64, rest: Vec::new(), over: false }),
            other => Err(OpenError::Version(other)),
        }
    }

    /// The next frame, or the flaw where it should be; `None` at the end.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn next_frame(&mut self) -> io::Result<Option<Result<Frame<'_>, Flaw>>> {
        if self.over {
            return Ok(None);
        }
        let offset = self.offset;
        self.rest.clear();
        let mut prefix = [0; PREFIX];
        let got = self.read(PREFIX as u64)?;
        if got < PREFIX {
            self.over = true;
            let torn = (got > 0).then_some(Err(Flaw::Torn { offset, bytes: got as u64 }));
            return Ok(torn);
        }
        prefix.copy_from_slice(&self.rest);
        let mut buf = &prefix[..];
        let (kind, length) = (buf.get_u8(), buf.get_u32_le() as usize);
        let at = Instant::from_nanos(buf.get_u64_le());
        if length > LONGEST {
            self.over = true;
            return Ok(Some(Err(Flaw::Lengthless { offset })));
        }
        self.rest.clear();
        // Takes as much memory as there are bytes, whatever the length says.
        let got = self.read((length + CHECKSUM) as u64)?;
        let bytes = (PREFIX + got) as u64;
        if got < length + CHECKSUM {
            self.over = true;
            return Ok(Some(Err(Flaw::Torn { offset, bytes })));
        }
        let (payload, mut checksum) = self.rest.split_at(length);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&prefix);
        hasher.update(payload);
        if hasher.finalize() != checksum.get_u32_le() {
            return Ok(Some(Err(Flaw::Damaged { offset, kind: Kind::of(kind), bytes })));
        }
        Ok(Some(Ok(Frame { kind, at, payload })))
    }

    /// Where the next frame begins.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Adds up to `limit` bytes to the rest.
    fn read(&mut self, limit: u64) -> io::Result<usize> {
        let got = self.from.by_ref().take(limit).read_to_end(&mut self.rest)?;
        self.offset += got as u64;
        Ok(got)
    }
}

#[cfg(test)]
pub(crate) mod tests;
