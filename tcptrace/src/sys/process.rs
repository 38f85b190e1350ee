//! Processes, from `/proc`. A process may end at any moment: what can no longer be read is `None`.

use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::arguments::Arguments;
use super::cgroup;
use crate::model::process::{Descriptors, Process, TICKS_PER_SECOND};

/// Every process there is.
pub fn pids() -> impl Iterator<Item = u32> {
    numbered(Path::new("/proc"))
}

/// The entries of a directory of `/proc` whose names are numbers.
pub(super) fn numbered(dir: &Path) -> impl Iterator<Item = u32> + use<> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// When the process with this pid began, in clock ticks since boot.
pub fn start_ticks(pid: u32) -> Option<u64> {
    Some(parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)?.start_ticks)
}

/// Reads about the process with this pid; `None` if there is none (any more).
pub fn read(pid: u32, boot_time: Timestamp, arguments: &mut Arguments) -> Option<Process> {
    let dir = Path::new("/proc").join(pid.to_string());
    let stat = parse_stat(&fs::read(dir.join("stat")).ok()?)?;
    let status = parse_status(&fs::read(dir.join("status")).unwrap_or_default());
    let cgroup = cgroup::parse(&fs::read(dir.join("cgroup")).unwrap_or_default());
    let since_boot = SignedDuration::from_millis(
        i64::try_from(stat.start_ticks).ok()?.checked_mul(1000 / TICKS_PER_SECOND as i64)?,
    );
    Some(Process {
        pid,
        pid_in_ns: status.pid_in_ns,
        ppid: Some(stat.ppid),
        start_ticks: Some(stat.start_ticks),
        start: boot_time.checked_add(since_boot).ok(),
        comm: stat.comm,
        exe: fs::read_link(dir.join("exe")).ok().map(|exe| exe.to_string_lossy().into_owned()),
        cmdline: arguments.of(pid),
        uid: status.uid,
        cgroup: cgroup.path,
        unit: cgroup.unit,
        container: cgroup.container,
        pod: cgroup.pod,
        descriptors: descriptors(&dir),
    })
}

fn descriptors(dir: &Path) -> Option<Descriptors> {
    let limits = fs::read_to_string(dir.join("limits")).ok()?;
    let limit = parse_limit(&limits)?;
    let fds = dir.join("fd");
    // Since 6.2 the directory's size is their number.
    let open = match fs::metadata(&fds).ok()?.len() {
        0 => fs::read_dir(fds).ok()?.count() as u64,
        size => size,
    };
    Some(Descriptors { open, limit })
}

/// The soft limit of `Max open files  SOFT  HARD  files`; `None` if there is none.
pub fn parse_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What `/proc/PID/stat` tells.
#[derive(Debug, PartialEq, Eq)]
pub struct Stat {
    /// The name, made valid.
    pub comm: String,
    /// The parent's pid.
    pub ppid: u32,
    /// When it began, in clock ticks since boot.
    pub start_ticks: u64,
}

/// Reads `/proc/PID/stat`. The name is in parentheses and may contain any byte, parentheses and
/// spaces among them, so it ends at the last one.
pub fn parse_stat(contents: &[u8]) -> Option<Stat> {
    let open = contents.iter().position(|&b| b == b'(')?;
    let close = contents.iter().rposition(|&b| b == b')')?;
    let comm = String::from_utf8_lossy(contents.get(open + 1..close)?).into_owned();
    let rest = core::str::from_utf8(contents.get(close + 1..)?).ok()?;
    // Fields from the third on: state, ppid, …, starttime is the 22nd.
    let mut fields = rest.split_ascii_whitespace();
    let ppid = fields.nth(1)?.parse().ok()?;
    let start_ticks = fields.nth(17)?.parse().ok()?;
    Some(Stat { comm, ppid, start_ticks })
}

/// What `/proc/PID/status` tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The real user.
    pub uid: Option<u32>,
    /// Its pid in the innermost pid namespace.
    pub pid_in_ns: Option<u32>,
    /// Real, effective, saved and file system user.
    pub uids: Vec<u32>,
}

/// Reads `/proc/PID/status`.
pub fn parse_status(contents: &[u8]) -> Status {
    let field = |name: &[u8]| {
        contents
            .split(|&b| b == b'\n')
            .find_map(|line| line.strip_prefix(name))
            .and_then(|value| core::str::from_utf8(value).ok())
    };
    let uids = field(b"Uid:").unwrap_or_default().split_whitespace();
    let uids: Vec<_> = uids.filter_map(|uid| uid.parse().ok()).collect();
    Status {
        uid: uids.first().copied(),
        pid_in_ns: field(b"NSpid:")
            .and_then(|pids| pids.split_whitespace().next_back()?.parse().ok()),
        uids,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_contain_anything() {
        let stat = b"42 (a) R 1 (\xff) S 7 1 1 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 987 1 1\n";
        let expected = Stat { comm: "a) R 1 (\u{fffd}".into(), ppid: 7, start_ticks: 987 };
        assert_eq!(parse_stat(stat), Some(expected));
        assert_eq!(parse_stat(b"42 (a"), None);
        assert_eq!(parse_stat(b")("), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn the_soft_limit_counts() {
        let limits =
            "Limit    Soft Limit  Hard Limit  Units\nMax open files   1024   4096   files\n";
        assert_eq!(parse_limit(limits), Some(1024));
        assert_eq!(parse_limit("Max open files   unlimited unlimited files\n"), None);
        assert_eq!(parse_limit(""), None);
    }

    #[test]
    fn the_innermost_pid_is_the_last() {
        let status = b"Name:\t\xff\nUid:\t1000\t1001\t1000\t1000\nNSpid:\t4711\t12\n";
        let uids = vec![1000, 1001, 1000, 1000];
        assert_eq!(parse_status(status), Status { uid: Some(1000), pid_in_ns: Some(12), uids });
        assert_eq!(parse_status(b""), Status::default());
    }

    #[test]
    fn reads_this_very_process() {
        let boot_time = super::super::clock::boot_time();
        let process = read(std::process::id(), boot_time, &mut Arguments::default()).unwrap();
        assert_eq!(process.ppid, Some(std::os::unix::process::parent_id()));
        let exe = std::env::current_exe().unwrap();
        assert_eq!(process.exe.as_deref(), exe.to_str());
        let age = process.start.unwrap().duration_until(Timestamp::now());
        assert!(
            age > SignedDuration::from_secs(-2) && age < SignedDuration::from_hours(1),
            "{age}"
        );
    }
}
