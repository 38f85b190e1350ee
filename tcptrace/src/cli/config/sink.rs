//! Where alerts go: one table array a kind, each entry a sink of its own.

mod duration;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::secret::{Secret, SecretFrom};
use crate::model::rules::Severity;

/// All sinks, by kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sinks {
    /// `[[sink.alertmanager]]`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alertmanager: Vec<Alertmanager>,
    /// `[[sink.webhook]]`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub webhook: Vec<Webhook>,
    /// `[[sink.slack]]`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slack: Vec<Slack>,
    /// `[[sink.journald]]`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub journald: Vec<Journald>,
    /// `[[sink.command]]`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<Command>,
    /// `[[sink.file]]`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub file: Vec<File>,
}

/// The keys that every sink has, and those of its kind.
macro_rules! table {
    (
        $(#[$doc:meta])*
        $name:ident ($kind:literal, $timeout:literal) {
            $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            /// What it is called in messages, metrics and on the command line; the kind by default.
            pub name: String,
            /// The least severity that is sent; `info` by default: everything.
            pub severity: Severity,
            #[doc = concat!("How long one attempt may take; ", $timeout, " s by default.")]
            #[serde(with = "duration")]
            pub timeout: Duration,
            /// How long one message is tried again; 1 h by default.
            #[serde(with = "duration")]
            pub retry_for: Duration,
            /// How many messages may wait, of one group never more than one; 1000 by default.
            pub queue: usize,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    name: $kind.to_owned(),
                    severity: Severity::Info,
                    timeout: Duration::from_secs($timeout),
                    retry_for: Duration::from_secs(3600),
                    queue: 1000,
                    $($field: $default,)*
                }
            }
        }

        impl $name {
            fn common(&self) -> Common<'_> {
                let Self { name, severity, timeout, retry_for, queue, .. } = self;
                let (severity, timeout, retry_for) = (*severity, *timeout, *retry_for);
                Common { name, kind: $kind, severity, timeout, retry_for, queue: *queue }
            }
        }
    };
}

/// The same, with the keys of a receiver that speaks HTTP.
macro_rules! http_table {
    (
        $(#[$doc:meta])*
        $name:ident ($kind:literal, $timeout:literal) {
            $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr,)*
        }
    ) => {
        table! {
            $(#[$doc])*
            $name ($kind, $timeout) {
                /// Where to. One of `url`, `url_file` and `url_env` is needed; it is never shown whole.
                url: Option<Secret> = None,
                /// A file that contains it, read anew each time.
                url_file: Option<PathBuf> = None,
                /// The variable of the environment that has it.
                url_env: Option<String> = None,
                /// The `Authorization` header, like `Bearer TOKEN`; none by default.
                authorization: Option<Secret> = None,
                /// A file that contains it, read anew each time.
                authorization_file: Option<PathBuf> = None,
                /// The variable of the environment that has it.
                authorization_env: Option<String> = None,
                /// More headers; their values are never shown.
                #[serde(skip_serializing_if = "BTreeMap::is_empty")]
                headers: BTreeMap<String, Secret> = BTreeMap::new(),
                /// Certificates (PEM) to trust instead of the system's.
                ca_file: Option<PathBuf> = None,
                /// Whether `HTTPS_PROXY` and the like count; `false` by default.
                proxy_from_environment: bool = false,
                $($(#[$field_doc])* $field: $type = $default,)*
            }
        }

        impl $name {
            /// Whom to talk to, and how.
            ///
            /// # Errors
            /// If it has no URL, or more than one.
            pub fn endpoint(&self) -> Result<Endpoint, String> {
                let url = one_of("url", &self.url, &self.url_file, &self.url_env)?;
                Ok(Endpoint {
                    url: url.ok_or("one of url, url_file and url_env is needed")?,
                    authorization: one_of(
                        "authorization",
                        &self.authorization,
                        &self.authorization_file,
                        &self.authorization_env,
                    )?,
                    headers: self.headers.clone(),
                    ca_file: self.ca_file.clone(),
                    proxy_from_environment: self.proxy_from_environment,
                    timeout: self.timeout,
                })
            }
        }
    };
}

http_table! {
    /// An Alertmanager (API v2).
    Alertmanager ("alertmanager", 10) {
        /// How often an alert that goes on is sent again; 1 min by default. It ends by itself there after
        /// five times that.
        #[serde(with = "duration")]
        resend: Duration = Duration::from_secs(60),
        /// More labels, for routing; none by default.
        labels: BTreeMap<String, String> = BTreeMap::new(),
        /// The annotation `runbook_url`, with the verdict in place of `{verdict}`; none by default.
        runbook_url: Option<String> = None,
    }
}

http_table! {
    /// Anything that takes JSON by POST.
    Webhook ("webhook", 10) {}
}

http_table! {
    /// Slack, or what takes the same (Mattermost, Rocket.Chat).
    Slack ("slack", 10) {}
}

table! {
    /// The journal of systemd.
    Journald ("journald", 2) {
        /// Its socket; `/run/systemd/journal/socket` by default.
        socket: PathBuf = "/run/systemd/journal/socket".into(),
    }
}

table! {
    /// A program that is run for every message.
    Command ("command", 30) {
        /// The program and its arguments, as they are: no shell sees them.
        argv: Vec<String> = Vec::new(),
    }
}

table! {
    /// A file to which a line of JSON is appended for every message.
    File ("file", 10) {
        /// Which. Made if it is missing, and again when it was renamed.
        path: PathBuf = PathBuf::new(),
    }
}

/// The keys that every sink has.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    /// What it is called.
    pub name: &'a str,
    /// What it is.
    pub kind: &'static str,
    /// The least severity that is sent.
    pub severity: Severity,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long one message is tried again.
    pub retry_for: Duration,
    /// How many messages may wait.
    pub queue: usize,
}

/// Whom to talk to by HTTP.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where.
    pub url: SecretFrom,
    /// The `Authorization` header.
    pub authorization: Option<SecretFrom>,
    /// More headers.
    pub headers: BTreeMap<String, Secret>,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether the environment names a proxy.
    pub proxy_from_environment: bool,
    /// How long an exchange may take.
    pub timeout: Duration,
}

fn one_of(
    key: &str,
    here: &Option<Secret>,
    file: &Option<PathBuf>,
    environment: &Option<String>,
) -> Result<Option<SecretFrom>, String> {
    let mut given = [
        here.clone().map(SecretFrom::Here),
        file.clone().map(SecretFrom::File),
        environment.clone().map(SecretFrom::Environment),
    ]
    .into_iter()
    .flatten();
    match (given.next(), given.next()) {
        (given, None) => Ok(given),
        _ => Err(format!("only one of {key}, {key}_file and {key}_env may be given")),
    }
}

/// One sink.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the kinds, as above")]
pub enum Sink {
    Alertmanager(Alertmanager),
    Webhook(Webhook),
    Slack(Slack),
    Journald(Journald),
    Command(Command),
    File(File),
}

impl Sink {
    /// The keys that every sink has.
    pub fn common(&self) -> Common<'_> {
        match self {
            Self::Alertmanager(sink) => sink.common(),
            Self::Webhook(sink) => sink.common(),
            Self::Slack(sink) => sink.common(),
            Self::Journald(sink) => sink.common(),
            Self::Command(sink) => sink.common(),
            Self::File(sink) => sink.common(),
        }
    }

    /// What is missing or contradicts itself.
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Alertmanager(sink) => drop(sink.endpoint()?),
            Self::Webhook(sink) => drop(sink.endpoint()?),
            Self::Slack(sink) => drop(sink.endpoint()?),
            Self::Command(sink) if sink.argv.is_empty() => return Err("argv is needed".to_owned()),
            Self::File(sink) if sink.path.as_os_str().is_empty() => {
                return Err("path is needed".to_owned());
            }
            _ => {}
        }
        let common = self.common();
        match common {
            Common { queue: 0, .. } => Err("queue must be 1 or more".to_owned()),
            Common { timeout, .. } if timeout.is_zero() => Err("timeout must not be 0".to_owned()),
            _ => Ok(()),
        }
    }
}

impl Sinks {
    /// Every sink.
    pub fn all(&self) -> Vec<Sink> {
        let Self { alertmanager, webhook, slack, journald, command, file } = self.clone();
        let mut all = Vec::new();
        all.extend(alertmanager.into_iter().map(Sink::Alertmanager));
        all.extend(webhook.into_iter().map(Sink::Webhook));
        all.extend(slack.into_iter().map(Sink::Slack));
        all.extend(journald.into_iter().map(Sink::Journald));
        all.extend(command.into_iter().map(Sink::Command));
        all.extend(file.into_iter().map(Sink::File));
        all
    }

    /// All of them as the file has them, defaults included, secrets not.
    pub fn shown(&self) -> String {
        #[derive(Serialize)]
        struct Section<'a> {
            sink: &'a Sinks,
        }
        if *self == Self::default() {
            return String::new();
        }
        toml::to_string(&Section { sink: self }).unwrap_or_else(|why| format!("# sinks: {why}\n"))
    }

    /// Checks what no single value shows.
    ///
    /// # Errors
    /// If a sink lacks a key that it needs, or two have one name.
    pub fn check(&self) -> Result<(), String> {
        let mut names = BTreeSet::new();
        for sink in self.all() {
            let Common { name, kind, .. } = sink.common();
            sink.check().map_err(|why| format!("sink `{name}` ([[sink.{kind}]]): {why}"))?;
            if !names.insert(name.to_owned()) {
                return Err(format!(
                    "two sinks are called `{name}`: give one of them ([[sink.{kind}]]) another name"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::config::Config;

    fn parse(text: &str) -> Result<Sinks, String> {
        let config = Config::parse(text, Path::new("config.toml"));
        config.map(|config| config.sink).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_has_its_defaults() {
        let sinks = parse(
            "[[sink.alertmanager]]\nurl = 'http://localhost:9093'\nlabels = { team = 'net' }\n\
             [[sink.webhook]]\nname = 'pager'\nurl_file = '/etc/url'\nseverity = 'critical'\n\
             [[sink.slack]]\nurl_env = 'HOOK'\nretry_for = '2h30m'\n\
             [[sink.journald]]\n[[sink.command]]\nargv = ['page']\ntimeout = '90s'\n\
             [[sink.file]]\npath = '/var/log/x'\n",
        )
        .unwrap();
        let all = sinks.all();
        let names: Vec<_> = all.iter().map(|sink| sink.common().name).collect();
        assert_eq!(names, ["alertmanager", "pager", "slack", "journald", "command", "file"]);
        assert_eq!(all[1].common().severity, Severity::Critical);
        assert_eq!(all[2].common().retry_for, Duration::from_secs(9000));
        assert_eq!(all[4].common().timeout, Duration::from_secs(90));
        let endpoint = sinks.webhook[0].endpoint().unwrap();
        assert_eq!(endpoint.url, SecretFrom::File("/etc/url".into()));
        assert_eq!(parse("").unwrap(), Sinks::default());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expect) in [
            ("[[sink.webhook]]", "sink `webhook` ([[sink.webhook]]): one of url, url_file and"),
            ("[[sink.webhook]]\nurl='http://a'\nurl_env='B'", "only one of url, url_file and"),
            ("[[sink.command]]", "argv is needed"),
            ("[[sink.file]]", "path is needed"),
            ("[[sink.journald]]\n[[sink.journald]]", "two sinks are called `journald`"),
            ("[[sink.journald]]\ntimeout = 'soon'", "line 2, column 11: `soon` is not a duration"),
            ("[[sink.journald]]\nseverity = 'loud'", "unknown variant `loud`"),
            ("[[sink.journald]]\nqueue = 0", "queue must be 1 or more"),
            ("[[sink.jornald]]", "did you mean `journald`?"),
            ("[[sink.slack]]\nurl_fil = 'x'", "did you mean `url_file`?"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expect), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again_and_has_no_secret() {
        let text = "[[sink.webhook]]\nurl = 'https://host/hook/s3cret'\nretry_for = '2h30m'\n\
                    headers = { X-Token = 's3cret' }\n[[sink.file]]\npath = '/var/log/x'\n";
        let sinks = parse(text).unwrap();
        let shown = sinks.shown();
        assert!(!shown.contains("s3cret"), "{shown}");
        insta::assert_snapshot!(shown);
        let again = parse(&shown).unwrap();
        assert_eq!(again.file, sinks.file);
        assert_eq!(again.webhook[0].retry_for, Duration::from_secs(9000));
        assert_eq!(Sinks::default().shown(), "");
    }
}
