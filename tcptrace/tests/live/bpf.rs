//! What bpf(2) shows of the kernel, as bpftool would.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use aya::maps::loaded_maps;
use aya::programs::{loaded_links, loaded_programs};
use rustix::process::Pid;

use crate::host::wait_until;

/// Programs, links and maps by their ids, with the names of those that have one, and what is pinned.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    objects: BTreeMap<(&'static str, u32), String>,
    pinned: Vec<PathBuf>,
}

impl Loaded {
    /// All that there is now. What goes while it is listed is left out.
    pub fn now() -> Self {
        let name = |name: Option<&str>| name.unwrap_or_default().to_owned();
        let programs = loaded_programs().flatten();
        let programs = programs.map(|it| (("program", it.id()), name(it.name_as_str())));
        let links = loaded_links().flatten().map(|it| {
            let of = format!("of program {}", it.program_id());
            (("link", it.id()), of)
        });
        let maps = loaded_maps().flatten().map(|it| (("map", it.id()), name(it.name_as_str())));
        let objects = programs.chain(links).chain(maps).collect();
        let mut pinned = Vec::new();
        list(Path::new("/sys/fs/bpf"), &mut pinned);
        Self { objects, pinned }
    }

    /// What there is now and was not there `before`.
    pub fn since(before: &Self) -> Self {
        let mut now = Self::now();
        now.objects.retain(|id, _| !before.objects.contains_key(id));
        now.pinned.retain(|path| !before.pinned.contains(path));
        now
    }

    /// How many of a kind.
    pub fn count(&self, kind: &str) -> usize {
        self.objects.keys().filter(|(of, _)| *of == kind).count()
    }

    /// Waits until nothing is there that was not there before: the kernel frees what nobody holds any
    /// more a moment later.
    pub fn wait_until_nothing_since(before: &Self) {
        let nothing = Self::default();
        wait_until("something is left", || Self::since(before), |left| *left == nothing);
    }
}

/// All files below `dir`.
fn list(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        files.push(entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(&entry.path(), files);
        }
    }
}

/// How often the kernel has not run the program of that name which `pid` holds, because it was running
/// on that CPU already.
pub fn recursion_misses(pid: Pid, name: &str) -> u64 {
    let programs = loaded_programs().flatten();
    let named = programs.filter(|program| program.name_as_str() == Some(name));
    let ids: Vec<_> = named.map(|program| program.id().to_string()).collect();
    let dir = format!("/proc/{}/fdinfo", pid.as_raw_nonzero());
    let shown = fs::read_dir(dir).unwrap().flatten();
    let shown = shown.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim_start_matches(':').trim().to_owned())
    };
    let ours = shown.filter(|text| field(text, "prog_id").is_some_and(|id| ids.contains(&id)));
    let misses = ours.filter_map(|text| field(&text, "recursion_misses")?.parse::<u64>().ok());
    // A program may be held by several descriptors.
    misses.max().expect("the kernel counts what it skips")
}
