//! Programs of a user without privileges that keep a connection.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;

use serde_json::Value;

use crate::actor::{Actor, Sock};
use crate::watcher::{DEADLINE, Tcptrace, reader};

/// A user that owns nothing else.
pub const USER: u32 = 54_321;

/// A running `keeper.c`, and what it keeps.
pub struct Keeper {
    pub child: Child,
    pub cookie: u64,
    said: Receiver<String>,
}

impl Keeper {
    /// As the user who has the program.
    pub fn start(program: &Path, port: u16) -> Self {
        Self::spawn(Command::new(program).arg(port.to_string()).uid(USER).gid(USER))
    }

    /// As it is told.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = reader(child.stdout.take().unwrap());
        let mut keeper = Self { child, cookie: 0, said };
        keeper.cookie = keeper.line().parse().unwrap();
        keeper
    }

    /// What it says next.
    pub fn line(&self) -> String {
        self.said.recv_timeout(DEADLINE).expect("it says nothing more")
    }

    /// Has its peer leave, and waits for what is told.
    pub fn is_left(&self, server: &mut Actor, listener: Sock, by: &mut Tcptrace) -> Value {
        let alert = self.is_told_of(server, listener, by);
        assert_eq!(alert["blame"]["pid"], self.child.id(), "{alert:#}");
        alert
    }

    /// The same, whoever is to blame.
    pub fn is_told_of(&self, server: &mut Actor, listener: Sock, by: &mut Tcptrace) -> Value {
        let accepted = server.accept(listener);
        server.close(accepted);
        by.alert(self.cookie, "firing")
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is kept for these tests under this name.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/hostile").join(name)
}

/// Builds `keeper.c` as a file of the user's.
pub fn keeper(dir: &Path) -> PathBuf {
    let program = dir.join("keeper");
    build(&program, &[source("keeper.c").to_str().unwrap()]);
    program
}

pub fn build(file: &Path, arguments: &[&str]) {
    let mut cc = Command::new("cc");
    cc.args(["-g", "-O1", "-o"]).arg(file).args(arguments);
    assert!(cc.status().unwrap().success(), "{cc:?}");
    chown(file, Some(USER), Some(USER)).unwrap();
}
