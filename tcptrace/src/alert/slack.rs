//! A message to a channel, as Slack's incoming webhooks take it.
//!
//! Names of processes and files are hostile: they must neither ping anybody nor make links. All of them
//! stand in code, where nothing but `&`, `<` and `>` means anything, and a backtick would end it.

use core::fmt::Write as _;

use anyhow::{Result, anyhow};
use serde::Serialize;

use super::http::Client;
use super::message::Message;
use super::{Deliver, Failure};
use crate::cli::config::sink;
use crate::report::escape::Escaped;

/// Longer texts are cut: Slack makes several messages of them.
const LONGEST: usize = 3000;

pub struct Slack(Client);

#[derive(Serialize)]
struct Payload {
    text: String,
    /// No name is made a link to somebody.
    link_names: bool,
    unfurl_links: bool,
}

impl Slack {
    pub fn open(sink: &sink::Slack) -> Result<Self> {
        Ok(Self(Client::open(sink.endpoint().map_err(|why| anyhow!(why))?)?))
    }
}

impl Deliver for Slack {
    fn deliver(&mut self, message: &Message) -> Result<String, Failure> {
        let payload = Payload { text: text(message), link_names: false, unfurl_links: false };
        let body = serde_json::to_vec(&payload).map_err(|why| Failure::never(why.to_string()))?;
        self.0.post(&body, str::to_owned)
    }
}

fn text(message: &Message) -> String {
    let (word, severity) = (message.word(), message.severity().name());
    let mut code = message.headline();
    for (label, fact) in message.facts() {
        // A string takes everything.
        let _ = write!(code, "\n{label:<5}  {fact}");
    }
    code.truncate(code.floor_char_boundary(LONGEST));
    let host = Escaped(&message.host).to_string();
    format!("*{word}* ({severity}) on `{}`\n```\n{}\n```", harmless(&host), harmless(&code))
}

/// What stands for itself inside of code. The mark after `@` is for receivers that look for names there
/// too.
fn harmless(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('`', "\u{2cb}")
        .replace('@', "@\u{2060}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::tests::{named, sample_group};

    #[test]
    fn a_group() {
        insta::assert_snapshot!(text(&sample_group()));
    }

    #[test]
    fn a_hostile_name_pings_nobody_and_makes_no_link() {
        let text = text(&named("<!here> @channel ```\n*x* <http://a|b>"));
        for hostile in ["<", ">", "@channel", "@here"] {
            assert!(!text.contains(hostile), "{text}");
        }
        assert_eq!(text.matches("```").count(), 2, "{text}");
        assert_eq!(text.matches('`').count(), 8, "{text}");
    }
}
