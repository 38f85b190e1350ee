//! Names for addresses: of the files that the process had mapped, and of the map that it left of code that
//! was made at run time.

use std::cell::OnceCell;
use std::collections::HashMap;

use blazesym::symbolize::source::{Elf, Source};
use blazesym::symbolize::{Input, Sym, Symbolized, Symbolizer};

use super::image::Image;
use super::maps::Mapping;
use super::perf_map;
use crate::model::code::Frame;

/// Longer names are cut: those of templates can have thousands of characters.
const LONGEST: usize = 2048;

/// Names `addresses`. Inlined functions are frames of their own.
pub(super) fn name(addresses: &[u64], pid: u32, alive: bool, mappings: &[Mapping]) -> Vec<Frame> {
    let symbolizer = Symbolizer::new();
    let mut images = HashMap::<_, Option<Image>>::new();
    let perf_map = OnceCell::new();
    let mut frames = Vec::new();
    for &address in addresses {
        let Some(mapping) = mappings.iter().find(|mapping| mapping.contains(address)) else {
            frames.push(Frame { address, ..Frame::default() });
            continue;
        };
        let Some(path) = &mapping.path else {
            let map = perf_map.get_or_init(|| alive.then(|| perf_map::read(pid)).flatten());
            let function = map.as_ref().and_then(|map| perf_map::name(map, address));
            frames.push(Frame { address, function: function.map(cut), ..Frame::default() });
            continue;
        };
        let image = images.entry((mapping.inode, path.as_str()));
        let image = image.or_insert_with(|| Image::open(mapping, pid, alive));
        let offset = mapping.offset_of(address);
        let named = image.as_ref().and_then(|image| of_image(&symbolizer, offset, image));
        add(&mut frames, offset, path, named.as_ref());
    }
    frames
}

fn of_image<'a>(symbolizer: &'a Symbolizer, offset: u64, image: &Image) -> Option<Symbolized<'a>> {
    let mut elf = Elf::new(image.path());
    elf.debug_syms = image.debug;
    symbolizer.symbolize(&Source::Elf(elf), Input::FileOffset(&[offset])).ok()?.pop()
}

fn add(frames: &mut Vec<Frame>, address: u64, module: &str, named: Option<&Symbolized<'_>>) {
    let module = Some(module.to_owned());
    let Some(Symbolized::Sym(Sym { name, code_info, inlined, .. })) = named else {
        frames.push(Frame { address, module, ..Frame::default() });
        return;
    };
    let source = |info: &blazesym::symbolize::CodeInfo<'_>| {
        (cut(info.to_path().to_string_lossy().into_owned()), info.line)
    };
    // The innermost first: blazesym names the outermost of the inlined ones first.
    for inlined in inlined.iter().rev() {
        frames.push(Frame {
            address,
            function: Some(cut(inlined.name.clone().into_owned())),
            module: module.clone(),
            source: inlined.code_info.as_ref().map(source),
        });
    }
    frames.push(Frame {
        address,
        function: Some(cut(name.clone().into_owned())),
        module,
        source: code_info.as_deref().map(source),
    });
}

fn cut(mut name: String) -> String {
    if name.len() > LONGEST {
        name.truncate(name.floor_char_boundary(LONGEST));
        name.push('…');
    }
    name
}
