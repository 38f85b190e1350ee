//! Where the time of stuck sockets went: stays folded into a tree of frames, from the host or the
//! process down to the function.
//!
//! Memory grows with the number of distinct paths, not of stays.

pub mod by;
pub mod difference;
pub mod window;

use core::iter::Sum;
use core::ops::{Add, AddAssign};
use core::time::Duration;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

/// What stays weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Socket-time: two sockets that are stuck for a second are two seconds.
    pub time: Duration,
    /// How many stays there are.
    pub count: u64,
}

impl Add for Weight {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            time: self.time.saturating_add(other.time),
            count: self.count.saturating_add(other.count),
        }
    }
}

impl AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Weight {
    fn sum<I: Iterator<Item = Self>>(weights: I) -> Self {
        weights.fold(Self::default(), Add::add)
    }
}

/// Which side of a [`Weight`] is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Measure {
    /// Socket-time.
    #[default]
    Time,
    /// Stays.
    Count,
}

impl Measure {
    /// Socket-nanoseconds, or stays: whole numbers, to be compared and shared out.
    pub fn units(self, weight: Weight) -> u128 {
        match self {
            Self::Time => weight.time.as_nanos(),
            Self::Count => u128::from(weight.count),
        }
    }

    /// Socket-seconds, or stays: what a person reads.
    pub fn value(self, weight: Weight) -> f64 {
        match self {
            Self::Time => weight.time.as_secs_f64(),
            Self::Count => weight.count as f64,
        }
    }

    /// What [`Measure::value`] counts, in the plural.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Time => "socket-seconds",
            Self::Count => "sockets",
        }
    }
}

/// What a frame stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the words of `report --by`, and what a stack is made of")]
pub enum FrameKind {
    Host,
    Unit,
    Process,
    Pid,
    State,
    Verdict,
    Peer,
    Function,
    /// No code: what is known instead.
    Note,
    /// From a folded line, which does not say what its frames are.
    Other,
}

impl FrameKind {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Unit => "unit",
            Self::Process => "process",
            Self::Pid => "pid",
            Self::State => "state",
            Self::Verdict => "verdict",
            Self::Peer => "peer",
            Self::Function => "function",
            Self::Note => "note",
            Self::Other => "other",
        }
    }
}

/// One frame of a path. The name is hostile: valid UTF-8, and nothing else is sure of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameName {
    /// The name.
    pub name: Arc<str>,
    /// What it is the name of.
    pub kind: FrameKind,
}

impl FrameName {
    /// A frame.
    pub fn new(kind: FrameKind, name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), kind }
    }
}

/// Position of a node in [`Profile::nodes`].
pub type NodeId = usize;

/// A frame with everything above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The frame.
    pub frame: FrameName,
    /// The node it hangs on, which stands before it; the root hangs on itself.
    pub parent: NodeId,
    /// How far from the root, which is at 0.
    pub depth: usize,
    /// What ended here.
    pub own: Weight,
    /// That and everything below.
    pub total: Weight,
}

/// Paths with weights, as a tree.
#[derive(Clone, Debug)]
pub struct Profile {
    nodes: Vec<Node>,
    children: FxHashMap<(NodeId, FrameName), NodeId>,
    names: FxHashSet<Arc<str>>,
}

impl Default for Profile {
    fn default() -> Self {
        Self::new()
    }
}

impl Profile {
    /// The root.
    pub const ROOT: NodeId = 0;

    /// One that holds nothing but the root.
    pub fn new() -> Self {
        let root = Node {
            frame: FrameName::new(FrameKind::Note, "all"),
            parent: Self::ROOT,
            depth: 0,
            own: Weight::default(),
            total: Weight::default(),
        };
        Self { nodes: vec![root], children: FxHashMap::default(), names: FxHashSet::default() }
    }

    /// Adds `weight` to the end of `path`, which begins below the root.
    pub fn add(&mut self, path: impl IntoIterator<Item = FrameName>, weight: Weight) {
        let mut at = Self::ROOT;
        self.nodes[at].total += weight;
        for frame in path {
            at = self.child(at, frame);
            self.nodes[at].total += weight;
        }
        self.nodes[at].own += weight;
    }

    /// The node of `frame` below `parent`, made if there is none.
    fn child(&mut self, parent: NodeId, frame: FrameName) -> NodeId {
        let mut key = (parent, frame);
        if let Some(&child) = self.children.get(&key) {
            return child;
        }
        // The same function on many paths has its name once.
        match self.names.get(&key.1.name) {
            Some(known) => key.1.name = Arc::clone(known),
            None => _ = self.names.insert(Arc::clone(&key.1.name)),
        }
        let child = self.nodes.len();
        self.nodes.push(Node {
            frame: key.1.clone(),
            parent,
            depth: self.nodes[parent].depth + 1,
            own: Weight::default(),
            total: Weight::default(),
        });
        self.children.insert(key, child);
        child
    }

    /// All nodes, parents before their children; the first is the root.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What everything weighs.
    pub fn total(&self) -> Weight {
        self.nodes[Self::ROOT].total
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.total() == Weight::default()
    }

    /// The nodes from below the root to `node`.
    pub fn ids(&self, node: NodeId) -> Vec<NodeId> {
        let mut ids = Vec::with_capacity(self.nodes[node].depth);
        let mut at = node;
        while at != Self::ROOT {
            ids.push(at);
            at = self.nodes[at].parent;
        }
        ids.reverse();
        ids
    }

    /// The frames from below the root to `node`.
    pub fn path(&self, node: NodeId) -> impl Iterator<Item = &FrameName> {
        self.ids(node).into_iter().map(|id| &self.nodes[id].frame)
    }

    /// Every node but the root in the order in which they are drawn: each above what is below it, the
    /// widest of one parent first, those of one width by name.
    pub fn walk(&self, measure: Measure) -> Vec<NodeId> {
        let width = |node: &NodeId| core::cmp::Reverse(measure.units(self.nodes[*node].total));
        let mut below = vec![Vec::new(); self.nodes.len()];
        for (child, node) in self.nodes.iter().enumerate().skip(1) {
            below[node.parent].push(child);
        }
        for children in &mut below {
            children.sort_unstable_by(|a, b| {
                let names = || self.nodes[*a].frame.cmp(&self.nodes[*b].frame);
                width(a).cmp(&width(b)).then_with(names)
            });
        }
        // No recursion: a path that was read from a file may be as deep as it likes.
        let mut order = Vec::with_capacity(self.nodes.len() - 1);
        let mut due: Vec<_> = below[Self::ROOT].iter().rev().copied().collect();
        while let Some(node) = due.pop() {
            order.push(node);
            due.extend(below[node].iter().rev());
        }
        order
    }
}

#[cfg(test)]
mod tests;
