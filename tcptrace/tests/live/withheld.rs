//! What the kernel shows to no program.
//!
//! A kernel may keep tracing programs off chosen processes: the one that tcptrace is developed on runs
//! none, and counts none as skipped, while a thread of the first process is current. What a softirq on
//! top of it does to anybody's sockets, no tracer is told of (docs/limitations.md). ftrace counts it.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use serde_json::json;

use crate::host::report;

static COUNT: OnceLock<Weak<Instance>> = OnceLock::new();
const NAME: &str = "tcptrace-live-";

/// An ftrace instance for the threads of the first process, in a mount that is nobody else's.
pub struct Instance {
    _tracefs: OwnedFd,
    dir: PathBuf,
}

impl Instance {
    fn create() -> io::Result<Self> {
        let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        let tracefs = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        let all = PathBuf::from(format!("/proc/self/fd/{}/instances", tracefs.as_raw_fd()));
        remove_those_of_the_dead(&all)?;
        let dir = all.join(format!("{NAME}{}", std::process::id()));
        fs::create_dir(&dir)?;
        let instance = Self { _tracefs: tracefs, dir };
        let set = |file: &str, value: &str| fs::write(instance.dir.join(file), value);
        let threads = fs::read_dir("/proc/1/task")?.flatten();
        let threads: Vec<_> = threads.filter_map(|it| it.file_name().into_string().ok()).collect();
        set("set_event_pid", &threads.join(" "))?;
        set("events/sock/inet_sock_set_state/enable", "1")?;
        Ok(instance)
    }

    /// Those that are in its buffers and those that have been overwritten there.
    fn count(&self) -> io::Result<u64> {
        let mut count = 0;
        for cpu in fs::read_dir(self.dir.join("per_cpu"))? {
            let stats = fs::read_to_string(cpu?.path().join("stats"))?;
            let figures = stats.lines().filter_map(|line| line.split_once(": "));
            let events = figures.filter(|(name, _)| ["entries", "overrun"].contains(name));
            count += events.map(|(_, figure)| figure.trim().parse::<u64>().unwrap()).sum::<u64>();
        }
        Ok(count)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Whoever was killed has left one behind.
fn remove_those_of_the_dead(all: &Path) -> io::Result<()> {
    for instance in fs::read_dir(all)? {
        let name = instance?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.strip_prefix(NAME)) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            fs::remove_dir(all.join(&name))?;
        }
    }
    Ok(())
}

/// Begins to count, until what it returns is dropped. Where that cannot be, it is said, and nothing is
/// taken to be withheld.
pub fn begin() -> Option<Arc<Instance>> {
    match Instance::create() {
        Ok(instance) => {
            let instance = Arc::new(instance);
            COUNT.get_or_init(|| Arc::downgrade(&instance));
            Some(instance)
        }
        Err(error) => {
            report(&json!({"withheld": null, "why": error.to_string()}));
            None
        }
    }
}

/// Transitions that the kernel may have withheld from all programs since the tests began, of any
/// namespace. Where it withholds none, the first process is hardly ever on a CPU when one is made.
pub fn so_far() -> u64 {
    COUNT.get().and_then(Weak::upgrade).map_or(0, |instance| instance.count().unwrap())
}
