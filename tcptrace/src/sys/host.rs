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

/// The first two numbers of the running kernel's release; zeros if it does not begin with any.
pub fn kernel_version() -> (u32, u32) {
    version(&kernel_release()).unwrap_or_default()
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The running kernel's release, as `uname -r` prints it.
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_begins_with_two_numbers() {
        assert_eq!(version("6.1.0-56-cloud-amd64"), Some((6, 1)));
        assert_eq!(version("6.12+deb13"), Some((6, 12)));
        assert_eq!(version("odd"), None);
    }
}
