//! Offsets of the running kernel's structure members, from its BTF.
//!
//! The kernel programs are compiled once and read structures whose layout differs from kernel to
//! kernel. A field that is missing, or is not as wide as the program's load, is an error here,
//! before anything is attached.
//!
//! Format: `Documentation/bpf/btf.rst` of the kernel. All of it is bounds-checked.

mod offsets;

use bytes::Buf;
pub use offsets::offsets;

/// Where the kernel keeps its own BTF.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const KIND_INT: u32 = 1;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;
/// Deeper nesting than any kernel structure has; a cycle in broken BTF ends here.
const DEEPEST: usize = 32;
/// More members than any kernel structure has, those of structures inside it included. Broken BTF can
/// nest so that there is no end of them.
const MOST_MEMBERS: usize = 1 << 16;

/// Why an offset cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// Not BTF, or cut off.
    #[error("the kernel's BTF is damaged: {0}")]
    Damaged(&'static str),
    /// The kernel has no such structure or enumeration.
    #[error("this kernel has no type `{0}`")]
    NoType(String),
    /// The structure has no such member.
    #[error("this kernel's `{of}` has no member `{member}`")]
    NoMember {
        /// The structure.
        of: String,
        /// The path that was looked for.
        member: String,
    },
    /// The member has another size than the program reads.
    #[error("this kernel's `{of}.{member}` has {got} bytes where {want} are read")]
    Size {
        /// The structure.
        of: String,
        /// The path.
        member: String,
        /// Bytes it has.
        got: u32,
        /// Bytes the program reads.
        want: u32,
    },
}

const OUTSIDE: BtfError = BtfError::Damaged("a member lies outside of what can be addressed");

type Result<T> = core::result::Result<T, BtfError>;

/// A parsed BTF blob.
#[derive(Debug)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins in `types`; type 0 is void.
    starts: Vec<u32>,
    /// Ids of what is looked for by name: a tenth of all types.
    structures: Vec<u32>,
    enumerations: Vec<u32>,
    functions: Vec<u32>,
}

/// One structure, whose members are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Structure<'a> {
    btf: &'a Btf<'a>,
    name: &'a str,
    id: u32,
}

#[derive(Clone, Copy)]
struct Type<'a> {
    name: u32,
    kind: u32,
    /// Whether member offsets carry a bit-field size.
    flag: bool,
    /// A size in bytes, or the id of the type it refers to.
    size_or_type: u32,
    /// What follows, for this kind.
    rest: &'a [u8],
}

#[derive(Clone, Copy)]
struct Member {
    name: u32,
    of_type: u32,
    bit_offset: u32,
}

fn take(bytes: &[u8], from: u32, len: u32) -> Result<&[u8]> {
    let (from, len) = (from as usize, len as usize);
    bytes.get(from..).and_then(|rest| rest.get(..len)).ok_or(BtfError::Damaged("cut off"))
}

/// Bytes that follow a type's three words.
fn rest_len(kind: u32, vlen: u32) -> Option<u32> {
    Some(match kind {
        KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
        KIND_ARRAY => 12,
        KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => vlen * 12,
        KIND_ENUM | KIND_FUNC_PROTO => vlen * 8,
        2 | 7..=12 | 16 | KIND_TYPE_TAG => 0,
        _ => return None,
    })
}

impl<'a> Btf<'a> {
    /// Reads the header and finds where each type begins.
    ///
    /// # Errors
    /// If it is not BTF of this machine's byte order, or a type is cut off or of an unknown kind.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut header = take(bytes, 0, 24)?;
        if header.get_u16_ne() != MAGIC {
            return Err(BtfError::Damaged("no BTF magic"));
        }
        header.advance(2);
        let header_len = header.get_u32_ne();
        let section = |offset: u32, len: u32| {
            let from = header_len.checked_add(offset).ok_or(BtfError::Damaged("cut off"))?;
            take(bytes, from, len)
        };
        let types = section(header.get_u32_ne(), header.get_u32_ne())?;
        let strings = section(header.get_u32_ne(), header.get_u32_ne())?;
        let mut btf = Self {
            types,
            strings,
            starts: vec![0],
            structures: Vec::new(),
            enumerations: Vec::new(),
            functions: Vec::new(),
        };
        let mut at = 0;
        while (at as usize) < types.len() {
            let id = btf.starts.len() as u32;
            btf.starts.push(at);
            let mut head = take(types, at, 12)?;
            head.advance(4);
            let info = head.get_u32_ne();
            let kind = info >> 24 & 0x1f;
            match kind {
                KIND_STRUCT => btf.structures.push(id),
                KIND_ENUM => btf.enumerations.push(id),
                KIND_FUNC => btf.functions.push(id),
                _ => {}
            }
            let len = rest_len(kind, info & 0xffff)
                .ok_or(BtfError::Damaged("a kind of type that this version does not know"))?;
            at += 12 + len;
        }
        Ok(btf)
    }

    fn get(&self, id: u32) -> Result<Type<'a>> {
        let start = *self.starts.get(id as usize).ok_or(BtfError::Damaged("no such type id"))?;
        let mut head = take(self.types, start, 12)?;
        let name = head.get_u32_ne();
        let info = head.get_u32_ne();
        let kind = info >> 24 & 0x1f;
        let len = rest_len(kind, info & 0xffff).ok_or(BtfError::Damaged("unknown kind"))?;
        Ok(Type {
            name,
            kind,
            flag: info >> 31 == 1,
            size_or_type: head.get_u32_ne(),
            rest: take(self.types, start + 12, len)?,
        })
    }

    fn is_named(&self, offset: u32, name: &str) -> bool {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        rest.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }

    fn find(&self, ids: &[u32], name: &str) -> Result<u32> {
        for &id in ids {
            if self.is_named(self.get(id)?.name, name) {
                return Ok(id);
            }
        }
        Err(BtfError::NoType(name.to_owned()))
    }

    /// Follows typedefs and qualifiers to the type itself.
    fn resolve(&self, mut id: u32) -> Result<Type<'a>> {
        for _ in 0..DEEPEST {
            let found = self.get(id)?;
            match found.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    id = found.size_or_type;
                }
                _ => return Ok(found),
            }
        }
        Err(BtfError::Damaged("a chain of types without end"))
    }

    fn size(&self, id: u32) -> Result<u32> {
        let mut found = self.resolve(id)?;
        let mut count = 1u32;
        for _ in 0..DEEPEST {
            if found.kind != KIND_ARRAY {
                break;
            }
            let mut array = found.rest;
            let element = array.get_u32_ne();
            array.advance(4);
            count = count.saturating_mul(array.get_u32_ne());
            found = self.resolve(element)?;
        }
        let pointer = found.kind == 2;
        let one = if pointer { size_of::<usize>() as u32 } else { found.size_or_type };
        Ok(count.saturating_mul(one))
    }

    fn members(&self, of: Type<'a>) -> impl Iterator<Item = Member> + 'a {
        let structured = matches!(of.kind, KIND_STRUCT | KIND_UNION);
        let rest = if structured { of.rest } else { &[] };
        rest.chunks_exact(12).map(move |mut member| {
            let (name, of_type) = (member.get_u32_ne(), member.get_u32_ne());
            let offset = member.get_u32_ne();
            // With the flag set, the top byte is a bit-field's size: not a byte offset then.
            let bit_offset = if of.flag && offset >> 24 != 0 { u32::MAX } else { offset };
            Member { name, of_type, bit_offset }
        })
    }

    /// Finds `name` in `of` or in its anonymous structures and unions, of which no more than `left`
    /// members are looked at.
    fn member(
        &self,
        of: Type<'a>,
        name: &str,
        depth: usize,
        left: &mut usize,
    ) -> Result<Option<(u32, u32)>> {
        const ENDLESS: BtfError = BtfError::Damaged("structures nested without end");
        if depth == DEEPEST {
            return Err(ENDLESS);
        }
        for member in self.members(of) {
            *left = left.checked_sub(1).ok_or(ENDLESS)?;
            if self.is_named(member.name, name) {
                let byte = (member.bit_offset % 8 == 0).then_some(member.bit_offset / 8);
                return Ok(byte.map(|byte| (byte, member.of_type)));
            }
            if self.is_named(member.name, "")
                && let Some((inner, of_type)) =
                    self.member(self.resolve(member.of_type)?, name, depth + 1, left)?
            {
                let offset = (member.bit_offset / 8).checked_add(inner);
                return Ok(Some((offset.ok_or(OUTSIDE)?, of_type)));
            }
        }
        Ok(None)
    }

    /// The structure called `name`.
    ///
    /// # Errors
    /// If there is none.
    pub fn structure(&'a self, name: &'a str) -> Result<Structure<'a>> {
        Ok(Structure { btf: self, name, id: self.find(&self.structures, name)? })
    }

    /// The id of function `name`, which is what programs are loaded for.
    ///
    /// # Errors
    /// If there is no such function.
    pub fn function(&self, name: &str) -> Result<u32> {
        self.find(&self.functions, name)
    }

    /// How many arguments function `name` takes.
    ///
    /// # Errors
    /// If there is no such function.
    pub fn arguments(&self, name: &str) -> Result<usize> {
        let function = self.get(self.function(name)?)?;
        let prototype = self.get(function.size_or_type)?;
        match prototype.kind {
            KIND_FUNC_PROTO => Ok(prototype.rest.len() / 8),
            _ => Err(BtfError::Damaged("a function without a prototype")),
        }
    }

    /// The value of `name` in enumeration `of`.
    ///
    /// # Errors
    /// If there is no such enumeration or name.
    pub fn enumerator(&self, of: &str, name: &str) -> Result<u32> {
        let found = self.get(self.find(&self.enumerations, of)?)?;
        let mut values = found.rest.chunks_exact(8).map(|mut v| (v.get_u32_ne(), v.get_u32_ne()));
        values
            .find(|&(offset, _)| self.is_named(offset, name))
            .map(|(_, value)| value)
            .ok_or_else(|| BtfError::NoMember { of: of.to_owned(), member: name.to_owned() })
    }
}

impl Structure<'_> {
    /// Offset in bytes of the member at `path` (names joined by dots), which must have `want` bytes.
    ///
    /// # Errors
    /// If there is no such member, it is a bit-field or has another size.
    pub fn offset(&self, path: &str, want: u32) -> Result<u32> {
        let Self { btf, name: of, mut id } = *self;
        let missing = || BtfError::NoMember { of: of.to_owned(), member: path.to_owned() };
        let mut offset = 0;
        for name in path.split('.') {
            let found = btf.member(btf.resolve(id)?, name, 0, &mut { MOST_MEMBERS })?;
            let (inner, of_type) = found.ok_or_else(missing)?;
            offset = u32::checked_add(offset, inner).ok_or(OUTSIDE)?;
            id = of_type;
        }
        let got = btf.size(id)?;
        if got != want {
            let (of, member) = (of.to_owned(), path.to_owned());
            return Err(BtfError::Size { of, member, got, want });
        }
        Ok(offset)
    }
}

#[cfg(test)]
mod tests;
