//! What tcptrace itself uses.

use core::time::Duration;
use std::fs;

use rustix::param::page_size;
use rustix::time::{ClockId, clock_gettime};

use crate::model::figures::Usage;

/// Now. What `/proc` does not tell is unknown.
pub fn own() -> Usage {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    // Without the one that lists them.
    let descriptors = fs::read_dir("/proc/self/fd").ok().map(|all| all.count() as u64 - 1);
    Usage {
        cpu: Duration::new(cpu.tv_sec.cast_unsigned(), cpu.tv_nsec as u32),
        resident: pages.map(|pages| pages * page_size() as u64),
        descriptors,
    }
}
