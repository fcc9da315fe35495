//! Whether the machine was as busy with other things on both sides: runs that follow each other share its mood, and a machine
//! that somebody began to use between the two sets makes all times others.

use lab_model::PhaseKind;
use serde::Serialize;

use super::{Change, NumberChange, Run, SettingChange, of_several};
use crate::verdict::disturbed::OTHERS_MAX;

/// How far the medians of what others took of the processors may be apart, as a share of all processors' time. On a machine
/// left alone they are within 0.05 of each other; one busy process is 0.3 to 0.5 of two processors.
const APART_MAX: f64 = 0.1;

/// What others took of the processors in a phase, where it was not the same on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MachineChange {
    /// Which phase.
    pub phase: PhaseKind,
    /// The median share of the first side's runs, 0 to 1.
    pub before: f64,
    /// That of the second side's.
    pub after: f64,
}

/// The phases in which the machine was not the same; none where it was not measured in all runs.
pub(super) fn changes(before: &[Run<'_>], after: &[Run<'_>]) -> Vec<MachineChange> {
    let phases = [PhaseKind::Baseline, PhaseKind::Control, PhaseKind::External, PhaseKind::Storm];
    let change = |phase| {
        let change = MachineChange { phase, before: others(before, phase)?, after: others(after, phase)? };
        let disturbed = change.before.max(change.after) > OTHERS_MAX;
        let apart = (change.after - change.before).abs() > APART_MAX;
        (disturbed && apart).then_some(change)
    };
    phases.into_iter().filter_map(change).collect()
}

/// The settings that make another baseline: what is done, by how many, and where.
const OF_BASELINE: [&str; 5] = ["backend", "machine", "phases", "rules", "workload"];

/// The numbers of the baseline that changed, where no setting says why.
pub(super) fn baseline(numbers: &[NumberChange], settings: &[SettingChange]) -> Vec<String> {
    let explains = |path: &str| OF_BASELINE.contains(&path.split(['.', '[']).next().unwrap_or_default());
    if settings.iter().any(|setting| explains(&setting.path)) {
        return Vec::new();
    }
    let of_baseline = format!("{}:", PhaseKind::Baseline.name());
    let moved = numbers.iter().filter(|number| {
        number.name.starts_with(&of_baseline) && matches!(number.change, Change::Higher | Change::Lower)
    });
    moved.map(|number| number.name.clone()).collect()
}

fn others(runs: &[Run<'_>], phase: PhaseKind) -> Option<f64> {
    let shares: Option<Vec<f64>> = runs
        .iter()
        .map(|run| {
            let load = run.findings.state.machine_load.as_ref()?;
            Some(load.phases.iter().find(|load| load.phase == phase)?.others())
        })
        .collect();
    Some(of_several(&shares?)?.value)
}
