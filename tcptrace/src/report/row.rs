//! Stays as rows of one flat table, for engines that hold those of many hosts. What each column means is
//! in `docs/fleet.md`.

use std::net::IpAddr;

use super::folded;
use crate::model::history::{PastEnd, PastStay};
use crate::model::process::Process;
use crate::model::profile::by::{By, Paths};
use crate::model::profile::window::Window;
use crate::model::socket::canonical;
use crate::model::stay::EndedBy;

/// A stay, and what is worked out of it for a row.
#[derive(Debug)]
pub struct Row<'a> {
    /// The stay.
    pub stay: &'a PastStay,
    /// How much of it lies in the window, in seconds.
    pub seconds: f64,
    /// Unit, process, verdict and code as `report --format folded` draws them unless told otherwise.
    pub folded: String,
    /// Where in [`Self::folded`] the code begins.
    code_at: usize,
    /// The code that opened the connection, folded.
    pub opened: Option<String>,
}

/// Makes rows of stays. Memory grows with the number of distinct stacks, not of stays.
#[derive(Debug)]
pub struct Rows {
    window: Window,
    paths: Paths,
}

impl Rows {
    /// Rows of what lies in `window`.
    pub fn new(window: Window) -> Self {
        Self { window, paths: Paths::new(&By::DEFAULT) }
    }

    /// The row of `stay`; `None` if nothing of it lies in the window.
    pub fn of<'a>(&mut self, stay: &'a PastStay) -> Option<Row<'a>> {
        let time = self.window.clip(stay)?;
        let path = self.paths.of(stay);
        // Each word is one frame, but the last: that is the stack.
        let (who, code) = path.split_at(By::DEFAULT.len() - 1);
        let who = folded::line(who);
        let code_at = who.len() + 1;
        let opened = stay.opened.clone().filter(|stack| !stack.frames.is_empty());
        Some(Row {
            stay,
            seconds: time.as_secs_f64(),
            folded: who + ";" + &folded::line(code),
            code_at,
            opened: opened.map(|stack| folded::line(self.paths.spell(stack))),
        })
    }
}

impl Row<'_> {
    /// The code path, or what is known where no code was seen to run, folded.
    pub fn stack(&self) -> &str {
        &self.folded[self.code_at..]
    }

    /// The process that was blamed, else the one that held it.
    pub fn process(&self) -> Option<&Process> {
        self.stay.process.as_deref()
    }

    /// Address and port of our end. IPv4 is written as such.
    pub fn local(&self) -> (IpAddr, u16) {
        let end = canonical(self.stay.local);
        (end.ip(), end.port())
    }

    /// The peer's.
    pub fn remote(&self) -> (IpAddr, u16) {
        let end = canonical(self.stay.remote);
        (end.ip(), end.port())
    }

    /// How it ended, in a word.
    pub const fn ended_by(&self) -> &'static str {
        match self.stay.end {
            PastEnd::By(by) => EndedBy::name(by),
            PastEnd::Open => "open",
            PastEnd::CutOff => "cut_off",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::profile::Measure;
    use crate::report::samples::past;

    /// What an engine's `GROUP BY folded` adds up is what `report` draws.
    #[test]
    fn rows_add_up_to_the_report() {
        let (window, mut sums) = (past::window(), std::collections::BTreeMap::new());
        let mut rows = Rows::new(window);
        for stay in past::stays() {
            if let Some(row) = rows.of(&stay) {
                *sums.entry(row.folded).or_insert(0.0) += row.seconds * 1000.0;
            }
        }
        let mut report = Vec::new();
        folded::write(&mut report, &past::profile(window), Measure::Time).unwrap();
        let report = String::from_utf8(report).unwrap();
        let mut lines: Vec<_> = report.lines().collect();
        lines.sort_unstable();
        let mut summed: Vec<_> = sums.iter().map(|(path, sum)| format!("{path} {sum}")).collect();
        summed.sort_unstable();
        assert_eq!(summed, lines);
    }

    #[test]
    fn the_stack_is_the_end_of_the_path() {
        let stay = past::stay();
        let row = Rows::new(past::window()).of(&stay).unwrap();
        assert_eq!(row.stack(), "main;com.acme.OrderClient.send;com.acme.Pool.borrow");
        assert_eq!(row.folded, format!("orders.service;java;eof_read;{}", row.stack()));
        assert_eq!((row.opened, row.seconds), (None, 600.0));
    }

    #[test]
    fn what_lies_outside_of_the_window_is_no_row() {
        let stay = past::stay();
        assert!(Rows::new(past::baseline()).of(&stay).is_none());
    }
}
