//! A network namespace of the round's own.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::shell::run;

const NAME: &str = "tcptrace-bench";

/// A network namespace with loopback. Dropping it ends it.
pub struct Namespace(());

impl Namespace {
    /// A new one, in the place of the one before.
    pub fn new() -> Result<Self> {
        // One that a killed run has left behind.
        let _ = Command::new("ip").args(["netns", "delete", NAME]).stderr(Stdio::null()).status();
        run(Command::new("ip").args(["netns", "add", NAME]))?;
        let namespace = Self(());
        run(Command::new("ip").args(["-n", NAME, "link", "set", "lo", "up"]))?;
        // A port in TIME_WAIT for a second may be taken again on loopback, and then events are fewer.
        run(namespace.exec("sh").args(["-c", "echo 0 > /proc/sys/net/ipv4/tcp_tw_reuse"]))?;
        Ok(namespace)
    }

    /// `program` in it, with the host's `/sys`.
    pub fn enter(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{NAME}")).arg(program);
        command
    }

    /// `program` in it.
    pub fn exec(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", NAME]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", NAME]).status();
    }
}
