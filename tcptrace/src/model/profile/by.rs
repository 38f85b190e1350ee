//! From a stay to its path of frames.

use core::str::FromStr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

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
    Paths::new(by).of(stay)
}

/// The same for many stays. A stack that several of them share is spelled out once.
#[derive(Clone, Debug)]
pub struct Paths {
    by: Vec<By>,
    /// By their address, which no other stack can have while they are here.
    spelled: FxHashMap<usize, (Arc<Stack>, Vec<FrameName>)>,
}

impl Paths {
    /// Paths of such frames.
    pub fn new(by: &[By]) -> Self {
        Self { by: by.to_vec(), spelled: FxHashMap::default() }
    }

    /// The frames of `stay`, the outermost first.
    pub fn of(&mut self, stay: &PastStay) -> Vec<FrameName> {
        let mut path = Vec::with_capacity(self.by.len() + 16);
        for i in 0..self.by.len() {
            path.push(match self.by[i] {
                By::Host => FrameName::new(FrameKind::Host, Arc::clone(&stay.host)),
                By::Unit => FrameName::new(FrameKind::Unit, unit(stay)),
                By::Process => FrameName::new(FrameKind::Process, process(stay)),
                By::Pid => FrameName::new(FrameKind::Pid, pid(stay)),
                By::State => FrameName::new(FrameKind::State, stay.state.state().name()),
                By::Verdict => FrameName::new(FrameKind::Verdict, stay.verdict.name()),
                By::Peer => FrameName::new(FrameKind::Peer, peer(stay)),
                By::Stack => {
                    self.code(stay, &mut path);
                    continue;
                }
            });
        }
        path
    }

    /// The code that read the end of file or shut down, unless an event loop does that for all; else the
    /// code that opened the connection, and what is known instead; else that alone.
    fn code(&mut self, stay: &PastStay, path: &mut Vec<FrameName>) {
        let walked = |stack: &Option<Arc<Stack>>| stack.clone().filter(|s| !s.frames.is_empty());
        let (last, opened) = (walked(&stay.stack), walked(&stay.opened));
        let for_all = opened.is_some() && last.as_ref().is_some_and(|last| last.is_event_loop());
        if let Some(last) = last.filter(|_| !for_all) {
            path.extend_from_slice(self.spell(last));
            return;
        }
        let here = if opened.is_some() { "opened here: " } else { "" };
        path.extend(opened.into_iter().flat_map(|stack| self.spell(stack).to_vec()));
        let what = if for_all { "end of file read by an event loop".into() } else { note(stay) };
        path.push(FrameName::new(FrameKind::Note, format!("{here}{what}")));
    }

    /// The frames of `stack`, the outermost first.
    pub fn spell(&mut self, stack: Arc<Stack>) -> &[FrameName] {
        let spelled = self.spelled.entry(Arc::as_ptr(&stack).addr());
        let (_, frames) = spelled.or_insert_with(|| {
            let cut_off = (!stack.complete).then(|| FrameName::new(FrameKind::Note, "…"));
            let frames = stack.frames.iter().rev();
            let frames = frames.map(|f| FrameName::new(FrameKind::Function, f.to_string()));
            let frames = cut_off.into_iter().chain(frames).collect();
            (stack, frames)
        });
        frames
    }
}

fn unit(stay: &PastStay) -> &str {
    let Some(process) = &stay.process else {
        return if nobody(stay) { "no unit" } else { "unit not known" };
    };
    let name = process.unit.as_deref().or(process.container.as_deref());
    name.or(process.cgroup.as_deref()).unwrap_or("no unit")
}

fn process(stay: &PastStay) -> &str {
    match &stay.process {
        Some(process) => &process.comm,
        None if nobody(stay) => "no process",
        None => "process not known",
    }
}

fn pid(stay: &PastStay) -> String {
    match &stay.process {
        Some(process) => process.pid.to_string(),
        None => process(stay).to_owned(),
    }
}

/// Whether there was no process to be known.
fn nobody(stay: &PastStay) -> bool {
    matches!(stay.verdict, Verdict::Kernel | Verdict::Orphan | Verdict::NoFd)
}

/// With its port where that is likely to be a service's and not one of many that the kernel chose.
fn peer(stay: &PastStay) -> String {
    let remote = canonical(stay.remote);
    if remote.port() <= stay.local.port() { remote.to_string() } else { remote.ip().to_string() }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::past;

    fn path(stay: &PastStay, by: &[By]) -> Vec<String> {
        path_of(stay, by).iter().map(|frame| frame.name.to_string()).collect()
    }

    #[test]
    fn every_word_is_a_frame_in_the_order_asked_for() {
        let path = path(&past::stay(), &By::ALL);
        let expect = ["web-3", "orders.service", "java", "4711", "CLOSE_WAIT", "eof_read"];
        assert_eq!(path[..6], expect);
        assert_eq!(path[6], "10.0.3.7:443");
        assert_eq!(path[7..], ["main", "com.acme.OrderClient.send", "com.acme.Pool.borrow"]);
        for by in By::ALL {
            assert_eq!(by.name().parse(), Ok(by));
        }
        let error = "sleepy".parse::<By>().unwrap_err().to_string();
        assert!(By::ALL.iter().all(|by| error.contains(by.name())), "{error}");
    }

    #[test]
    fn where_no_code_ran_a_frame_says_so() {
        let note = |stay: PastStay| path(&stay, &[By::Stack]).join(";");
        let blind = PastStay { stack: None, ..past::stay() };
        let unread = PastStay { verdict: Verdict::EofUnread, ..blind.clone() };
        assert_eq!(note(unread.clone()), "no read since the peer closed, blocked in poll");
        assert_eq!(
            note(PastStay { opened: Some(past::stack(&["main", "connect"])), ..unread }),
            "main;connect;opened here: no read since the peer closed, blocked in poll"
        );
        assert_eq!(note(blind.clone()), "end of file read, stack not copied");
        for verdict in crate::model::verdict::VERDICTS {
            let note = note(PastStay { verdict, ..blind.clone() });
            assert!(!note.is_empty() && !note.chars().any(|c| c.is_ascii_digit()), "{note}");
        }
    }

    #[test]
    fn an_event_loop_gives_way_to_who_opened_the_connection() {
        let reads = Some(past::stack(&["uv__io_poll", "uv__read"]));
        let stay = PastStay { stack: reads, opened: None, ..past::stay() };
        assert_eq!(path(&stay, &[By::Stack]), ["uv__io_poll", "uv__read"], "better than nothing");
        let stay = PastStay { opened: Some(past::stack(&["main", "connect"])), ..stay };
        let expect = ["main", "connect", "opened here: end of file read by an event loop"];
        assert_eq!(path(&stay, &[By::Stack]), expect);
    }

    #[test]
    fn a_stack_that_was_cut_off_says_so_at_its_outer_end() {
        let mut stack = (*past::stack(&["middle", "inner"])).clone();
        stack.complete = false;
        let stay = PastStay { stack: Some(Arc::new(stack)), ..past::stay() };
        assert_eq!(path(&stay, &[By::Stack]), ["…", "middle", "inner"]);
    }

    #[test]
    fn a_port_that_the_kernel_chose_is_no_peer() {
        let (local, remote) = ("10.0.3.1:80".parse().unwrap(), "[::ffff:10.9.9.9]:41000".parse());
        let stay = PastStay { local, remote: remote.unwrap(), ..past::stay() };
        assert_eq!(path(&stay, &[By::Peer]), ["10.9.9.9"]);
    }

    #[test]
    fn stacks_at_one_address_are_not_mixed_up() {
        let mut paths = Paths::new(&[By::Stack]);
        for i in 0..100 {
            let name = format!("function{i}");
            let stay = PastStay { stack: Some(past::stack(&[&name])), ..past::stay() };
            assert_eq!(*paths.of(&stay)[0].name, *name);
        }
    }
}
