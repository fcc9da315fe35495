//! The sums that a report owes its reader.

use lab_analysis::findings::{Findings, Latency};
use lab_model::PhaseKind;

/// The sums that hold for every run whatsoever.
pub fn sums_hold(findings: &Findings) {
    for totals in [&findings.totals, &findings.storm] {
        assert_eq!(totals.decisions, totals.explained + totals.unexplained);
        assert_eq!(totals.decisions, totals.by_approval.values().sum::<u64>() + totals.unanswered);
    }
    loads_add_up(findings);
    let causes = &findings.causes;
    assert_eq!(causes.rows.len(), findings.clients.len());
    for (place, client) in findings.clients.iter().enumerate() {
        assert_eq!(causes.decisions[place].len(), causes.columns.len());
        assert_eq!(causes.decisions[place].iter().sum::<u64>(), client.decisions, "{}", client.id);
        assert_eq!(causes.observed[place].iter().sum::<u64>(), client.decisions, "{}", client.id);
        assert_eq!(client.by_approval.values().sum::<u64>() + client.unanswered, client.decisions);
        assert_eq!(client.latency_ns.count + client.unanswered, client.decisions);
        assert!(client.latency_ns.censored <= client.unanswered, "{}", client.id);
        let of_all = |latency: &Latency| (latency.count, latency.censored);
        let sum = client.populations.iter().map(|population| of_all(&population.latency_ns));
        let sum = sum.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        assert_eq!(sum, of_all(&client.latency_ns), "{}", client.id);
        let approvals = &client.approvals;
        let asked = approvals.asked.values().sum::<u64>();
        let hidden = approvals.hidden.values().sum::<u64>();
        assert_eq!(approvals.operations, asked + hidden + approvals.unknown, "{}: {approvals:?}", client.id);
        assert_eq!(client.decisions, asked + approvals.further + approvals.elsewhere, "{}", client.id);
        if causes.columns.len() <= 20 {
            assert_eq!(client.blame_in.iter().map(|line| line.decisions).sum::<u64>(), client.decisions);
        }
    }
    assert_eq!(causes.decisions.iter().flatten().sum::<u64>(), causes.total);
    for operation in &findings.pipeline.slowest {
        assert_eq!(operation.steps.iter().map(|(_, time)| time).sum::<u64>(), operation.took_ns);
    }
    assert_eq!(findings.series.decisions_by_cause.len(), causes.columns.len());
    let over_time: u64 = findings.series.decisions_by_cause.iter().flatten().sum();
    assert_eq!(over_time, findings.totals.decisions);
    assert_eq!(
        findings.latency_ns.count,
        findings.clients.iter().map(|client| client.latency_ns.count).sum::<u64>()
    );
}

/// What the workload did: opens and execs, processes, and what never began.
fn loads_add_up(findings: &Findings) {
    for phase in &findings.phases {
        assert_eq!(phase.op_latency_ns.count, phase.root_ops, "{:?}: no lifetime among them", phase.kind);
        assert!(phase.op_latency_ns.censored <= phase.root_ops_unfinished, "{:?}", phase.kind);
        if let Some(planned) = phase.planned {
            let sum = planned.begun + planned.not_begun_late + planned.not_begun_halted;
            assert_eq!(planned.planned, sum, "{:?}: {planned:?}", phase.kind);
        }
        if let Some(processes) = &phase.processes {
            assert_eq!(processes.lifetime_ns.count, processes.ended, "{:?}", phase.kind);
        }
        if phase.kind == PhaseKind::Storm {
            let processes = phase.processes.as_ref().map_or(0, |all| all.ended + all.unfinished);
            let after = phase.after_death.as_ref();
            let after = after.map_or(0, |after| after.root_ops + after.root_ops_unfinished);
            let asked = phase.root_ops + phase.root_ops_unfinished + after;
            assert_eq!(findings.storm.root_ops, asked + processes);
        }
    }
    let Some(trees) = &findings.trees else { return };
    assert_eq!(trees.execs, trees.levels.iter().map(|level| level.execs).sum::<u64>());
    assert_eq!(trees.levels.first().map_or(0, |level| level.execs), trees.trees);
    assert_eq!(trees.lasted_ns.count, trees.trees - trees.unfinished);
    let took: u64 = trees.slowest.iter().map(|step| step.before_ns + step.after_ns).sum();
    assert_eq!(took, trees.slowest.first().map_or(0, |root| root.lasted_ns));
    assert_eq!(took, trees.lasted_ns.max, "the slowest");
}
