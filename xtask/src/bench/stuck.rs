//! Sockets in CLOSE_WAIT, and descriptors of other kinds, in as many processes as it takes.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::namespace::Namespace;

/// Connections to one destination. The kernel goes on by nine ports or so from one to the next, and a
/// port that came round again would reset the socket that is stuck.
const TO_ONE: usize = 2000;
/// Descriptors that one process has at most.
const DESCRIPTORS: usize = 19_000;

/// Processes that hold sockets. Dropping them ends them.
pub struct Holders(Vec<Child>);

impl Holders {
    /// So many stuck sockets among so many descriptors.
    pub fn start(namespace: &Namespace, stuck: usize, descriptors: usize) -> Result<Self> {
        let count = descriptors.div_ceil(DESCRIPTORS);
        let mut holders = Self(Vec::new());
        for number in 0..count {
            let share = |of: usize| of * (number + 1) / count - of * number / count;
            let others = share(descriptors).saturating_sub(share(stuck));
            let mut command = namespace.exec("sh");
            command.args(["-c", "ulimit -n 20000 && exec \"$0\" \"$@\""]);
            command.arg(std::env::current_exe()?).args(["load", &share(stuck).to_string()]);
            command.args(["--stuck-among", &others.to_string()]);
            let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
            holders.0.push(child.context("cannot start a process that holds sockets")?);
        }
        for child in &mut holders.0 {
            let mut line = String::new();
            BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut line)?;
            ensure!(line == "ready\n", "a process that holds sockets has failed");
        }
        Ok(holders)
    }
}

impl Drop for Holders {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It ends with its stdin.
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// Holds `stuck` sockets whose peers are gone, and so many `others`, until stdin ends.
pub fn hold(stuck: usize, others: usize) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = listener.local_addr()?.port();
    let accepted = (0..stuck).map(|i| {
        let destination = Ipv4Addr::from(Ipv4Addr::LOCALHOST.to_bits() + (i / TO_ONE) as u32);
        let client = TcpStream::connect((destination, port))?;
        let (server, _) = listener.accept()?;
        drop(client);
        Ok(server)
    });
    let _sockets = accepted.collect::<io::Result<Vec<_>>>()?;
    let _files = (0..others).map(|_| File::open("/dev/null")).collect::<io::Result<Vec<_>>>()?;
    println!("ready");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
