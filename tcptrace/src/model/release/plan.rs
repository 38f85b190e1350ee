//! Which sockets may be ended, by what a look at the host showed of them.

use std::sync::Arc;

use super::Refusal;
use super::check::{Expected, Terms};
use crate::model::evidence::Evidence;
use crate::model::process::{Holder, Process};
use crate::model::stay::Stay;
use crate::model::verdict::{Finding, Verdict};

/// What a process does when SIGPIPE is sent to one of its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sigpipe {
    /// It ignores or catches it.
    Handled,
    /// It dies.
    Deadly,
    /// That cannot be read.
    Unknown,
}

/// A socket that may be ended, once its own word has been taken.
#[derive(Clone, Debug)]
pub struct Target {
    /// What it has to be.
    pub expected: Expected,
    /// Each descriptor of it; empty: it waits in an accept queue.
    pub descriptors: Vec<(Arc<Process>, u32)>,
}

/// Looks whether the socket may be ended. `sigpipe` tells what a process does with that signal, `None` of
/// one that has ended.
///
/// # Errors
/// Why it may not.
pub fn plan(
    (stay, evidence, finding): (&Stay, &Evidence, &Finding),
    terms: &Terms,
    sigpipe: impl Fn(&Process) -> Option<Sigpipe>,
) -> Result<Target, Refusal> {
    if let Some(refusal) = terms.means.refuses(finding.verdict) {
        return Err(refusal);
    }
    let holders = match finding.verdict {
        // Whoever accepts it next.
        Verdict::NotAccepted => Some(&evidence.listener_holders),
        _ => evidence.holders.as_ref(),
    };
    let holders = holders.filter(|holders| !holders.is_empty()).ok_or(Refusal::Unseen)?;
    if !terms.allow_sigpipe {
        survives(holders, sigpipe)?;
    }
    let located = stay.cookie.zip(stay.netns).or(evidence.located);
    let (cookie, netns) = located.ok_or(Refusal::Unidentified)?;
    let descriptors = match finding.verdict {
        Verdict::NotAccepted => Vec::new(),
        _ => descriptors(holders),
    };
    let since = stay.exact.then_some(stay.since);
    let (endpoints, state) = (stay.endpoints, stay.state);
    Ok(Target { expected: Expected { cookie, netns, endpoints, state, since }, descriptors })
}

fn survives(
    holders: &[Holder],
    sigpipe: impl Fn(&Process) -> Option<Sigpipe>,
) -> Result<(), Refusal> {
    for Holder { process, .. } in holders {
        match sigpipe(process) {
            Some(Sigpipe::Handled) | None => {}
            Some(Sigpipe::Deadly) => return Err(Refusal::Sigpipe(process.pid)),
            Some(Sigpipe::Unknown) => return Err(Refusal::SigpipeUnknown(process.pid)),
        }
    }
    Ok(())
}

fn descriptors(holders: &[Holder]) -> Vec<(Arc<Process>, u32)> {
    let of = |holder: &Holder| {
        let process = Arc::clone(&holder.process);
        holder.fds.clone().into_iter().map(move |fd| (Arc::clone(&process), fd))
    };
    holders.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::model::process::tests::holder;
    use crate::model::release::Means;
    use crate::model::verdict::find;
    use crate::report::samples;

    const TERMS: Terms =
        Terms { means: Means::Shutdown, allow_sigpipe: false, quiet: Duration::from_secs(60) };

    fn planned(
        evidence: Evidence,
        terms: Terms,
        sigpipe: impl Fn(u32) -> Option<Sigpipe>,
    ) -> Result<Target, Refusal> {
        let stay = samples::alert().stay;
        let finding = find(&stay, &evidence, TERMS.quiet);
        plan((&stay, &evidence, &finding), &terms, |process| sigpipe(process.pid))
    }

    fn shared() -> Evidence {
        let holders = Some(vec![holder(7, 1, 1), holder(8, 7, 2)]);
        Evidence { holders, ..(*samples::alert().evidence).clone() }
    }

    #[test]
    fn every_descriptor_of_every_holder_will_do() {
        let target = planned(shared(), TERMS, |_| Some(Sigpipe::Handled)).unwrap();
        let held: Vec<_> = target.descriptors.iter().map(|(p, fd)| (p.pid, *fd)).collect();
        assert_eq!(held, [(7, 3), (8, 3)]);
        assert_eq!(target.expected.cookie, 1 << 60);
        assert!(target.expected.since.is_some(), "its beginning was seen");
    }

    #[test]
    fn one_holder_that_would_die_is_enough() {
        let eight = |sigpipe| move |pid| Some(if pid == 8 { sigpipe } else { Sigpipe::Handled });
        let refusal = |sigpipe| planned(shared(), TERMS, eight(sigpipe)).map(|_| ()).unwrap_err();
        assert_eq!(refusal(Sigpipe::Deadly), Refusal::Sigpipe(8));
        assert_eq!(refusal(Sigpipe::Unknown), Refusal::SigpipeUnknown(8));
        let allowed = Terms { allow_sigpipe: true, ..TERMS };
        assert!(planned(shared(), allowed, eight(Sigpipe::Deadly)).is_ok());
        assert!(planned(shared(), TERMS, |_| None).is_ok(), "it has ended");
    }

    #[test]
    fn what_nobody_is_seen_to_hold_is_left_alone() {
        let refusal = |evidence| {
            planned(evidence, TERMS, |_| Some(Sigpipe::Handled)).map(|_| ()).unwrap_err()
        };
        let unseen = Evidence { holders: None, ..shared() };
        assert_eq!(refusal(unseen), Refusal::Unseen);
        let nobody = Evidence { holders: Some(vec![]), ..shared() };
        assert_eq!(refusal(nobody), Refusal::NoDescriptor);
    }

    #[test]
    fn unaccepted_it_is_the_listeners_holder_who_counts() {
        let listener_holders = vec![holder(9, 1, 1)];
        let unaccepted =
            Evidence { holders: Some(vec![]), inode: Some(0), listener_holders, ..shared() };
        let abort = Terms { means: Means::Abort, ..TERMS };
        let plan = |terms, sigpipe| planned(unaccepted.clone(), terms, move |_| Some(sigpipe));
        assert!(plan(abort, Sigpipe::Handled).unwrap().descriptors.is_empty());
        let refusal = plan(abort, Sigpipe::Deadly).map(|_| ()).unwrap_err();
        assert_eq!(refusal, Refusal::Sigpipe(9));
        let refusal = plan(TERMS, Sigpipe::Handled).map(|_| ()).unwrap_err();
        assert_eq!(refusal, Refusal::NotAccepted);
    }
}
