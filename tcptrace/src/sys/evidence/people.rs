//! The processes met in one look, each read once.

use core::cell::{OnceCell, RefCell};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::evidence::ThreadState;
use crate::model::process::{Holder, Process};
use crate::sys::arguments::Arguments;
use crate::sys::held_by::Keepers;
use crate::sys::holders::FdOf;
use crate::sys::{clock, process, threads};

/// By pid; `None`: there was none (any more).
pub(super) type Known = FxHashMap<u32, Option<Arc<Process>>>;

/// See the module.
pub struct People {
    boot_time: jiff::Timestamp,
    arguments: RefCell<Arguments>,
    known: RefCell<Known>,
    threads: RefCell<FxHashMap<u32, Option<ThreadState>>>,
    keepers: OnceCell<Keepers>,
}

impl People {
    /// Those who are `known` were met before.
    pub(super) fn who_are(known: Known) -> Self {
        Self {
            boot_time: clock::boot_time(),
            arguments: RefCell::default(),
            known: RefCell::new(known),
            threads: RefCell::default(),
            keepers: OnceCell::new(),
        }
    }

    /// Who was met.
    pub(super) fn known(self) -> Known {
        self.known.into_inner()
    }

    /// The process with this pid, if there is one (still).
    pub(super) fn process(&self, pid: u32) -> Option<Arc<Process>> {
        let read = || {
            let arguments = &mut self.arguments.borrow_mut();
            process::read(pid, self.boot_time, arguments).map(Arc::new)
        };
        self.known.borrow_mut().entry(pid).or_insert_with(read).clone()
    }

    /// What the threads of a process are doing.
    pub(super) fn threads(&self, pid: u32) -> Option<ThreadState> {
        *self.threads.borrow_mut().entry(pid).or_insert_with(|| threads::state(pid))
    }

    /// What keeps sockets that nobody holds: looked for once, if there is one.
    pub(super) fn keepers(&self) -> &Keepers {
        self.keepers.get_or_init(Keepers::find)
    }

    /// The processes behind `fds`. One that has ended, or whose pid is now another's, holds
    /// nothing.
    pub(super) fn holders(&self, fds: impl Iterator<Item = FdOf>) -> Vec<Holder> {
        let mut holders = Vec::<Holder>::new();
        for fd in fds {
            if let Some(holder) = holders.iter_mut().find(|holder| holder.process.pid == fd.pid) {
                holder.fds.push(fd.fd);
                continue;
            }
            let Some(process) = self.process(fd.pid) else { continue };
            if fd.start_ticks.is_none() || fd.start_ticks == process.start_ticks {
                holders.push(Holder { process, fds: vec![fd.fd] });
            }
        }
        holders
    }
}
