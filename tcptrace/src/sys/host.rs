//! Which machine this is.

use std::fs;

use anyhow::{Context as _, Result};

/// What every output line names.
#[derive(Clone, Debug)]
pub struct Host {
    /// The host's name.
    pub name: String,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

impl Host {
    /// Asks the kernel.
    ///
    /// # Errors
    /// If `/proc` is not mounted.
    pub fn read() -> Result<Self> {
        let path = "/proc/sys/kernel/random/boot_id";
        let boot_id = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Self { name, boot_id: boot_id.trim().to_owned() })
    }
}

/// The running kernel's release, as `uname -r` prints it.
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}
