//! What the kernel shows to no program.
//!
//! A kernel may keep tracing programs off chosen processes: that of the machine these tests are made on
//! runs none, and counts none as skipped, while a thread of the first process is current. What a softirq
//! on top of it does to anybody's sockets, no tracer is told of (docs/limitations.md). ftrace counts it.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::OnceLock;

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

static COUNT: OnceLock<Count> = OnceLock::new();

/// An ftrace instance for the threads of the first process. The mount is nobody else's.
struct Count {
    _tracefs: OwnedFd,
    instance: PathBuf,
}

impl Count {
    fn begin() -> io::Result<Self> {
        let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        let tracefs = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        let name = format!("tcptrace-live-{}", std::process::id());
        let root = format!("/proc/self/fd/{}/instances", tracefs.as_raw_fd());
        let count = Self { _tracefs: tracefs, instance: PathBuf::from(root).join(name) };
        fs::create_dir(&count.instance)?;
        let set = |file: &str, value: &str| fs::write(count.instance.join(file), value);
        let threads = fs::read_dir("/proc/1/task")?.flatten();
        let threads: Vec<_> = threads.filter_map(|it| it.file_name().into_string().ok()).collect();
        set("set_event_pid", &threads.join(" "))?;
        // Threads that begin later, too.
        set("options/event-fork", "1")?;
        set("events/sock/inet_sock_set_state/enable", "1")?;
        Ok(count)
    }

    /// Those that are in its buffers and those that have been overwritten there.
    fn so_far(&self) -> io::Result<u64> {
        let mut count = 0;
        for cpu in fs::read_dir(self.instance.join("per_cpu"))? {
            let stats = fs::read_to_string(cpu?.path().join("stats"))?;
            let figures = stats.lines().filter_map(|line| line.split_once(": "));
            let events = figures.filter(|(name, _)| ["entries", "overrun"].contains(name));
            count += events.map(|(_, figure)| figure.trim().parse().unwrap_or(0)).sum::<u64>();
        }
        Ok(count)
    }
}

/// Counts until it is dropped. Where there is no ftrace, nothing is taken to be withheld.
pub struct Counting;

impl Counting {
    pub fn begin() -> Self {
        if let Ok(count) = Count::begin() {
            COUNT.get_or_init(|| count);
        }
        Self
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if let Some(count) = COUNT.get() {
            let _ = fs::remove_dir(&count.instance);
        }
    }
}

/// Transitions that the kernel may have withheld from all programs since the tests began, of any
/// namespace. Where it withholds none, the first process is hardly ever on a CPU when one is made.
pub fn so_far() -> u64 {
    COUNT.get().map_or(0, |count| count.so_far().unwrap())
}
