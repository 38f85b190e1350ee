//! A program that is run for every message, with what there is to know in its environment.
//!
//! No shell sees any of it, and the program gets nothing else of ours: no descriptors, no privileges that
//! it would not have by itself, and of our environment, which may hold secrets, `PATH` alone.

use core::time::Duration;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::message::Message;
use super::{Deliver, Failure};
use crate::cli::config::sink;
use crate::report::text::Age;
use crate::sys::descriptors;

/// How much of what it prints is taken; one that prints more finds its output closed.
const MOST_PRINTED: usize = 64 << 10;
/// How much of that is shown.
const MOST_SHOWN: usize = 200;
/// By `sysexits.h`: try again later.
const TEMPFAIL: i32 = 75;

pub struct Command {
    argv: Vec<String>,
    timeout: Duration,
}

impl Command {
    pub fn open(sink: &sink::Command) -> Self {
        Self { argv: sink.argv.clone(), timeout: sink.timeout }
    }

    fn spawn(&self, message: &Message) -> io::Result<Running> {
        let (program, arguments) = self.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        descriptors::close_on_exec()?;
        // Of this thread only. Others that we have nobody inherits who is not root.
        let _ = rustix::thread::clear_ambient_capability_set();
        let (printed, theirs) = io::pipe()?;
        let mut command = std::process::Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
            .envs(message.fields())
            .stdin(Stdio::null())
            .stdout(theirs.try_clone()?)
            .stderr(theirs)
            .process_group(0);
        let child = command.spawn()?;
        // Its ends of the pipe are closed here, so that ours ends with the program.
        drop(command);
        let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        rustix::io::ioctl_fionbio(&printed, true)?;
        Ok(Running { child, process, printed: Some(printed), text: Vec::new() })
    }
}

impl Deliver for Command {
    fn deliver(&mut self, message: &Message) -> Result<String, Failure> {
        let program = self.argv.first().map(String::as_str).unwrap_or_default();
        let mut running = self.spawn(message).map_err(|error| {
            let failure = Failure::later(format!("cannot run {program}: {error}"));
            failure.and_try("see that the first of argv is a program, by its whole path at best")
        })?;
        let ended = running.wait(Instant::now() + self.timeout);
        let said = running.first_line();
        let with = |how: String| format!("{how} {said}").trim_end().to_owned();
        match ended {
            Ok(Some(status)) if status.success() => Ok(with("exit status 0".to_owned())),
            Ok(Some(status)) => {
                let how = match (status.code(), status.signal()) {
                    (Some(code), _) => format!("ended with exit status {code}"),
                    (None, signal) => format!("was ended by signal {}", signal.unwrap_or(0)),
                };
                let why = with(format!("{program} {how}"));
                // Whatever it has done so far it would do again.
                match status.code() {
                    Some(TEMPFAIL) => Err(Failure::later(why)),
                    _ => Err(Failure::never(why)),
                }
            }
            Ok(None) => {
                let timeout = Age(self.timeout);
                Err(Failure::never(format!(
                    "{program} took longer than {timeout} and was killed {said}"
                )))
            }
            Err(error) => Err(Failure::later(format!("cannot wait for {program}: {error}"))),
        }
    }
}

/// A program that runs. Dropping it ends it, and all that it has started in its process group.
struct Running {
    child: Child,
    process: OwnedFd,
    printed: Option<io::PipeReader>,
    text: Vec<u8>,
}

impl Running {
    /// How it ended; `None` if it has not by `deadline`.
    fn wait(&mut self, deadline: Instant) -> io::Result<Option<ExitStatus>> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
            let mut watched = vec![PollFd::new(&self.process, PollFlags::IN)];
            if let Some(printed) = &self.printed {
                watched.push(PollFd::from_borrowed_fd(printed.as_fd(), PollFlags::IN));
            }
            match poll(&mut watched, Some(&left)) {
                Ok(0) => return Ok(None),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ended = !watched[0].revents().is_empty();
            self.take_output();
            if ended {
                return self.child.wait().map(Some);
            }
        }
    }

    fn take_output(&mut self) {
        let mut chunk = [0; 4096];
        while let Some(printed) = &mut self.printed {
            match printed.read(&mut chunk) {
                Ok(count @ 1..) if self.text.len() < MOST_PRINTED => {
                    self.text.extend_from_slice(&chunk[..count]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // It ends, fails, or is too long.
                _ => self.printed = None,
            }
        }
    }

    fn first_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.text);
        let line = text.trim_start().lines().next().unwrap_or_default();
        if line.is_empty() {
            String::new()
        } else {
            format!("({})", line.chars().take(MOST_SHOWN).collect::<String>())
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Once it was waited for, its number may be another's.
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::alert::Again;
    use crate::alert::tests::{named, sample_group};

    fn run(argv: &[&str], message: &Message) -> Result<String, Failure> {
        let argv = argv.iter().map(|&arg| arg.to_owned()).collect();
        let timeout = Duration::from_secs(20);
        Command { argv, timeout }.deliver(message)
    }

    fn ended(script: &str) -> (Again, String) {
        let failure = run(&["sh", "-c", script], &sample_group()).unwrap_err();
        (failure.again, failure.why)
    }

    #[test]
    fn a_hostile_name_is_a_text_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (touched, out) = (dir.path().join("touched"), dir.path().join("out"));
        let hostile = format!("$(touch {})\n`id`;\0'\"", touched.display());
        let script = "env -0 > \"$1\"; ls -l /proc/$$/fd > \"$1.fds\"; readlink /proc/self/fd/0";
        let held = fs::File::open("/dev/null").unwrap();
        // As whoever started us might have left it.
        rustix::io::fcntl_setfd(&held, rustix::io::FdFlags::empty()).unwrap();
        let out_path = out.to_str().unwrap();
        let answer = run(&["sh", "-c", script, "sh", out_path], &named(&hostile)).unwrap();
        assert_eq!(answer, "exit status 0 (/dev/null)");
        assert!(!touched.exists());
        let environment = fs::read_to_string(&out).unwrap();
        let comm = format!("TCPTRACE_COMM={}", hostile.replace('\0', "\u{fffd}"));
        assert!(environment.split('\0').any(|variable| variable == comm), "{environment:?}");
        let foreign = |name: &str| {
            !name.starts_with("TCPTRACE_")
                && !["PATH", "PWD", "OLDPWD", "SHLVL", "_"].contains(&name)
        };
        let names = environment.split('\0').filter_map(|variable| variable.split_once('='));
        let others: Vec<_> = names.map(|(name, _)| name).filter(|name| foreign(name)).collect();
        assert!(others.is_empty(), "{others:?}");
        let fds = fs::read_to_string(out.with_extension("fds")).unwrap();
        let paths: Vec<_> = fds.lines().filter(|line| line.contains("->")).collect();
        // Standard input, output and error; a shell may keep its script's as 10 or 255.
        assert!(paths.len() <= 4, "{fds}");
    }

    #[test]
    fn how_it_ended_is_said() {
        assert_eq!(ended("echo no room; exit 3").0, Again::No);
        assert!(ended("echo no room; exit 3").1.ends_with("ended with exit status 3 (no room)"));
        assert_eq!(ended("exit 75").0, Again::Later);
        assert!(ended("kill -9 $$").1.contains("was ended by signal 9"));
        let missing = run(&["/no/such/program"], &sample_group()).unwrap_err();
        assert_eq!(missing.again, Again::Later);
        assert!(missing.why.starts_with("cannot run /no/such/program: "), "{}", missing.why);
    }

    #[test]
    fn what_takes_too_long_is_killed_with_what_it_has_started() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("pid");
        let script = "sleep 1000 & echo $! > \"$0\"; wait";
        let argv = ["sh", "-c", script, out.to_str().unwrap()].map(str::to_owned).to_vec();
        let timeout = Duration::from_millis(500);
        let failure = Command { argv, timeout }.deliver(&sample_group()).unwrap_err();
        assert!(failure.why.contains("took longer than 500 ms"), "{}", failure.why);
        let pid: i32 = fs::read_to_string(out).unwrap().trim().parse().unwrap();
        let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let deadline = Instant::now() + Duration::from_secs(20);
        // Killed, and perhaps not collected yet by whoever adopted it.
        while !(state().is_empty() || state().contains(") Z ")) {
            assert!(Instant::now() < deadline, "{}", state());
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_it_prints_is_bounded() {
        let answer = run(&["sh", "-c", "yes tcptrace | head -c 50000"], &sample_group()).unwrap();
        assert_eq!(answer, "exit status 0 (tcptrace)");
        // `yes` finds that nobody reads.
        let failure = run(&["yes"], &sample_group()).unwrap_err();
        assert!(failure.why.starts_with("yes "), "{}", failure.why);
    }
}
