//! The memory of a program that says it is Python: code objects, their names and tables of lines.

#![no_main]

use std::fs::File;
use std::io::Write as _;

use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};
use tcptrace::sys::stacks::python::code::Memory;
use tcptrace::sys::stacks::python::lines;

fuzz_target!(|bytes: &[u8]| {
    let Some((&[first, far, code, kind], memory)) = bytes.split_first_chunk() else { return };
    let offset = u64::from(far) * 2;
    let _ = lines::line(memory, first.into(), offset);
    // Where a process has addresses, a file has offsets.
    let mut file = File::from(memfd_create("memory", MemfdFlags::CLOEXEC).expect("memory"));
    file.write_all(memory).expect("memory");
    let code = u64::from(code) * 8;
    let _ = Memory(file).function(code, kind.into(), code + 184 + offset);
});
