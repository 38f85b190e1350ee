//! What nobody may read in any output.

use core::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

/// A text that is never shown: a password, or a URL that holds one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes `text`, without the end of its line.
    pub fn new(text: &str) -> Self {
        Self(text.trim_end_matches(['\n', '\r']).to_owned())
    }

    /// The text itself, for whom it is meant.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Of a URL what may be shown: scheme, host and port.
    pub fn origin(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else { return "(no URL)".to_owned() };
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        format!("{scheme}://{host}")
    }

    /// `text` without this secret, whole or, of a URL, what follows its host.
    pub fn scrub(&self, text: &str) -> String {
        const SHORTEST: usize = 4;
        let after_host = self.0.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        let login = self.0.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
        // `Bearer` says nothing.
        let token = self.0.split_once(' ');
        let parts = [
            Some(&*self.0),
            login.map(|(login, _)| login),
            after_host.map(|(_, path)| path),
            token.map(|(_, token)| token),
        ];
        let mut text = text.to_owned();
        for part in parts.into_iter().flatten().filter(|part| part.len() >= SHORTEST) {
            text = text.replace(part, HIDDEN);
        }
        text
    }
}

/// What stands in its place.
const HIDDEN: &str = "(secret)";

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

/// Where a secret is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFrom {
    /// The configuration has it.
    Here(Secret),
    /// This file contains it, and nothing else.
    File(PathBuf),
    /// This variable of the environment has it.
    Environment(String),
}

/// Why a file was not understood, with line and column, and without a word of what it says behind an
/// equals sign: that may be a secret.
pub fn explain(text: &str, error: &toml::de::Error) -> String {
    let message = without_strings(error.message());
    let Some(start) = error.span().map(|span| span.start.min(text.len())) else { return message };
    let Some(before) = text.get(..start) else { return message };
    let line = before.matches('\n').count() + 1;
    let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before[begin..].chars().count() + 1;
    let shown = text[begin..].lines().next().unwrap_or_default();
    let shown = match shown.split_once('=') {
        Some((key, _)) => format!("{key}= …"),
        None if shown.trim_start().starts_with('[') => shown.to_owned(),
        None => "…".to_owned(),
    };
    format!("line {line}, column {column}: {message}\n  {line} | {shown}")
}

/// `message` without the strings that it quotes.
fn without_strings(message: &str) -> String {
    const QUOTE: &str = "string \"";
    match (message.find(QUOTE), message.rfind('"')) {
        (Some(start), Some(end)) if end >= start + QUOTE.len() => {
            format!("{}string {HIDDEN}{}", &message[..start], &message[end + 1..])
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_it_is_shown() {
        let url = Secret::new("https://me:hunter2@hooks.example:8443/services/T0/B0/XyZ?a=b\n");
        assert_eq!(url.origin(), "https://hooks.example:8443");
        assert_eq!(format!("{url:?}"), "(secret)");
        assert_eq!(serde_json::to_string(&url).unwrap(), "\"(secret)\"");
        let said = "POST /services/T0/B0/XyZ?a=b as me:hunter2 failed";
        assert_eq!(url.scrub(said), "POST /(secret) as (secret) failed");
        assert_eq!(Secret::new("Bearer t0ken").scrub("bad t0ken!"), "bad (secret)!");
        assert_eq!(Secret::new("no url with hunter2").origin(), "(no URL)");
        // Everything before the host is the user's.
        assert_eq!(Secret::new("http://a/@b").origin(), "http://a");
    }

    #[test]
    fn an_error_quotes_no_value() {
        let explained = |text: &str| {
            explain(text, &toml::from_str::<crate::cli::config::Config>(text).unwrap_err())
        };
        for text in [
            "[[sink.webhook]]\nurll = \"https://hunter2\"",
            "[[sink.webhook]]\nurl = [\"hunter2\"]",
            "[[sink.webhook]]\nurl = \"hunter2",
            "[[sink.webhook]]\nheaders = \"X-Key: hunter2\"",
            "[[sink.webhook]]\nheaders = { A = \"hunter2\", A = \"hunter2\" }",
            "[[sink.webhook]]\nurl = \"\"\"\nhunter2\n\\q\"\"\"",
        ] {
            let error = explained(text);
            assert!(error.contains("line "), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = explained("[[sink.webhook]]\n  url = 5");
        assert!(error.starts_with("line 2, column 9: invalid type: integer"), "{error}");
        assert!(error.ends_with("\n  2 |   url = …"), "{error}");
    }
}
