//! The run report: one page across all clients, in the order of an engineer's questions.

mod cascades;
mod causes;
mod clients;
mod cost;
mod drain;
mod gain;
mod knee;
mod outside;
mod phases;
mod pipeline;
mod programs;
pub(super) mod requests;
mod rules;
mod series;
mod totals;
mod trees;
pub(super) mod verdict;
mod waiting;

use lab_analysis::findings::{AfterDeath, Findings};
use lab_model::PhaseKind;

pub(super) use verdict::{STILL_RUNNING, end_mood, headroom_mood, origin};

use super::{
    Page, approvals,
    eslogger::{self, is_told},
    notify,
};
use crate::visible::visible;

/// The most findings that are shown; more are no findings.
const FINDINGS_MAX: usize = 3;

/// The part of the storm in which a client was dead; `None` when all lived through it.
fn storm_after_death(findings: &Findings) -> Option<&AfterDeath> {
    let storm = findings.phases.iter().find(|phase| phase.kind == PhaseKind::Storm)?;
    storm.after_death.as_ref()
}

/// Builds what a run ends with on a terminal: the verdict and the sections that most readers need, on about one screen.
pub(crate) fn summary(findings: &Findings) -> Page {
    let mut page = run(findings);
    if is_told(findings) {
        return page;
    }
    let hides = approvals::hidden(&findings.approvals) > 0;
    let waits = !findings.wait_cycles.is_empty();
    page.sections = vec![clients::clients(findings), causes::causes(findings)];
    page.sections.extend(findings.outside.as_ref().map(|seen| outside::outside(seen, findings)));
    page.sections.extend(hides.then(|| approvals::of_run(findings)));
    page.sections.extend(notify::of_run(findings));
    page.sections.extend(waits.then(|| waiting::waiting(findings)));
    page.sections.push(cost::cost(findings));
    page
}

/// Builds the run report.
pub(crate) fn run(findings: &Findings) -> Page {
    if is_told(findings) {
        return eslogger::page(findings);
    }
    let mut sections =
        vec![clients::clients(findings), causes::causes(findings), approvals::of_run(findings)];
    sections.extend(notify::of_run(findings));
    sections.extend([
        gain::gain(findings),
        cascades::cascades(findings),
        series::over_time(findings),
        pipeline::pipeline(findings),
    ]);
    sections.extend(programs::programs(findings));
    sections.extend(findings.outside.as_ref().map(|seen| outside::outside(seen, findings)));
    sections.extend([
        waiting::waiting(findings),
        drain::drain(findings),
        cost::cost(findings),
        totals::record(findings),
    ]);
    Page {
        title: visible(&findings.lab),
        kind: "Run report",
        client: None,
        origin: origin(findings),
        verdict: verdict::verdict(findings),
        findings: findings.findings.iter().take(FINDINGS_MAX).map(verdict::remark).collect(),
        sections,
    }
}
