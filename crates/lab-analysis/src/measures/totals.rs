//! Counts that add up, over the run and over the storm.

use std::collections::BTreeMap;

use lab_model::{Approval, Bounded, PhaseKind, Verdict};

use crate::{findings::Totals, measures::ledger::Entry};

#[derive(Clone, Debug, Default)]
struct Sums {
    root_ops: u64,
    operations: u64,
    operations_unfinished: u64,
    decisions: u64,
    explained: u64,
    own_process: u64,
    unanswered: u64,
    denied: u64,
    by_approval: [u64; Approval::ALL.len()],
    targets_unknown: u64,
    notices: u64,
    notices_explained: u64,
}

/// The counts of the pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    run: Sums,
    storm: Sums,
    /// Operations whose cause is not in the traces.
    pub(crate) orphans: u64,
    /// Decisions in the trace of a process that is no client.
    pub(crate) misplaced: u64,
    /// Decisions about another file than the operation their thread was in.
    pub(crate) mismatched: u64,
    /// Decisions about threads that were never seen, in a lab with products that may have had them.
    pub(crate) unseen: u64,
}

impl Counts {
    fn sums(&mut self, phase: Option<PhaseKind>) -> impl Iterator<Item = &mut Sums> {
        let storm = (phase == Some(PhaseKind::Storm)).then_some(&mut self.storm);
        [Some(&mut self.run), storm].into_iter().flatten()
    }

    pub(crate) fn operation(&mut self, root: bool, unfinished: bool, phase: Option<PhaseKind>) {
        for sums in self.sums(phase) {
            sums.operations.raise(1);
            sums.root_ops.raise(u64::from(root));
            sums.operations_unfinished.raise(u64::from(unfinished));
        }
    }

    pub(crate) fn decision(
        &mut self,
        entry: &Entry,
        explained: bool,
        verdict: Option<Verdict>,
        phase: Option<PhaseKind>,
    ) {
        for sums in self.sums(phase) {
            sums.decisions.raise(1);
            sums.explained.raise(u64::from(explained));
            sums.own_process.raise(u64::from(entry.own));
            sums.denied.raise(u64::from(verdict == Some(Verdict::Deny)));
            sums.targets_unknown.raise(u64::from(entry.file.is_none()));
            match entry.approval {
                Some(approval) => sums.by_approval[usize::from(approval.code()).saturating_sub(1)].raise(1),
                None => sums.unanswered.raise(1),
            }
        }
    }

    /// Counts a notice, and whether it is known which operation it tells of.
    pub(crate) fn notice(&mut self, explained: bool, phase: Option<PhaseKind>) {
        for sums in self.sums(phase) {
            sums.notices.raise(1);
            sums.notices_explained.raise(u64::from(explained));
        }
    }

    /// The run's totals and the storm's, with what was lost or damaged over the run.
    pub(crate) fn finish(&self, lost: u64, damaged: u64) -> (Totals, Totals) {
        (self.run.totals(lost, damaged), self.storm.totals(lost, damaged))
    }
}

/// Approvals by name, without those that did not occur.
pub(crate) fn by_approval(counts: &[u64; Approval::ALL.len()]) -> BTreeMap<String, u64> {
    let named = Approval::ALL.iter().zip(counts).filter(|&(_, &count)| count > 0);
    named.map(|(approval, &count)| (approval.name().to_owned(), count)).collect()
}

impl Sums {
    fn totals(&self, lost: u64, damaged: u64) -> Totals {
        Totals {
            root_ops: self.root_ops,
            operations: self.operations,
            operations_unfinished: self.operations_unfinished,
            decisions: self.decisions,
            explained: self.explained,
            unexplained: self.decisions.saturating_sub(self.explained),
            own_process: self.own_process,
            unanswered: self.unanswered,
            denied: self.denied,
            by_approval: by_approval(&self.by_approval),
            lost,
            damaged,
            targets_unknown: self.targets_unknown,
            notices: self.notices,
            notices_explained: self.notices_explained,
        }
    }
}
