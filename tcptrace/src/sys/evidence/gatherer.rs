//! Looks at the host, for those who ask.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anyhow::Result;

use super::dump::{Dumper, Dumps};
use super::held::Held;
use super::people::{Known, People};
use super::snapshot::{observe, snapshot};
use super::view::View;
use crate::model::code::{PathId, Stack};
use crate::model::evidence::{Evidence, Suspect};
use crate::model::orphans::Namespaces;
use crate::model::reads::first_read;
use crate::model::snapshot::{Observed, Snapshot};
use crate::model::socket::{StayState, TcpState};
use crate::model::stay::{Stay, StayId};
use crate::sys::clock;
use crate::sys::holders::Holders;
use crate::sys::sockdiag::DiagSocket;
use crate::sys::stacks::Stacks;

/// Connections in any other state, and listeners.
const OTHERS: u32 = TcpState::Established.bit()
    | TcpState::SynSent.bit()
    | TcpState::FinWait1.bit()
    | TcpState::LastAck.bit()
    | TcpState::Closing.bit()
    | TcpState::Listen.bit();
const HALF_CLOSED: u32 = TcpState::CloseWait.bit() | TcpState::FinWait2.bit();
/// What a look at stays needs of sock_diag.
pub(super) const SHOWN: u32 = HALF_CLOSED | TcpState::Listen.bit();

/// Belongs to one thread, which visits other network namespaces.
pub struct Gatherer {
    pub(super) holders: Holders,
    stacks: Option<Stacks>,
    dumper: Dumper,
}

impl Gatherer {
    /// For the thread that calls it.
    ///
    /// # Errors
    /// If `/proc` is not mounted.
    pub fn new(holders: Holders, stacks: Option<Stacks>) -> Result<Self> {
        Ok(Self { holders, stacks, dumper: Dumper::new()? })
    }

    /// Everything that can be found out about `suspects`.
    ///
    /// # Errors
    /// If the descriptors cannot be read.
    pub fn examine(&mut self, suspects: &[Suspect]) -> Result<Vec<(StayId, Evidence)>> {
        let people = People::who_are(Known::default());
        let view = self.look(suspects.iter().map(|suspect| &suspect.stay), &people)?;
        let stacks = &mut self.stacks;
        Ok(suspects
            .iter()
            .map(|suspect| {
                let mut evidence = view.evidence(&suspect.stay, &people);
                if let Some(stacks) = stacks {
                    let read = first_read(&suspect.eof_reads).and_then(|read| read.path);
                    evidence.stack = read.or(suspect.stay.shut).and_then(|path| stacks.of(path));
                    evidence.opened = suspect.stay.opened.and_then(|path| stacks.of(path));
                }
                (suspect.stay.id, evidence)
            })
            .collect())
    }

    /// Looks at what concerns `stays`.
    pub(super) fn look<'a>(
        &mut self,
        stays: impl Iterator<Item = &'a Stay> + Clone,
        people: &People,
    ) -> Result<View> {
        let looked_at = clock::now();
        let namespaces: Option<HashSet<_>> = stays.clone().map(|stay| stay.netns).collect();
        let wanted = |netns| namespaces.as_ref().is_none_or(|these| these.contains(&netns));
        let dumps = self.dumper.dump(SHOWN, wanted)?;
        let mut view = View::take(looked_at, &mut self.holders, || Ok(dumps))?;
        if !stays.clone().all(Stay::is_located) {
            view.find_unlocated();
        }
        if view.is_proc() {
            // It tells of processes by pids alone: who is there before and after is who was read.
            for fd in stays.flat_map(|stay| view.concerned(stay)) {
                people.process(fd.pid);
            }
        }
        view.pass_again(&mut self.holders)?;
        Ok(view)
    }

    /// Every half-closed socket of the host, with the bounds of its age; with `others`, also which
    /// sockets there are in other states.
    ///
    /// # Errors
    /// If the descriptors cannot be read, or it cannot be found out which namespaces there are.
    pub fn snapshot(&mut self, others: bool) -> Result<Snapshot> {
        let began = clock::on_cpu();
        // First, so that one that becomes half-closed meanwhile shows at least once.
        let others = others.then(|| self.dumper.keys(OTHERS)).transpose()?;
        let iterated = self.holders.is_iterator();
        // `/proc` would show nothing here that sock_diag does not.
        let held = match iterated {
            true => Held::pass(&mut self.holders, &Dumps::new(), |_| {})?,
            false => Held::default(),
        };
        let dumps = self.dumper.dump(HALF_CLOSED, |_| true)?;
        let snapshot = snapshot(&held, &dumps, iterated);
        Ok(Snapshot { others, cost: Some(clock::on_cpu() - began), ..snapshot })
    }

    /// The minisockets in FIN_WAIT2 of `namespaces`, those left out that this user may not enter.
    ///
    /// # Errors
    /// If one of the others cannot be asked, or it cannot be found out which there are.
    pub fn orphans(&self, namespaces: &Namespaces) -> Result<Vec<Observed>> {
        let wanted = |netns| namespaces.contains(netns);
        let dumps = self.dumper.dump_all(TcpState::FinWait2.bit(), wanted)?;
        let all = dumps.iter().flat_map(|(netns, dump)| {
            let minisockets = dump.sockets().filter(DiagSocket::is_minisocket);
            minisockets.map(|s| observe(*netns, &s, StayState::FinWait2, dump.fin_timeout))
        });
        Ok(all.collect())
    }

    /// Names code paths, as far as copies of their stacks are here.
    pub(super) fn name<'a>(
        &mut self,
        paths: impl Iterator<Item = &'a PathId>,
    ) -> HashMap<PathId, Arc<Stack>> {
        let Some(stacks) = &mut self.stacks else { return HashMap::new() };
        let distinct: HashSet<_> = paths.copied().collect();
        distinct.into_iter().filter_map(|path| Some((path, stacks.of(path)?))).collect()
    }
}
