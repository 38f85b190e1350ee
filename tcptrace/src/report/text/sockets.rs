//! Half-closed sockets as a table.

use core::fmt::{self, Display};
use std::io::{self, Write};

use super::table::{self, Table, left, right};
use super::words::{Age, Holders};
use crate::model::evidence::Evidence;
use crate::model::stay::Stay;
use crate::model::time::Instant;
use crate::model::verdict::Finding;

/// One half-closed socket, for a table.
pub struct Row<'a> {
    /// The socket.
    pub stay: &'a Stay,
    /// What was found out about it.
    pub evidence: &'a Evidence,
    /// What that means.
    pub finding: &'a Finding,
}

impl Row<'_> {
    /// For how long it has been in its state: exactly, or at least.
    pub(super) fn age(&self, now: Instant) -> impl Display {
        let least = if self.stay.exact { "" } else { "≥ " };
        let age = Age(self.stay.age(now));
        fmt::from_fn(move |f| write!(f, "{least}{age}"))
    }
}

/// A table of half-closed sockets as they are at one moment.
pub struct Sockets {
    table: Table<6>,
    now: Instant,
}

impl Sockets {
    /// As they are at `now`.
    pub fn new(now: Instant) -> Self {
        let (state, age, verdict) = (left("STATE"), right("AGE"), left("VERDICT"));
        let columns = [state, age, verdict, left("LOCAL"), left("REMOTE"), left("HOLDERS")];
        Self { table: Table::new(columns), now }
    }

    /// Whether it has no rows.
    pub const fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Adds a row.
    pub fn add(&mut self, row: &Row<'_>) {
        let Row { stay, evidence, finding } = row;
        self.table.row([
            &stay.state,
            &row.age(self.now),
            &finding.verdict.name(),
            &stay.endpoints.local,
            &stay.endpoints.remote,
            &Holders(evidence.holders.as_deref(), finding),
        ]);
    }

    /// The same with the rows of `other`.
    #[must_use]
    pub fn followed_by(mut self, other: Self) -> Self {
        self.table.append(&other.table);
        self
    }

    /// Its lines, the titles first.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.table.lines().map(Line)
    }
}

/// A line of such a table.
pub struct Line<'a>(table::Line<'a, 6>);

impl Line<'_> {
    /// Prints it.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        self.0.write(out)
    }
}
