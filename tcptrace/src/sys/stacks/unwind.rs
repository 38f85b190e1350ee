//! Walking a copied stack by the `.eh_frame` of what was mapped.

use std::sync::Arc;

use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{ExplicitModuleSectionInfo, FrameAddress, Module, Unwinder as _};
use object::elf::PF_X;
use object::{Object as _, ObjectSection as _, ObjectSegment as _, ReadCache, SegmentFlags};

use tcptrace_common::STACK_PAGE;

use super::maps::Mapping;
use super::record::Thread;

/// Deeper stacks are cut.
const DEEPEST: usize = 64;
/// Unwind tables that claim to be larger are left alone: whose they are is anybody.
const LARGEST: u64 = 256 << 20;

/// The addresses of the instructions that were under way, the innermost first, and whether that is
/// all. `alive` says whether the process may be asked for its files.
pub(super) fn walk(thread: &Thread, alive: bool) -> (Vec<u64>, bool) {
    let mut unwinder = UnwinderX86_64::<Arc<[u8]>>::new();
    let mut unread = Vec::new();
    for mapping in thread.mappings.iter() {
        match module(mapping, thread.pid, alive) {
            Some(module) => unwinder.add_module(module),
            None if mapping.path.is_some() => unread.push(mapping),
            None => {}
        }
    }
    let base = thread.sp & !(STACK_PAGE as u64 - 1);
    // Where the copy ends, the unwinder may take the end of what it is shown for that of the stack.
    let mut cut = false;
    let mut read = |address: u64| {
        let at = address.checked_sub(base).and_then(|at| usize::try_from(at).ok());
        let word = at.and_then(|at| thread.stack.get(at..)?.first_chunk::<8>());
        cut |= word.is_none();
        word.map(|word| u64::from_ne_bytes(*word)).ok_or(())
    };
    let mut cache = CacheX86_64::<_>::new();
    let regs = UnwindRegsX86_64::new(thread.ip, thread.sp, thread.bp);
    let mut frames = unwinder.iter_frames(thread.ip, regs, &mut cache, &mut read);
    let mut addresses = Vec::new();
    let mut ended = false;
    while addresses.len() < DEEPEST && !ended {
        match frames.next() {
            Ok(Some(frame)) => addresses.push(frame),
            Ok(None) => ended = true,
            Err(_) => break,
        }
    }
    let addresses = lookups(addresses);
    // Without its tables, whoever called from a file may have been passed over.
    let guessed = addresses.iter().any(|&at| unread.iter().any(|mapping| mapping.contains(at)));
    (addresses, ended && !cut && !guessed)
}

/// A return address is behind the call.
fn lookups(frames: Vec<FrameAddress>) -> Vec<u64> {
    frames.into_iter().map(FrameAddress::address_for_lookup).collect()
}

fn module(mapping: &Mapping, pid: u32, alive: bool) -> Option<Module<Arc<[u8]>>> {
    let file = ReadCache::new(mapping.open(pid, alive)?);
    let object = object::File::parse(&file).ok()?;
    // How far the code was moved from where the file says it is. The page at which the code begins
    // may be the last one of other segments as well.
    let mut executable = object.segments().filter(
        |segment| matches!(segment.flags(), SegmentFlags::Elf { p_flags } if p_flags & PF_X != 0),
    );
    let moved = executable.find_map(|segment| {
        let (offset, size) = segment.file_range();
        let first_page = offset & !0xfff;
        let inside = (first_page..offset + size).contains(&mapping.offset);
        let stated = segment.address().wrapping_sub(offset).wrapping_add(mapping.offset);
        inside.then(|| mapping.start.wrapping_sub(stated))
    })?;
    let section = |name: &str| object.section_by_name(name).filter(|s| s.size() <= LARGEST);
    let range = |name| section(name).map(|s| s.address()..s.address() + s.size());
    let data = |name| section(name)?.data().ok().map(Arc::from);
    let info = ExplicitModuleSectionInfo {
        base_svma: 0,
        text_svma: range(".text"),
        got_svma: range(".got"),
        eh_frame_svma: range(".eh_frame"),
        eh_frame: data(".eh_frame"),
        eh_frame_hdr_svma: range(".eh_frame_hdr"),
        eh_frame_hdr: data(".eh_frame_hdr"),
        ..ExplicitModuleSectionInfo::default()
    };
    let name = mapping.path.clone().unwrap_or_default();
    Some(Module::new(name, mapping.start..mapping.end, moved, info))
}
