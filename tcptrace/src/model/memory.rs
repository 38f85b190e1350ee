//! What an earlier run saw of a stay that goes on, and that no later look can show.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::code::Stack;
use super::evidence::Evidence;
use super::history::OpenStay;
use super::reads::EofRead;

/// A stay that goes on, as an earlier run left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The stay.
    pub stay: OpenStay,
    /// What else was seen of it.
    pub memory: Memory,
}

/// What an earlier run saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Who had read the end of file, the first first.
    pub reads: Vec<EofRead>,
    /// The code that did so, or that shut down.
    pub stack: Option<Arc<Stack>>,
    /// The code that opened the connection.
    pub opened: Option<Arc<Stack>>,
    /// Whether it was accepted rather than connected.
    pub accepted: bool,
}

impl Memory {
    /// Whether there is anything to remember.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Evidence {
    /// Takes over what was seen before, where nothing has been seen since.
    pub fn recall(&mut self, memory: &Memory) {
        if self.eof_reads.is_empty() {
            self.eof_reads.clone_from(&memory.reads);
        }
        self.stack = self.stack.take().or_else(|| memory.stack.clone());
        self.opened = self.opened.take().or_else(|| memory.opened.clone());
    }
}
