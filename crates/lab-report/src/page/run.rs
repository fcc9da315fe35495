//! The run report: one page across all clients, in the order of an engineer's questions.

mod answers;
mod cascades;
mod causes;
mod changes;
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
    Mood, Page, approvals,
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

/// The most clients in the table of the first screen.
const SCREEN_CLIENTS_MAX: usize = 16;

/// Builds what a run ends with on a terminal: what did not hold, the findings, a table of the clients and the answers.
pub(crate) fn screen(findings: &Findings) -> Page {
    let mut page = run(findings);
    if is_told(findings) {
        return page;
    }
    page.origin.clear();
    page.verdict.checks.retain(|check| check.mood != Mood::Good);
    page.verdict.facts.retain(|fact| fact.label != "Lost" || fact.mood != Mood::Good);
    page.sections = vec![clients::screen(findings, SCREEN_CLIENTS_MAX)];
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
    sections.extend([waiting::waiting(findings), drain::drain(findings), cost::cost(findings)]);
    sections.extend(findings.advice.as_ref().map(changes::changes));
    sections.push(totals::record(findings));
    Page {
        title: visible(&findings.lab),
        kind: "Run report",
        client: None,
        origin: origin(findings),
        verdict: verdict::verdict(findings),
        answers: answers::answers(findings),
        // The rule of the outcome stands in the verdict already.
        findings: findings
            .findings
            .iter()
            .filter(|finding| finding.text != findings.outcome_rule)
            .take(FINDINGS_MAX)
            .map(verdict::remark)
            .collect(),
        sections,
    }
}
