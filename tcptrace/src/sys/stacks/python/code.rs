//! Names of code objects, out of the memory of a process that may say anything.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::lines;

/// Longer names are not believed.
const LONGEST: u64 = 4096;
/// Nor are larger tables of lines.
const LARGEST: u64 = 1 << 20;
/// Nor longer functions.
const FARTHEST: u64 = 16 << 20;

/// What a Python function was called, and where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// `co_qualname`
    pub name: String,
    /// `co_filename`
    pub file: String,
    /// `None` where the instruction has none.
    pub line: Option<u32>,
}

/// `/proc/PID/mem`, where a process's addresses are those of the file.
#[derive(Debug)]
pub struct Memory(pub File);

impl Memory {
    /// The eight bytes at `address`.
    pub fn word(&self, address: u64) -> Option<u64> {
        let mut word = [0; 8];
        self.0.read_exact_at(&mut word, address).ok()?;
        Some(u64::from_ne_bytes(word))
    }

    fn bytes(&self, address: u64, len: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        self.0.read_exact_at(&mut bytes, address).ok()?;
        Some(bytes)
    }

    /// A `str` of CPython 3.11, which must be compact.
    fn string(&self, object: u64) -> Option<String> {
        let len = self.word(object.checked_add(16)?)?;
        let state = self.word(object.checked_add(32)?)?;
        let (kind, compact, ascii) = (state >> 2 & 7, state >> 5 & 1, state >> 6 & 1);
        if len > LONGEST || compact == 0 {
            return None;
        }
        let data = object.checked_add(if ascii == 1 { 48 } else { 72 })?;
        let bytes = self.bytes(data, len * kind)?;
        match kind {
            1 => Some(bytes.iter().map(|&byte| char::from(byte)).collect()),
            2 => {
                let units =
                    bytes.chunks_exact(2).map(|unit| u16::from_ne_bytes([unit[0], unit[1]]));
                Some(char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{fffd}')).collect())
            }
            4 => {
                let units = bytes.chunks_exact(4).filter_map(|unit| unit.first_chunk().copied());
                let char_of = |unit| char::from_u32(u32::from_ne_bytes(unit)).unwrap_or('\u{fffd}');
                Some(units.map(char_of).collect())
            }
            _ => None,
        }
    }

    /// The function of a `PyCodeObject` of CPython 3.11 whose type must be at `code_type`.
    pub fn function(&self, code: u64, code_type: u64, instruction: u64) -> Option<Function> {
        let field = |offset: u64| self.word(code.checked_add(offset)?);
        if field(8)? != code_type {
            return None;
        }
        let first = (field(72)? & 0xffff_ffff) as u32;
        let offset = instruction.checked_sub(code.checked_add(184)?)?;
        if offset > FARTHEST {
            return None;
        }
        let table = field(136)?;
        let len = self.word(table.checked_add(16)?)?;
        if len > LARGEST {
            return None;
        }
        let table = self.bytes(table.checked_add(32)?, len)?;
        Some(Function {
            name: self.string(field(128)?)?,
            file: self.string(field(112)?)?,
            line: lines::line(&table, first, offset),
        })
    }
}
