//! What monitoring plugins print: a line with performance data, then details.
//!
//! The format is that of the Monitoring Plugins Development Guidelines: everything after a `|` is
//! performance data, so no name may contain one.

use core::fmt::{self, Display, Write as _};
use core::time::Duration;
use std::io::{self, Write};

use super::escape::Escaped;
use super::text::Age;
use super::text::words::{Count, Culprit as Who};
use crate::model::monitor::{Census, Culprit, Level, Limit, Limits};
use crate::model::socket::StayState;

/// Processes that are named below the first line.
const WORST: usize = 5;

/// Prints what is stuck, and `notes` on what could not be seen.
///
/// # Errors
/// Those of `out`.
pub fn census(
    out: &mut impl Write,
    (census, limits, level): (&Census, &Limits, Level),
    notes: &[String],
) -> io::Result<()> {
    let summary = Safe(Summary(census, limits));
    let (level, data) = (level.name(), Data(census, limits));
    writeln!(out, "TCPTRACE {level} - {summary} | {data}")?;
    for culprit in census.culprits.iter().take(WORST) {
        writeln!(out, "{}", Safe(Line(culprit)))?;
    }
    if let Some(more @ 1..) = census.culprits.len().checked_sub(WORST) {
        writeln!(out, "and {more} more: tcptrace ls")?;
    }
    notes.iter().try_for_each(|note| writeln!(out, "note: {}", Safe(Escaped(note))))
}

/// Prints why nothing can be said, and what may help.
///
/// # Errors
/// Those of `out`.
pub fn unknown(out: &mut impl Write, reason: &str, tries: &[(String, String)]) -> io::Result<()> {
    writeln!(out, "TCPTRACE UNKNOWN - {}", Safe(Escaped(reason)))?;
    for (command, what_for) in tries {
        writeln!(out, "{}", Safe(Escaped(&format!("try {command}: {what_for}"))))?;
    }
    Ok(())
}

struct Summary<'a>(&'a Census, &'a Limits);

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(census, limits) = self;
        let age = Age(limits.min_age);
        match (census.stuck, census.oldest) {
            (0, _) | (_, None) => return write!(f, "no socket half-closed for {age}"),
            (1, Some(oldest)) => write!(f, "1 socket half-closed for {}", Age(oldest))?,
            (many, Some(oldest)) => {
                let (many, oldest) = (Count(many), Age(oldest));
                write!(f, "{many} sockets half-closed for {age} or more, oldest {oldest}")?;
            }
        }
        census.culprits.first().map_or(Ok(()), |worst| {
            let most = if census.culprits.len() > 1 { "most: " } else { "" };
            write!(
                f,
                ", {most}{} ({})",
                Who(worst.process.as_deref(), worst.verdict),
                worst.verdict.name()
            )
        })
    }
}

struct Line<'a>(&'a Culprit);

impl Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Culprit { process, verdict, sockets, oldest } = self.0;
        let (who, name) = (Who(process.as_deref(), *verdict), verdict.name());
        let (count, oldest) = (Count(*sockets), Age(*oldest));
        write!(f, "{count} {who}, oldest {oldest}: {}; tcptrace explain {name}", verdict.why())
    }
}

struct Data<'a>(&'a Census, &'a Limits);

impl Display for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(census, limits) = self;
        let seconds = |age: Duration| format!("{:.3}", age.as_secs_f64());
        let Limit { warning, critical } = limits.age;
        let [warning, critical] =
            [warning, critical].map(|limit| limit.map_or(String::new(), seconds));
        let oldest = seconds(census.oldest.unwrap_or_default());
        let Limit { warning: many, critical: too_many } = limits.count;
        let [many, too_many] =
            [many, too_many].map(|limit| limit.map_or(String::new(), |n| n.to_string()));
        write!(f, "stuck={};{many};{too_many};0", census.stuck)?;
        write!(f, " oldest={oldest}s;{warning};{critical};0")?;
        for (label, state) in [
            ("close_wait", StayState::CloseWait),
            ("fin_wait2", StayState::FinWait2),
            ("close", StayState::Closed),
        ] {
            write!(f, " {label}={};;;0", census.states[state.index()])?;
        }
        Ok(())
    }
}

/// Text without the mark that performance data begins with.
struct Safe<T>(T);

impl<T: Display> Display for Safe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        text.chars().try_for_each(|c| match c {
            '|' => write!(f, "{}", c.escape_unicode()),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::monitor::tests::limits;
    use crate::model::process::Process;
    use crate::model::process::tests::process;
    use crate::model::verdict::Verdict;

    fn culprit(comm: &str, sockets: usize) -> Culprit {
        let process = Process { comm: comm.into(), ..process(4711, 1, 10) };
        Culprit {
            process: Some(Arc::new(process)),
            verdict: Verdict::EofRead,
            sockets,
            oldest: Duration::from_millis(130_500),
        }
    }

    fn print(culprits: Vec<Culprit>, notes: &[String]) -> String {
        let stuck = culprits.iter().map(|culprit| culprit.sockets).sum();
        let oldest = culprits.iter().map(|culprit| culprit.oldest).max();
        let seen = Census { stuck, states: [stuck, 0, 0], oldest, culprits };
        let limits = limits([1, 100], [None, Some(3600)]);
        let mut out = Vec::new();
        census(&mut out, (&seen, &limits, seen.level(&limits)), notes).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_level() {
        let nobody = Culprit { process: None, verdict: Verdict::Orphan, ..culprit("", 2) };
        let shown = [
            print(vec![], &[]),
            print(vec![culprit("java", 1)], &[]),
            print(vec![culprit("java", 1200), nobody], &["3 namespaces were not seen".into()]),
            print((0..7).map(|_| culprit("java", 1)).collect(), &[]),
        ];
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn a_name_cannot_make_performance_data_or_lines() {
        let shown = print(vec![culprit("a|b=1\nc\u{1b}[2J", 1)], &["x|y\nz".into()]);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines.len(), 3, "{shown}");
        assert_eq!(lines[0].matches('|').count(), 1, "{shown}");
        assert!(lines[1..].iter().all(|line| !line.contains('|')), "{shown}");
        assert!(!shown.contains('\u{1b}'));
        let mut out = Vec::new();
        unknown(&mut out, "no\nway|", &[("a|b".into(), "c".into())]).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "TCPTRACE UNKNOWN - no\\u{a}way\\u{7c}\ntry a\\u{7c}b: c\n"
        );
    }
}
