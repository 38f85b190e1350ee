//! `tcptrace top` in a real terminal, which tmux is: keys are sent, the screen is read back.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};

use crate::actor::{Actor, Sock};
use crate::host::run;
use crate::watcher::{DEADLINE, Tcptrace, command, finish, fresh_directory};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        a_leak_is_seen_as_it_grows_and_walked_to_its_end,
        what_is_typed_is_a_filter_and_what_is_shown_is_written,
        signals_give_the_terminal_back,
        a_terminal_that_goes_away_ends_it,
        a_recording_is_played,
        without_a_terminal_it_says_what_else_there_is,
    ]
}

/// A terminal that runs `tcptrace top`. Dropping it closes it.
struct Terminal {
    server: String,
    scratch: PathBuf,
}

impl Terminal {
    fn start(columns: u32, rows: u32, args: &str) -> Self {
        let scratch = fresh_directory();
        fs::create_dir_all(&scratch).unwrap();
        let server = scratch.file_name().unwrap().to_str().unwrap().replace("record", "top");
        let terminal = Self { server, scratch };
        let mut start = Command::new("tmux");
        for (name, value) in command().get_envs() {
            start.env(name, value.unwrap_or_default());
        }
        // The shell outlives it, so that what it leaves behind can be looked at.
        let script = format!(
            "cd {}; stty -g > before; {} top {args}; echo ended with $?; stty -g > after; cat",
            terminal.scratch.display(),
            env!("CARGO_BIN_EXE_tcptrace"),
        );
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let session = ["-u", "-f", "/dev/null", "-L", &terminal.server, "new-session", "-d"];
        start.env("LANG", "C.UTF-8").args(session).args(["-x", &columns, "-y", &rows]);
        let started = start.args(["sh", "-c", &script]).output().expect("tmux is not installed");
        assert!(started.status.success(), "{started:?}");
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        run(&[&["tmux", "-L", &self.server], args].concat())
    }

    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn write(&self, text: &str) {
        self.tmux(&["send-keys", "-l", "--", text]);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The screen, once it is as `wanted`.
    fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "{what} did not show:\n{screen}");
            sleep(Duration::from_millis(50));
        }
    }

    fn wait_for_text(&self, text: &str) -> String {
        self.wait_for(text, |screen| screen.contains(text))
    }

    /// The process in the terminal.
    fn pid(&self) -> Pid {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        Pid::from_raw(children.trim().parse().unwrap()).unwrap()
    }

    /// After its end: the terminal is what it was, with the summary on it.
    fn is_given_back(&self) {
        let screen = self.wait_for_text("ended with 0");
        assert!(screen.contains("transitions, "), "no summary:\n{screen}");
        let after = self.scratch.join("after");
        let deadline = Instant::now() + DEADLINE;
        while fs::read_to_string(&after).unwrap_or_default().is_empty() {
            assert!(Instant::now() < deadline, "the shell did not go on");
            sleep(Duration::from_millis(20));
        }
        let mode = |name: &str| fs::read_to_string(self.scratch.join(name)).unwrap();
        assert_eq!(mode("before"), mode("after"));
        let flags = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(flags.trim(), "0 1", "no alternate screen, and a cursor");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.server, "kill-server"]).output();
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// A server that leaves its connections open.
struct Leak {
    server: Actor,
    client: Actor,
    listener: Sock,
    left: Vec<Sock>,
}

impl Leak {
    fn start() -> Self {
        let (mut server, client) = (Actor::start(), Actor::start());
        let listener = server.listen("127.0.0.1");
        Self { server, client, listener, left: Vec::new() }
    }

    fn grow(&mut self, by: usize) {
        for _ in 0..by {
            let connected = self.client.connect("127.0.0.1", self.listener.local_port);
            let accepted = self.server.accept(self.listener);
            self.client.close(connected);
            self.left.push(accepted);
        }
    }

    fn args(&mut self) -> String {
        format!("--close-wait 1s --pid {}", self.server.pid())
    }
}

/// How many stuck sockets the row of the process with `pid` shows.
fn count(screen: &str, pid: u32) -> Option<usize> {
    let row = screen.lines().find(|line| line.contains(&format!("[{pid}]")))?;
    let after_name = row.split(&format!("[{pid}]")).nth(1)?;
    after_name.split_whitespace().next()?.parse().ok()
}

fn a_leak_is_seen_as_it_grows_and_walked_to_its_end() {
    let mut leak = Leak::start();
    leak.grow(3);
    let pid = leak.server.pid();
    let terminal = Terminal::start(100, 24, &leak.args());
    terminal.wait_for("three", |screen| count(screen, pid) == Some(3));
    leak.grow(2);
    terminal.wait_for("five", |screen| count(screen, pid) == Some(5));
    terminal.press(&["Enter"]);
    let screen = terminal.wait_for_text("sockets 5");
    let port = leak.listener.local_port;
    assert_eq!(screen.matches(&format!("127.0.0.1:{port} ")).count(), 5, "{screen}");
    terminal.press(&["Enter"]);
    let screen = terminal.wait_for_text(" cookie ");
    let shows = |screen: &str, socket: &Sock| {
        let cookie = socket.cookie.to_string();
        screen.lines().any(|line| line.split_whitespace().eq(["cookie", &cookie]))
    };
    let shown = leak.left.iter().position(|socket| shows(&screen, socket));
    let shown = leak.left.remove(shown.expect("the cookie of one that was left"));
    // It stays there when it is over, and says how it ended.
    leak.server.close(shown);
    terminal.wait_for("its end", |screen| shows(screen, &shown) && screen.contains(": closed"));
    terminal.press(&["Escape"]);
    terminal.wait_for_text("sockets 4");
    terminal.press(&["Escape"]);
    terminal.wait_for("four", |screen| count(screen, pid) == Some(4));
    // At any size, at any time.
    terminal.tmux(&["resize-window", "-x", "40", "-y", "6"]);
    terminal.wait_for("a small one", |screen| {
        screen.contains("4 stuck") && screen.lines().all(|line| line.chars().count() <= 40)
    });
    terminal.tmux(&["resize-window", "-x", "132", "-y", "40"]);
    terminal.wait_for("a large one", |screen| screen.contains("w write") && screen.contains("FDS"));
    terminal.press(&["f"]);
    // With the one that is over.
    terminal.wait_for_text("of 5 sockets");
    terminal.press(&["f", "Space"]);
    terminal.wait_for_text("FROZEN");
    leak.grow(1);
    terminal.press(&["Space"]);
    terminal.wait_for("five again", |screen| count(screen, pid) == Some(5));
    leak.server.kill();
    terminal.wait_for_text("no socket is stuck");
    terminal.press(&["q"]);
    terminal.is_given_back();
}

fn what_is_typed_is_a_filter_and_what_is_shown_is_written() {
    let mut leak = Leak::start();
    leak.grow(2);
    let pid = leak.server.pid();
    let terminal = Terminal::start(120, 20, &format!("{} --color never", leak.args()));
    terminal.wait_for("two", |screen| count(screen, pid) == Some(2));
    terminal.press(&["/"]);
    terminal.write("--verdict sleepy");
    terminal.press(&["Enter"]);
    terminal.wait_for_text("invalid value 'sleepy'");
    terminal.press(&["C-u"]);
    terminal.write("--port 1");
    terminal.press(&["Enter"]);
    terminal.wait_for_text("no stuck socket is admitted by the filter");
    terminal.press(&["/", "C-u"]);
    terminal.write(&format!("--port {}", leak.listener.local_port));
    terminal.press(&["Enter"]);
    let screen = terminal.wait_for("both", |screen| count(screen, pid) == Some(2));
    assert!(screen.contains(&format!("filter --port {}", leak.listener.local_port)), "{screen}");
    terminal.press(&["w"]);
    let screen = terminal.wait_for_text("written to ");
    let name = screen.split("written to ").nth(1).unwrap().split_whitespace().next().unwrap();
    let report = fs::read_to_string(terminal.scratch.join(name)).unwrap();
    assert_eq!(count(&report, pid), Some(2), "{report}");
    // No colour: whatever escape codes there are, none chooses one.
    let screen = terminal.tmux(&["capture-pane", "-p", "-e"]);
    let codes = screen.split("\x1b[").skip(1).filter_map(|code| code.split_once('m'));
    let numbers = codes.flat_map(|(code, _)| code.split(';')).filter_map(|n| n.parse().ok());
    assert!(!numbers.into_iter().any(|n: u8| matches!(n, 30..=38 | 40..=48 | 90..)), "{screen:?}");
    terminal.press(&["C-c"]);
    terminal.is_given_back();
}

fn signals_give_the_terminal_back() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let terminal = Terminal::start(80, 24, "");
        terminal.wait_for_text("q quit");
        kill_process(terminal.pid(), signal).unwrap();
        terminal.is_given_back();
    }
    let terminal = Terminal::start(80, 24, "--for 1s");
    terminal.is_given_back();
}

fn a_terminal_that_goes_away_ends_it() {
    let terminal = Terminal::start(80, 24, "");
    terminal.wait_for_text("q quit");
    let pid = terminal.pid();
    drop(terminal);
    let deadline = Instant::now() + DEADLINE;
    while rustix::process::test_kill_process(pid).is_ok() {
        assert!(Instant::now() < deadline, "it goes on without its terminal");
        sleep(Duration::from_millis(50));
    }
}

fn a_recording_is_played() {
    let mut leak = Leak::start();
    leak.grow(2);
    let directory = fresh_directory();
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("recorded");
    let file = file.to_str().unwrap();
    let pid = leak.server.pid();
    let flags = ["watch", "--close-wait", "1s", "--no-record", "--record-raw", file];
    let mut watch = Tcptrace::start(&[&flags[..], &["--pid", &pid.to_string()]].concat());
    for socket in &leak.left {
        watch.alert(socket.cookie, "firing");
    }
    watch.stop();
    leak.server.kill();
    let terminal = Terminal::start(100, 24, &format!("--replay {file} --speed 1000"));
    let screen = terminal.wait_for_text("the recording ends here");
    assert_eq!(count(&screen, pid), Some(2), "{screen}");
    assert!(screen.contains("replay at 1000×"), "{screen}");
    terminal.press(&["-"]);
    terminal.wait_for_text("replay at 500×");
    terminal.press(&["q"]);
    terminal.is_given_back();
    fs::remove_dir_all(directory).unwrap();
}

fn without_a_terminal_it_says_what_else_there_is() {
    let (code, out, err) = finish(command().arg("top"));
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("stdout is none") && err.contains("tcptrace watch"), "{err}");
}
