//! What `release` would do, or did.

use core::fmt::{self, Display};
use std::io::{self, Write};

use super::table::{Table, left, right};
use super::words::{Age, Count, Ends, Holders};
use crate::model::release::{Account, Asker, Means, Outcome};
use crate::model::time::Instant;
use crate::model::verdict::Confidence;
use crate::report::escape::Escaped;
use crate::report::json::RunStatus;
use crate::report::text::Row;

/// Prints sockets as they were at `now`, and what became of each.
///
/// # Errors
/// Those of `out`.
pub fn released<'a>(
    out: &mut impl Write,
    rows: impl Iterator<Item = (Row<'a>, &'a Outcome)>,
    means: Means,
    now: Instant,
) -> io::Result<()> {
    let (state, age, verdict) = (left("STATE"), right("AGE"), left("VERDICT"));
    let (sure, local, remote) = (left("SURE"), left("LOCAL"), left("REMOTE"));
    let (holders, result) = (left("HOLDERS"), left("RESULT"));
    let mut table = Table::new([state, age, verdict, sure, local, remote, holders, result]);
    for (row, outcome) in rows {
        let Row { stay, evidence, finding } = &row;
        table.row([
            &stay.state,
            &row.age(now),
            &finding.verdict.name(),
            if finding.confidence == Confidence::High { &"yes" } else { &"no" },
            &stay.endpoints.local,
            &stay.endpoints.remote,
            &Holders(evidence.holders.as_deref(), finding),
            &Result(outcome, means),
        ]);
    }
    table.lines().try_for_each(|line| line.write(out))
}

/// The words for one outcome.
pub struct Result<'a>(pub &'a Outcome, pub Means);

impl Display for Result<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = done(self.1);
        match self.0 {
            Outcome::Would => write!(f, "would be {done}"),
            Outcome::Ended(Some(state)) => write!(f, "{done}: {state}"),
            Outcome::Ended(None) => f.write_str(done),
            Outcome::Refused(refusal) => write!(f, "refused: {refusal}"),
            Outcome::Gone(gone) => write!(f, "gone: {gone}"),
            Outcome::Left(left) => write!(f, "left: {left}"),
            Outcome::Failed(error) => write!(f, "failed: {}", Escaped(error)),
        }
    }
}

const fn done(means: Means) -> &'static str {
    match means {
        Means::Shutdown => "shut down",
        Means::Abort => "reset",
    }
}

/// What was done to a socket, on one line, for logs.
pub fn release_note(
    Row { stay, evidence, finding }: &Row<'_>,
    outcome: &Outcome,
    means: Means,
    asker: &Asker,
    now: Instant,
) -> String {
    format!(
        "release of {} ({}), {} for {}, {}: {}; asked by {}",
        Ends(stay),
        Holders(evidence.holders.as_deref(), finding),
        stay.state,
        Age(stay.age(now)),
        finding.verdict.name(),
        Result(outcome, means),
        By(asker)
    )
}

/// How far a run is, on one line, for logs.
pub fn release_run_note(
    status: RunStatus<'_>,
    account: &Account,
    means: Means,
    asker: &Asker,
) -> String {
    let (means, by) = (means.name(), By(asker));
    let all = account.selected();
    match status {
        RunStatus::Rehearsed => format!("rehearsal of {means} of {all} sockets, asked by {by}"),
        RunStatus::Begun(all) => format!("{means} of {all} sockets begins, asked by {by}"),
        RunStatus::Ended => format!("{} of {all} sockets released ({means})", account.ended),
        RunStatus::Stopped(why) => {
            format!("stopped after {} of {all} sockets ({means}): {}", account.ended, Escaped(why))
        }
    }
}

/// Who asked, in words.
struct By<'a>(&'a Asker);

impl Display for By<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.0.uid)?;
        if let Some(uid) = self.0.login_uid {
            write!(f, ", logged in as {uid}")?;
        }
        if let Some(user) = &self.0.sudo_user {
            write!(f, ", sudo by {}", Escaped(user))?;
        }
        write!(f, ": {}", Escaped(&self.0.command.join(" ")))
    }
}

/// The account of a run, on one line, and what to know of it on another.
pub fn release_account(account: &Account, means: Means, rehearsal: bool) -> String {
    let done = done(means);
    let (count, would) = match rehearsal {
        true => (account.would, "would be "),
        false => (account.ended, ""),
    };
    let mut line = format!("{} of {} {would}{done}", Count(count), Count(account.selected()));
    for (count, what) in [
        (account.refused, "refused"),
        (account.gone, "gone meanwhile"),
        (account.left, "left"),
        (account.failed, "failed"),
    ] {
        if count > 0 {
            line += &format!(" · {} {what}", Count(count));
        }
    }
    if rehearsal && count > 0 {
        line += "; --yes does it";
    }
    if count > 0 {
        line += "\nthe descriptors stay open until their programs close them";
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::release::{Gone, Left, Refusal};
    use crate::model::socket::TcpState;
    use crate::report::samples;

    #[test]
    fn a_table_of_every_outcome() {
        let sample = samples::alert();
        let outcomes = [
            Outcome::Would,
            Outcome::Ended(Some(TcpState::LastAck)),
            Outcome::Ended(None),
            Outcome::Refused(Refusal::Sigpipe(4711)),
            Outcome::Gone(Gone::Over(TcpState::Close)),
            Outcome::Left(Left::Limit),
            Outcome::Failed("no\u{1b}[31m".into()),
        ];
        let row = |outcome| {
            let (stay, evidence, finding) = (&sample.stay, &*sample.evidence, &*sample.finding);
            (Row { stay, evidence, finding }, outcome)
        };
        let mut out = Vec::new();
        released(&mut out, outcomes.iter().map(row), Means::Shutdown, sample.at).unwrap();
        let account = Account::of(outcomes.iter());
        let text = [
            String::from_utf8(out).unwrap(),
            release_account(&account, Means::Shutdown, true),
            release_account(&account, Means::Abort, false),
        ];
        insta::assert_snapshot!(text.join("\n"));
    }
}
