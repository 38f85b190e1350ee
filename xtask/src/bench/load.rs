//! The load: connections over loopback whose number is known exactly, most of them closed at once,
//! some after a while.

use std::collections::VecDeque;
use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};

use super::namespace::Namespace;
use crate::shell::output;

/// Transitions of one connection: five on each side.
pub const TRANSITIONS: u64 = 10;
/// Those of a listener.
const OF_LISTENER: u64 = 2;
/// Connections to one destination within the minute that TIME_WAIT lasts: past that, ports that wait
/// would set the rate.
pub const MOST: usize = 14_000;
/// Connections under way at once, so that no accept queue overflows.
const WINDOW: usize = 64;
/// How long those last that are not closed at once, and one of how many does.
const LASTING: [(usize, Duration); 2] =
    [(16, Duration::from_millis(5)), (64, Duration::from_millis(50))];

/// What came of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Load {
    /// Connections made.
    pub connections: u64,
    /// How long that took.
    pub seconds: f64,
    /// The listener's port.
    pub port: u16,
    /// State changes that this was, by the generator's own count and the kernel's of resets.
    pub transitions: u64,
    /// From the beginning of `connect` to the end of `close`, of those that are closed at once.
    pub p50_us: f64,
    /// Likewise, what one in a hundred takes longer than.
    pub p99_us: f64,
}

impl Load {
    /// Connections a second.
    pub fn rate(&self) -> f64 {
        self.connections as f64 / self.seconds
    }
}

/// Makes the load in `namespace`.
pub fn make(namespace: &Namespace, connections: usize, rate: Option<u32>) -> Result<Load> {
    let mut generator = namespace.exec(std::env::current_exe()?);
    generator.args(["load", &connections.to_string()]);
    if let Some(rate) = rate {
        generator.args(["--rate", &rate.to_string()]);
    }
    Ok(serde_json::from_str(&output(&mut generator)?)?)
}

/// Makes it here: `connections` connections, closed by the client first, `rate` of them a second or
/// as many as there can be. Prints what came of it.
pub fn generate(connections: usize, rate: Option<u32>) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = listener.local_addr()?.port();
    let (begin, begun) = sync_channel(WINDOW);
    let server = thread::spawn(move || serve(&listener, &begun));
    let mut lasting: [VecDeque<(Instant, TcpStream)>; 2] = Default::default();
    let mut took = Vec::with_capacity(connections);
    let start = Instant::now();
    for i in 0..connections {
        if let Some(rate) = rate {
            // Sleeps last a millisecond or so: what is due by then comes in one go.
            let due = Duration::from_secs(i as u64) / rate;
            thread::sleep(due.saturating_sub(start.elapsed()));
        }
        let destination = Ipv4Addr::from(Ipv4Addr::LOCALHOST.to_bits() + (i / MOST) as u32);
        let began = Instant::now();
        let stream = TcpStream::connect((destination, port))?;
        let class = LASTING.iter().rposition(|(one_of, _)| i % one_of == 0);
        match class {
            Some(class) => lasting[class].push_back((began + LASTING[class].1, stream)),
            None => {
                drop(stream);
                took.push(began.elapsed());
            }
        }
        for due in &mut lasting {
            while due.pop_front_if(|(due, _)| *due <= began).is_some() {}
        }
        begin.send(class).context("the server has ended")?;
    }
    let seconds = start.elapsed().as_secs_f64();
    drop(lasting);
    drop(begin);
    server.join().map_err(|_| anyhow!("the server of the load has panicked"))??;
    took.sort_unstable();
    let micros = |share: f64| took[(took.len() as f64 * share) as usize].as_nanos() as f64 / 1000.0;
    let connections = connections as u64;
    let transitions = TRANSITIONS * connections + OF_LISTENER - resets()?;
    let (p50_us, p99_us) = (micros(0.5), micros(0.99));
    let load = Load { connections, seconds, port, transitions, p50_us, p99_us };
    println!("{}", serde_json::to_string(&load)?);
    Ok(())
}

/// Accepts what has begun, in the order in which it has, and reads until its end. Those that last
/// are left to threads of their own, one a class, whose ends come in order too.
fn serve(listener: &TcpListener, begun: &Receiver<Option<usize>>) -> Result<()> {
    let classes: [(SyncSender<TcpStream>, _); 2] = std::array::from_fn(|_| {
        let (keep, kept) = sync_channel::<TcpStream>(MOST);
        (
            keep,
            thread::spawn(move || kept.into_iter().try_for_each(|mut stream| drain(&mut stream))),
        )
    });
    for class in begun {
        let (mut stream, _) = listener.accept()?;
        match class {
            Some(class) => classes[class].0.send(stream).context("a thread has ended")?,
            None => drain(&mut stream)?,
        }
    }
    for (keep, thread) in classes {
        drop(keep);
        thread.join().map_err(|_| anyhow!("a thread of the server has panicked"))??;
    }
    Ok(())
}

fn drain(stream: &mut TcpStream) -> Result<()> {
    while stream.read(&mut [0; 256])? > 0 {}
    Ok(())
}

/// Connections that were reset in this namespace: each makes a transition less, from CLOSE_WAIT
/// straight to CLOSE. On a busy loopback a packet can find neither the socket nor the minisocket that
/// is taking its place.
fn resets() -> Result<u64> {
    let counters = fs::read_to_string("/proc/self/net/snmp")?;
    let mut tcp = counters.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let names = tcp.next().context("no counters of TCP")?.split(' ');
    let values = tcp.next().context("no counters of TCP")?.split(' ');
    let resets = names.zip(values).find(|(name, _)| *name == "EstabResets");
    Ok(resets.context("the kernel does not count resets")?.1.parse()?)
}

/// Reads the end of file of one connection again and again, as a program does that forgets to close:
/// prints how many reads a second that were.
pub fn spin(reads: u64) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    drop(client);
    let mut buffer = [0; 16];
    while server.read(&mut buffer)? > 0 {}
    let start = Instant::now();
    for _ in 0..reads {
        ensure!(server.read(&mut buffer)? == 0, "a connection that is over has more to say");
    }
    println!("{}", reads as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

/// The command that does so.
pub fn spin_command(reads: u64) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["load", &reads.to_string(), "--spin"]);
    Ok(command)
}
