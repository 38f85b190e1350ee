//! From a stay to its path of frames.

use core::str::FromStr;
use std::sync::Arc;

use super::{FrameKind, FrameName};
use crate::model::code::Stack;
use crate::model::history::PastStay;
use crate::model::socket::canonical;
use crate::model::verdict::Verdict;

/// What a frame, or a run of frames, is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of `report --by`")]
pub enum By {
    Host,
    Unit,
    Process,
    Pid,
    State,
    Verdict,
    Peer,
    Stack,
}

impl By {
    /// All there are, in the order of the interface.
    pub const ALL: [Self; 8] = [
        Self::Host,
        Self::Unit,
        Self::Process,
        Self::Pid,
        Self::State,
        Self::Verdict,
        Self::Peer,
        Self::Stack,
    ];

    /// What to draw unless told otherwise: who, why, and which code. The unit comes first because half a
    /// dozen services of one host may be called `java`. The state is left out, for the verdict implies
    /// it, and the host, for what one host leaks its siblings leak as well.
    pub const DEFAULT: [Self; 4] = [Self::Unit, Self::Process, Self::Verdict, Self::Stack];

    /// The word on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Unit => "unit",
            Self::Process => "process",
            Self::Pid => "pid",
            Self::State => "state",
            Self::Verdict => "verdict",
            Self::Peer => "peer",
            Self::Stack => "stack",
        }
    }
}

/// A word that is no [`By`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of host, unit, process, pid, state, verdict, peer, stack")]
pub struct UnknownBy(String);

impl FromStr for By {
    type Err = UnknownBy;

    fn from_str(word: &str) -> Result<Self, UnknownBy> {
        let known = Self::ALL.into_iter().find(|by| by.name() == word);
        known.ok_or_else(|| UnknownBy(word.to_owned()))
    }
}

/// The frames of `stay`, the outermost first.
pub fn path_of(stay: &PastStay, by: &[By]) -> Vec<FrameName> {
    let mut path = Vec::with_capacity(by.len() + 16);
    for by in by {
        match by {
            By::Host => path.push(FrameName::new(FrameKind::Host, Arc::clone(&stay.host))),
            By::Unit => path.push(FrameName::new(FrameKind::Unit, unit(stay))),
            By::Process => path.push(FrameName::new(FrameKind::Process, process(stay))),
            By::Pid => path.push(FrameName::new(FrameKind::Pid, pid(stay))),
            By::State => path.push(FrameName::new(FrameKind::State, stay.state.state().name())),
            By::Verdict => path.push(FrameName::new(FrameKind::Verdict, stay.verdict.name())),
            By::Peer => path.push(FrameName::new(FrameKind::Peer, peer(stay))),
            By::Stack => code(stay, &mut path),
        }
    }
    path
}

fn unit(stay: &PastStay) -> &str {
    let Some(process) = &stay.process else { return nobody(stay) };
    let name = process.unit.as_deref().or(process.container.as_deref());
    name.or(process.cgroup.as_deref()).unwrap_or("no unit")
}

fn process(stay: &PastStay) -> &str {
    stay.process.as_ref().map_or(nobody(stay), |process| &process.comm)
}

fn pid(stay: &PastStay) -> String {
    stay.process.as_ref().map_or(nobody(stay).to_owned(), |process| process.pid.to_string())
}

/// In the place of a process.
fn nobody(stay: &PastStay) -> &'static str {
    match stay.verdict {
        Verdict::Kernel | Verdict::Orphan | Verdict::NoFd => "no process",
        _ => "process not known",
    }
}

/// With its port where that is likely to be a service's and not one of many that the kernel chose.
fn peer(stay: &PastStay) -> String {
    let remote = canonical(stay.remote);
    if remote.port() <= stay.local.port() { remote.to_string() } else { remote.ip().to_string() }
}

/// The code that read the end of file or shut down; else the code that opened the connection, and
/// what is known instead; else that alone.
fn code(stay: &PastStay, path: &mut Vec<FrameName>) {
    let walked =
        |stack: &Option<Arc<Stack>>| stack.as_deref().is_some_and(|s| !s.frames.is_empty());
    let seen = walked(&stay.stack);
    if let Some(stack) = if seen { &stay.stack } else { &stay.opened } {
        if !stack.complete && !stack.frames.is_empty() {
            path.push(FrameName::new(FrameKind::Note, "…"));
        }
        let frames = stack.frames.iter().rev();
        path.extend(frames.map(|f| FrameName::new(FrameKind::Function, f.to_string())));
    }
    if !seen {
        let opened = if walked(&stay.opened) { "opened here; " } else { "" };
        path.push(FrameName::new(FrameKind::Note, format!("{opened}{}", note(stay))));
    }
}

/// What is known where no code was seen to run. Without a time of day or a number: a frame of its own
/// for each socket would say nothing of what they have in common.
fn note(stay: &PastStay) -> String {
    let what = match stay.verdict {
        Verdict::Kernel => "the kernel's own socket",
        Verdict::NotAccepted => "never accepted",
        Verdict::NoFd => "no process holds it",
        Verdict::Sending => "still sending",
        Verdict::SendBlocked => "the peer acknowledges nothing",
        Verdict::DataUnread => "no read since, data left unread",
        Verdict::EofUnread => "no read since the peer closed",
        Verdict::EofRead | Verdict::SharedFd => "end of file read, stack not copied",
        Verdict::Drained => "everything read, by which code is not known",
        Verdict::Orphan => "closed, the peer's FIN is missing",
        Verdict::Receiving => "still receiving",
        Verdict::PeerNotClosing => "shut down, stack not copied",
        Verdict::ClosedNotReleased => "connection over, stack not copied",
    };
    match (stay.verdict, stay.held_by, stay.threads) {
        (Verdict::NoFd, Some(keeper), _) => format!("{what}: {}", keeper.name()),
        (Verdict::NotAccepted | Verdict::DataUnread | Verdict::EofUnread, _, Some(threads)) => {
            format!("{what}, {}", threads.name())
        }
        _ => what.to_owned(),
    }
}
