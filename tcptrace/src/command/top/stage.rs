//! The terminal, the keys, and what they do: the same live and in a replay.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write as _};

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;

use super::draw_failed;
use crate::cli::FilterArgs;
use crate::cli::top::filter_flags;
use crate::command::Style;
use crate::command::session::Stop;
use crate::model::filter::Filter;
use crate::model::time::Anchor;
use crate::model::top::key::{Effect, Faster};
use crate::model::top::{Said, Top};
use crate::report::screen::{self, Frame, Report};
use crate::sys::terminal::keys::{self, Touch};
use crate::sys::terminal::screen::Screen;

/// What a filter means here.
type Understand = fn(&FilterArgs) -> Result<Filter>;

/// See the module.
pub struct Stage {
    pub top: Top,
    pub frame: Frame,
    pub stop: Stop,
    hangup: Signal,
    keys: UnboundedReceiver<io::Result<Touch>>,
    screen: Screen,
    understand: Understand,
}

/// What somebody wants, once the screen itself has done its part.
pub enum Wish {
    /// To end.
    End,
    /// To see it drawn anew, and perhaps played at another speed.
    Other(Option<Faster>),
}

/// What is said of `source` on each screen.
pub fn frame(style: &Style, source: String) -> Frame {
    Frame { color: style.color, zone: style.zone.clone(), host: style.host.name.clone(), source }
}

impl Stage {
    /// Takes the terminal.
    pub fn open(frame: Frame, now: Anchor, understand: Understand) -> Result<Self> {
        let stop = Stop::new()?;
        let hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        let screen = Screen::open().context("cannot take the terminal")?;
        let keys = keys::start().context("cannot read the keys")?;
        Ok(Self { top: Top::new(now), frame, stop, hangup, keys, screen, understand })
    }

    /// Waits for somebody to want something.
    pub async fn wish(&mut self) -> Result<Wish> {
        let touch = tokio::select! {
            () = self.stop.requested() => return Ok(Wish::End),
            _ = self.hangup.recv() => return Ok(Wish::End),
            () = self.screen.closed() => return Ok(Wish::End),
            touch = self.keys.recv() => touch,
        };
        match touch {
            None => Ok(Wish::End),
            Some(Ok(Touch::Resized)) => Ok(Wish::Other(None)),
            Some(Ok(Touch::Key(key))) => Ok(match self.top.handle(key) {
                Some(Effect::Quit) => Wish::End,
                Some(Effect::Speed(faster)) => Wish::Other(Some(faster)),
                Some(Effect::Filter(text)) => {
                    self.filter(text);
                    Wish::Other(None)
                }
                Some(Effect::Write) => {
                    self.write();
                    Wish::Other(None)
                }
                None => Wish::Other(None),
            }),
            Some(Err(error)) => Err(error).context("cannot read the keys"),
        }
    }

    /// Draws what there is.
    pub fn draw(&mut self) -> Result<()> {
        let Self { top, frame, screen, .. } = self;
        draw_failed(screen.draw(|buffer, area| screen::draw(buffer, area, top, frame))).map(|_| ())
    }

    fn filter(&mut self, text: String) {
        let understood = filter_flags(&text)
            .and_then(|args| (self.understand)(&args).map_err(|error| format!("{error:#}")));
        self.top.filter(text, understood);
    }

    fn write(&mut self) {
        let said = match self.try_write() {
            Ok(name) => Said::Done(format!("written to {name}")),
            Err(error) => Said::Wrong(format!("cannot write a report: {error}")),
        };
        self.top.say(said);
    }

    /// Into a new file in the current directory. Returns its name.
    fn try_write(&mut self) -> io::Result<String> {
        let report = screen::report(&mut self.top, &self.frame);
        let kind = match report {
            Report::Text(_) => "txt",
            Report::Flame(_) => "svg",
        };
        let now = Style::anchor().wall.to_zoned(self.frame.zone.clone());
        let name = format!("tcptrace-top-{}.{kind}", now.strftime("%Y%m%dT%H%M%S"));
        let file = OpenOptions::new().write(true).create_new(true).open(&name);
        let mut out = BufWriter::new(
            file.map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?,
        );
        match report {
            Report::Text(text) => out.write_all(text.as_bytes())?,
            Report::Flame(profile) => screen::write_flame(&mut out, &profile, &self.frame)?,
        }
        out.flush()?;
        Ok(name)
    }
}
