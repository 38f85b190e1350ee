//! The journal of systemd, by its native protocol: fields in a datagram
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).

use core::time::Duration;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use super::message::Message;
use super::{Deliver, Failure};
use crate::cli::config::sink;
use crate::model::rules::Severity;

/// Where it listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Adds an entry that is no alert, of fields by their names.
///
/// # Errors
/// If the journal does not take it; `NotFound`: there is none.
pub fn note(fields: &[(&str, &str)]) -> std::io::Result<()> {
    let mut datagram = Vec::new();
    for (name, value) in fields {
        field(&mut datagram, name, value);
    }
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(NOTE_TIMEOUT))?;
    socket.send_to(&datagram, SOCKET).map(drop)
}

/// How long it may take to take one.
const NOTE_TIMEOUT: Duration = Duration::from_millis(100);

pub struct Journald {
    socket: PathBuf,
    timeout: Duration,
}

impl Journald {
    pub fn open(sink: &sink::Journald) -> Self {
        Self { socket: sink.socket.clone(), timeout: sink.timeout }
    }

    fn send(&self, datagram: &[u8]) -> std::io::Result<()> {
        // The journal may have been restarted since.
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(self.timeout))?;
        socket.send_to(datagram, &self.socket).map(drop)
    }
}

impl Deliver for Journald {
    fn deliver(&mut self, message: &Message) -> Result<String, Failure> {
        match self.send(&datagram(message)) {
            Ok(()) => Ok("written".to_owned()),
            Err(error) => {
                let failure = Failure::later(format!("{}: {error}", self.socket.display()));
                Err(failure
                    .and_try("see that systemd-journald runs: systemctl status systemd-journald"))
            }
        }
    }
}

/// As of syslog.
fn priority(message: &Message) -> &'static str {
    match message.severity() {
        _ if !message.is_firing() => "5",
        Severity::Critical => "2",
        Severity::Warning => "4",
        Severity::Info => "6",
    }
}

fn datagram(message: &Message) -> Vec<u8> {
    let mut fields = Vec::new();
    let text = format!("{} {}", message.word(), message.headline());
    field(&mut fields, "MESSAGE", &text);
    field(&mut fields, "PRIORITY", priority(message));
    field(&mut fields, "SYSLOG_IDENTIFIER", "tcptrace");
    if let Some(process) = message.process() {
        // With it, `journalctl -u` of the process's unit shows the entry too.
        field(&mut fields, "OBJECT_PID", &process.pid.to_string());
    }
    for (name, value) in message.fields() {
        field(&mut fields, name, &value);
    }
    fields
}

/// With its length where a line would not do.
fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::tests::{named, sample_group};

    #[test]
    fn a_group() {
        let text = String::from_utf8(datagram(&sample_group())).unwrap();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_newline_makes_no_field() {
        let datagram = datagram(&named("a\nPRIORITY=0"));
        let field = b"TCPTRACE_COMM\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n";
        assert!(datagram.windows(field.len()).any(|window| window == field));
    }
}
