//! What a process has used, by the kernel's own account.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result};

const STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";
/// `USER_HZ`.
const TICK_NS: u64 = 10_000_000;

/// Turns the kernel's BPF statistics on, and back to what they were.
pub struct Statistics(String);

impl Statistics {
    /// On.
    pub fn on() -> Result<Self> {
        let before = fs::read_to_string(STATS).with_context(|| format!("cannot read {STATS}"))?;
        fs::write(STATS, "1").with_context(|| format!("cannot write {STATS}"))?;
        Ok(Self(before))
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        let _ = fs::write(STATS, &self.0);
    }
}

/// What some programs in the kernel have done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Runs {
    /// How long they have run.
    pub nanos: u64,
    /// How often.
    pub count: u64,
    /// How often they were skipped, because they would have interrupted themselves.
    pub skipped: u64,
}

impl Runs {
    /// What has been added since `before`.
    pub const fn since(self, before: Self) -> Self {
        Self {
            nanos: self.nanos - before.nanos,
            count: self.count - before.count,
            skipped: self.skipped - before.skipped,
        }
    }
}

/// Those of the process `pid`, by the tracepoint that they are attached to; `""` where the kernel does
/// not name it.
pub fn runs(pid: u32) -> Result<BTreeMap<String, Runs>> {
    let infos = descriptors(pid)?;
    let tracepoints: BTreeMap<_, _> = infos
        .iter()
        .filter_map(|info| Some((number(info, "prog_id:")?, text(info, "tp_name:")?)))
        .collect();
    let mut seen = BTreeSet::new();
    let mut runs = BTreeMap::<_, Runs>::new();
    for info in &infos {
        let (Some(id), Some(nanos)) = (number(info, "prog_id:"), number(info, "run_time_ns:"))
        else {
            continue;
        };
        if seen.insert(id) {
            let tracepoint = tracepoints.get(&id).copied().unwrap_or_default();
            let sum = runs.entry(tracepoint.to_owned()).or_default();
            sum.nanos += nanos;
            sum.count += number(info, "run_cnt:").unwrap_or(0);
            sum.skipped += number(info, "recursion_misses:").unwrap_or(0);
        }
    }
    Ok(runs)
}

/// What all of them have done.
pub fn sum(runs: &BTreeMap<String, Runs>) -> Runs {
    runs.values().fold(Runs::default(), |sum, runs| Runs {
        nanos: sum.nanos + runs.nanos,
        count: sum.count + runs.count,
        skipped: sum.skipped + runs.skipped,
    })
}

/// Whether the process has attached a program: a link or, of older tools, a performance event more
/// than their rings need.
pub fn has_attached(pid: u32, processors: usize) -> Result<bool> {
    if descriptors(pid)?.iter().any(|info| info.contains("link_type:")) {
        return Ok(true);
    }
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?;
    let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let events = targets.filter(|target| target.as_os_str() == "anon_inode:[perf_event]").count();
    Ok(events > processors)
}

/// Nanoseconds on a processor of all threads of the process `pid`, system calls included; of children
/// that have ended in steps of 10 ms.
pub fn processor_time(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // One may end meanwhile.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        sum += text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or(0);
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may have spaces in it.
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let of_children = fields.skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
    Ok(sum + of_children.sum::<u64>() * TICK_NS)
}

/// What the kernel says of each descriptor of a process.
fn descriptors(pid: u32) -> Result<Vec<String>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fdinfo"))?;
    // One may be closed meanwhile.
    Ok(entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok()).collect())
}

fn text<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn number(info: &str, name: &str) -> Option<u64> {
    text(info, name)?.parse().ok()
}
