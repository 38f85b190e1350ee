//! `tcptrace demo`: a leaking server of our own, caught before your eyes.

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use clap::Parser as _;

use super::config::Layers;
use super::{Style, notice, watch};
use crate::cli::live::WatchArgs;
use crate::cli::{Cause, Cli, Command as Subcommand, DemoArgs, Given};

const CONNECTIONS: usize = 3;
/// How long the leak is looked at after it began.
const LEAK: Duration = Duration::from_secs(3);
const REST: Duration = Duration::from_secs(1);

/// Runs the demonstration, or the part of it that leaks.
pub fn run(args: &DemoArgs, style: &Style) -> Result<()> {
    if args.act {
        return act(args.cause);
    }
    let mut leaker = Leaker::start(args.cause)?;
    notice(&format!("demo: {}", story(args.cause)));
    let watch = watch_args(args.cause, leaker.port);
    let given = Given::default();
    // It is the same everywhere.
    let layers = Layers { file: Some("/dev/null".into()), args: &watch, given: &given };
    watch::run_with(layers, style, move || leaker.leak())
}

/// Only the socket that the story is about is told of: the other end waits as well.
fn watch_args(cause: Cause, port: u16) -> WatchArgs {
    let port = port.to_string();
    let limit = format!("{}s", (LEAK + REST).as_secs());
    let (watched, other) = match cause {
        Cause::HalfClose => ("--fin-wait-2", "--close-wait"),
        _ => ("--close-wait", "--fin-wait-2"),
    };
    let flags = [
        "tcptrace",
        "watch",
        watched,
        "1s",
        other,
        "1h",
        "--port",
        &port,
        "--for",
        &limit,
        "--no-record",
    ];
    match Cli::parse_from(flags).command {
        // The port may be that of a service that runs.
        Subcommand::Watch(watch) => WatchArgs { listen: None, ..*watch },
        _ => unreachable!("the flags are those of watch"),
    }
}

const fn story(cause: Cause) -> &'static str {
    match cause {
        Cause::EofRead => "a server reads the end of file on 3 connections and does not close them",
        Cause::EofUnread => {
            "3 clients leave, and their server never looks at the connections again"
        }
        Cause::SharedFd => "a server closes 3 connections that a child of its has inherited",
        Cause::NotAccepted => "3 clients come and leave before their server accepts them",
        Cause::HalfClose => "a client shuts down sending on 3 connections, and its server stays",
    }
}

/// The process that leaks.
struct Leaker {
    child: Child,
    port: u16,
}

impl Leaker {
    fn start(cause: Cause) -> Result<Self> {
        let exe = std::env::current_exe().context("cannot find this very program")?;
        let mut child = Command::new(exe)
            .args(["demo", "--act", "--cause", cause.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the server of the demonstration")?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("the server has no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let port = line.trim().parse().context("the server of the demonstration did not start")?;
        Ok(Self { child, port })
    }

    /// Begins to leak, and ends everything a while later.
    fn leak(&mut self) {
        // If it has ended there is nothing to be seen, which is what will be shown.
        let _ = self.child.stdin.as_mut().map(|stdin| stdin.write_all(b"leak\n"));
    }
}

impl Drop for Leaker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The leaking process itself: says its port, waits to be told, leaks for a while, ends.
#[expect(clippy::print_stdout, reason = "read by the process that started it")]
fn act(cause: Cause) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    std::io::stdin().read_line(&mut String::new())?;
    let mut clients = Vec::new();
    let mut servers = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(TcpStream::connect(listener.local_addr()?)?);
        if cause != Cause::NotAccepted {
            servers.push(listener.accept()?.0);
        }
    }
    let mut child = None;
    match cause {
        Cause::HalfClose => {
            for client in &clients {
                client.shutdown(Shutdown::Write)?;
            }
        }
        Cause::SharedFd => {
            child = Some(inherit(&servers)?);
            clients.clear();
            read_to_end(&mut servers);
            servers.clear();
        }
        Cause::EofRead => {
            clients.clear();
            read_to_end(&mut servers);
        }
        Cause::EofUnread | Cause::NotAccepted => clients.clear(),
    }
    // Ends early with whoever started it.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(0);
    });
    std::thread::sleep(LEAK);
    if let Some(mut child) = child {
        child.kill()?;
        child.wait()?;
    }
    // As a crash would, without closing anything.
    std::process::exit(0)
}

/// Reads each to its end, which comes at once: nothing was ever sent.
fn read_to_end(servers: &mut [TcpStream]) {
    for server in servers {
        // A failure is as good an end as any here.
        let _ = server.read(&mut [0]);
    }
}

/// A child that keeps the descriptors it was born with.
fn inherit(servers: &[TcpStream]) -> Result<Child> {
    for server in servers {
        rustix::io::fcntl_setfd(server.as_fd(), rustix::io::FdFlags::empty())?;
    }
    let child = Command::new("sleep").arg("60").spawn();
    child.context("cannot start a child that inherits the connections")
}
