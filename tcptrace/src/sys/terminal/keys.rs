//! Keys as they are pressed, read by a thread of its own: a terminal can only be waited for.

use std::io;
use std::thread;

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, read};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::model::top::key::Key;

/// What somebody does to the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// A key was pressed.
    Key(Key),
    /// It has another size now.
    Resized,
}

/// Starts reading. Ends with an error if the terminal cannot be read.
///
/// # Errors
/// If there cannot be a thread.
pub fn start() -> io::Result<UnboundedReceiver<io::Result<Touch>>> {
    let (touches, received) = unbounded_channel();
    thread::Builder::new().name("keys".into()).spawn(move || {
        loop {
            let touch = match read() {
                Ok(Event::Key(event)) => key(event).map(|key| Ok(Touch::Key(key))),
                Ok(Event::Resize(..)) => Some(Ok(Touch::Resized)),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            };
            let is_over = matches!(touch, Some(Err(_)));
            if touch.is_some_and(|touch| touches.send(touch).is_err()) || is_over {
                return;
            }
        }
    })?;
    Ok(received)
}

fn key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    Some(match event.code {
        KeyCode::Char('c') if control => Key::Interrupt,
        KeyCode::Char('u') if control => Key::Clear,
        KeyCode::Char('h') if control => Key::Backspace,
        KeyCode::Char(_) if control => return None,
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Tab => Key::Tab,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    })
}
