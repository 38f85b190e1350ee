//! Who, across restarts.

use core::cmp::Ordering;
use core::hash::{Hash, Hasher};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::history::PastStay;
use crate::model::process::Process;

/// So many processes of one program are kept apart.
const MOST_PROCESSES: usize = 1000;

/// All processes of one name, unit and container on one machine.
#[derive(Clone, Debug)]
pub struct Program {
    /// The machine.
    pub host: Arc<str>,
    /// One of the processes; `None` where none is known.
    pub process: Option<Arc<Process>>,
}

/// Name, unit and container.
type Names<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

impl Program {
    /// That of a stay.
    pub fn of(stay: &PastStay) -> Self {
        Self { host: Arc::clone(&stay.host), process: stay.process.clone() }
    }

    fn key(&self) -> (&str, Option<Names<'_>>) {
        let process = self.process.as_deref();
        let names = process.map(|p| (&*p.comm, p.unit.as_deref(), p.container.as_deref()));
        (&self.host, names)
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Program {}

impl PartialOrd for Program {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Program {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Hash for Program {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// The processes of one program, and what became of the sockets that each has read to their end.
#[derive(Clone, Debug, Default)]
pub struct Processes {
    known: FxHashMap<(u32, Option<u64>), (u64, u64)>,
    more: bool,
}

impl Processes {
    pub(super) fn add(&mut self, stay: &PastStay) {
        let Some(process) = &stay.process else { return };
        let key = (process.pid, process.start_ticks);
        if self.known.len() == MOST_PROCESSES && !self.known.contains_key(&key) {
            self.more = true;
            return;
        }
        let (read, closed) = self.known.entry(key).or_default();
        // Later looks have counted more.
        let seen = stay.path.unwrap_or_default();
        (*read, *closed) = ((*read).max(seen.0), (*closed).max(seen.1));
    }

    /// How many there are, and whether there are more than could be counted.
    pub fn count(&self) -> (usize, bool) {
        (self.known.len(), self.more)
    }

    /// The pid, where it is one process.
    pub fn only(&self) -> Option<u32> {
        match self.count() {
            (1, false) => self.known.keys().next().map(|&(pid, _)| pid),
            _ => None,
        }
    }

    /// How many sockets they have read to their end on the code path of their stays, and how many of
    /// these were closed; `None` where that was not counted.
    pub fn proof(&self) -> Option<(u64, u64)> {
        let sum = self.known.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (sum.0 > 0 && !self.more).then_some(sum)
    }
}
