//! The sums that a report owes its reader.

use lab_analysis::findings::{Findings, Latency};
use lab_model::{PhaseKind, Total};

/// Every decision is counted once by each of the ways in which the report counts decisions. Holds for any traces at all,
/// forged ones included, whose sums may have reached the end of their range.
pub fn decisions_add_up(findings: &Findings) {
    for totals in [&findings.totals, &findings.storm] {
        assert_eq!(totals.decisions, totals.explained.saturating_add(totals.unexplained));
        let approved: u64 = totals.by_approval.values().total();
        assert_eq!(totals.decisions, approved.saturating_add(totals.unanswered));
    }
    let causes = &findings.causes;
    assert_eq!(causes.rows.len(), findings.clients.len());
    for (place, client) in findings.clients.iter().enumerate() {
        assert_eq!(causes.decisions[place].len(), causes.columns.len());
        let (by_cause, observed): (u64, u64) =
            (causes.decisions[place].iter().total(), causes.observed[place].iter().total());
        assert_eq!((by_cause, observed), (client.decisions, client.decisions), "{}", client.id);
        let approved: u64 = client.by_approval.values().total();
        assert_eq!(approved + client.unanswered, client.decisions);
        assert_eq!(client.latency_ns.count + client.unanswered, client.decisions);
        assert!(client.latency_ns.censored <= client.unanswered, "{}", client.id);
        let of_all = |latency: &Latency| (latency.count, latency.censored);
        let sum = client.populations.iter().map(|population| of_all(&population.latency_ns));
        let sum = sum.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        assert_eq!(sum, of_all(&client.latency_ns), "{}", client.id);
        let own = &client.own_operations;
        let parts = [own.handed_over_ns, own.peers_ns, own.own_reader_ns, own.unexplained_ns];
        let parts: u64 = parts.iter().total();
        assert!(parts == own.total_ns || own.total_ns == u64::MAX, "{}: {own:?}", client.id);
        let approvals = &client.approvals;
        let (asked, hidden): (u64, u64) =
            (approvals.asked.values().total(), approvals.hidden.values().total());
        assert_eq!(approvals.operations, asked + hidden + approvals.unknown, "{}: {approvals:?}", client.id);
        assert_eq!(client.decisions, asked + approvals.further + approvals.elsewhere, "{}", client.id);
    }
    let all: u64 = causes.decisions.iter().flatten().total();
    assert_eq!(all, causes.total);
    let over_time: u64 = findings.series.decisions_by_cause.iter().flatten().total();
    assert_eq!(over_time, findings.totals.decisions);
    for phase in &findings.phases {
        assert_eq!(phase.op_latency_ns.count, phase.root_ops, "{:?}", phase.kind);
        if let Some(planned) = phase.planned {
            let sum =
                planned.begun.saturating_add(planned.not_begun_late).saturating_add(planned.not_begun_halted);
            assert_eq!(planned.planned, sum, "{:?}: {planned:?}", phase.kind);
        }
    }
    for operation in &findings.pipeline.slowest {
        let steps: u64 = operation.steps.iter().map(|(_, time)| time).total();
        assert_eq!(steps, operation.took_ns);
    }
}

/// The sums that hold for every run whatsoever.
pub fn sums_hold(findings: &Findings) {
    decisions_add_up(findings);
    loads_add_up(findings);
    let causes = &findings.causes;
    if causes.columns.len() <= 20 {
        for client in &findings.clients {
            assert_eq!(client.blame_in.iter().map(|line| line.decisions).sum::<u64>(), client.decisions);
        }
    }
    assert_eq!(findings.series.decisions_by_cause.len(), causes.columns.len());
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
