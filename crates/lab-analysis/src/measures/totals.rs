//! Counts that add up, over the run and over the storm.

use std::collections::BTreeMap;

use lab_model::{Approval, Bounded, PhaseKind, Verdict};

use crate::{
    findings::{ApprovalWay, Findings, Totals, Word},
    measure::{Closing, Measure, Measured},
    pass::facts::{BegunOperation, Noticed, ReadDecision, Scope},
};

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
}

impl Counts {
    fn sums(&mut self, phase: Option<PhaseKind>) -> impl Iterator<Item = &mut Sums> {
        let storm = (phase == Some(PhaseKind::Storm)).then_some(&mut self.storm);
        [Some(&mut self.run), storm].into_iter().flatten()
    }
}

impl Measure for Counts {
    fn of(_: &Scope<'_>) -> Self {
        Counts::default()
    }

    fn operation_begun(&mut self, begun: &BegunOperation<'_>, _: &Scope<'_>) {
        let unfinished = begun.operation.end.present().is_none();
        for sums in self.sums(begun.phase) {
            sums.operations.raise(1);
            sums.root_ops.raise(u64::from(begun.root));
            sums.operations_unfinished.raise(u64::from(unfinished));
        }
    }

    fn decision_read(&mut self, read: &ReadDecision<'_>, _: &Scope<'_>) {
        let entry = read.entry;
        let verdict = read.decision.end.present().map(|end| end.verdict);
        for sums in self.sums(read.phase) {
            sums.decisions.raise(1);
            sums.explained.raise(u64::from(read.explained));
            sums.own_process.raise(u64::from(entry.own));
            sums.denied.raise(u64::from(verdict == Some(Verdict::Deny)));
            sums.targets_unknown.raise(u64::from(entry.file.is_none()));
            match entry.approval {
                Some(approval) => sums.by_approval[usize::from(approval.code()).saturating_sub(1)].raise(1),
                None => sums.unanswered.raise(1),
            }
        }
    }

    fn noticed(&mut self, noticed: &Noticed<'_>, _: &Scope<'_>) {
        for sums in self.sums(noticed.phase) {
            sums.notices.raise(1);
            sums.notices_explained.raise(u64::from(noticed.op.is_some()));
        }
    }

    /// The run's totals and the storm's, both with what was lost or damaged over the run.
    fn finish(&self, closing: &Closing<'_>, findings: &mut Findings) {
        let (lost, damaged) = (closing.losses.lost, closing.losses.damaged);
        findings.totals = self.run.totals(lost, damaged);
        findings.storm = self.storm.totals(lost, damaged);
    }

    fn metric(findings: &Findings, parts: &[&str]) -> Option<Measured> {
        let storm = &findings.storm;
        Some(Measured::Count(match parts {
            ["root_ops"] => storm.root_ops,
            ["operations"] => storm.operations,
            ["decisions"] => storm.decisions,
            ["decisions", "explained"] => storm.explained,
            ["decisions", "unexplained"] => storm.unexplained,
            ["decisions", "own_process"] => storm.own_process,
            ["lost"] => findings.totals.lost,
            _ => return None,
        }))
    }
}

/// Approvals by name, without those that did not occur.
pub(crate) fn by_approval(counts: &[u64; Approval::ALL.len()]) -> BTreeMap<Word<ApprovalWay>, u64> {
    let named = Approval::ALL.into_iter().zip(counts).filter(|&(_, &count)| count > 0);
    named.map(|(approval, &count)| (approval.into(), count)).collect()
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
