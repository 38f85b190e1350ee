//! What a kernel and its privileges allow.

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was tried.
    pub name: &'static str,
    /// How it went.
    pub status: CheckStatus,
    /// What was found, in a few words.
    pub found: String,
    /// What it is good for.
    pub gives: &'static str,
    /// What to do, where something can be done.
    pub advice: Option<String>,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckStatus {
    /// All of it is there.
    Good,
    /// There is something less in its place.
    Limited,
    /// It is not to be had.
    Missing,
}

impl CheckStatus {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Limited => "limited",
            Self::Missing => "missing",
        }
    }
}
