//! The lines of `release`, on stdout and in the journal.

use serde::Serialize;

use super::SocketLine;

/// A socket that was to be ended, and what became of it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::report::json) struct ReleaseLine<'a> {
    /// `shutdown` or `abort`.
    pub(in crate::report::json) means: &'static str,
    /// `would` (a dry run), `ended`, `refused`, `gone`, `left` or `failed`.
    pub(in crate::report::json) result: &'static str,
    /// Of what was refused, gone or left: why, in a word.
    pub(in crate::report::json) reason: Option<&'static str>,
    /// The same, or what failed, in words.
    pub(in crate::report::json) why: Option<String>,
    /// The state right after it was ended; null: that is not to be seen.
    pub(in crate::report::json) new_state: Option<&'static str>,
    pub(in crate::report::json) asked_by: AskerLine<'a>,
    /// As it was before.
    #[serde(flatten)]
    pub(in crate::report::json) socket: SocketLine<'a>,
}

/// Who asked.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::report::json) struct AskerLine<'a> {
    pub(in crate::report::json) pid: u32,
    pub(in crate::report::json) uid: u32,
    /// The user who logged in; null: nobody did, or it is not known.
    pub(in crate::report::json) login_uid: Option<u32>,
    /// The user who called sudo, by its word.
    pub(in crate::report::json) sudo_user: Option<&'a str>,
    pub(in crate::report::json) command: &'a [String],
}

/// The account of a run of `release`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::report::json) struct ReleaseRunLine<'a> {
    /// `rehearsed` (a dry run), `begun`, `ended` or `stopped`.
    pub(in crate::report::json) status: &'static str,
    /// Why it stopped.
    pub(in crate::report::json) why: Option<&'a str>,
    /// `shutdown` or `abort`.
    pub(in crate::report::json) means: &'static str,
    pub(in crate::report::json) rate_per_s: f64,
    pub(in crate::report::json) limit: Option<usize>,
    pub(in crate::report::json) asked_by: AskerLine<'a>,
    /// Sockets that the filters chose; each went one of the ways below, once the run is over.
    pub(in crate::report::json) selected: usize,
    pub(in crate::report::json) would: usize,
    pub(in crate::report::json) ended: usize,
    pub(in crate::report::json) refused: usize,
    pub(in crate::report::json) gone: usize,
    pub(in crate::report::json) left: usize,
    pub(in crate::report::json) failed: usize,
}
