//! What many rows have in common is stored once, in tables with one text a row.

use core::net::IpAddr;
use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Result, params};
use serde::{Deserialize, Serialize};

use super::names::Word;
use crate::model::code::Stack;
use crate::model::process::Process;

/// Ids remembered a table; beyond that the table is asked again.
const REMEMBERED: usize = 8192;

/// The tables.
#[derive(Clone, Copy, Debug)]
pub enum Table {
    /// Words, code paths, ids of groups.
    Text,
    /// IP addresses.
    Address,
    /// Processes, without what changes from look to look.
    Process,
    /// Frames.
    Frame,
    /// Stacks, as lists of frames.
    Stack,
}

impl Table {
    const COUNT: usize = 5;

    const fn find(self) -> &'static str {
        match self {
            Self::Text => "SELECT id FROM text WHERE body = ?",
            Self::Address => "SELECT id FROM address WHERE body = ?",
            Self::Process => "SELECT id FROM process WHERE body = ?",
            Self::Frame => "SELECT id FROM frame WHERE body = ?",
            Self::Stack => "SELECT id FROM stack WHERE body = ?",
        }
    }

    const fn insert(self) -> &'static str {
        match self {
            Self::Text => "INSERT INTO text (body) VALUES (?)",
            Self::Address => "INSERT INTO address (body) VALUES (?)",
            Self::Process => "INSERT INTO process (body) VALUES (?)",
            Self::Frame => "INSERT INTO frame (body) VALUES (?)",
            Self::Stack => "INSERT INTO stack (body) VALUES (?)",
        }
    }
}

/// A stack as its table has it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Frames {
    /// Ids of the frames, the innermost first.
    pub frames: Vec<i64>,
    /// Whether it was walked to its outer end.
    pub complete: bool,
}

/// Gives ids in one shard.
#[derive(Debug, Default)]
pub struct Interner {
    known: [HashMap<Box<str>, i64>; Table::COUNT],
}

impl Interner {
    /// Forgets all ids: a transaction that gave some was undone.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    fn id(&mut self, to: &Connection, table: Table, body: &str) -> Result<i64> {
        let known = &mut self.known[table as usize];
        if let Some(&id) = known.get(body) {
            return Ok(id);
        }
        let found = to.prepare_cached(table.find())?.query_row([body], |row| row.get(0));
        let id = match found.optional()? {
            Some(id) => id,
            None => to.prepare_cached(table.insert())?.insert(params![body])?,
        };
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(body.into(), id);
        Ok(id)
    }

    /// The id of a text.
    pub fn text(&mut self, to: &Connection, text: &str) -> Result<i64> {
        self.id(to, Table::Text, text)
    }

    /// The id of a word.
    pub fn word(&mut self, to: &Connection, word: impl Word) -> Result<i64> {
        self.id(to, Table::Text, word.word())
    }

    /// The id of an address.
    pub fn address(&mut self, to: &Connection, address: IpAddr) -> Result<i64> {
        self.id(to, Table::Address, &address.to_string())
    }

    /// The id of a process. How many descriptors it had is left out: that would make a new row of
    /// every look.
    pub fn process(&mut self, to: &Connection, process: &Process) -> Result<i64> {
        let body = json(&Process { descriptors: None, ..process.clone() })?;
        self.id(to, Table::Process, &body)
    }

    /// The id of a stack.
    pub fn stack(&mut self, to: &Connection, stack: &Stack) -> Result<i64> {
        let frames = stack.frames.iter().map(|frame| self.id(to, Table::Frame, &json(frame)?));
        let frames = frames.collect::<Result<_>>()?;
        let body = json(&Frames { frames, complete: stack.complete })?;
        self.id(to, Table::Stack, &body)
    }
}

/// `value` as a column's text.
pub fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
