//! Lines of Python code: the location table of CPython 3.11 (`Objects/locations.md`).

/// Instructions are counted in units of this many bytes.
const UNIT: u64 = 2;

/// The line of the instruction at `offset` bytes into the code; `None` where it has none, or the table is
/// not one.
pub fn line(table: &[u8], first: u32, offset: u64) -> Option<u32> {
    let mut bytes = table.iter().copied();
    let (mut line, mut end) = (i64::from(first), 0u64);
    while let Some(head) = bytes.next() {
        if head & 0x80 == 0 {
            return None;
        }
        let (kind, units) = (head >> 3 & 15, u64::from(head & 7) + 1);
        let mut here = true;
        match kind {
            // Columns only.
            0..=9 => skip(&mut bytes, 1)?,
            10..=12 => {
                line = line.checked_add(i64::from(kind - 10))?;
                skip(&mut bytes, 2)?;
            }
            13 => line = line.checked_add(signed(varint(&mut bytes)?))?,
            14 => {
                line = line.checked_add(signed(varint(&mut bytes)?))?;
                for _ in 0..3 {
                    varint(&mut bytes)?;
                }
            }
            _ => here = false,
        }
        end += units * UNIT;
        if offset < end {
            return here.then(|| u32::try_from(line).ok()).flatten();
        }
    }
    None
}

fn skip(bytes: &mut impl Iterator<Item = u8>, count: usize) -> Option<()> {
    (0..count).try_for_each(|_| bytes.next().map(drop))
}

/// Six bits a byte, the lowest first; bit 6 says that more come.
fn varint(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut value = 0;
    for shift in (0..60).step_by(6) {
        let byte = bytes.next()?;
        value |= u64::from(byte & 63) << shift;
        if byte & 64 == 0 {
            return Some(value);
        }
    }
    None
}

/// The sign is the lowest bit.
const fn signed(value: u64) -> i64 {
    let magnitude = (value >> 1).cast_signed();
    if value & 1 == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `co_linetable` and the lines of `co_positions()` of a function with loops and handlers, by CPython 3.11.
    const TABLE: &[u8] = &[
        128, 0, 216, 13, 14, 240, 0, 11, 5, 32, 240, 0, 11, 5, 32, 136, 1, 240, 2, 10, 9, 32, 221,
        12, 17, 144, 33, 240, 2, 1, 19, 27, 240, 0, 1, 19, 27, 152, 97, 240, 0, 1, 19, 27, 241, 0,
        1, 19, 27, 244, 0, 1, 19, 27, 241, 3, 2, 13, 28, 244, 0, 2, 13, 28, 240, 0, 2, 13, 28, 240,
        0, 2, 13, 28, 248, 245, 6, 0, 16, 26, 240, 0, 5, 9, 26, 240, 0, 5, 9, 26, 240, 0, 5, 9, 26,
        245, 8, 0, 19, 27, 216, 16, 17, 241, 3, 1, 19, 19, 244, 0, 1, 19, 19, 216, 24, 25, 240, 3,
        1, 13, 26, 248, 248, 248, 248, 240, 9, 5, 9, 26, 248, 248, 248, 240, 7, 2, 13, 28, 240, 18,
        0, 24, 25, 144, 17, 148, 19, 152, 97, 152, 33, 152, 33, 248, 144, 113, 144, 17, 148, 19,
        152, 97, 152, 33, 152, 37, 152, 37, 152, 37, 152, 37, 216, 12, 13, 216, 9, 29, 241, 3, 1,
        13, 30, 240, 0, 1, 5, 31,
    ];
    const FIRST: u32 = 1;
    const LINES: &[Option<u32>] = &[
        Some(1),
        Some(2),
        Some(2),
        Some(2),
        Some(2),
        Some(3),
        Some(4),
        Some(4),
        Some(4),
        Some(4),
        Some(4),
        Some(4),
        Some(4),
        Some(5),
        Some(5),
        Some(5),
        Some(5),
        Some(5),
        Some(5),
        Some(5),
        Some(5),
        Some(5),
        Some(5),
        Some(5),
        Some(4),
        Some(4),
        Some(4),
        Some(4),
        Some(4),
        Some(4),
        Some(4),
        Some(4),
        Some(4),
        None,
        Some(7),
        Some(7),
        Some(7),
        Some(7),
        Some(7),
        Some(7),
        Some(7),
        Some(7),
        Some(7),
        Some(11),
        Some(11),
        Some(11),
        Some(11),
        Some(11),
        Some(11),
        Some(12),
        Some(11),
        Some(11),
        Some(11),
        Some(11),
        Some(11),
        Some(11),
        Some(11),
        Some(12),
        Some(11),
        None,
        None,
        None,
        None,
        Some(7),
        None,
        None,
        None,
        Some(4),
        Some(13),
        Some(13),
        Some(13),
        Some(13),
        Some(13),
        Some(13),
        Some(13),
        Some(13),
        Some(13),
        Some(13),
        None,
        Some(13),
        Some(13),
        Some(13),
        Some(13),
        Some(13),
        Some(13),
        Some(13),
        Some(13),
        Some(13),
        Some(13),
        Some(13),
        Some(13),
        Some(13),
        Some(14),
        Some(15),
        Some(14),
        Some(14),
        Some(14),
    ];

    #[test]
    fn lines_are_those_that_python_names() {
        for (offset, expected) in LINES.iter().enumerate() {
            assert_eq!(line(TABLE, FIRST, 2 * offset as u64), *expected, "unit {offset}");
        }
        assert_eq!(line(TABLE, FIRST, 2 * LINES.len() as u64), None);
    }

    #[test]
    fn what_is_no_table_has_no_lines() {
        for cut in 0..TABLE.len() {
            let _ = line(&TABLE[..cut], FIRST, 2 * LINES.len() as u64);
        }
        assert_eq!(line(&[0x00], 1, 0), None);
        assert_eq!(line(&[0xe8, 0x7f, 0x7f], 1, 0), None);
        assert_eq!(line(&[0xe8; 100], 1, 0), None);
    }
}
