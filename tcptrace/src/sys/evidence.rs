//! Gathers the evidence on suspects, and the snapshot of what was there first.
//!
//! On a thread of its own, for two reasons: it enters other network namespaces, and a look at a
//! large host takes longer than the transitions can wait. One look answers for all suspects that
//! are due: a dump of each namespace concerned, a pass over all descriptors, a read of each process
//! concerned and, where several hold one socket, a second pass that drops who has let go meanwhile.

mod dump;
mod ends;
mod gatherer;
mod held;
mod people;
mod snapshot;
mod survey;
mod view;

use core::time::Duration;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use anyhow::{Context as _, Result};
pub use gatherer::Gatherer;
pub use people::People;
use rustc_hash::FxHashMap;
pub use survey::Survey;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::holders::Holders;
use super::stacks::Stacks;
use super::{clock, memory};
use crate::model::code::PathId;
use crate::model::evidence::{Evidence, Suspect};
use crate::model::orphans::{Minisockets, Namespaces};
use crate::model::snapshot::Snapshot;
use crate::model::stay::StayId;
use crate::model::time::Instant;

/// What looks have used is given back this often at most,
const TIDY: Duration = Duration::from_secs(60);
/// and when nothing has been asked for so long.
const PAUSE: Duration = Duration::from_millis(50);

/// What the thread is asked.
pub enum Request {
    /// Evidence on these.
    Examine(Vec<Suspect>),
    /// Every half-closed socket there is; with `others`, also which sockets in other states.
    Snapshot {
        /// Whether to look at all sockets.
        others: bool,
    },
    /// The minisockets in FIN_WAIT2 of these namespaces.
    Orphans {
        /// Where.
        namespaces: Namespaces,
        /// The code that closed them, by cookie.
        closers: FxHashMap<u64, PathId>,
    },
}

/// What it answers.
pub enum Reply {
    /// On those asked for, each at most once.
    Evidence(Result<Vec<(StayId, Evidence)>>),
    /// The sockets.
    Snapshot(Result<Snapshot>),
    /// Of those namespaces.
    Orphans(Result<Minisockets>),
}

/// The thread's other end.
pub struct Worker {
    holders: &'static str,
    requests: mpsc::Sender<Request>,
    replies: UnboundedReceiver<Reply>,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// If `/proc` is not mounted or no thread can be made.
    pub fn start(holders: Holders, stacks: Option<Stacks>) -> Result<Self> {
        let name = holders.name();
        let (requests, inbox) = mpsc::channel();
        let (outbox, replies) = unbounded_channel();
        let (ready, is_ready) = mpsc::channel();
        thread::Builder::new()
            .name("evidence".into())
            .spawn(move || match Gatherer::new(holders, stacks) {
                Ok(gatherer) => {
                    let _ = ready.send(Ok(()));
                    work(gatherer, &inbox, &outbox);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            })
            .context("cannot start the evidence thread")?;
        is_ready.recv().context("the evidence thread ended")??;
        Ok(Self { holders: name, requests, replies })
    }

    /// Where holders are read from.
    pub const fn holders(&self) -> &'static str {
        self.holders
    }

    /// Asks. Answers come in the order of the questions.
    ///
    /// # Errors
    /// If the thread has ended.
    pub fn ask(&self, request: Request) -> Result<()> {
        self.requests.send(request).ok().context("the evidence thread has ended")
    }

    /// The next answer.
    ///
    /// # Errors
    /// If the thread has ended.
    pub async fn reply(&mut self) -> Result<Reply> {
        self.replies.recv().await.context("the evidence thread has ended")
    }
}

fn work(mut gatherer: Gatherer, inbox: &mpsc::Receiver<Request>, outbox: &UnboundedSender<Reply>) {
    // The start has used most of all.
    let (mut used, mut tidied) = (true, None::<Instant>);
    loop {
        let pause = if used { PAUSE } else { Duration::MAX };
        let request = match inbox.recv_timeout(pause) {
            Err(RecvTimeoutError::Disconnected) => return,
            request => request.ok(),
        };
        let Some(request) = request else {
            let now = clock::now();
            if used && tidied.is_none_or(|at| now.since(at) >= TIDY) {
                memory::give_back();
                (used, tidied) = (false, Some(now));
            }
            continue;
        };
        used = true;
        let reply = match request {
            Request::Examine(stays) => Reply::Evidence(gatherer.examine(&stays)),
            Request::Snapshot { others } => Reply::Snapshot(gatherer.snapshot(others)),
            Request::Orphans { namespaces, closers } => {
                let orphans = gatherer.orphans(&namespaces);
                Reply::Orphans(orphans.map(|found| {
                    // Afterwards: their ages are lower bounds.
                    let at = clock::now();
                    let cookies = found.iter().filter_map(|socket| socket.key.cookie());
                    let code = gatherer.name(cookies.filter_map(|cookie| closers.get(&cookie)));
                    (at, found, code)
                }))
            }
        };
        if outbox.send(reply).is_err() {
            return;
        }
    }
}
