//! The whole terminal as a screen, and the terminal as it was when that is over: after an error, a panic
//! or a signal as well.
//!
//! Frames are written by a thread of its own. While it waits for a slow terminal none is drawn, so that
//! nobody else waits.

use core::cell::RefCell;
use core::time::Duration;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Seek as _, Write};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel as std_channel};
use std::sync::{Mutex, PoisonError};
use std::{panic, thread};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::layout::Rect;
use rustix::fs::{MemfdFlags, memfd_create};
use tokio::sync::mpsc::{Sender, channel};

/// How long the last frame may take when the screen is given back.
const PATIENCE: Duration = Duration::from_millis(500);
/// Bytes of what was said on stderr meanwhile that are told afterwards.
const TOLD: u64 = 64 << 10;

/// What has to be given back.
struct Taken {
    /// Standard error, where it is the terminal, and what is written to it meanwhile.
    stderr: Option<(OwnedFd, File)>,
}

/// A process has one terminal.
static TAKEN: Mutex<Option<Taken>> = Mutex::new(None);

/// See the module.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Paper>>,
    paper: Paper,
    frames: Option<Sender<Vec<u8>>>,
    written: Receiver<()>,
}

/// What a frame is drawn on.
#[derive(Clone, Default)]
struct Paper(Rc<RefCell<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// If stdout is none.
    pub fn open() -> io::Result<Self> {
        let (frames, mut queue) = channel::<Vec<u8>>(1);
        let (done, written) = std_channel::<()>();
        take()?;
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            hook(panic);
        }));
        let paper = Paper::default();
        let terminal = Terminal::new(CrosstermBackend::new(paper.clone())).inspect_err(|_| {
            give_back();
        })?;
        let screen = Self { terminal, paper, frames: Some(frames), written };
        thread::Builder::new().name("screen".into()).spawn(move || {
            // Told by being dropped.
            let _done = done;
            while let Some(frame) = queue.blocking_recv() {
                let mut stdout = io::stdout().lock();
                // Nothing is drawn on what was given back, which is said before stdout is used for that.
                if !is_taken() || stdout.write_all(&frame).and_then(|()| stdout.flush()).is_err() {
                    return;
                }
            }
        })?;
        Ok(screen)
    }

    /// Resolves when the terminal has gone away.
    pub async fn closed(&self) {
        if let Some(frames) = &self.frames {
            frames.closed().await;
        }
    }

    /// Draws a frame, unless the last one is still on its way. Returns whether it did.
    ///
    /// # Errors
    /// If the terminal does not say how large it is.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Buffer, Rect)) -> io::Result<bool> {
        let Some(place) = self.frames.as_ref().and_then(|frames| frames.try_reserve().ok()) else {
            return Ok(false);
        };
        self.terminal.draw(|frame| {
            let area = frame.area();
            draw(frame.buffer_mut(), area);
        })?;
        place.send(core::mem::take(&mut *self.paper.0.borrow_mut()));
        Ok(true)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        drop(self.frames.take());
        // A terminal that takes nothing is not waited for.
        let _ = self.written.recv_timeout(PATIENCE);
        give_back();
    }
}

fn is_taken() -> bool {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    let stderr = match io::stderr().is_terminal() {
        true => hold_stderr().inspect_err(|_| _ = disable_raw_mode()).map(Some)?,
        false => None,
    };
    *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(Taken { stderr });
    execute!(io::stdout(), EnterAlternateScreen).inspect_err(|_| give_back())
}

/// What is said meanwhile would be written across the screen.
fn hold_stderr() -> io::Result<(OwnedFd, File)> {
    let terminal = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)?;
    let meanwhile = File::from(memfd_create("stderr", MemfdFlags::CLOEXEC)?);
    rustix::stdio::dup2_stderr(&meanwhile)?;
    Ok((terminal, meanwhile))
}

/// Makes the terminal what it was, once.
fn give_back() {
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(Taken { stderr }) = taken else { return };
    // A terminal that has gone away is what it was.
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
    if let Some((terminal, meanwhile)) = stderr
        && rustix::stdio::dup2_stderr(&terminal).is_ok()
    {
        let _ = say_at_last(meanwhile);
    }
}

fn say_at_last(mut meanwhile: File) -> io::Result<()> {
    let length = meanwhile.metadata()?.len();
    meanwhile.seek(io::SeekFrom::Start(length.saturating_sub(TOLD)))?;
    let mut text = Vec::new();
    meanwhile.read_to_end(&mut text)?;
    io::stderr().write_all(&text)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use ratatui::style::Style;

    use super::*;

    const CHILD: &str = "TCPTRACE_TEST_SCREEN";

    #[test]
    #[ignore = "the child of another test"]
    fn draws_and_panics() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        let mut screen = Screen::open().unwrap();
        // When the third is taken, the first has been written.
        for _ in 0..3 {
            let draw = |buffer: &mut Buffer, _| buffer.set_string(0, 0, "drawn", Style::new());
            while !screen.draw(draw).unwrap() {}
        }
        panic!("as asked for");
    }

    /// `script` has a terminal for the child, and `stty` says how it finds it.
    #[test]
    fn a_panic_gives_the_terminal_back_and_is_read_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let test = std::env::current_exe().unwrap();
        let line = format!(
            "stty rows 24 cols 80; stty -g > before; {CHILD}=1 '{}' --ignored --exact --nocapture --test-threads=1 \
             sys::terminal::screen::tests::draws_and_panics; stty -g > after",
            test.display()
        );
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).current_dir(dir.path()).stdin(Stdio::null());
        let shown = String::from_utf8_lossy(&script.output().unwrap().stdout).into_owned();
        let place = |what: &str| {
            shown.find(what).unwrap_or_else(|| panic!("no {what:?} on the terminal: {shown:?}"))
        };
        let (enters, leaves) = (place("\x1b[?1049h"), place("\x1b[?1049l"));
        assert!(enters < place("drawn") && place("drawn") < leaves, "{shown:?}");
        assert!(leaves < place("as asked for"), "{shown:?}");
        let last = |what: &str| shown.rfind(what);
        assert!(last("\x1b[?25l") < Some(leaves) && Some(leaves) < last("\x1b[?25h"), "{shown:?}");
        let state = |name| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(!state("before").is_empty());
        assert_eq!(state("after"), state("before"));
    }
}
