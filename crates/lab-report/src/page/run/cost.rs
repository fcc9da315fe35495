//! What it costs the user: the phases beside each other, trees of programs, the knee.

use lab_analysis::findings::Findings;

use super::{knee, phases, storm_after_death, trees};
use crate::{
    page::{Block, Drawing, Section, picture},
    visible::visible,
};
use lab_model::{
    PhaseKind,
    units::{agreeing, at_least, number, ratio, time},
};

pub(super) fn cost(findings: &Findings) -> Section {
    let cost = &findings.cost;
    let mut lead = Vec::new();
    if let (Some(baseline), Some(storm)) = (cost.baseline_ns, cost.storm_ns) {
        let shown = |kind: PhaseKind, value: u64| {
            if cost.at_least.contains(&kind) { at_least(&time(value)) } else { time(value) }
        };
        let mut sentence =
            format!("A median operation took {} without clients", shown(PhaseKind::Baseline, baseline));
        if let Some(control) = cost.control_ns {
            sentence.push_str(&format!(
                ", {} ({}) with clients that answer at once",
                shown(PhaseKind::Control, control),
                times_of(control, baseline)
            ));
        }
        if let Some(external) = cost.external_ns {
            sentence.push_str(&format!(
                ", {} ({}) with these beside the products under test",
                shown(PhaseKind::External, external),
                times_of(external, baseline)
            ));
        }
        let lived = if storm_after_death(findings).is_some() { " while all clients lived" } else { "" };
        sentence.push_str(&format!(
            " and {} ({}) in the storm{lived}.",
            shown(PhaseKind::Storm, storm),
            times_of(storm, baseline)
        ));
        lead.push(sentence);
    } else {
        lead.push("Without both a baseline and a storm the price is not known.".to_owned());
    }
    let mut blocks = Vec::new();
    if cost.baseline_ns.or(cost.control_ns).or(cost.external_ns).or(cost.storm_ns).is_some() {
        blocks.push(picture(Drawing::Cost, "Median root operation", false));
    }
    if findings.phases.iter().any(|phase| !phase.spectrum.is_empty()) {
        blocks.push(picture(Drawing::PhaseSpectrum, "Latency of root operations, by phase", false));
    }
    if !findings.phases.is_empty() {
        blocks.push(Block::Table(phases::operations(findings)));
    }
    lead.extend(storm_after_death(findings).map(|after| {
        let begun = after.root_ops.saturating_add(after.root_ops_unfinished);
        let then = match begun {
            0 => "no operation began then".to_owned(),
            _ => format!("{} then, counted apart", agreeing(begun, "operation began", "operations began")),
        };
        format!("A client was dead for {} of the storm; {then}.", time(nanoseconds(after.seconds)))
    }));
    lead.extend(phases::not_begun(findings));
    lead.extend(trees::sentence(findings));
    blocks.extend(phases::processes(&findings.phases).map(Block::Table));
    blocks.extend(trees::tables(findings).into_iter().map(Block::Table));
    if let Some(knee) = &findings.knee {
        lead.push(visible(&knee.sentence()));
        let caption = "The rate step by step, and how long operations took from their planned start";
        blocks.push(picture(Drawing::Knee, caption, false));
        blocks.push(Block::Table(knee::steps(knee)));
    }
    Section { id: "cost", title: "What it costs the user", lead, blocks }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; a length is not negative"
)]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

fn times_of(value: u64, base: u64) -> String {
    if base == 0 { "×–".to_owned() } else { format!("×{}", number(ratio(value, base))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_a_multiple_of_nothing() {
        assert_eq!(times_of(3, 0), "×–");
        assert_eq!(times_of(3, 2), "×1.50");
    }
}
