//! Where the time within a client's own operations went.

use crate::{findings::OwnOperations, participants::timeline::Timeline, pass::slots::Op};

impl OwnOperations {
    /// Takes in an operation that is over, or is given up at this instant.
    pub(super) fn take(&mut self, op: &Op, at: u64, timeline: &Timeline) {
        // The record of a client that outlived the one of its operation tells of more.
        let total = timeline.took(op.started, at.max(op.held.until));
        let handed_over = op.held.first_read.map_or(0, |read| timeline.took(op.started, read)).min(total);
        let known = [handed_over, op.held.by_others, op.held.by_owner];
        let explained = known.into_iter().fold(0, u64::saturating_add);
        let [handed_over, by_others, by_owner] = known;
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.operations, 1);
        add(&mut self.total_ns, total);
        add(&mut self.handed_over_ns, handed_over);
        add(&mut self.peers_ns, by_others);
        add(&mut self.own_reader_ns, by_owner);
        add(&mut self.unexplained_ns, total.saturating_sub(explained));
    }
}
