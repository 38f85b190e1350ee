//! tracefs, which may be mounted nowhere.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

const TRACEFS: &str = "/sys/kernel/tracing";
/// Where it was before it had a place of its own.
const IN_DEBUGFS: &str = "/sys/kernel/debug/tracing";

/// Does `work` where tracefs is mounted. If that is nowhere, it is mounted for one thread only, in a
/// mount namespace that ends with the thread: the host stays as it was.
///
/// # Errors
/// Those of `work`, or if it cannot be mounted or shows no events.
pub fn with_tracefs<T: Send>(work: impl FnOnce(&Path) -> Result<T> + Send) -> Result<T> {
    for mounted in [TRACEFS, IN_DEBUGFS].map(Path::new) {
        if mounted.join("events").is_dir() {
            return work(mounted);
        }
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            mount_for_this_thread()
                .with_context(|| format!("cannot mount tracefs at {TRACEFS}"))?;
            let mounted = Path::new(TRACEFS);
            if !mounted.join("events").is_dir() {
                bail!("tracefs shows no events: the kernel is locked down for confidentiality");
            }
            work(mounted)
        });
        thread
            .join()
            .map_err(|_| anyhow!("the thread that mounts tracefs did not end as it should"))?
    })
}

fn mount_for_this_thread() -> rustix::io::Result<()> {
    // SAFETY: only the mount namespace is unshared, and with it this thread's own root and working
    // directory; no descriptor of anybody's is concerned.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS)? };
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    match mount("tracefs", TRACEFS, "tracefs", MountFlags::RDONLY, None) {
        // It is mounted there already, and shows nothing.
        Err(rustix::io::Errno::BUSY) => Ok(()),
        mounted => mounted,
    }
}
