//! A process that does with TCP sockets what it is told, line by line, and says what came of it.
//! Every test is a conversation with a few of them, so nothing ever has to wait and hope.

mod stage;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

pub use self::stage::act;
use crate::host::Namespace;

/// The test's end of an actor. Dropping it kills the process.
pub struct Actor {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

/// A socket of an actor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sock {
    pub id: u32,
    pub cookie: u64,
    pub local_port: u16,
}

impl Actor {
    pub fn start() -> Self {
        Self::spawn(Command::new(std::env::current_exe().unwrap()))
    }

    /// From a copy of this program.
    pub fn start_from(program: &std::path::Path) -> Self {
        Self::spawn(Command::new(program))
    }

    pub fn start_in(namespace: &Namespace) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &namespace.name]).arg(std::env::current_exe().unwrap());
        Self::spawn(command)
    }

    /// As the first process of a pid namespace.
    pub fn start_as_first_in(namespace: &Namespace) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &namespace.name, "unshare", "--pid", "--fork"]);
        command.arg("--kill-child").arg(std::env::current_exe().unwrap());
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        command.arg("actor").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    /// The process's own word for its pid: `ip netns exec` becomes the program it runs.
    pub fn pid(&mut self) -> u32 {
        self.ask("pid")[0].parse().unwrap()
    }

    fn ask(&mut self, command: &str) -> Vec<String> {
        writeln!(self.stdin.as_mut().unwrap(), "{command}").unwrap();
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).unwrap();
        let mut words = answer.split_whitespace().map(str::to_owned);
        assert_eq!(words.next().as_deref(), Some("ok"), "{command}: {answer}");
        words.collect()
    }

    fn ask_for_socket(&mut self, command: &str) -> Sock {
        let words = self.ask(command);
        let number = |i: usize| words[i].parse::<u64>().unwrap();
        Sock { id: number(0) as u32, cookie: number(1), local_port: number(2) as u16 }
    }

    pub fn listen(&mut self, address: &str) -> Sock {
        self.ask_for_socket(&format!("listen {address}"))
    }

    pub fn connect(&mut self, address: &str, port: u16) -> Sock {
        self.ask_for_socket(&format!("connect {address} {port}"))
    }

    /// By another function.
    pub fn connect_otherwise(&mut self, address: &str, port: u16) -> Sock {
        self.ask_for_socket(&format!("connect-otherwise {address} {port}"))
    }

    pub fn accept(&mut self, listener: Sock) -> Sock {
        self.ask_for_socket(&format!("accept {}", listener.id))
    }

    pub fn close(&mut self, socket: Sock) {
        self.close_all(&[socket]);
    }

    /// One right after the other, however slow the machine is.
    pub fn close_all(&mut self, sockets: &[Sock]) {
        let ids = sockets.iter().map(|socket| format!(" {}", socket.id));
        self.ask(&format!("close{}", ids.collect::<String>()));
    }

    pub fn shutdown_sending(&mut self, socket: Sock) {
        self.ask(&format!("shutdown {}", socket.id));
    }

    /// In both directions; the descriptor stays.
    pub fn shutdown_both(&mut self, socket: Sock) {
        self.ask(&format!("shutdown-both {}", socket.id));
    }

    /// Reads nothing but ends of file, as fast as it can, until told to stop.
    pub fn spin(&mut self, socket: Sock) {
        self.ask(&format!("spin {}", socket.id));
    }

    pub fn stop_spinning(&mut self) -> u64 {
        self.ask("stop-spinning")[0].parse().unwrap()
    }

    pub fn send(&mut self, socket: Sock, bytes: usize) {
        self.ask(&format!("send {} {bytes}", socket.id));
    }

    /// Writes until the kernel takes no more; returns how much it took.
    pub fn fill(&mut self, socket: Sock) -> usize {
        self.ask(&format!("fill {}", socket.id))[0].parse().unwrap()
    }

    pub fn recv(&mut self, socket: Sock) -> usize {
        self.ask(&format!("recv {}", socket.id))[0].parse().unwrap()
    }

    /// Sends a byte every so often, until told to stop; the peer must read.
    pub fn stream(&mut self, socket: Sock, every: Duration) {
        self.ask(&format!("stream {} {}", socket.id, every.as_millis()));
    }

    pub fn stop_streaming(&mut self) {
        self.ask("stop");
    }

    /// Reads and discards everything from now on.
    pub fn swallow(&mut self, socket: Sock) {
        self.ask(&format!("swallow {}", socket.id));
    }

    /// Disconnects (`connect(AF_UNSPEC)`) and connects the same socket again.
    pub fn reconnect(&mut self, socket: Sock, address: &str, port: u16) {
        self.ask(&format!("reconnect {} {address} {port}", socket.id));
    }

    /// Gives its descriptor to `other` over a unix socket and closes its own.
    pub fn pass(&mut self, socket: Sock, other: &mut Self) {
        self.share(socket, other);
        self.close(socket);
    }

    /// Gives a copy of the descriptor to `other` and keeps its own.
    pub fn share(&mut self, socket: Sock, other: &mut Self) {
        let path = format!("/tmp/tcptrace-live-{}-{}", std::process::id(), socket.cookie);
        other.ask(&format!("prepare {path}"));
        self.ask(&format!("pass {} {path}", socket.id));
        other.ask("receive");
    }

    /// Sends the descriptor to `other`, which never takes it, and closes its own.
    pub fn leave_in_flight(&mut self, socket: Sock, other: &mut Self) {
        let path = format!("/tmp/tcptrace-live-{}-{}", std::process::id(), socket.cookie);
        other.ask(&format!("prepare {path}"));
        self.ask(&format!("pass {} {path}", socket.id));
        std::fs::remove_file(path).unwrap();
        self.close(socket);
    }

    /// Reads from the descriptor that it was given.
    pub fn recv_received(&mut self) -> usize {
        self.ask("recv-received")[0].parse().unwrap()
    }

    /// Opens sockets that never have a connection: one only made, one bound, one that was refused.
    pub fn idle_sockets(&mut self) {
        self.ask("idle-sockets");
    }

    /// Starts a child that inherits the descriptor; returns its pid. It lives as long as this one.
    pub fn inherit(&mut self, socket: Sock) -> u32 {
        self.ask(&format!("inherit {}", socket.id))[0].parse().unwrap()
    }

    pub fn set_name(&mut self, name: &[u8]) {
        let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        self.ask(&format!("name {hex}"));
    }

    /// Makes `count` connections to itself. The client closes first, the server when it has read
    /// the end; all are over when this returns.
    pub fn churn(&mut self, address: &str, count: usize) {
        self.ask(&format!("churn {address} {count}"));
    }

    /// Ends the process as an operator would: nothing in it gets to close anything.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
