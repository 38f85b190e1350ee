//! The thread that delivers to one sink.

use core::hash::BuildHasher as _;
use core::time::Duration;
use std::collections::hash_map::RandomState;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::backoff;
use super::message::Message;
use super::queue::{Queue, Waiting};
use super::{Again, Deliver, Failure, Notice};
use crate::cli::config::sink::Common;
use crate::model::delivery::Delivery;
use crate::report::escape::Escaped;
use crate::report::text::Age;

/// The handle of the thread.
pub struct Worker {
    shared: Arc<Shared>,
}

struct Shared {
    name: Arc<str>,
    kind: &'static str,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    queue: Queue,
    /// Messages that are being delivered: one, or none.
    in_hand: usize,
    sent: u64,
    failed: u64,
    dropped: u64,
    error: Option<Arc<str>>,
    closed: bool,
    ended: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    /// Starts it.
    ///
    /// # Errors
    /// If there cannot be a thread.
    pub fn start(deliver: Box<dyn Deliver>, common: Common<'_>, notice: Notice) -> Result<Self> {
        let state = State {
            queue: Queue::new(common.queue),
            in_hand: 0,
            sent: 0,
            failed: 0,
            dropped: 0,
            error: None,
            closed: false,
            ended: false,
        };
        let shared = Arc::new(Shared {
            name: common.name.into(),
            kind: common.kind,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let run = Run {
            shared: Arc::clone(&shared),
            deliver,
            retry_for: common.retry_for,
            failures: 0,
            resume: None,
            failing_since: None,
            gave_up: false,
            notice,
        };
        let thread = thread::Builder::new().name(format!("to {}", common.kind));
        thread.spawn(|| run.all()).context("cannot start the thread of a sink")?;
        Ok(Self { shared })
    }

    /// Has `message` delivered, or counts it as dropped. Never blocks.
    pub fn push(&self, message: &Arc<Message>) {
        let mut state = self.shared.state();
        if !state.queue.push(message, Instant::now()) {
            state.dropped += 1;
        }
        self.shared.changed.notify_all();
    }

    /// How it goes.
    pub fn status(&self) -> Delivery {
        let state = self.shared.state();
        Delivery {
            name: Arc::clone(&self.shared.name),
            kind: self.shared.kind,
            sent: state.sent,
            failed: state.failed,
            dropped: state.dropped,
            waiting: state.queue.len() + state.in_hand,
            error: state.error.clone(),
        }
    }

    /// Nothing more comes: the thread tries what waits once, and ends.
    pub fn close(&self) {
        self.shared.state().closed = true;
        self.shared.changed.notify_all();
    }

    /// Waits for that until `deadline`.
    pub fn wait(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let going_on = |state: &mut State| !state.ended;
        drop(self.shared.changed.wait_timeout_while(self.shared.state(), left, going_on));
    }
}

/// What there is to do.
enum Next {
    Deliver(Waiting),
    Refresh,
    End,
}

struct Run {
    shared: Arc<Shared>,
    deliver: Box<dyn Deliver>,
    retry_for: Duration,
    /// In a row.
    failures: u32,
    /// When to try again.
    resume: Option<Instant>,
    failing_since: Option<Instant>,
    gave_up: bool,
    notice: Notice,
}

impl Run {
    fn all(mut self) {
        loop {
            match self.next() {
                Next::Deliver(waiting) => self.deliver(waiting),
                Next::Refresh => {
                    let result = self.deliver.refresh();
                    // It is due until it goes well, and not without a pause.
                    let failure = result.err().map(|failure| Failure::later(failure.why));
                    self.account(failure.as_ref());
                }
                Next::End => break,
            }
        }
        self.shared.state().ended = true;
        self.shared.changed.notify_all();
    }

    fn next(&self) -> Next {
        let Shared { changed, .. } = &*self.shared;
        let mut state = self.shared.state();
        loop {
            let now = Instant::now();
            let paused = self.resume.filter(|&resume| resume > now && !state.closed);
            let due = self.deliver.due();
            if self.gave_up {
                return Next::End;
            }
            if paused.is_none() {
                if let Some(waiting) = state.queue.pop() {
                    state.in_hand = 1;
                    return Next::Deliver(waiting);
                }
                if state.closed {
                    return Next::End;
                }
                if due.is_some_and(|due| due <= now) {
                    return Next::Refresh;
                }
            }
            state = match paused.or(due) {
                Some(until) => {
                    let left = until.saturating_duration_since(now);
                    let woken = changed.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn deliver(&mut self, waiting: Waiting) {
        let result = self.deliver.deliver(&waiting.message);
        let failure = result.err();
        {
            let mut state = self.shared.state();
            state.in_hand = 0;
            match &failure {
                None => state.sent += 1,
                Some(Failure { again: Again::No, .. }) => state.dropped += 1,
                Some(_) => {
                    let late = waiting.since.elapsed() >= self.retry_for;
                    if late || !state.queue.put_back(waiting) {
                        state.dropped += 1;
                    }
                }
            }
            // The last call is one call.
            self.gave_up = state.closed && failure.as_ref().is_some_and(|f| f.again != Again::No);
        }
        self.account(failure.as_ref());
    }

    /// Takes in how an attempt went, and says so when that has changed.
    fn account(&mut self, failure: Option<&Failure>) {
        let name = Escaped(&self.shared.name).to_string();
        let Some(Failure { why, again, .. }) = failure else {
            self.shared.state().error = None;
            (self.failures, self.resume) = (0, None);
            if let Some(since) = self.failing_since.take() {
                let after = Age(since.elapsed());
                (self.notice)(&format!("sink `{name}` takes alerts again, after {after}"));
            }
            return;
        };
        {
            let mut state = self.shared.state();
            state.failed += 1;
            state.error = Some(why.as_str().into());
        }
        if *again != Again::No {
            self.failures = self.failures.saturating_add(1);
            let random = RandomState::new().hash_one(self.failures);
            self.resume = Some(Instant::now() + backoff::pause(self.failures, *again, random));
        }
        if self.failing_since.is_none() {
            self.failing_since = Some(Instant::now());
            let what = match again {
                Again::No => "one alert is lost to it",
                Again::Later | Again::After(_) => "it is tried again",
            };
            let why = Escaped(why);
            (self.notice)(&format!("sink `{name}` did not take an alert: {why}; {what}"));
        }
    }
}
