//! One look at everything, and a second one where that may show something else.

use core::ops::Range;
use core::time::Duration;
use std::thread;

use anyhow::{Result, anyhow};
use rustc_hash::FxHashSet;

use super::dump::Dumper;
use super::gatherer::{Gatherer, SHOWN};
use super::people::{Known, People};
use super::snapshot;
use super::view::View;
use crate::model::evidence::Evidence;
use crate::model::settled::{Stillness, is_settled};
use crate::model::snapshot::Observed;
use crate::model::socket::{NetNs, SocketKey};
use crate::model::stay::Stay;
use crate::model::time::Instant;
use crate::sys::clock;
use crate::sys::holders::Holders;
use crate::sys::loader::Kernel;

/// What was seen.
pub struct Survey {
    first: View,
    /// What a second look showed of some sockets.
    second: Option<(View, FxHashSet<SocketKey>)>,
    taken: Range<Instant>,
    /// Whom the second look has met.
    known: Known,
}

/// A socket, as the first look showed it.
pub struct Spot(snapshot::Spot);

impl Survey {
    /// Looks at all descriptors and, at the same time, asks sock_diag in every network namespace. Comes
    /// with what can look again, and with why descriptors are read from `/proc`, if they are.
    ///
    /// # Errors
    /// If there is no `/proc`, or the descriptors cannot be read.
    pub fn take() -> Result<(Self, Gatherer, Option<anyhow::Error>)> {
        let began = clock::now();
        thread::scope(|scope| {
            let dumping = scope.spawn(|| Ok(Dumper::new()?.dump(SHOWN, |_| true)?));
            let dumps = || dumping.join().map_err(|_| anyhow!("asking sock_diag panicked"))?;
            // Without the right to load programs /proc and sock_diag still say a lot.
            let (mut holders, why) = match Kernel::read() {
                Ok(mut kernel) => Holders::open(Some(&mut kernel)),
                Err(error) => (Holders::Proc, Some(error)),
            };
            let first = View::take(began, &mut holders, dumps)?;
            let taken = began..clock::now();
            let known = Known::default();
            Ok((Self { first, second: None, taken, known }, Gatherer::new(holders, None)?, why))
        })
    }

    /// When it was taken: at some moment of this time.
    pub fn taken(&self) -> Range<Instant> {
        self.taken.clone()
    }

    /// How many network namespaces could not be entered.
    pub fn closed(&self) -> usize {
        self.first.dumps().values().filter(|dump| dump.is_none()).count()
    }

    /// Every half-closed socket, with the bounds of its age but not how far it has come, and how long
    /// nothing has moved on it.
    pub fn half_closed(&self) -> impl Iterator<Item = (Observed, Stillness)> {
        let dumps = self.first.dumps();
        self.first.spots().filter_map(|spot| Some((spot.observed(dumps)?, spot.stillness())))
    }

    /// One of them.
    pub fn socket(&self, key: SocketKey, netns: NetNs) -> Option<(Spot, Observed)> {
        let spot = self.first.spot(key, netns);
        spot.observed(self.first.dumps()).map(|observed| (Spot(spot), observed))
    }

    /// Whether a look `apart` from the first would show the same of `stay`.
    pub fn is_settled(&self, stay: &Stay, still: &Stillness, apart: Duration) -> bool {
        !self.first.is_proc() && is_settled(stay, still, self.taken.end, apart)
    }

    /// Leaves out who has let go meanwhile of a socket that several held.
    ///
    /// # Errors
    /// If the descriptors cannot be read.
    pub fn drop_those_gone(&mut self, gatherer: &mut Gatherer) -> Result<()> {
        self.first.pass_again(&mut gatherer.holders)
    }

    /// Looks at `stays` once more, `apart` from the first time.
    ///
    /// # Errors
    /// If the descriptors cannot be read.
    pub fn look_again(
        &mut self,
        gatherer: &mut Gatherer,
        stays: &[Stay],
        apart: Duration,
    ) -> Result<()> {
        thread::sleep(apart.saturating_sub(clock::now().since(self.taken.end)));
        let people = self.people();
        let view = gatherer.look(stays.iter(), &people)?;
        self.second = Some((view, stays.iter().map(|stay| stay.key).collect()));
        self.known = people.known();
        Ok(())
    }

    /// The processes behind the sockets, for one thread.
    pub fn people(&self) -> People {
        People::who_are(self.known.clone())
    }

    /// What was found out about the stay of the socket at `spot`, at last.
    pub fn evidence(&self, stay: &Stay, Spot(spot): &Spot, people: &People) -> Evidence {
        match &self.second {
            Some((second, seen_again)) if seen_again.contains(&stay.key) => {
                second.evidence(stay, people)
            }
            _ => self.first.evidence_at(stay, spot, people),
        }
    }
}
