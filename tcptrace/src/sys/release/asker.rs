//! Who runs this program.

use std::fs;

use crate::model::release::Asker;
use crate::sys::arguments;

/// What `/proc/self/loginuid` says when nobody has logged in.
const NOBODY: u32 = u32::MAX;

/// Asks the kernel and the environment.
pub fn asker() -> Asker {
    let pid = std::process::id();
    let login = fs::read_to_string("/proc/self/loginuid").ok();
    let login = login.and_then(|uid| uid.trim().parse().ok());
    let sudo = std::env::var_os("SUDO_USER");
    Asker {
        pid,
        uid: rustix::process::getuid().as_raw(),
        login_uid: login.filter(|&uid| uid != NOBODY),
        sudo_user: sudo.map(|user| user.to_string_lossy().into_owned()),
        command: arguments::read(pid).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_this_one() {
        let asker = asker();
        assert_eq!(asker.command.first(), std::env::args().next().as_ref());
        assert_eq!(asker.uid, rustix::process::getuid().as_raw());
    }
}
