//! The trees below root operations: held while something in them is open, then folded into counts.

use lab_model::{Bounded, OperationKind, PhaseKind};

use crate::{
    findings::FlameFrame,
    measures::{
        gain::Gain,
        latency::{Times, Whole},
    },
};

/// The nodes of one cascade that are kept one by one; what comes later counts towards its nearest kept ancestor.
const NODES_MAX: usize = 4096;

/// The nodes that are kept over all open cascades.
const NODES_TOTAL_MAX: usize = 2_000_000;

/// No node.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// What a tree hangs from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An operation of the workload.
    Workload,
    /// An operation that the lab made for its own sake.
    Housekeeping,
    /// An operation whose cause is not in the traces.
    Orphan,
}

/// An operation or decision of a cascade; all else is read from its record when it is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) parent: u32,
    /// Decisions counted here: itself if it is one, and those further below that were not kept.
    pub(crate) count: u32,
    pub(crate) trace: u16,
    pub(crate) decision: bool,
    pub(crate) record: u64,
}

/// A cascade in which something is open.
#[derive(Clone, Debug)]
pub(crate) struct Cascade {
    pub(crate) origin: Origin,
    pub(crate) kind: OperationKind,
    pub(crate) phase: Option<PhaseKind>,
    pub(crate) began: u64,
    /// The last answer or end below the root.
    pub(crate) last: u64,
    pub(crate) decisions: u64,
    pub(crate) operations: u64,
    pub(crate) depth: u64,
    pub(crate) root_completed: bool,
    /// Something in it never ended.
    pub(crate) cut: bool,
    /// A ranking waits for the counts of one of its decisions.
    pub(crate) watched: bool,
    pub(crate) nodes: Vec<Node>,
    /// Per type of event: client-caused ones that were handled, then those of the root operation.
    pub(crate) handled: Vec<u32>,
    /// Per pair: events landing on i by reactions of j to client-caused events; empty while all are zero.
    pub(crate) landed: Vec<u32>,
    references: u32,
    /// Tells two uses of one place apart.
    pub(crate) serial: u64,
}

impl Cascade {
    /// True for a cascade of the storm's workload.
    pub(crate) fn in_storm(&self) -> bool {
        self.origin == Origin::Workload && self.phase == Some(PhaseKind::Storm)
    }
}

/// The open cascades.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forest {
    slots: Vec<Cascade>,
    free: Vec<u32>,
    kept: usize,
    serial: u64,
    types: usize,
    /// Nodes that were not kept one by one.
    pub(crate) folded: u64,
}

impl Forest {
    pub(crate) fn new(types: usize) -> Forest {
        Forest { types, ..Forest::default() }
    }

    /// Opens a cascade, with one reference for its root.
    pub(crate) fn open(
        &mut self,
        origin: Origin,
        kind: OperationKind,
        phase: Option<PhaseKind>,
        at: u64,
    ) -> u32 {
        self.serial.raise(1);
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(Cascade::empty(self.types));
                u32::try_from(self.slots.len().saturating_sub(1)).unwrap_or(NOWHERE)
            }
        };
        let cascade = &mut self.slots[slot as usize];
        cascade.reset();
        cascade.origin = origin;
        cascade.kind = kind;
        cascade.phase = phase;
        cascade.began = at;
        cascade.last = at;
        cascade.references = 1;
        cascade.serial = self.serial;
        slot
    }

    pub(crate) fn get(&self, slot: u32) -> &Cascade {
        &self.slots[slot as usize]
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut Cascade {
        &mut self.slots[slot as usize]
    }

    /// Adds a node and returns its number, or its nearest kept ancestor's when it is not kept.
    pub(crate) fn attach(&mut self, slot: u32, node: Node) -> u32 {
        let cascade = &mut self.slots[slot as usize];
        if cascade.nodes.len() < NODES_MAX && self.kept < NODES_TOTAL_MAX {
            self.kept.raise(1);
            cascade.nodes.push(node);
            return u32::try_from(cascade.nodes.len().saturating_sub(1)).unwrap_or(NOWHERE);
        }
        self.folded.raise(1);
        if let Some(parent) = cascade.nodes.get_mut(node.parent as usize) {
            parent.count = parent.count.saturating_add(node.count);
        }
        node.parent
    }

    pub(crate) fn hold(&mut self, slot: u32) {
        self.slots[slot as usize].references.raise(1);
    }

    /// Lets go of a reference; true when it was the last, and then [`Forest::take`] is due.
    pub(crate) fn release(&mut self, slot: u32) -> bool {
        let cascade = &mut self.slots[slot as usize];
        cascade.references = cascade.references.saturating_sub(1);
        cascade.references == 0
    }

    /// Makes the cascade's place free, after it has been folded into the counts.
    pub(crate) fn close(&mut self, slot: u32) {
        self.kept.lower(self.slots[slot as usize].nodes.len());
        self.free.push(slot);
    }
}

impl Cascade {
    fn empty(types: usize) -> Cascade {
        Cascade {
            origin: Origin::Orphan,
            kind: OperationKind::Open,
            phase: None,
            began: 0,
            last: 0,
            decisions: 0,
            operations: 0,
            depth: 0,
            root_completed: false,
            cut: false,
            watched: false,
            nodes: Vec::new(),
            handled: vec![0; types.saturating_mul(2)],
            landed: Vec::new(),
            references: 0,
            serial: 0,
        }
    }

    /// Empties it and keeps its memory.
    fn reset(&mut self) {
        let clients = self.handled.len();
        let (mut nodes, mut handled) = (std::mem::take(&mut self.nodes), std::mem::take(&mut self.handled));
        nodes.clear();
        handled.fill(0);
        debug_assert_eq!(handled.len(), clients);
        *self = Cascade { nodes, handled, ..Cascade::empty(0) };
    }

    /// For each kept node the decisions at or below it.
    pub(crate) fn inclusive(&self, counts: &mut Vec<u64>) {
        counts.clear();
        counts.extend(self.nodes.iter().map(|node| u64::from(node.count)));
        for place in (1..self.nodes.len()).rev() {
            let parent = self.nodes[place].parent as usize;
            if parent < place {
                let below = counts[place];
                counts[parent].raise(below);
            }
        }
    }
}

/// A cascade that is kept to be shown.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) serial: u64,
    pub(crate) size: u64,
    pub(crate) depth: u64,
    pub(crate) duration: u64,
    pub(crate) began: u64,
    pub(crate) total_nodes: u64,
    pub(crate) nodes: Vec<Node>,
}

/// What the storm's cascades came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) unfinished: u64,
    pub(crate) depth: Whole,
    pub(crate) size: Whole,
    pub(crate) duration: Times,
    /// Decisions in cascades whose root completed, and how many roots those are.
    pub(crate) decisions_of_completed: u64,
    pub(crate) completed_roots: u64,
    pub(crate) largest: Option<Kept>,
    pub(crate) deepest: Option<Kept>,
    pub(crate) longest: Option<Kept>,
}

impl Tally {
    /// Folds a closed cascade of the storm into the counts.
    pub(crate) fn add(&mut self, cascade: &Cascade, gain: &mut Gain) {
        if cascade.root_completed {
            self.completed_roots.raise(1);
            self.decisions_of_completed.raise(cascade.decisions);
        }
        gain.sample(cascade);
        let duration = cascade.last.saturating_sub(cascade.began);
        if cascade.cut || !cascade.root_completed {
            self.unfinished.raise(1);
        } else {
            self.depth.record(cascade.depth);
            self.size.record(cascade.decisions);
            self.duration.record(duration);
        }
        if cascade.decisions == 0 {
            return;
        }
        let beats = |kept: &Option<Kept>, value: fn(&Kept) -> u64, mine: u64| {
            kept.as_ref().is_none_or(|kept| mine > value(kept))
        };
        if beats(&self.largest, |kept| kept.size, cascade.decisions) {
            self.largest = Some(Kept::of(cascade));
        }
        if beats(&self.deepest, |kept| kept.depth, cascade.depth) {
            self.deepest = Some(Kept::of(cascade));
        }
        if beats(&self.longest, |kept| kept.duration, duration) {
            self.longest = Some(Kept::of(cascade));
        }
    }
}

impl Kept {
    fn of(cascade: &Cascade) -> Kept {
        Kept {
            serial: cascade.serial,
            size: cascade.decisions,
            depth: cascade.depth,
            duration: cascade.last.saturating_sub(cascade.began),
            began: cascade.began,
            total_nodes: cascade.decisions.saturating_add(cascade.operations),
            nodes: cascade.nodes.clone(),
        }
    }
}

/// The levels of clients that a flame graph tells apart.
const FLAME_LEVELS_MAX: u32 = 24;

/// The distinct chains that are counted.
const FLAME_NODES_MAX: usize = 8192;

/// The frames in a report.
const FLAME_FRAMES_MAX: usize = 400;

#[derive(Clone, Debug)]
struct Frame {
    parent: u32,
    level: u32,
    own: u64,
    children: Vec<(u16, u32)>,
}

/// Cause chains of clients, counted.
#[derive(Clone, Debug)]
pub(crate) struct Flame {
    frames: Vec<Frame>,
    /// Decisions counted at an ancestor because their own chain was not told apart.
    pub(crate) folded: u64,
}

impl Flame {
    pub(crate) fn new() -> Flame {
        let root = Frame { parent: NOWHERE, level: 0, own: 0, children: Vec::new() };
        Flame { frames: vec![root.clone(), root], folded: 0 }
    }

    /// The frame of a workload operation.
    pub(crate) const fn root(kind: OperationKind) -> u32 {
        match kind {
            OperationKind::Open => 0,
            // What a command does begins with an exec.
            OperationKind::Exec | OperationKind::Process => 1,
        }
    }

    /// Counts a decision of `client` below `parent` and returns its frame.
    pub(crate) fn count(&mut self, parent: u32, client: u16) -> u32 {
        let place = self.through(parent, client);
        self.frames[place as usize].own.raise(1);
        place
    }

    /// The frame of `client` below `parent`, with nothing counted at it.
    pub(crate) fn through(&mut self, parent: u32, client: u16) -> u32 {
        let known = self.frames[parent as usize].children.iter().find(|(other, _)| *other == client);
        match known {
            Some(&(_, place)) => place,
            None => self.add(parent, client),
        }
    }

    fn add(&mut self, parent: u32, client: u16) -> u32 {
        let level = self.frames[parent as usize].level.saturating_add(1);
        if level > FLAME_LEVELS_MAX || self.frames.len() >= FLAME_NODES_MAX {
            self.folded.raise(1);
            return parent;
        }
        let place = u32::try_from(self.frames.len()).unwrap_or(NOWHERE);
        self.frames.push(Frame { parent, level, own: 0, children: Vec::new() });
        self.frames[parent as usize].children.push((client, place));
        place
    }

    /// The frames for a report, depth first, the heaviest first among siblings.
    pub(crate) fn frames(&self, name: impl Fn(u16) -> String) -> Vec<FlameFrame> {
        let mut inclusive: Vec<u64> = self.frames.iter().map(|frame| frame.own).collect();
        for place in (2..self.frames.len()).rev() {
            let parent = self.frames[place].parent as usize;
            let below = inclusive[place];
            inclusive[parent].raise(below);
        }
        let mut shown = Vec::new();
        for (root, heading) in [(0, "workload open"), (1, "workload exec")] {
            if inclusive[root] > 0 {
                self.walk(root, vec![heading.to_owned()], &inclusive, &name, &mut shown);
            }
        }
        shown
    }

    fn walk(
        &self,
        place: usize,
        stack: Vec<String>,
        inclusive: &[u64],
        name: &impl Fn(u16) -> String,
        shown: &mut Vec<FlameFrame>,
    ) {
        if shown.len() >= FLAME_FRAMES_MAX {
            return;
        }
        let frame = &self.frames[place];
        shown.push(FlameFrame { stack: stack.clone(), decisions: inclusive[place], own: frame.own });
        let mut children = frame.children.clone();
        children.sort_by_key(|&(client, child)| (std::cmp::Reverse(inclusive[child as usize]), client));
        for (client, child) in children {
            let mut stack = stack.clone();
            stack.push(name(client));
            self.walk(child as usize, stack, inclusive, name, shown);
        }
    }
}
