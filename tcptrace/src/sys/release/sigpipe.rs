//! What a process does with SIGPIPE, from `/proc/PID/status`.

use std::fs;
use std::io;
use std::path::Path;

use crate::model::process::Process;
use crate::model::release::plan::Sigpipe;
use crate::sys::process;

/// SIGPIPE's bit.
const PIPE: u64 = 1 << (libc::SIGPIPE - 1);

/// Reads that of `process`; `None` if it has ended.
pub fn sigpipe(process: &Process) -> Option<Sigpipe> {
    let dir = Path::new("/proc").join(process.pid.to_string());
    let found = match fs::read(dir.join("status")) {
        Err(error) if is_gone(&error) => return None,
        Err(_) => Sigpipe::Unknown,
        Ok(status) => match parse(&status) {
            None => Sigpipe::Unknown,
            // A mask that blocks it is no comfort: the C library blocks everything for a moment now and
            // then, and what is pending kills once it is let through.
            Some(handled) if handled & PIPE != 0 => Sigpipe::Handled,
            Some(_) => Sigpipe::Deadly,
        },
    };
    // Pids are used again.
    let began = process::start_ticks(process.pid);
    (process.start_ticks.is_none() || process.start_ticks == began).then_some(found)
}

/// While a file of `/proc` is read, its process may end.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// The signals that are ignored or caught.
fn parse(status: &[u8]) -> Option<u64> {
    let mask = |name: &[u8]| {
        let line = status.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(core::str::from_utf8(line).ok()?.trim(), 16).ok()
    };
    Some(mask(b"SigIgn:")? | mask(b"SigCgt:")?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::sys::arguments::Arguments;
    use crate::sys::clock;

    #[test]
    fn masks_are_hexadecimal() {
        let status =
            b"Name:\t\xff\nSigQ:\t0/1\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001000\n\
            SigCgt:\t0000000000000002\n";
        assert_eq!(parse(status), Some(PIPE | 2));
        assert_eq!(parse(b"SigIgn:\t0\nSigCgt:\tx\n"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn a_shell_does_with_it_what_it_was_told() {
        assert_eq!(of_shell("trap '' PIPE"), Some(Sigpipe::Handled), "ignored");
        assert_eq!(of_shell("trap : PIPE"), Some(Sigpipe::Handled), "caught");
        // Rust ignores it, and has its children begin with the default.
        assert_eq!(of_shell(":"), Some(Sigpipe::Deadly));
    }

    fn of_shell(first: &str) -> Option<Sigpipe> {
        use std::io::Read as _;
        use std::process::Stdio;
        let mut shell = Command::new("sh");
        // The last command of a script may take the shell's place.
        shell.args(["-c", &format!("{first}; echo; cat; :")]);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let process =
            process::read(child.id(), clock::boot_time(), &mut Arguments::default()).unwrap();
        let found = sigpipe(&process);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(sigpipe(&process), None, "it has ended");
        found
    }
}
