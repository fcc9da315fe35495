//! The trees below root operations: held while something in them is open, then folded into counts.

use lab_model::{Bounded, OperationKind, PhaseKind};

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
    pub(crate) nodes: Vec<Node>,
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
    /// Nodes that were not kept one by one.
    pub(crate) folded: u64,
}

impl Forest {
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
                self.slots.push(Cascade::empty());
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
    fn empty() -> Cascade {
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
            nodes: Vec::new(),
            references: 0,
            serial: 0,
        }
    }

    /// Empties it and keeps its memory.
    fn reset(&mut self) {
        let mut nodes = std::mem::take(&mut self.nodes);
        nodes.clear();
        *self = Cascade { nodes, ..Cascade::empty() };
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

impl Kept {
    pub(crate) fn of(cascade: &Cascade, duration: u64) -> Kept {
        Kept {
            serial: cascade.serial,
            size: cascade.decisions,
            depth: cascade.depth,
            duration,
            began: cascade.began,
            total_nodes: cascade.decisions.saturating_add(cascade.operations),
            nodes: cascade.nodes.clone(),
        }
    }
}
