//! The terminal that is written to.

pub mod keys;
pub mod screen;

use std::os::fd::AsFd;

/// How many columns the terminal of `fd` has; `None` if it is none, or does not say.
pub fn columns(fd: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(fd).ok()?;
    Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
}
