//! What a shard looks like. `docs/journal.md` explains it; a change of it is a new [`VERSION`].

use std::io::{self, Read as _};
use std::path::Path;

use crate::sys::regular;

/// `tcpt`: what `file` and the reader know a shard by.
pub const APPLICATION: u32 = 0x7463_7074;
/// `PRAGMA user_version`.
pub const VERSION: u32 = 2;

/// Statements that make an empty shard.
pub const CREATE: &str = include_str!("schema.sql");

/// What a file's first bytes say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// Less than the header of a database.
    #[error("it is truncated")]
    Truncated,
    /// Something else.
    #[error("it is no journal")]
    Other,
    /// Written by a later version.
    #[error("it has schema version {0}, and this tcptrace reads up to {VERSION}: use a newer one")]
    Newer(u32),
}

/// Looks at the header of the database at `path`, which tells its version. It is in the file itself, not in the WAL, from
/// before the shard has its name.
///
/// # Errors
/// Those of reading.
pub fn identify(path: &Path) -> io::Result<Result<u32, NotOurs>> {
    let mut header = Vec::new();
    regular::open(path)?.take(100).read_to_end(&mut header)?;
    Ok(of_header(&header))
}

fn of_header(header: &[u8]) -> Result<u32, NotOurs> {
    let number = |at: usize| {
        let bytes = header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes).ok_or(NotOurs::Truncated)
    };
    let (version, application) = (number(60)?, number(68)?);
    if !header.starts_with(b"SQLite format 3\0") || application != APPLICATION {
        return Err(NotOurs::Other);
    }
    if version > VERSION { Err(NotOurs::Newer(version)) } else { Ok(version) }
}
