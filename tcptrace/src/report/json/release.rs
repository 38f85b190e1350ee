//! What `release` would do, does and did.

use std::io::{self, Write};

use super::lines::{AskerLine, Body, ReleaseLine, ReleaseRunLine};
use super::{Context, line, socket_line};
use crate::model::evidence::Evidence;
use crate::model::release::pace::Rate;
use crate::model::release::{Account, Asker, Means, Outcome};
use crate::model::socket::TcpState;
use crate::model::stay::Stay;
use crate::model::time::Instant;
use crate::model::verdict::Finding;

/// A run of `release`.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// How connections are ended.
    pub means: Means,
    /// How many in a time.
    pub rate: Rate,
    /// How many at most.
    pub limit: Option<usize>,
    /// Who asked.
    pub asker: &'a Asker,
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub enum RunStatus<'a> {
    /// A dry run is over.
    Rehearsed,
    /// So many sockets are selected.
    Begun(usize),
    /// It is over as asked.
    Ended,
    /// It was not gone through with, for this reason.
    Stopped(&'a str),
}

/// Writes a `release`: a socket with its alert's and group's ids as it was at `now`, and its outcome.
///
/// # Errors
/// Those of `out`.
pub fn release(
    out: &mut impl Write,
    context: Context<'_>,
    run: &Run<'_>,
    ids: (&str, &str),
    (stay, evidence, finding): (&Stay, &Evidence, &Finding),
    outcome: &Outcome,
    now: Instant,
) -> io::Result<()> {
    let (reason, why, new_state) = match outcome {
        Outcome::Would => (None, None, None),
        Outcome::Ended(state) => (None, None, state.map(TcpState::name)),
        Outcome::Refused(refusal) => (Some(refusal.name()), Some(refusal.to_string()), None),
        Outcome::Gone(gone) => (Some(gone.name()), Some(gone.to_string()), None),
        Outcome::Left(left) => (Some(left.name()), Some(left.to_string()), None),
        Outcome::Failed(error) => (None, Some(error.as_ref().to_owned()), None),
    };
    let body = ReleaseLine {
        means: run.means.name(),
        result: outcome.name(),
        reason,
        why,
        new_state,
        asked_by: asker_line(run.asker),
        socket: socket_line(ids, stay, evidence, finding, (now, context.anchor)),
    };
    line(out, context, now, Body::Release(body))
}

/// Writes a `release_run`, made at `now`.
///
/// # Errors
/// Those of `out`.
pub fn release_run(
    out: &mut impl Write,
    context: Context<'_>,
    run: &Run<'_>,
    status: RunStatus<'_>,
    account: &Account,
    now: Instant,
) -> io::Result<()> {
    let (status, why, selected) = match status {
        RunStatus::Rehearsed => ("rehearsed", None, account.selected()),
        RunStatus::Begun(selected) => ("begun", None, selected),
        RunStatus::Ended => ("ended", None, account.selected()),
        RunStatus::Stopped(why) => ("stopped", Some(why), account.selected()),
    };
    let body = ReleaseRunLine {
        status,
        why,
        means: run.means.name(),
        rate_per_s: run.rate.per_second(),
        limit: run.limit,
        asked_by: asker_line(run.asker),
        selected,
        would: account.would,
        ended: account.ended,
        refused: account.refused,
        gone: account.gone,
        left: account.left,
        failed: account.failed,
    };
    line(out, context, now, Body::ReleaseRun(body))
}

fn asker_line(asker: &Asker) -> AskerLine<'_> {
    AskerLine {
        pid: asker.pid,
        uid: asker.uid,
        login_uid: asker.login_uid,
        sudo_user: asker.sudo_user.as_deref(),
        command: &asker.command,
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::model::release::{Gone, Left, Refusal};
    use crate::report::samples;

    fn asker() -> Asker {
        Asker {
            pid: 99,
            uid: 0,
            login_uid: Some(1000),
            sudo_user: Some("alice\u{1b}[31m".into()),
            command: vec!["tcptrace".into(), "release".into(), "--yes".into()],
        }
    }

    fn context() -> Context<'static> {
        Context { host: "web-3", boot_id: "0123456789", anchor: samples::anchor() }
    }

    fn print(outcome: &Outcome) -> Value {
        let (sample, asker) = (samples::alert(), asker());
        let rate = Rate::new(50, Duration::from_secs(1)).unwrap();
        let run = Run { means: Means::Shutdown, rate, limit: None, asker: &asker };
        let mut out = Vec::new();
        let socket = (&sample.stay, &*sample.evidence, &*sample.finding);
        release(&mut out, context(), &run, ("x", "g"), socket, outcome, sample.at).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_socket_that_was_ended() {
        let line = print(&Outcome::Ended(Some(TcpState::LastAck)));
        insta::assert_snapshot!(serde_json::to_string_pretty(&line).unwrap());
    }

    #[test]
    fn why_one_was_not_is_a_word_and_a_sentence() {
        for (outcome, result, reason) in [
            (Outcome::Refused(Refusal::Sigpipe(7)), "refused", "sigpipe".into()),
            (Outcome::Gone(Gone::Reused), "gone", "reused".into()),
            (Outcome::Left(Left::Limit), "left", "limit".into()),
            (Outcome::Failed("no".into()), "failed", Value::Null),
        ] {
            let line = print(&outcome);
            assert_eq!((&line["result"], &line["reason"]), (&result.into(), &reason));
            assert!(line["why"].is_string(), "{line}");
            assert_eq!(line["new_state"], Value::Null);
        }
    }

    #[test]
    fn a_run() {
        let asker = asker();
        let rate = Rate::new(10, Duration::from_secs(60)).unwrap();
        let run = Run { means: Means::Abort, rate, limit: Some(5), asker: &asker };
        let account = Account { ended: 3, left: 2, ..Account::default() };
        let status = RunStatus::Stopped("process 7 ended");
        let mut out = Vec::new();
        release_run(&mut out, context(), &run, status, &account, samples::now()).unwrap();
        let line: Value = serde_json::from_slice(&out).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&line).unwrap());
    }
}
