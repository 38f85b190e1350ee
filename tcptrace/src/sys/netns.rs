//! Network namespaces: which there are, and a thread's visits to them.
//!
//! An open namespace, or a netlink socket in one, keeps a dead container's network alive, so both
//! are closed again at once.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::model::socket::NetNs;

const OWN: &str = "/proc/thread-self/ns/net";
/// Where `ip netns` keeps its namespaces.
pub const NAMED: &str = "/run/netns";

/// The namespace of this thread.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn own() -> Result<NetNs> {
    of_link(Path::new(OWN)).with_context(|| format!("cannot read {OWN}"))
}

/// The namespace that a link in `/proc/PID/ns` names.
fn of_link(path: &Path) -> Option<NetNs> {
    let target = fs::read_link(path).ok()?;
    let inode = target.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?;
    inode.parse().ok().map(NetNs)
}

/// The namespace mounted at `path`, or of the process directory that it names.
///
/// # Errors
/// If there is nothing there.
pub fn at(path: &Path) -> io::Result<NetNs> {
    of_inode(&fs::metadata(path)?)
}

fn of_file(namespace: &File) -> io::Result<NetNs> {
    of_inode(&namespace.metadata()?)
}

fn of_inode(about: &Metadata) -> io::Result<NetNs> {
    u32::try_from(about.ino()).map(NetNs).map_err(io::Error::other)
}

/// Every namespace that some process is in or that is mounted somewhere, with a path to it.
///
/// # Errors
/// If `/proc` cannot be read: that is not the same as that there are none.
pub fn list() -> io::Result<BTreeMap<NetNs, PathBuf>> {
    let mut found = BTreeMap::new();
    for mount in mounted(&fs::read("/proc/self/mountinfo")?) {
        found.insert(mount.0, mount.1);
    }
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            let path = entry.path().join("ns/net");
            if let Some(netns) = of_link(&path) {
                found.entry(netns).or_insert(path);
            }
        }
    }
    Ok(found)
}

/// Namespaces kept by a mount, from `/proc/self/mountinfo`: the fourth field is `net:[INODE]`, the
/// fifth where it is mounted, with octal escapes.
pub fn mounted(mountinfo: &[u8]) -> impl Iterator<Item = (NetNs, PathBuf)> {
    mountinfo.split(|&b| b == b'\n').filter_map(|line| {
        let mut fields = line.split(|&b| b == b' ').skip(3);
        let root = core::str::from_utf8(fields.next()?).ok()?;
        let inode = root.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()?;
        Some((NetNs(inode), unescape(fields.next()?)))
    })
}

fn unescape(mut field: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    let mut path = Vec::new();
    while let Some((&first, rest)) = field.split_first() {
        let octal = rest.get(..3).filter(|_| first == b'\\');
        let code = octal
            .and_then(|digits| core::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        path.push(code.unwrap_or(first));
        field = if code.is_some() { &rest[3..] } else { rest };
    }
    std::ffi::OsString::from_vec(path).into()
}

/// A thread that visits namespaces. Anything it opens elsewhere is its caller's to close.
pub struct Visitor {
    own: NetNs,
    home: File,
}

impl Visitor {
    /// For the thread that calls it, which must be the one that visits.
    ///
    /// # Errors
    /// If `/proc` is not mounted.
    pub fn new() -> Result<Self> {
        let home = File::open(OWN).with_context(|| format!("cannot open {OWN}"))?;
        Ok(Self { own: own()?, home })
    }

    /// Runs `visit` in the namespace `netns` at `path`; `None` if that has gone meanwhile.
    ///
    /// # Errors
    /// If it cannot be entered, or `visit` fails. `PermissionDenied` means that this user may not
    /// enter others' namespaces.
    pub fn visit<T>(
        &self,
        netns: NetNs,
        path: &Path,
        visit: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        if netns == self.own {
            return visit().map(Some);
        }
        let there = match File::open(path) {
            // Of a process that has just ended the kernel may say that it may not be seen.
            Err(_) if at(path).ok() != Some(netns) => return Ok(None),
            there => there?,
        };
        // Another process may have the pid in `path` by now.
        if of_file(&there)? != netns {
            return Ok(None);
        }
        enter(&there)?;
        let result = visit();
        // Nothing that this thread does later would be true if it did not come home.
        enter(&self.home).expect("a thread can go back to its own namespace");
        result.map(Some)
    }
}

fn enter(namespace: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_with_their_escapes() {
        let mountinfo = b"\
36 35 98:0 / / rw - ext4 /dev/root rw\n\
40 36 0:4 net:[4026532201] /run/netns/a\\040b rw shared:2 - nsfs nsfs rw\n\
41 36 0:4 mnt:[4026532202] /x rw - nsfs nsfs rw\n\
torn";
        let found: Vec<_> = mounted(mountinfo).collect();
        assert_eq!(found, [(NetNs(4_026_532_201), "/run/netns/a b".into())]);
        assert_eq!(unescape(b"\\9\\12"), PathBuf::from("\\9\\12"));
    }

    /// A file that stays where a namespace was mounted, and the namespace of a pid that is another's by
    /// now.
    #[test]
    fn what_has_gone_is_not_visited_and_is_no_error() {
        let visitor = Visitor::new().unwrap();
        let left = tempfile::NamedTempFile::new().unwrap();
        let visit = |netns, path: &str| visitor.visit(netns, Path::new(path), || Ok(())).unwrap();
        let other = NetNs(own().unwrap().0 + 1);
        assert_eq!(visit(other, left.path().to_str().unwrap()), None);
        assert_eq!(visit(other, OWN), None);
        assert_eq!(visit(other, "/proc/self/task/0/ns/net"), None);
        assert_eq!(visit(own().unwrap(), OWN), Some(()));
    }

    #[test]
    fn our_own_is_among_them() {
        let own = own().unwrap();
        assert!(list().unwrap().contains_key(&own));
        assert_eq!(at(Path::new(OWN)).unwrap(), own);
    }
}
