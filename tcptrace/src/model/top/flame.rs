//! Where the time of stuck sockets went so far, of those that still are and those that no longer are.
//!
//! Sockets that have their path in common are one sum: drawing costs distinct paths, not sockets.

use core::time::Duration;
use std::sync::Arc;

use jiff::Timestamp;
use rustc_hash::FxHashMap;

use crate::model::alert::Alert;
use crate::model::history::{PastEnd, PastStay};
use crate::model::profile::by::{By, Paths};
use crate::model::profile::{FrameName, Measure, NodeId, Profile, Weight};
use crate::model::stay::StayId;
use crate::model::time::Instant;

/// Stacks are spelled out anew after so many sockets: they come and go with their processes.
const AFRESH: usize = 10_000;

/// See the module.
#[derive(Clone, Debug)]
pub struct Flame {
    paths: Paths,
    spelled: usize,
    known: FxHashMap<Arc<[FrameName]>, usize>,
    /// In the order in which they came, so that a node of the profile keeps its number.
    sums: Vec<(Arc<[FrameName]>, Sum)>,
    of: FxHashMap<StayId, usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    /// Stuck now: how many, and the sum of the moments at which they began.
    stuck: u64,
    since: u128,
    /// No longer stuck.
    over: Weight,
}

impl Default for Flame {
    fn default() -> Self {
        Self {
            paths: Paths::new(&By::DEFAULT),
            spelled: 0,
            known: FxHashMap::default(),
            sums: Vec::new(),
            of: FxHashMap::default(),
        }
    }
}

impl Flame {
    /// Takes in a stuck socket.
    pub fn add(&mut self, alert: &Alert) {
        self.spelled += 1;
        if self.spelled.is_multiple_of(AFRESH) {
            self.paths = Paths::new(&By::DEFAULT);
        }
        let path: Arc<[FrameName]> = self.paths.of(&past(alert)).into();
        let place = *self.known.entry(Arc::clone(&path)).or_insert_with(|| {
            self.sums.push((path, Sum::default()));
            self.sums.len() - 1
        });
        let sum = &mut self.sums[place].1;
        sum.stuck += 1;
        sum.since += u128::from(alert.stay.since.as_nanos());
        self.of.insert(alert.stay.id, place);
    }

    /// Takes it out at `at`. Its time stays, unless it `goes_on` elsewhere.
    pub fn remove(&mut self, alert: &Alert, at: Instant, goes_on: bool) {
        let Some(place) = self.of.remove(&alert.stay.id) else { return };
        let sum = &mut self.sums[place].1;
        sum.stuck -= 1;
        sum.since -= u128::from(alert.stay.since.as_nanos());
        if !goes_on {
            sum.over += Weight { time: at.since(alert.stay.since), count: 1 };
        }
    }

    /// The profile at `now`.
    pub fn profile(&self, now: Instant) -> Profile {
        let mut profile = Profile::new();
        for (path, sum) in &self.sums {
            let until = u128::from(now.as_nanos()) * u128::from(sum.stuck);
            let nanos = u64::try_from(until.saturating_sub(sum.since)).unwrap_or(u64::MAX);
            let stuck = Weight { time: Duration::from_nanos(nanos), count: sum.stuck };
            profile.add(path.iter().cloned(), stuck + sum.over);
        }
        profile
    }
}

/// As a journal would give it back, as far as paths are made of it.
fn past(alert: &Alert) -> PastStay {
    let Alert { stay, finding, evidence, .. } = alert;
    let held = || evidence.holders.as_ref()?.first().map(|holder| Arc::clone(&holder.process));
    let blamed = finding.blame.as_ref().map(|blame| Arc::clone(&blame.process));
    PastStay {
        host: "".into(),
        boot_id: "".into(),
        id: Box::default(),
        state: stay.state,
        orphan: stay.orphan,
        verdict: finding.verdict,
        confidence: finding.confidence,
        local: stay.endpoints.local,
        remote: stay.endpoints.remote,
        netns: stay.netns,
        cookie: stay.cookie,
        process: blamed.or_else(held),
        began: Timestamp::UNIX_EPOCH,
        lasted: Duration::ZERO,
        exact: stay.exact,
        end: PastEnd::Open,
        code: None,
        stack: evidence.stack.clone(),
        opened: evidence.opened.clone(),
        threads: evidence.threads,
        held_by: evidence.held_by,
        eof_read_at: None,
        recv_queue: evidence.recv_queue,
        send_queue: evidence.send_queue,
        path: None,
        alerted: true,
    }
}

/// A frame on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Which.
    pub node: NodeId,
    /// How far below the one that fills the width.
    pub depth: usize,
    /// Its first column.
    pub start: u16,
    /// How many it has; at least one.
    pub width: u16,
}

/// Lays out `zoom` and everything below it over `width` columns, the widest of one parent first.
/// What is narrower than a column is left out.
pub fn lay_out(profile: &Profile, zoom: NodeId, width: u16) -> Vec<Tile> {
    const NANOS: Measure = Measure::Time;
    let nodes = profile.nodes();
    let whole = NANOS.units(nodes[zoom].total).max(1);
    let column = |units: u128| (units * u128::from(width) / whole) as u16;
    let mut tiles = vec![Tile { node: zoom, depth: 0, start: 0, width }];
    // Where the next child of a node begins.
    let mut from = FxHashMap::from_iter([(zoom, 0u128)]);
    for id in profile.walk(NANOS) {
        let node = &nodes[id];
        let Some(begin) = from.get_mut(&node.parent).filter(|_| id != zoom) else { continue };
        let (first, end) = (*begin, *begin + NANOS.units(node.total));
        *begin = end;
        from.insert(id, first);
        let (start, end) = (column(first), column(end));
        if end > start {
            let depth = node.depth - nodes[zoom].depth;
            tiles.push(Tile { node: id, depth, start, width: end - start });
        }
    }
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    fn seconds(flame: &Flame, at: Instant) -> (u64, u64) {
        let total = flame.profile(at).total();
        (total.time.as_secs(), total.count)
    }

    #[test]
    fn time_goes_on_while_it_is_stuck_and_stays_when_it_is_over() {
        let (mut flame, alert) = (Flame::default(), samples::alert());
        let later = |seconds| alert.at.after(Duration::from_secs(seconds));
        flame.add(&alert);
        assert_eq!(seconds(&flame, alert.at), (130, 1));
        assert_eq!(seconds(&flame, later(70)), (200, 1));
        flame.remove(&alert, later(70), true);
        assert_eq!(seconds(&flame, later(70)), (0, 0), "it goes on elsewhere");
        flame.add(&alert);
        flame.remove(&alert, later(70), false);
        assert_eq!(seconds(&flame, later(900)), (200, 1));
    }

    #[test]
    fn tiles_of_one_parent_lie_beside_each_other_within_it() {
        let mut profile = Profile::new();
        let frame = |name: &str| FrameName::new(crate::model::profile::FrameKind::Function, name);
        for (path, seconds) in [(vec!["a", "b"], 30), (vec!["a", "c"], 20), (vec!["d"], 50)] {
            let weight = Weight { time: Duration::from_secs(seconds), count: 1 };
            profile.add(path.into_iter().map(frame), weight);
        }
        let named = |zoom, width| {
            let tile = |tile: Tile| {
                let name = profile.nodes()[tile.node].frame.name.to_string();
                (name, tile.depth, tile.start, tile.width)
            };
            lay_out(&profile, zoom, width).into_iter().map(tile).collect::<Vec<_>>()
        };
        let own = |name: &str, depth, start, width| (name.to_owned(), depth, start, width);
        assert_eq!(
            named(Profile::ROOT, 10),
            [
                own("all", 0, 0, 10),
                own("a", 1, 0, 5),
                own("b", 2, 0, 3),
                own("c", 2, 3, 2),
                own("d", 1, 5, 5),
            ]
        );
        assert_eq!(named(1, 10), [own("a", 0, 0, 10), own("b", 1, 0, 6), own("c", 1, 6, 4)]);
        assert_eq!(named(Profile::ROOT, 0).len(), 1);
    }
}
