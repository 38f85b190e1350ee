//! What a watch says of itself.

use std::path::Path;

use crate::command::notice;
use crate::model::engine::Engine;
use crate::model::event::Lost;
use crate::model::snapshot::Snapshot;
use crate::model::time::Anchor;
use crate::sys::recording::{Account, Recorder};

/// What is traced with, and what was there first.
pub fn first_line(
    sources: &str,
    journal: Option<&Path>,
    Snapshot { half_closed, asked, closed, .. }: &Snapshot,
) -> String {
    let version = concat!("tcptrace ", env!("CARGO_PKG_VERSION"));
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (namespaces, there) = (asked.len() + closed, half_closed.len());
    let was = if there == 1 { "socket was" } else { "sockets were" };
    let mut text = format!(
        "{version} · {sources} · {namespaces} network namespace{} · {there} half-closed {was} there first",
        plural(namespaces),
    );
    if let Some(journal) = journal {
        text += &format!(" · recorded in {}", journal.display());
    }
    if *closed > 0 {
        text += &format!(
            "\n{closed} network namespace{} cannot be entered (CAP_SYS_ADMIN and CAP_SYS_PTRACE \
             allow it): connections never accepted and orphans do not show there",
            plural(*closed),
        );
    }
    text
}

/// What `systemctl status` shows.
pub fn service_status(engine: &Engine) -> String {
    let (_, formed, resolved) = engine.told();
    let (tracked, stuck) = (engine.tracked(), formed.saturating_sub(resolved));
    format!("following {tracked} sockets, {stuck} groups of them stuck")
}

/// Says what is missing in the recording, if anything is.
pub fn end_recording(recorder: Recorder, now: Anchor, lost: Lost) {
    let missing = match recorder.finish(now, lost) {
        None => "its end: the disk has not taken it in 10 s".to_owned(),
        Some(Account { left_out: 0, .. }) => return,
        Some(Account { left_out, error: None }) => {
            format!("{left_out} frames: the disk was too slow")
        }
        Some(Account { left_out, error: Some(error) }) => format!("{left_out} frames: {error}"),
    };
    notice(&format!("the recording lacks {missing}"));
}
