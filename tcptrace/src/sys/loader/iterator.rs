//! The iterator program by itself.
//!
//! aya reads all the kernel's types for each object that it loads, once more to find the function that
//! a program is for, and makes every map: that takes longer than a pass over all descriptors. This
//! program needs the id of one function, which is known by then, and its globals.

use core::ffi::c_char;
use std::collections::{HashMap, HashSet};
use std::iter;
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use aya::programs::ProgramError;
use aya_obj::generated::{
    BPF_F_RDONLY_PROG, bpf_attach_type, bpf_attr, bpf_cmd, bpf_map_type, bpf_prog_type,
};
use aya_obj::{Map, Object, VerifierLog};
use tcptrace_common::Offsets;

use super::{Kernel, OBJECT, explain};
use crate::sys::bpf::{bpf, bpf_fd, nothing};

const PROGRAM: &str = "holders";
/// What it is attached to, as the kernel's types call it.
pub(super) const FUNCTION: &str = "bpf_iter_task_file";
/// Where its globals are.
const GLOBALS: &str = ".rodata";
/// Of a program that is not loaded the verifier says why at the end, if there is room for it.
const LOG_BYTES: usize = 1 << 20;

impl Kernel {
    /// Loads the iterator over all descriptors, to show sockets in the states of the mask
    /// `holder_states` (a bit each).
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn load_iterator(&mut self, holder_states: u32) -> Result<OwnedFd> {
        self.fit(|types, features| {
            let function =
                types.iterator.context("this kernel has no iterator over descriptors")?;
            load(holder_states, features, &types.offsets, function)
        })
    }
}

fn load(holder_states: u32, features: u32, offsets: &Offsets, function: u32) -> Result<OwnedFd> {
    let mut object = Object::parse(OBJECT)?;
    object.patch_map_data(HashMap::from([
        ("OFFSETS", (bytes_of(offsets), true)),
        ("FEATURES", (&features.to_ne_bytes()[..], true)),
        ("HOLDER_STATES", (&holder_states.to_ne_bytes()[..], true)),
    ]))?;
    let globals = object.maps.remove(GLOBALS).context("the object has no globals")?;
    object.programs.retain(|name, _| name == PROGRAM);
    let program = object.programs.get(PROGRAM).context("the object has no iterator")?;
    let (section, key, license) =
        (program.section_index, program.function_key(), program.license.clone());
    // The other programs' maps are not there.
    object.functions.retain(|&(index, _), _| index == section);
    let map = make(&globals).map_err(explain)?;
    let sections = HashSet::from([section]);
    let maps = iter::once((GLOBALS, map.as_raw_fd(), &globals));
    object.relocate_maps(maps, &sections)?;
    object.relocate_calls(&sections)?;
    let instructions = &object.functions[&key].instructions;

    let mut attr = nothing();
    // SAFETY: of this union the part that loading a program takes is written to.
    let of_program = unsafe { &mut attr.__bindgen_anon_3 };
    of_program.prog_type = bpf_prog_type::BPF_PROG_TYPE_TRACING as u32;
    of_program.expected_attach_type = bpf_attach_type::BPF_TRACE_ITER as u32;
    of_program.attach_btf_id = function;
    of_program.insns = instructions.as_ptr().addr() as u64;
    of_program.insn_cnt = instructions.len() as u32;
    of_program.license = license.as_ptr().addr() as u64;
    for (to, from) in of_program.prog_name.iter_mut().zip(PROGRAM.bytes()) {
        // Signed on some processors.
        *to = c_char::from_ne_bytes([from]);
    }
    // SAFETY: instructions and licence outlive the call.
    let loaded = unsafe { bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr) };
    Ok(loaded.map_err(|io_error| {
        // SAFETY: as before.
        let verifier_log = VerifierLog::new(unsafe { why(attr) });
        ProgramError::LoadError { io_error, verifier_log }
    })?)
}

/// What the verifier has against a program.
///
/// # Safety
/// `attr` must be fit for `BPF_PROG_LOAD`.
unsafe fn why(mut attr: bpf_attr) -> String {
    let mut log = vec![0; LOG_BYTES];
    // SAFETY: as where it was filled in.
    let of_program = unsafe { &mut attr.__bindgen_anon_3 };
    of_program.log_level = 1;
    of_program.log_size = LOG_BYTES as u32;
    of_program.log_buf = log.as_mut_ptr().addr() as u64;
    // SAFETY: the caller's, and the log is as long as it says. If it is loaded this time it is closed.
    let _ = unsafe { bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr) };
    let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
    String::from_utf8_lossy(&log[..end]).into_owned()
}

/// A map of one value that programs can rely on: the verifier leaves out what it switches off.
fn make(globals: &Map) -> Result<OwnedFd> {
    let mut attr = nothing();
    // SAFETY: of this union the part that making a map takes is written to.
    let of_map = unsafe { &mut attr.__bindgen_anon_1 };
    of_map.map_type = bpf_map_type::BPF_MAP_TYPE_ARRAY as u32;
    of_map.key_size = size_of::<u32>() as u32;
    of_map.value_size = globals.data().len() as u32;
    of_map.max_entries = 1;
    of_map.map_flags = BPF_F_RDONLY_PROG;
    // SAFETY: it holds no addresses.
    let map = unsafe { bpf_fd(bpf_cmd::BPF_MAP_CREATE, &mut attr) };
    let map = map.context("cannot make a map")?;
    let key = 0u32;
    let mut attr = nothing();
    // SAFETY: of this union the part that an element takes is written to.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = map.as_raw_fd().cast_unsigned();
    element.key = (&raw const key).addr() as u64;
    element.__bindgen_anon_1.value = globals.data().as_ptr().addr() as u64;
    // SAFETY: key and value are as long as the map was made for, and outlive the call.
    unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr) }.context("cannot fill a map")?;
    let mut attr = nothing();
    attr.__bindgen_anon_2.map_fd = map.as_raw_fd().cast_unsigned();
    // SAFETY: it holds no addresses.
    unsafe { bpf(bpf_cmd::BPF_MAP_FREEZE, &mut attr) }.context("cannot freeze a map")?;
    Ok(map)
}

fn bytes_of(offsets: &Offsets) -> &[u8] {
    let start: *const Offsets = offsets;
    // SAFETY: `repr(C)` of `u32`s only, without padding.
    unsafe { core::slice::from_raw_parts(start.cast(), size_of::<Offsets>()) }
}
