//! A stay on its way to its row.

use std::sync::Arc;

use rusqlite::{Connection, Result, params};

use super::clock::Clock;
use super::intern::{Interner, json};
use crate::model::alert::alert_id;
use crate::model::evidence::Evidence;
use crate::model::history::Known;
use crate::model::memory::Memory;
use crate::model::process::{Process, eldest};
use crate::model::reads::{EofRead, first_read};
use crate::model::stay::EndedBy;
use crate::model::time::Instant;
use crate::model::verdict::Finding;

/// The end of a stay.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// Its name in this run.
    pub serial: u64,
    /// When.
    pub at: Instant,
    /// What ended it.
    pub by: EndedBy,
    /// Whether our side sent a reset.
    pub reset_sent: Option<bool>,
}

/// A stay as it will be written.
#[derive(Debug)]
pub struct Row {
    /// All that is known.
    pub known: Known,
    /// When it began, by the wall clock.
    pub since_wall: i64,
    /// Its end.
    pub end: Option<End>,
    /// Whether somebody was told of it.
    pub alerted: bool,
}

const WRITE: &str = "INSERT OR REPLACE INTO stay VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

impl Row {
    /// Of a stay that goes on.
    pub fn new(known: Known, clock: &Clock) -> Self {
        let since_wall = clock.wall_at(known.stay.since);
        Self { known, since_wall, end: None, alerted: false }
    }

    /// Takes in what is known now.
    pub fn update(&mut self, known: Known, clock: &Clock) {
        if known.stay.since != self.known.stay.since {
            self.since_wall = clock.wall_at(known.stay.since);
        }
        self.known = known;
    }

    /// Writes it as the row `id` of `run`. Writing it again changes nothing.
    pub fn write(
        &self,
        to: &Connection,
        interner: &mut Interner,
        clock: &Clock,
        boot_id: &str,
        (run, id): (i64, i64),
    ) -> Result<()> {
        let Known { stay, evidence, finding, .. } = &self.known;
        let (local, remote) = (stay.endpoints.local, stay.endpoints.remote);
        // The time of an open row is that of its last look: the end will take as many bytes.
        let until = self.end.map_or(self.known.at, |end| end.at);
        let ended_by = self.end.map(|end| interner.word(to, end.by)).transpose()?;
        let process = responsible(finding, evidence);
        let process = process.map(|process| interner.process(to, process)).transpose()?;
        let code = finding.code.as_ref().map(|code| interner.text(to, &code.line)).transpose()?;
        let stack = evidence.stack.as_deref();
        let stack = stack.map(|stack| interner.stack(to, stack)).transpose()?;
        let opened = evidence.opened.as_deref();
        let opened = opened.map(|stack| interner.stack(to, stack)).transpose()?;
        let proof = finding.code.as_ref().and_then(|code| evidence.proof_of(code.did));
        let usual = alert_id(boot_id, stay) == self.known.id;
        to.prepare_cached(WRITE)?.execute(params![
            id,
            run,
            stay.cookie.unwrap_or(stay.key.get()).cast_signed(),
            interner.word(to, stay.state)?,
            stay.orphan,
            stay.netns.map(|netns| netns.0),
            interner.address(to, local.ip())?,
            local.port(),
            interner.address(to, remote.ip())?,
            remote.port(),
            stay.since.as_nanos().cast_signed(),
            self.since_wall,
            (stay.since_earliest != stay.since)
                .then(|| stay.since_earliest.as_nanos().cast_signed()),
            stay.exact,
            until.as_nanos().cast_signed(),
            clock.wall_at(until),
            ended_by,
            self.end.and_then(|end| end.reset_sent),
            interner.word(to, finding.verdict)?,
            interner.word(to, finding.confidence)?,
            process,
            holders(to, interner, evidence)?,
            code,
            stack,
            opened,
            evidence.threads.map(|threads| interner.word(to, threads)).transpose()?,
            evidence.held_by.map(|held_by| interner.word(to, held_by)).transpose()?,
            first_read(&evidence.eof_reads).map(|read| clock.wall_at(read.at)),
            memory(stay.accepted, &evidence.eof_reads)?,
            evidence.recv_queue,
            evidence.send_queue,
            proof.map(|proof| proof.all.cast_signed()),
            proof.map(|proof| proof.closed.cast_signed()),
            self.alerted,
            (!usual).then_some(&*self.known.id),
        ])?;
        Ok(())
    }
}

/// What a later run could not see any more, but for the stacks, which have columns of their own.
fn memory(accepted: bool, reads: &[EofRead]) -> Result<Option<String>> {
    // A path's name means nothing in another run.
    let reads: Vec<_> = reads.iter().map(|read| EofRead { path: None, ..*read }).collect();
    let memory = Memory { reads, accepted, ..Memory::default() };
    (!memory.is_empty()).then(|| json(&memory)).transpose()
}

/// The process that is blamed, else the one that holds it.
fn responsible<'a>(finding: &'a Finding, evidence: &'a Evidence) -> Option<&'a Arc<Process>> {
    let held = || {
        let holders = evidence.holders.as_deref()?;
        Some(&holders[eldest(holders)?].process)
    };
    finding.blame.as_ref().map(|blame| &blame.process).or_else(held)
}

/// `[[process.id, [descriptors]], …]`; `None` where they could not be seen.
fn holders(
    to: &Connection,
    interner: &mut Interner,
    evidence: &Evidence,
) -> Result<Option<String>> {
    let Some(holders) = &evidence.holders else { return Ok(None) };
    let holders = holders
        .iter()
        .map(|holder| Ok((interner.process(to, &holder.process)?, &holder.fds)))
        .collect::<Result<Vec<_>>>()?;
    json(&holders).map(Some)
}
