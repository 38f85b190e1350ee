//! Names come from processes that may be hostile; a terminal obeys what it is sent.

use core::fmt::{self, Write as _};

/// Shows text with everything escaped that would move the cursor, change colours, break the line
/// or reorder what stands around it.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() || reorders(c) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Line separators, and the marks that set the direction of writing.
pub(super) fn reorders(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_passes() {
        let hostile = "a\x1b[31m\n\t\u{9b}b\u{202e}c\u{7f}é";
        let shown = Escaped(hostile).to_string();
        assert_eq!(shown, r"a\u{1b}[31m\u{a}\u{9}\u{9b}b\u{202e}c\u{7f}é");
    }
}
