//! Command lines, by a thread that nobody waits for for ever.
//!
//! A process has its arguments in its own memory, and can keep that locked: with one thread that reads, by
//! `/proc/self/mem`, a mapped file whose file system does not answer (FUSE), and another that waits to map
//! something. Whoever then reads `/proc/PID/cmdline` waits as well (`access_remote_vm`,
//! mm/memory.c), until it is killed.

use std::fs::File;
use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// No more of a command line is read: it can be megabytes, and is there to be recognised.
const LONGEST: u64 = 4096;
/// How long all those of one look are waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Threads that read, those included that never end.
const MOST_READERS: usize = 8;

/// Whoever asked them, they are of this one program.
static READERS: AtomicUsize = AtomicUsize::new(0);

/// Reads the command lines of one look.
#[derive(Debug)]
pub struct Arguments {
    /// It answers; started with the first question.
    reader: Option<Reader>,
    left: Duration,
}

#[derive(Debug)]
struct Reader {
    pids: Sender<u32>,
    read: Receiver<Option<Vec<String>>>,
}

/// Counts a thread.
struct Running;

impl Default for Arguments {
    fn default() -> Self {
        Self { reader: None, left: PATIENCE }
    }
}

impl Arguments {
    /// Those of the process with this pid; `None` if it has none (any more), or does not let anybody
    /// read them in time.
    pub fn of(&mut self, pid: u32) -> Option<Vec<String>> {
        if self.reader.is_none() && !self.left.is_zero() {
            self.reader = Reader::start();
        }
        let reader = self.reader.as_ref()?;
        let began = Instant::now();
        let read = reader.pids.send(pid).map_err(|_| RecvTimeoutError::Disconnected);
        let read = read.and_then(|()| reader.read.recv_timeout(self.left));
        self.left = self.left.saturating_sub(began.elapsed());
        read.unwrap_or_else(|_| {
            tracing::warn!("process {pid} does not let anybody read its command line");
            self.reader = None;
            None
        })
    }
}

impl Reader {
    /// `None` if there are too many that do not come back.
    fn start() -> Option<Self> {
        if READERS.load(Ordering::Relaxed) >= MOST_READERS {
            return None;
        }
        let (pids, asked) = channel();
        let (answers, read) = channel();
        let running = Running::new();
        let work = move || {
            let _running = running;
            while let Ok(pid) = asked.recv()
                && answers.send(self::read(pid)).is_ok()
            {}
        };
        thread::Builder::new().name("arguments".into()).spawn(work).ok()?;
        Some(Self { pids, read })
    }
}

impl Running {
    fn new() -> Self {
        READERS.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        READERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The arguments of a process that is trusted to let them be read.
pub fn read(pid: u32) -> Option<Vec<String>> {
    let mut bytes = Vec::new();
    let file = File::open(format!("/proc/{pid}/cmdline")).ok()?;
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    if bytes.is_empty() {
        return None;
    }
    Some(bytes.split(|&b| b == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_as_this_program_was_given() {
        let given: Vec<_> = std::env::args().collect();
        let mut arguments = Arguments::default();
        for _ in 0..2 {
            assert_eq!(arguments.of(std::process::id()).as_ref(), Some(&given));
        }
        assert_eq!(arguments.of(u32::MAX), None);
        assert!(!arguments.left.is_zero());
    }

    #[test]
    fn one_that_does_not_answer_is_waited_for_once() {
        let (pids, _asked) = channel();
        let (_answers, read) = channel();
        let left = Duration::from_millis(1);
        let mut arguments = Arguments { reader: Some(Reader { pids, read }), left };
        assert_eq!(arguments.of(std::process::id()), None);
        assert!(arguments.left.is_zero());
        assert_eq!(arguments.of(std::process::id()), None, "nobody is asked any more");
        assert!(arguments.reader.is_none());
    }
}
