//! Code paths: the functions that were running, the innermost first.

use core::fmt;
use core::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How many functions name a code path in a line.
const SHOWN: usize = 3;

/// What a code path is known by before it has names: a number that the kernel side makes of it
/// (`tcptrace_common::StackRecord::path`).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct PathId(NonZeroU32);

impl PathId {
    /// `None` for 0.
    pub fn new(id: u32) -> Option<Self> {
        NonZeroU32::new(id).map(Self)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

/// A code path as a person would name it, and its part in the matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodePath {
    /// What it did.
    pub did: Did,
    /// Its functions, in a line.
    pub line: Arc<str>,
}

/// What code did with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Did {
    /// It read the end of file.
    Read,
    /// It shut down sending, or closed.
    ShutDown,
    /// It opened the connection.
    Connect,
    /// It accepted it.
    Accept,
}

impl Did {
    /// The name in JSON: the system call's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ShutDown => "shutdown",
            Self::Connect => "connect",
            Self::Accept => "accept",
        }
    }
}

/// A stack, as far as it could be walked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// The innermost first.
    pub frames: Vec<Frame>,
    /// Whether it was walked to its outer end.
    pub complete: bool,
}

/// One function of a stack. Names are what the program says: hostile, but valid UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Where it was: in the module's file, or in the process where there is no file.
    pub address: u64,
    /// The function's name; `None` where there is no symbol.
    pub function: Option<String>,
    /// The file that the code comes from; `None` for code that was made at run time.
    pub module: Option<String>,
    /// Source file and line.
    pub source: Option<(String, Option<u32>)>,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.function, &self.module) {
            (Some(function), _) => f.write_str(function)?,
            (None, Some(module)) => write!(f, "{}+{:#x}", file_name(module), self.address)?,
            (None, None) => write!(f, "{:#x}", self.address)?,
        }
        match &self.source {
            Some((file, Some(line))) => write!(f, " ({}:{line})", file_name(file)),
            Some((file, None)) => write!(f, " ({})", file_name(file)),
            None => Ok(()),
        }
    }
}

impl Frame {
    /// Whether it only passes a call on: the C library, or Rust's own.
    fn is_library(&self) -> bool {
        const FILES: [&str; 4] = ["libc.", "libc-", "libpthread", "ld-musl"];
        const CALLS: [&str; 18] = [
            "accept",
            "accept4",
            "connect",
            "__connect",
            "shutdown",
            "close",
            "__close",
            "__close_nocancel",
            "read",
            "readv",
            "recv",
            "recvfrom",
            "recvmsg",
            "__libc_recv",
            "__libc_read",
            "__alt_socketcall",
            "__syscall_cp_c",
            "sccp",
        ];
        const CRATES: [&str; 6] = ["std::", "<std::", "core::", "<core::", "alloc::", "<alloc::"];
        let file = self.module.as_deref().map(file_name);
        let function = self.function.as_deref();
        // An inlined function's name does not say whose it is, its source file does.
        let source = self.source.as_ref().map(|(file, _)| file.as_str());
        source.is_some_and(|file| file.starts_with("/rustc/"))
            || file.is_some_and(|file| FILES.iter().any(|library| file.starts_with(library)))
            || function.is_some_and(|name| CALLS.contains(&name))
            || function.is_some_and(|name| CRATES.iter().any(|library| name.starts_with(library)))
    }

    fn is(&self, names: &[&str]) -> bool {
        self.function.as_deref().is_some_and(|function| names.iter().any(|n| function.contains(n)))
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl Stack {
    /// The functions that a person would name: without those of libraries that only make the system
    /// call.
    pub fn path(&self) -> String {
        let own: Vec<_> = self.frames.iter().skip_while(|frame| frame.is_library()).collect();
        let shown = if own.is_empty() { self.frames.iter().collect() } else { own };
        let mut path = String::new();
        for (i, frame) in shown.iter().take(SHOWN).enumerate() {
            if i > 0 {
                path += " ← ";
            }
            path += &frame.to_string();
        }
        if shown.len() > SHOWN || !self.complete {
            path += " ← …";
        }
        path
    }

    /// Whether a run-time's event loop called these functions: every socket of its process shares them.
    pub fn is_event_loop(&self) -> bool {
        const LOOPS: [&str; 5] =
            ["uv__io_poll", "event_base_loop", "ev_run", "NioEventLoop", "EpollEventLoop"];
        let in_asyncio = |frame: &Frame| {
            let source = frame.source.as_ref();
            source.is_some_and(|(file, _)| file.ends_with("/asyncio/base_events.py"))
        };
        self.any(&LOOPS) || self.frames.iter().any(in_asyncio)
    }

    /// Why these functions are not those of the program, if they are not.
    pub fn caveat(&self) -> Option<&'static str> {
        if self.any(&["_PyEval_EvalFrame", "PyEval_EvalCode"]) {
            Some(
                "the interpreter's own functions: `python3 -X perf` (3.12) gives those of the program",
            )
        } else if self.frames.iter().any(|frame| frame.function.is_none() && frame.module.is_none())
        {
            Some(
                "code made at run time: a perf map names it (node --perf-basic-prof; Java: jcmd PID \
                 Compiler.perfmap)",
            )
        } else {
            None
        }
    }

    fn any(&self, names: &[&str]) -> bool {
        self.frames.iter().any(|frame| frame.is(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, module: &str) -> Frame {
        Frame {
            address: 0x1234,
            function: (!function.is_empty()).then(|| function.to_owned()),
            module: (!module.is_empty()).then(|| module.to_owned()),
            source: None,
        }
    }

    #[test]
    fn the_c_library_is_left_out_where_there_is_more() {
        let mut stack = Stack {
            frames: vec![
                frame("__libc_recv", "/lib/x86_64-linux-gnu/libc.so.6"),
                Frame {
                    source: Some(("/src/leak.c".into(), Some(42))),
                    ..frame("handle", "/bin/leak")
                },
                frame("main", "/bin/leak"),
            ],
            complete: true,
        };
        assert_eq!(stack.path(), "handle (leak.c:42) ← main");
        stack.complete = false;
        assert_eq!(stack.path(), "handle (leak.c:42) ← main ← …");
        stack.frames.truncate(1);
        assert_eq!(stack.path(), "__libc_recv ← …");
        let inlined = Frame {
            source: Some(("/rustc/59807616/library/core/src/ops/function.rs".into(), Some(166))),
            ..frame("call_mut<fn(&SocketAddr) -> Result<TcpStream, Error>>", "/bin/leak")
        };
        stack.frames.extend([inlined, frame("borrow", "/bin/leak")]);
        assert_eq!(stack.path(), "borrow ← …");
    }

    #[test]
    fn what_has_no_name_is_an_address() {
        let stack =
            Stack { frames: vec![frame("", "/bin/stripped"), frame("", "")], complete: true };
        assert_eq!(stack.path(), "stripped+0x1234 ← 0x1234");
        assert!(stack.caveat().unwrap().starts_with("code made at run time"));
    }

    #[test]
    fn an_event_loop_says_so() {
        let stack = Stack {
            frames: vec![
                frame("read", "libc.so.6"),
                frame("uv__read", "node"),
                frame("uv__io_poll", "node"),
            ],
            complete: true,
        };
        assert!(stack.is_event_loop());
        let file = "/usr/lib/python3.11/asyncio/base_events.py".to_owned();
        let asyncio = Frame { source: Some((file, Some(1922))), ..frame("_run_once", "") };
        let stack = Stack { frames: vec![frame("data_received", ""), asyncio], complete: true };
        assert!(stack.is_event_loop());
        let plain = Stack { frames: vec![frame("handle", "server")], complete: true };
        assert!(!plain.is_event_loop());
    }
}
