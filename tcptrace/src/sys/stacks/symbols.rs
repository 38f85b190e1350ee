//! Names for addresses: of the process while it lives, else of the files it had mapped.

use blazesym::symbolize::source::{Elf, Process, Source};
use blazesym::symbolize::{Input, Sym, Symbolized, Symbolizer};

use super::maps::Mapping;
use crate::model::code::Frame;

/// Names `addresses`. Inlined functions are frames of their own. Everything that was read for it is
/// given back.
pub(super) fn name(addresses: &[u64], pid: u32, alive: bool, mappings: &[Mapping]) -> Vec<Frame> {
    let symbolizer = Symbolizer::new();
    let named = if alive { of_process(&symbolizer, addresses, pid) } else { None };
    let mut frames = Vec::new();
    for (i, &address) in addresses.iter().enumerate() {
        let mapping = mappings.iter().find(|mapping| mapping.contains(address));
        let module = mapping.and_then(|mapping| mapping.path.clone());
        let within = mapping.filter(|mapping| mapping.path.is_some());
        let shown = within.map_or(address, |mapping| mapping.offset_of(address));
        match &named {
            Some(named) => add(&mut frames, shown, module, named.get(i)),
            None => {
                let of_file = mapping.and_then(|mapping| of_file(&symbolizer, address, mapping));
                add(&mut frames, shown, module, of_file.as_ref());
            }
        }
    }
    frames
}

fn of_process<'a>(
    symbolizer: &'a Symbolizer,
    addresses: &[u64],
    pid: u32,
) -> Option<Vec<Symbolized<'a>>> {
    // A perf map that is not understood fails all of the stack: try without. Without the privilege
    // to follow `map_files`, by path.
    [(true, true), (false, true), (false, false)].into_iter().find_map(|(perf_map, map_files)| {
        let mut process = Process::new(pid.into());
        (process.perf_map, process.map_files) = (perf_map, map_files);
        symbolizer.symbolize(&Source::Process(process), Input::AbsAddr(addresses)).ok()
    })
}

fn of_file<'a>(
    symbolizer: &'a Symbolizer,
    address: u64,
    mapping: &Mapping,
) -> Option<Symbolized<'a>> {
    let elf = Source::Elf(Elf::new(mapping.path.as_ref()?));
    let offset = mapping.offset_of(address);
    symbolizer.symbolize(&elf, Input::FileOffset(&[offset])).ok()?.pop()
}

fn add(
    frames: &mut Vec<Frame>,
    address: u64,
    module: Option<String>,
    named: Option<&Symbolized<'_>>,
) {
    let Some(Symbolized::Sym(Sym { name, code_info, inlined, .. })) = named else {
        frames.push(Frame { address, module, ..Frame::default() });
        return;
    };
    let source = |info: &blazesym::symbolize::CodeInfo<'_>| {
        (info.to_path().to_string_lossy().into_owned(), info.line)
    };
    // The innermost first: blazesym names the outermost of the inlined ones first.
    for inlined in inlined.iter().rev() {
        frames.push(Frame {
            address,
            function: Some(inlined.name.clone().into_owned()),
            module: module.clone(),
            source: inlined.code_info.as_ref().map(source),
        });
    }
    frames.push(Frame {
        address,
        function: Some(name.clone().into_owned()),
        module,
        source: code_info.as_deref().map(source),
    });
}
