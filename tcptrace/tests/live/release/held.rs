//! A descriptor that several processes have, or have had.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use libtest_mimic::Trial;

use super::{release, state, wait_until};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        the_child_has_closed_and_the_parent_holds,
        one_fin_however_many_hold,
        sigpipe_at_its_default,
        sigpipe_blocked,
        event_loops_are_told_once_more,
    ]
}

/// `held.py` with a connection whose peer has ended its side.
struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    port: u16,
    client: TcpStream,
}

impl Program {
    fn start(case: &str) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/release/held.py");
        let mut python = Command::new("python3");
        python.arg(source).arg(case).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().unwrap();
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let port = line(&mut stdout).parse().unwrap();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut program = Self { child, stdin, stdout, port, client };
        assert_eq!(program.line(), "held");
        wait_until("CLOSE_WAIT", || program.state().as_deref() == Some("CLOSE-WAIT"));
        program
    }

    fn line(&mut self) -> String {
        line(&mut self.stdout)
    }

    fn state(&self) -> Option<String> {
        state(self.port, self.client.local_addr().unwrap().port())
    }

    fn release(&self, args: &[&str]) -> super::Released {
        let pid = self.child.id().to_string();
        release(&[&["--pid", &pid, "--min-age", "0s", "--yes"], args].concat())
    }

    /// Pids that hold the connection, by `ss`.
    fn holders(&self) -> Vec<u32> {
        let sockets = crate::host::ss(None, self.port);
        sockets.into_iter().flat_map(|socket| socket.pids).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Its children end when their standard input does.
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(from: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn the_child_has_closed_and_the_parent_holds() {
    let mut program = Program::start("child_closes");
    assert_eq!(program.holders(), [program.child.id()]);
    let released = program.release(&[]);
    assert_eq!((released.code, released.result()), (Some(0), "ended"), "{}", released.err);
    assert_eq!(released.sockets[0]["holders"][0]["pid"], program.child.id());
    assert_eq!(program.client.read(&mut [0]).unwrap(), 0);
    wait_until("its end", || program.state().is_none());
}

fn one_fin_however_many_hold() {
    let mut program = Program::start("child_holds");
    assert_eq!(program.holders().len(), 2);
    let released = program.release(&[]);
    assert_eq!((released.code, released.result()), (Some(0), "ended"), "{}", released.err);
    assert_eq!(released.sockets[0]["holders"].as_array().unwrap().len(), 2);
    assert_eq!(program.client.read(&mut [0]).unwrap(), 0);
    wait_until("its end", || program.state().is_none());
    assert_eq!(program.child.try_wait().unwrap(), None);
}

fn sigpipe_at_its_default() {
    let mut program = Program::start("sigpipe_default");
    for means in [&[][..], &["--abort"]] {
        let released = program.release(means);
        assert_eq!((released.code, released.reason()), (Some(0), "sigpipe"), "{}", released.err);
        let why = released.sockets[0]["why"].as_str().unwrap();
        assert!(why.contains(&program.child.id().to_string()), "{why}");
    }
    assert_eq!(program.state().as_deref(), Some("CLOSE-WAIT"), "nothing was done");
    let released = program.release(&["--allow-sigpipe"]);
    assert_eq!((released.code, released.result()), (Some(0), "ended"), "{}", released.err);
    wait_until("its end", || program.state().is_none());
    // What was warned of.
    writeln!(program.stdin.as_mut().unwrap(), "write").unwrap();
    let status = program.child.wait().unwrap();
    assert_eq!(status.signal(), Some(rustix::process::Signal::PIPE.as_raw()));
}

/// A mask may be for a moment only, so that it is asked for all the same; this one is for good.
fn sigpipe_blocked() {
    let mut program = Program::start("sigpipe_blocked");
    assert_eq!(program.release(&[]).reason(), "sigpipe");
    assert_eq!(program.release(&["--allow-sigpipe"]).result(), "ended");
    writeln!(program.stdin.as_mut().unwrap(), "write").unwrap();
    assert_eq!(program.line(), "BrokenPipeError");
}

/// Also one that has missed the edge, and one that asks for nothing.
fn event_loops_are_told_once_more() {
    let mut program = Program::start("edge_triggered");
    let hang_ups = |program: &mut Program| {
        writeln!(program.stdin.as_mut().unwrap(), "hang_ups").unwrap();
        program.line()
    };
    assert_eq!(hang_ups(&mut program), "0");
    assert_eq!(program.release(&[]).result(), "ended");
    assert_eq!(hang_ups(&mut program), "2");
}
