//! Network namespaces: which there are, and a thread's visits to them.
//!
//! An open namespace, or a netlink socket in one, keeps a dead container's network alive, so both
//! are closed again at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::model::socket::NetNs;

const OWN: &str = "/proc/thread-self/ns/net";
/// How often a namespace is looked for again of which no process lives long enough.
const ATTEMPTS: usize = 3;
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

    /// Runs `visit` in every namespace that is `wanted` and tells `seen` what came of it. An error with
    /// `PermissionDenied` means that this user may not enter others' namespaces.
    ///
    /// # Errors
    /// If it cannot be found out which there are.
    pub fn visit_all<T>(
        &self,
        wanted: impl Fn(NetNs) -> bool,
        mut visit: impl FnMut() -> io::Result<T>,
        seen: impl FnMut(NetNs, io::Result<T>),
    ) -> io::Result<()> {
        let list = || {
            let mut there = list()?;
            there.retain(|&netns, _| wanted(netns));
            Ok(there)
        };
        visit_each(list, |netns, path| self.visit(netns, path, &mut visit), seen)
    }

    /// Runs `visit` in the namespace `netns` at `path`; `None` if it is not there any more.
    fn visit<T>(
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

/// Lists, visits each, and has `seen` told what came of it. The process by which a namespace was found may
/// have ended by then while others are in it: it is looked for again.
fn visit_each<T>(
    mut list: impl FnMut() -> io::Result<BTreeMap<NetNs, PathBuf>>,
    mut visit: impl FnMut(NetNs, &Path) -> io::Result<Option<T>>,
    mut seen: impl FnMut(NetNs, io::Result<T>),
) -> io::Result<()> {
    let mut there = list()?;
    for _ in 0..ATTEMPTS {
        let mut missed = BTreeSet::new();
        for (netns, path) in &there {
            match visit(*netns, path).transpose() {
                Some(result) => seen(*netns, result),
                None => drop(missed.insert(*netns)),
            }
        }
        if missed.is_empty() {
            return Ok(());
        }
        there = list()?;
        there.retain(|netns, _| missed.contains(netns));
    }
    for netns in there.into_keys() {
        seen(netns, Err(io::Error::other("its processes end before it can be entered")));
    }
    Ok(())
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
    fn a_namespace_does_not_go_with_the_process_that_it_was_found_by() {
        let [stays, goes, fails] = [1, 2, 3].map(NetNs);
        let lists = [vec![stays, goes, fails], vec![stays, fails], vec![stays, fails]];
        let mut lists = lists.into_iter().enumerate();
        let list = || {
            let (time, there) = lists.next().expect("no more looks than there are");
            Ok(there.into_iter().map(|netns| (netns, PathBuf::from(time.to_string()))).collect())
        };
        let visit = |netns, path: &Path| match (netns, path.to_str().unwrap()) {
            (NetNs(1), "2") => Ok(Some("seen")),
            (NetNs(1 | 2), _) => Ok(None),
            _ => Err(io::ErrorKind::PermissionDenied.into()),
        };
        let mut seen = Vec::new();
        visit_each(list, visit, |netns, shown| seen.push((netns, shown.map_err(|e| e.kind()))))
            .unwrap();
        assert_eq!(seen, [(fails, Err(io::ErrorKind::PermissionDenied)), (stays, Ok("seen"))]);
    }

    #[test]
    fn one_whose_processes_all_end_is_not_taken_to_be_gone() {
        let list = || Ok(BTreeMap::from([(NetNs(1), PathBuf::new())]));
        let mut seen = Vec::new();
        let visit = |_, _: &Path| Ok(None::<()>);
        visit_each(list, visit, |netns, shown| seen.push((netns, shown.is_ok()))).unwrap();
        assert_eq!(seen, [(NetNs(1), false)]);
    }

    #[test]
    fn our_own_is_among_them() {
        let own = own().unwrap();
        assert!(list().unwrap().contains_key(&own));
        assert_eq!(at(Path::new(OWN)).unwrap(), own);
    }
}
