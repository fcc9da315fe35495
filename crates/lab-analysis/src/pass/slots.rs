//! What is open at one moment: operations, decisions, and the tables that find them.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    rc::Rc,
};

use lab_model::OperationKind;

use crate::participants::timeline::Timeline;

/// A place that holds nothing.
pub(crate) const NONE: u32 = u32::MAX;

/// A time that has not come.
pub(crate) const NEVER: u64 = u64::MAX;

/// No client.
pub(crate) const NOBODY: u16 = u16::MAX;

/// The decision during which an operation was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct By {
    pub(crate) client: u16,
    /// The decision; [`NONE`] for a notice.
    pub(crate) slot: u32,
    pub(crate) record: u64,
    /// The type of the operation that the decision was about.
    pub(crate) about: Branch,
    /// All that it set off is in the record, as far as can be told: see [`Dec::reacted`].
    pub(crate) reacted: bool,
}

/// The type of an operation in the branching of cascades: who makes it, and whether it is an open. What one operation sets
/// off depends on this alone, as far as settings go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Branch(u16);

impl Branch {
    /// The types of the workload's operations come first.
    pub(crate) const OF_WORKLOAD: usize = 2;

    /// The type of operations of a column of the cause matrix; roots are the workload's.
    pub(crate) fn of(column: u16, open: bool, root: bool) -> Branch {
        let column = if root { 0 } else { column };
        Branch(column.saturating_mul(2).saturating_add(u16::from(!open)))
    }

    /// Its place among all types, of which there are two a column.
    pub(crate) fn place(self) -> usize {
        usize::from(self.0)
    }
}

impl By {
    /// True when the client was not asked but told after the fact.
    pub(crate) const fn is_notice(&self) -> bool {
        self.slot == NONE
    }
}

/// One client's part in a root operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) client: u16,
    pub(crate) read: u64,
    pub(crate) answered: u64,
    pub(crate) queued: u64,
    pub(crate) blocked: u64,
    pub(crate) denied: bool,
}

/// How long the decisions about an operation held it, in ticks. Where several did at once, the time is the first reader's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    /// The first read of it; `None` when nobody has.
    pub(crate) first_read: Option<u64>,
    /// Until when somebody held it.
    pub(crate) until: u64,
    /// By clients other than its owner.
    pub(crate) by_others: u64,
    /// By its owner.
    pub(crate) by_owner: u64,
}

impl Held {
    /// Takes in a decision, in the order of reading: from when until when it lasted, within the operation.
    pub(crate) fn take(&mut self, read: u64, until: u64, by_owner: bool, timeline: &Timeline) {
        self.first_read.get_or_insert(read);
        let lasted = timeline.took(read.max(self.until), until);
        let sum = if by_owner { &mut self.by_owner } else { &mut self.by_others };
        *sum = sum.saturating_add(lasted);
        self.until = self.until.max(until);
    }
}

/// An operation that may still cause decisions.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) trace: u16,
    pub(crate) record: u64,
    pub(crate) started: u64,
    pub(crate) ended: u64,
    pub(crate) tid: u64,
    pub(crate) pid: u32,
    pub(crate) kind: OperationKind,
    /// The client whose process made it, or [`NOBODY`].
    pub(crate) owner: u16,
    pub(crate) column: u16,
    /// The group of workers outside the clients that made it, or [`NOBODY`].
    pub(crate) group: u16,
    /// A worker of [`Op::author`] waits for its end: its own, or one that asked and waits for the reply.
    pub(crate) waited: bool,
    /// Made by the thread that reads that client's events.
    pub(crate) by_reader: bool,
    pub(crate) root: bool,
    pub(crate) by: Option<By>,
    pub(crate) cascade: u32,
    pub(crate) node: u32,
    pub(crate) depth: u32,
    pub(crate) flame: u32,
    /// The clients whose decisions lie above it, as bits.
    pub(crate) above: u128,
    pub(crate) target: Option<(u64, u32)>,
    /// When the last of its decisions was answered; 0 before.
    pub(crate) answered: u64,
    /// Who held it, and for how long.
    pub(crate) held: Held,
    /// Its decisions that are not answered yet.
    pub(crate) pending: Vec<u32>,
    /// The clients that read an event of it, as bits.
    pub(crate) asked_by: u128,
    /// For root operations: who was asked, in the order of reading.
    pub(crate) asked: Vec<Asked>,
    /// When the process that made it ended, and its program went on by itself.
    pub(crate) orphaned: Option<u64>,
    /// It counts among the operations of storm and drain.
    pub(crate) counted: bool,
    /// Its error number; 0 when there was none or it never ended.
    pub(crate) error: u32,
    /// A client denied it.
    pub(crate) denied: bool,
    /// Its path, where somebody mutes paths.
    pub(crate) path: Option<Rc<str>>,
}

impl Op {
    /// Its type in the branching of cascades.
    pub(crate) fn branch(&self) -> Branch {
        Branch::of(self.column, self.kind == OperationKind::Open, self.root)
    }

    /// The client that brought it about: whose process made it, or for whose decision a worker outside the clients
    /// did; [`NOBODY`] for the workload's.
    pub(crate) fn author(&self) -> u16 {
        if self.owner == NOBODY { self.by.map_or(NOBODY, |by| by.client) } else { self.owner }
    }

    /// Where it is listed among what is open: with the clients first, for they wait, then with the groups of workers
    /// that nobody waits for. `None` for what no lab process but the driver makes.
    pub(crate) fn listed(&self) -> Option<usize> {
        match (self.owner, self.group) {
            (NOBODY, NOBODY) => None,
            (NOBODY, _) => Some(usize::from(self.author())),
            (owner, _) => Some(usize::from(owner)),
        }
    }
}

impl Op {
    /// An open of the workload's, as it begins.
    pub(crate) fn root_open() -> Op {
        Op {
            trace: 0,
            record: 0,
            started: 0,
            ended: NEVER,
            tid: 0,
            pid: 0,
            kind: OperationKind::Open,
            owner: NOBODY,
            column: 0,
            group: NOBODY,
            waited: false,
            by_reader: false,
            root: true,
            by: None,
            cascade: NONE,
            node: 0,
            depth: 1,
            flame: 0,
            above: 0,
            target: None,
            answered: 0,
            held: Held::default(),
            pending: Vec::new(),
            asked_by: 0,
            asked: Vec::new(),
            orphaned: None,
            counted: true,
            error: 0,
            denied: false,
            path: None,
        }
    }
}

/// A decision that is not answered yet, or whose reactions are still to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dec {
    pub(crate) client: u16,
    pub(crate) trace: u16,
    pub(crate) record: u64,
    pub(crate) read: u64,
    pub(crate) started: Option<u64>,
    pub(crate) answered: u64,
    /// When it was answered, or its client's end, or the record's: at least until then it lasted.
    pub(crate) until: u64,
    /// It was never answered. What cannot be read of its answer is another matter.
    pub(crate) open: bool,
    /// The reader answers it, whatever the workers do.
    pub(crate) at_once: bool,
    /// The client's own process made the operation.
    pub(crate) own: bool,
    /// Its times belong in the client's tables.
    pub(crate) counted: bool,
    /// It is the client's first about its operation, and was never answered.
    pub(crate) first_open: bool,
    pub(crate) op: u32,
    pub(crate) cascade: u32,
    pub(crate) node: u32,
    pub(crate) depth: u32,
    pub(crate) flame: u32,
    pub(crate) above: u128,
    /// The type of the operation that it is about.
    pub(crate) about: Branch,
    /// What it sets off has had its chance: its client has taken it up and was seen to get beyond it, and all clients lived.
    pub(crate) reacted: bool,
    pub(crate) pending: bool,
    /// Operations that it will still have caused; 255 stands for 255 or more.
    pub(crate) children_left: u8,
    /// The latest operation made for it that is still open.
    pub(crate) child: u32,
    /// The groups of workers that it waits for and that have not begun with it, as bits.
    pub(crate) needs: u128,
    /// Its place in [`Op::asked`].
    pub(crate) asked: u32,
    pub(crate) blocked: u64,
}

impl Dec {
    /// A decision that its client has read, and of which nothing else is known.
    pub(crate) fn read_by(client: u16, record: u64, read: u64) -> Dec {
        Dec {
            client,
            trace: client,
            record,
            read,
            started: None,
            answered: NEVER,
            until: NEVER,
            open: true,
            at_once: false,
            own: false,
            counted: false,
            first_open: false,
            op: NONE,
            cascade: NONE,
            node: NONE,
            depth: 0,
            flame: 0,
            above: 0,
            about: Branch::default(),
            reacted: false,
            pending: true,
            children_left: 0,
            child: NONE,
            needs: 0,
            asked: NONE,
            blocked: 0,
        }
    }
}

/// Things in numbered places that are used again.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, thing: T) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(thing);
            return slot;
        }
        self.slots.push(Some(thing));
        u32::try_from(self.slots.len().saturating_sub(1)).unwrap_or(NONE)
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let thing = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(thing)
    }

    /// The places in use, rising.
    pub(crate) fn used(&self) -> Vec<u32> {
        (0_u32..).zip(&self.slots).filter(|(_, thing)| thing.is_some()).map(|(slot, _)| slot).collect()
    }
}

/// Mixes the few words of a key well (the finish of SplitMix64); never used for keys from outside the traces.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0.rotate_left(23) ^ word).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB);
        self.0 = mixed ^ (mixed >> 32);
    }
}

/// A table whose order is never looked at.
pub(crate) type Table<K, V> = HashMap<K, V, BuildHasherDefault<Mixer>>;
