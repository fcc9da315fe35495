//! Cause chains of clients, counted: what a flame graph shows.

use lab_model::{Bounded, OperationKind};

use super::cascade::NOWHERE;
use crate::findings::FlameFrame;

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
