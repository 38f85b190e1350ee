//! What got worse, and what got better.

use core::time::Duration;

use super::{Measure, NodeId, Profile, Weight};

/// One window against another: every path of both, with what it weighed in each.
#[derive(Clone, Debug)]
pub struct Difference {
    profile: Profile,
    before: Vec<Before>,
    scale: f64,
}

/// What a node weighed in the baseline.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    own: Weight,
    total: Weight,
}

impl Difference {
    /// Compares `after` with `before`, each with the length of its window: a day can be compared with
    /// an hour.
    pub fn new(before: (&Profile, Duration), after: (Profile, Duration)) -> Self {
        let ((before, before_length), (mut profile, after_length)) = (before, after);
        let mut places = Vec::with_capacity(before.nodes().len());
        for node in before.nodes() {
            // Parents stand before their children, so theirs is known by now.
            let place = match places.get(node.parent) {
                Some(&parent) => profile.child(parent, node.frame.clone()),
                None => Profile::ROOT,
            };
            places.push(place);
        }
        let mut weights = vec![Before::default(); profile.nodes().len()];
        for (node, place) in before.nodes().iter().zip(places) {
            weights[place] = Before { own: node.own, total: node.total };
        }
        let scale = if before_length.is_zero() || after_length.is_zero() {
            1.0
        } else {
            after_length.as_secs_f64() / before_length.as_secs_f64()
        };
        Self { profile, before: weights, scale }
    }

    /// Every path of both, with what it weighed after.
    pub fn after(&self) -> &Profile {
        &self.profile
    }

    /// What ended at `node` before, in [`Measure::value`]s for a window as long as that of after.
    pub fn own_before(&self, node: NodeId, measure: Measure) -> f64 {
        measure.value(self.before[node].own) * self.scale
    }

    /// That and everything below.
    pub fn total_before(&self, node: NodeId, measure: Measure) -> f64 {
        measure.value(self.before[node].total) * self.scale
    }
}
