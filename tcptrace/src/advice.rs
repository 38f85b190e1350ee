//! Errors that say what to do next.

use core::fmt;

/// An error with commands to try, each with what it is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What happened, and to what.
    pub message: String,
    /// What to do next.
    pub tries: Vec<(String, String)>,
}

impl Advice {
    /// An error without advice yet.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), tries: Vec::new() }
    }

    /// With one more thing to try.
    #[must_use]
    pub fn and_try(mut self, command: impl Into<String>, what_for: impl Into<String>) -> Self {
        self.tries.push((command.into(), what_for.into()));
        self
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Advice {}
