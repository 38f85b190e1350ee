//! Files of `/proc` in which programs have a say: names, cgroups, mappings, mounts, links, perf maps.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tcptrace::sys::held_by::Keepers;
use tcptrace::sys::stacks::{maps, perf_map};
use tcptrace::sys::{cgroup, holders, netns, process, threads};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let cgroup = cgroup::parse(bytes);
    assert!(cgroup.container.is_none_or(|id| id.len() == 64));
    let mappings = maps::executable(bytes);
    for mapping in &mappings {
        for address in [mapping.start, mapping.end.wrapping_sub(1)] {
            if mapping.contains(address) {
                let _ = mapping.offset_of(address);
            }
        }
    }
    let _ = maps::beginnings(bytes).count();
    let _ = perf_map::name(bytes, 0x1005);
    let _ = netns::mounted(bytes).count();
    let _ = (process::parse_stat(bytes), process::parse_status(bytes));
    let _ = (process::parse_limit(&text), threads::parse_call(&text), threads::letter(bytes));
    let _ = holders::socket_inode(Path::new(text.as_ref()));
    Keepers::default().read(&text);
});
