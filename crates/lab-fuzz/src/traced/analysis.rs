//! Analysis over several traces that agree with each other or not, and then one of the surfaces that show the findings.

use lab_analysis::{Context, analyse, findings::Findings};
use lab_model::{BackendChoice, Total};
use lab_trace::Trace;

use super::{bytes::Bytes, labs, pages, traces};

/// Findings of a lab and traces that the bytes say, handed on with what they were made from.
pub(crate) fn analysed(bytes: &mut Bytes<'_>, then: impl FnOnce(&[Trace<'_>], &Findings)) {
    let backend = BackendChoice::ALL[bytes.below(BackendChoice::ALL.len())];
    let lab = labs::make(bytes);
    let made = traces::make(bytes);
    let (readable, unreadable) = traces::parse(&made);
    let context =
        Context { lab: &lab, run: "a run", backend, replay: "lab up lab.yaml", unreadable: &unreadable };
    let mut findings = analyse(&readable, &context);
    if backend == BackendChoice::Auto {
        // A report.json of another version may say anything.
        findings.backend = "<script>alert(1)</script>".into();
    }
    sums_hold(&findings);
    then(&readable, &findings);
}

/// Analysis of several traces, and one surface of its findings.
pub fn analysis(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let surface = bytes.byte();
    analysed(&mut bytes, |_, findings| pages::show(findings, surface));
}

/// Every decision is counted once by each of the ways in which the report counts decisions.
pub(crate) fn sums_hold(findings: &Findings) {
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
