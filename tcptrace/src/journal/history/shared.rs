//! What rows have in common, each once in memory however many shards have it.

use core::net::IpAddr;
use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _};
use serde::de::DeserializeOwned;

use super::super::intern::Frames;
use super::super::names::Word;
use crate::model::code::{Frame, Stack};
use crate::model::process::Process;

/// A row that cannot be understood: a damaged shard, or words of a later version.
#[derive(Debug, thiserror::Error)]
pub enum Odd {
    /// It names what is not there.
    #[error("{table} {id} is missing")]
    Missing {
        /// The table.
        table: &'static str,
        /// The row.
        id: i64,
    },
    /// A text that means nothing.
    #[error("{0:?} is not understood")]
    Word(Box<str>),
    /// The database says so.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Values of all shards, by what they say.
#[derive(Debug, Default)]
pub struct Shared {
    texts: HashMap<Box<str>, Arc<str>>,
    processes: HashMap<Box<str>, Arc<Process>>,
    stacks: HashMap<Box<str>, Arc<Stack>>,
}

/// Values of one shard, by their ids.
pub struct Values<'a> {
    from: &'a Connection,
    shared: &'a mut Shared,
    texts: HashMap<i64, Arc<str>>,
    addresses: HashMap<i64, IpAddr>,
    processes: HashMap<i64, Arc<Process>>,
    stacks: HashMap<i64, Arc<Stack>>,
}

impl<'a> Values<'a> {
    /// Those of the shard that `from` reads.
    pub fn new(from: &'a Connection, shared: &'a mut Shared) -> Self {
        Self {
            from,
            shared,
            texts: HashMap::new(),
            addresses: HashMap::new(),
            processes: HashMap::new(),
            stacks: HashMap::new(),
        }
    }

    fn body(&self, table: &'static str, query: &str, id: i64) -> Result<String, Odd> {
        let found = self.from.prepare_cached(query)?.query_row([id], |row| row.get(0));
        found.optional()?.ok_or(Odd::Missing { table, id })
    }

    /// A text.
    pub fn text(&mut self, id: i64) -> Result<Arc<str>, Odd> {
        if let Some(text) = self.texts.get(&id) {
            return Ok(Arc::clone(text));
        }
        let body = self.body("text", "SELECT body FROM text WHERE id = ?", id)?;
        let make = || Ok(Arc::from(body.as_str()));
        let text = once(&mut self.shared.texts, &body, make)?;
        self.texts.insert(id, Arc::clone(&text));
        Ok(text)
    }

    /// A word.
    pub fn word<T: Word>(&mut self, id: i64) -> Result<T, Odd> {
        if !self.texts.contains_key(&id) {
            self.text(id)?;
        }
        let text = self.texts.get(&id).ok_or(Odd::Missing { table: "text", id })?;
        T::parse(text).ok_or_else(|| Odd::Word((&**text).into()))
    }

    /// An address.
    pub fn address(&mut self, id: i64) -> Result<IpAddr, Odd> {
        if let Some(address) = self.addresses.get(&id) {
            return Ok(*address);
        }
        let body = self.body("address", "SELECT body FROM address WHERE id = ?", id)?;
        let address = body.parse().map_err(|_| Odd::Word(body.into()))?;
        self.addresses.insert(id, address);
        Ok(address)
    }

    /// A process.
    pub fn process(&mut self, id: i64) -> Result<Arc<Process>, Odd> {
        if let Some(process) = self.processes.get(&id) {
            return Ok(Arc::clone(process));
        }
        let body = self.body("process", "SELECT body FROM process WHERE id = ?", id)?;
        let process = once(&mut self.shared.processes, &body, || Ok(Arc::new(from_json(&body)?)))?;
        self.processes.insert(id, Arc::clone(&process));
        Ok(process)
    }

    /// A stack.
    pub fn stack(&mut self, id: i64) -> Result<Arc<Stack>, Odd> {
        if let Some(stack) = self.stacks.get(&id) {
            return Ok(Arc::clone(stack));
        }
        let body = self.body("stack", "SELECT body FROM stack WHERE id = ?", id)?;
        let Frames { frames, complete } = from_json(&body)?;
        let frames = frames
            .into_iter()
            .map(|id| self.body("frame", "SELECT body FROM frame WHERE id = ?", id))
            .collect::<Result<Vec<_>, _>>()?;
        // Other shards have other ids.
        let said = format!("{complete} {}", frames.join(" "));
        let stack = once(&mut self.shared.stacks, &said, || {
            let frames = frames.iter().map(|frame| from_json::<Frame>(frame));
            Ok(Arc::new(Stack { frames: frames.collect::<Result<_, _>>()?, complete }))
        })?;
        self.stacks.insert(id, Arc::clone(&stack));
        Ok(stack)
    }
}

fn once<T: ?Sized>(
    values: &mut HashMap<Box<str>, Arc<T>>,
    body: &str,
    make: impl FnOnce() -> Result<Arc<T>, Odd>,
) -> Result<Arc<T>, Odd> {
    if let Some(value) = values.get(body) {
        return Ok(Arc::clone(value));
    }
    let value = make()?;
    values.insert(body.into(), Arc::clone(&value));
    Ok(value)
}

/// A column's JSON.
pub fn from_json<T: DeserializeOwned>(body: &str) -> Result<T, Odd> {
    serde_json::from_str(body).map_err(|_| Odd::Word(body.into()))
}
