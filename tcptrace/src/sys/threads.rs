//! What threads are doing, from `/proc/PID/task/TID/{stat,syscall}`.

use std::fs;
use std::path::Path;

use super::process::numbered;
use crate::model::evidence::ThreadState;

/// Calls that wait until descriptors become ready. Other architectures than x86-64 have only the
/// newer ones.
#[cfg(target_arch = "x86_64")]
const POLLS: [i64; 7] = [
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_select,
    libc::SYS_pselect6,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
];
#[cfg(not(target_arch = "x86_64"))]
const POLLS: [i64; 4] =
    [libc::SYS_ppoll, libc::SYS_pselect6, libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2];

/// The system call that a thread sleeps in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: i64,
    /// Its first argument.
    pub first: u64,
}

/// The threads of a process.
pub fn of(pid: u32) -> impl Iterator<Item = u32> {
    numbered(&Path::new("/proc").join(pid.to_string()).join("task"))
}

/// The call that a thread sleeps in; `None` if it runs, sleeps in none, or may not be looked at.
pub fn call(pid: u32, tid: u32) -> Option<Call> {
    parse_call(&call_line(pid, tid)?)
}

fn call_line(pid: u32, tid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).ok()
}

/// `NUMBER FIRST …`: the number in decimal, the arguments in hexadecimal; `running` otherwise.
pub fn parse_call(line: &str) -> Option<Call> {
    let mut words = line.split_whitespace();
    let number = words.next()?.parse().ok().filter(|&number| number >= 0)?;
    let first = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    Some(Call { number, first })
}

/// What the threads of a process are doing; `None` if it has none (any more), or where they sleep may
/// not be looked at.
pub fn state(pid: u32) -> Option<ThreadState> {
    let states: Vec<_> = of(pid)
        .filter_map(|tid| {
            let stat = fs::read(Path::new("/proc").join(format!("{pid}/task/{tid}/stat"))).ok()?;
            Some((tid, letter(&stat)?))
        })
        .collect();
    if states.is_empty() {
        None
    } else if states.iter().all(|&(_, letter)| matches!(letter, b'T' | b't')) {
        Some(ThreadState::Stopped)
    } else if states.iter().any(|&(_, letter)| letter == b'R') {
        Some(ThreadState::Running)
    } else {
        let lines: Vec<_> = states.iter().filter_map(|&(tid, _)| call_line(pid, tid)).collect();
        let in_poll =
            |line: &String| parse_call(line).is_some_and(|call| POLLS.contains(&call.number));
        match lines.iter().any(in_poll) {
            _ if lines.is_empty() => None,
            true => Some(ThreadState::InPoll),
            false => Some(ThreadState::Asleep),
        }
    }
}

/// The letter after the name, which is in parentheses and may itself hold any.
pub fn letter(stat: &[u8]) -> Option<u8> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    stat.get(end + 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_are_understood_whatever_a_thread_is_called() {
        assert_eq!(letter(b"7 (a) S) R 1 2"), Some(b'R'));
        assert_eq!(letter(b"7 (cut"), None);
        let call = parse_call("232 0x4 0x7ffc 0x400 0xffffffff 0x0 0x8 0x7ffc 0x7f20\n").unwrap();
        assert_eq!((call.number, call.first), (232, 4));
        for none in ["running\n", "-1 0x0 0x0\n", ""] {
            assert_eq!(parse_call(none), None);
        }
    }

    #[test]
    fn this_very_thread_runs() {
        assert_eq!(state(std::process::id()), Some(ThreadState::Running));
    }
}
