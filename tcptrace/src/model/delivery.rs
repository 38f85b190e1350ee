//! How it goes with what people and machines elsewhere are told.

use core::time::Duration;
use std::sync::Arc;

/// The account of one sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// What it is called.
    pub name: Arc<str>,
    /// What it is.
    pub kind: &'static str,
    /// Messages that it took.
    pub sent: u64,
    /// Attempts that failed, whether or not a later one went well.
    pub failed: u64,
    /// Messages given up: there was no room for them, or it never took them.
    pub dropped: u64,
    /// Messages that wait.
    pub waiting: usize,
    /// Why the last attempt failed; `None` after one that went well.
    pub error: Option<Arc<str>>,
}

/// What came of one message.
#[derive(Clone, Copy, Debug)]
pub struct Delivered<'a> {
    /// What the sink is called.
    pub sink: &'a str,
    /// What it is.
    pub kind: &'static str,
    /// What it answered, or why it did not take it.
    pub result: Result<&'a str, &'a str>,
    /// What to do then.
    pub advice: Option<&'static str>,
    /// How long that took.
    pub took: Duration,
}
