//! How it goes with what people and machines elsewhere are told.

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
