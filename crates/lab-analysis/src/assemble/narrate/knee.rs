//! The knee: up to which rate every condition held, and what failed at the next.

use super::finding;
use crate::findings::{Finding, Findings, ReportSection, Weight};

/// What a search for a knee came to; nothing without one, or where none of its steps was begun.
pub(super) fn knee(findings: &Findings) -> Option<Finding> {
    let knee = findings.knee.as_ref().filter(|knee| knee.held.is_some() || knee.broke.is_some())?;
    let weight = if knee.held.is_some() { Weight::Info } else { Weight::Warn };
    Some(finding(weight, ReportSection::Cost, knee.sentence(), None))
}
