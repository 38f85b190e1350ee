//! The record on disk: what [`recorder::Recorder`] is given as it happens, and what
//! [`history::History`] gives back a week later.
//!
//! A directory holds shards of some hours each, SQLite databases in WAL mode that any `sqlite3` opens
//! (`docs/journal.md` has their schema and the rules of crash and retention). One thread writes, fed by
//! a bounded queue, and commits whenever it is given both clocks, about once a second. Nothing that
//! happens to the disk blocks whoever feeds it: what could not be kept is counted, in the journal
//! itself.
//!
//! In reading order: [`recorder`] is the handle, `ledger` what waits to be written, `writer` puts it
//! into a `shard`; [`history`] reads.

mod clock;
pub mod history;
mod intern;
mod ledger;
mod lock;
mod names;
pub mod recorder;
pub mod releases;
mod row;
mod schema;
mod shard;
mod writer;

pub use shard::size_on_disk;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

/// Where a service keeps its journal.
pub const DIRECTORY: &str = "/var/lib/tcptrace";

/// Why nothing is recorded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One directory has one recorder.
    #[error("{} is being recorded to by another tcptrace{}", dir.display(), by(*pid))]
    Busy {
        /// The directory.
        dir: PathBuf,
        /// The process that records, if it could say so.
        pid: Option<u32>,
    },
    /// It is not there and cannot be made, or cannot be written to.
    #[error("cannot record in {}", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There are too many threads.
    #[error("cannot start the thread that records")]
    Thread(#[source] io::Error),
}

fn by(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}
