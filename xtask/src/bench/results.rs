//! What was measured, as `target/bench.json` keeps it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::shell::{output, root, target};

/// All parts that have been measured, each by its last run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// In the order of the tables.
    pub parts: Vec<Part>,
}

/// One question and its figures.
#[derive(Debug, Serialize, Deserialize)]
pub struct Part {
    /// Its name on the command line.
    pub name: String,
    /// The question.
    pub title: String,
    /// What it was measured with.
    pub setting: Setting,
    /// How it was measured.
    pub method: String,
    /// How long that took.
    pub seconds: u64,
    /// Figures.
    pub figures: Vec<Figure>,
    /// What they are held against.
    pub targets: Vec<Target>,
    /// Pictures of them.
    pub curves: Vec<Curve>,
    /// What could not be measured, and why.
    pub missing: Vec<String>,
}

/// Where, when and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The day.
    pub date: String,
    /// Of the source.
    pub commit: String,
    /// `uname -r`.
    pub kernel: String,
    /// Model of the processor.
    pub processor: String,
    /// How many of them.
    pub processors: usize,
    /// Interleaved rounds.
    pub rounds: usize,
    /// Whether it was the short run.
    pub quick: bool,
}

/// What was measured of somebody, a value a round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What, with its unit.
    pub what: String,
    /// Of whom, or at which size.
    pub who: String,
    /// In the order of the rounds.
    pub values: Vec<f64>,
}

/// What a figure should be.
#[derive(Debug, Serialize, Deserialize)]
pub struct Target {
    /// The sentence before the number.
    pub what: String,
    /// Whether the limit is the most or the least.
    pub bound: Bound,
    /// The number.
    pub limit: f64,
    /// The median that was measured.
    pub measured: f64,
}

/// Which side of a limit is the good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bound {
    AtMost,
    AtLeast,
}

/// A picture.
#[derive(Debug, Serialize, Deserialize)]
pub struct Curve {
    /// The file's name without its ending.
    pub file: String,
    /// Above it.
    pub title: String,
    /// The axes.
    pub x: String,
    /// The vertical one.
    pub y: String,
    /// Name and points of each line.
    pub lines: Vec<(String, Vec<[f64; 2]>)>,
}

impl Setting {
    /// This one.
    pub fn here(rounds: usize, quick: bool) -> Result<Self> {
        let one_line = |command: &mut Command| output(command).map(|text| text.trim().to_owned());
        let mut describe = Command::new("git");
        // Who owns the checkout may be another than who measures.
        describe.args(["-c", "safe.directory=*", "describe", "--always", "--dirty"]);
        let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        Ok(Self {
            date: one_line(Command::new("date").args(["-u", "+%F"]))?,
            commit: one_line(describe.current_dir(root()))?,
            kernel: one_line(Command::new("uname").arg("-r"))?,
            processor: model.map_or("unknown", |line| line.trim_matches([' ', '\t', ':'])).into(),
            processors: thread::available_parallelism()?.get(),
            rounds,
            quick,
        })
    }
}

impl Figure {
    /// Least, median and most.
    pub fn spread(&self) -> [f64; 3] {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        [values[0], values[values.len() / 2], values[values.len() - 1]]
    }

    /// The median.
    pub fn median(&self) -> f64 {
        self.spread()[1]
    }
}

impl Target {
    /// Whether it is met.
    pub fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost => self.measured <= self.limit,
            Bound::AtLeast => self.measured >= self.limit,
        }
    }

    /// `at most 1.5`, `at least 95 %`
    pub fn wanted(&self) -> String {
        let bound = match self.bound {
            Bound::AtMost => "at most",
            Bound::AtLeast => "at least",
        };
        format!("{bound} {}", show(self.limit))
    }
}

impl Part {
    /// A part without figures.
    pub fn new(name: &str, title: &str, method: &str, setting: Setting) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            setting,
            method: method.to_owned(),
            seconds: 0,
            figures: Vec::new(),
            targets: Vec::new(),
            curves: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Adds one round's value.
    pub fn add(&mut self, what: &str, who: &str, value: f64) {
        if !value.is_finite() {
            return;
        }
        let same = |figure: &&mut Figure| figure.what == what && figure.who == who;
        match self.figures.iter_mut().find(same) {
            Some(figure) => figure.values.push(value),
            None => {
                // Beside its like.
                let beside = self.figures.iter().rposition(|figure| figure.what == what);
                let at = beside.map_or(self.figures.len(), |last| last + 1);
                let (what, who) = (what.to_owned(), who.to_owned());
                self.figures.insert(at, Figure { what, who, values: vec![value] });
            }
        }
    }

    /// The figure, if it was measured.
    pub fn figure(&self, what: &str, who: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.what == what && figure.who == who)
    }

    /// Its median, if it was measured.
    pub fn median(&self, what: &str, who: &str) -> Option<f64> {
        self.figure(what, who).map(Figure::median)
    }

    /// Adds how `who` compares with `other` within each round, as a figure called `what`; its median.
    pub fn compare(&mut self, of: &str, who: &str, other: &str, what: &str) -> Option<f64> {
        let (mine, theirs) = (self.figure(of, who)?, self.figure(of, other)?);
        let pairs = mine.values.iter().zip(&theirs.values);
        let ratios: Vec<_> = pairs.map(|(mine, theirs)| mine / theirs).collect();
        for ratio in ratios {
            self.add(what, who, ratio);
        }
        self.median(what, who)
    }

    /// Holds `measured` against a limit, or says that it could not be measured.
    pub fn target(&mut self, what: &str, bound: Bound, limit: f64, measured: Option<f64>) {
        match measured.filter(|measured| measured.is_finite()) {
            Some(measured) => {
                let what = what.to_owned();
                self.targets.push(Target { what, bound, limit, measured });
            }
            None => self.missing.push(format!("{what}: not measured")),
        }
    }
}

impl Results {
    fn path() -> PathBuf {
        target().join("bench.json")
    }

    /// Those of earlier runs; none if there are none that this version understands.
    pub fn read() -> Self {
        let text = fs::read_to_string(Self::path()).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The part with this name.
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// Puts `part` into the place of the one with the same name, all in the order that `place` tells,
    /// and writes them.
    pub fn put(&mut self, part: Part, place: impl Fn(&str) -> usize) -> Result<()> {
        self.parts.retain(|other| other.name != part.name);
        self.parts.push(part);
        self.parts.sort_by_key(|part| place(&part.name));
        let text = serde_json::to_string_pretty(self)?;
        fs::write(Self::path(), text + "\n").context("cannot write target/bench.json")
    }
}

/// A number with three digits that count.
pub fn show(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.4}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> Part {
        let setting = Setting {
            date: "2026-11-24".into(),
            commit: "810a5dd".into(),
            kernel: "6.18".into(),
            processor: "one".into(),
            processors: 2,
            rounds: 3,
            quick: false,
        };
        Part::new("cost", "What it costs", "Somehow.", setting)
    }

    #[test]
    fn rounds_are_compared_with_their_own() {
        let mut part = part();
        for (mine, theirs) in [(10.0, 100.0), (30.0, 60.0), (8.0, 20.0)] {
            part.add("rate", "mine", mine);
            part.add("rate", "theirs", theirs);
        }
        assert_eq!(part.figure("rate", "mine").unwrap().spread(), [8.0, 10.0, 30.0]);
        let median = part.compare("rate", "mine", "theirs", "rate over theirs");
        assert_eq!(median, Some(0.4));
        assert_eq!(part.figure("rate over theirs", "mine").unwrap().values, [0.1, 0.5, 0.4]);
        assert_eq!(part.compare("rate", "mine", "nobody's", "rate over nobody's"), None);
    }

    #[test]
    fn what_belongs_together_stands_together() {
        let mut part = part();
        for who in ["a", "b"] {
            part.add("rate", who, 1.0);
            part.add("time", who, 1.0);
        }
        part.add("time", "c", f64::NAN);
        let order: Vec<_> =
            part.figures.iter().map(|f| (f.what.as_str(), f.who.as_str())).collect();
        assert_eq!(order, [("rate", "a"), ("rate", "b"), ("time", "a"), ("time", "b")]);
    }

    #[test]
    fn a_target_that_was_not_measured_is_neither_met_nor_missed() {
        let mut part = part();
        part.target("time", Bound::AtMost, 1.5, Some(1.5));
        part.target("rate", Bound::AtLeast, 0.95, Some(0.94));
        part.target("loss", Bound::AtMost, 0.0, None);
        let met: Vec<_> = part.targets.iter().map(Target::is_met).collect();
        assert_eq!(met, [true, false]);
        assert_eq!(part.targets[1].wanted(), "at least 0.95");
        assert_eq!(part.missing, ["loss: not measured"]);
    }

    #[test]
    fn it_comes_back_as_it_was_written() {
        let mut part = part();
        part.add("rate", "mine", 12.5);
        let text = serde_json::to_string(&Results { parts: vec![part] }).unwrap();
        let results: Results = serde_json::from_str(&text).unwrap();
        assert_eq!(results.part("cost").unwrap().median("rate", "mine"), Some(12.5));
    }
}
