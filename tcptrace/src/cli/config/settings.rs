//! What the flags of `watch` say elsewhere, and who has the last word.

use core::time::Duration;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::Config;
use super::values;
use crate::cli::FilterArgs;
use crate::cli::live::{ProbeChoice, StacksChoice, WatchArgs};

/// `[watch]`: each key is a flag of `tcptrace watch`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the flags have the words")]
pub struct Watch {
    #[serde(deserialize_with = "values::duration")]
    pub close_wait: Option<Duration>,
    #[serde(deserialize_with = "values::duration")]
    pub fin_wait_2: Option<Duration>,
    #[serde(deserialize_with = "values::duration")]
    pub closed: Option<Duration>,
    pub record: Option<PathBuf>,
    pub no_record: Option<bool>,
    #[serde(deserialize_with = "values::duration")]
    pub record_from: Option<Duration>,
    #[serde(deserialize_with = "values::duration")]
    pub keep: Option<Duration>,
    #[serde(deserialize_with = "values::size")]
    pub keep_size: Option<u64>,
    #[serde(deserialize_with = "values::choice")]
    pub probe: Option<ProbeChoice>,
    #[serde(deserialize_with = "values::choice")]
    pub stacks: Option<StacksChoice>,
    pub each: Option<bool>,
    #[serde(deserialize_with = "values::listen")]
    pub listen: Option<SocketAddr>,
    #[serde(deserialize_with = "values::ring_bytes")]
    pub ring_size: Option<u32>,
    pub max_sockets: Option<usize>,
}

/// Who said what a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag.
    Flag,
    /// A variable of the environment.
    Environment,
    /// The file.
    File,
    /// Nobody.
    Default,
}

impl Origin {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Default => "default",
        }
    }
}

/// One setting as it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: &'static str,
    /// The value, as TOML.
    pub value: String,
    /// Who said so.
    pub origin: Origin,
}

impl Config {
    /// Fills in `args` what neither a flag nor the environment says; `given` tells by the name of an
    /// argument where it is from. Returns all settings as they count then.
    pub fn fill(&self, args: &mut WatchArgs, given: impl Fn(&str) -> Origin) -> Vec<Setting> {
        let mut filling = Filling { given, settings: Vec::new() };
        let lasting = |duration: &Duration| quoted(&values::shown(*duration));
        let path = |path: &Option<PathBuf>| {
            path.as_ref().map_or("\"\"".to_owned(), |path| quoted(&path.display().to_string()))
        };
        let address = |address: &Option<SocketAddr>| {
            quoted(&address.map(|address| address.to_string()).unwrap_or_default())
        };
        let file = &self.watch;
        filling.one("close_wait", file.close_wait, &mut args.live.close_wait, lasting);
        filling.one("fin_wait_2", file.fin_wait_2, &mut args.live.fin_wait_2, lasting);
        filling.one("closed", file.closed, &mut args.live.closed, lasting);
        filling.one("record", file.record.clone().map(Some), &mut args.record, path);
        filling.one("no_record", file.no_record, &mut args.no_record, bool::to_string);
        filling.one("record_from", file.record_from, &mut args.record_from, lasting);
        filling.one("keep", file.keep, &mut args.keep, lasting);
        filling.one("keep_size", file.keep_size, &mut args.keep_size, |n| quoted(&n.to_string()));
        filling.one("probe", file.probe, &mut args.live.probe, word);
        filling.one("stacks", file.stacks, &mut args.live.stacks, word);
        filling.one("each", file.each, &mut args.each, bool::to_string);
        filling.one("listen", file.listen.map(Some), &mut args.listen, address);
        filling.one("ring_size", file.ring_size, &mut args.ring_size, u32::to_string);
        filling.one("max_sockets", file.max_sockets, &mut args.max_sockets, usize::to_string);
        self.fill_filter(&mut args.live.filter, &mut filling);
        filling.settings
    }

    fn fill_filter(&self, args: &mut FilterArgs, filling: &mut Filling<impl Fn(&str) -> Origin>) {
        let file = self.filter.filter();
        let names = |names: &Vec<String>| list(names, |name| quoted(name));
        filling.one("port", unless_empty(file.socket.port), &mut args.socket.port, |ports| {
            list(ports, u16::to_string)
        });
        filling.one("addr", unless_empty(file.socket.addr), &mut args.socket.addr, |addresses| {
            list(addresses, |address| quoted(&address.to_string()))
        });
        filling.one("netns", unless_empty(file.socket.netns), &mut args.socket.netns, names);
        filling
            .one("pid", unless_empty(file.pid), &mut args.pid, |pids| list(pids, u32::to_string));
        filling.one("comm", unless_empty(file.comm), &mut args.comm, names);
        filling.one("cgroup", unless_empty(file.cgroup), &mut args.cgroup, names);
        filling.one("verdict", unless_empty(file.verdict), &mut args.verdict, |verdicts| {
            list(verdicts, |verdict| quoted(verdict.name()))
        });
    }
}

fn unless_empty<T>(vec: Vec<T>) -> Option<Vec<T>> {
    Some(vec).filter(|vec| !vec.is_empty())
}

struct Filling<G> {
    given: G,
    settings: Vec<Setting>,
}

impl<G: Fn(&str) -> Origin> Filling<G> {
    fn one<T>(
        &mut self,
        key: &'static str,
        file: Option<T>,
        to: &mut T,
        shown: impl Fn(&T) -> String,
    ) {
        let mut origin = (self.given)(key);
        if let (Origin::Default, Some(value)) = (origin, file) {
            *to = value;
            origin = Origin::File;
        }
        self.settings.push(Setting { key, value: shown(to), origin });
    }
}

fn word<T: clap::ValueEnum>(choice: &T) -> String {
    let value = choice.to_possible_value();
    quoted(value.as_ref().map_or("", |value| value.get_name()))
}

/// As TOML writes a string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn list<T>(all: &[T], shown: impl Fn(&T) -> String) -> String {
    format!("[{}]", all.iter().map(shown).collect::<Vec<_>>().join(", "))
}
