//! What a run must not do unless its lab file speaks of it: miss deadlines, lose processes, deadlock and diverge.

use lab_model::{Expectation, Expected};

use crate::findings::{Client, Expectation as Checked, Findings, Outcome, Outside, UnplannedEnd};

/// A failed expectation for each such thing that took place and that the lab's own say nothing about.
pub(super) fn unsaid(expect: &[Expectation], findings: &Findings) -> Vec<Checked> {
    let all = [
        misses(expect, findings),
        products_miss(expect, findings),
        ends(expect, findings),
        outcome(expect, findings),
    ];
    all.into_iter().flatten().collect()
}

fn misses(expect: &[Expectation], findings: &Findings) -> Option<Checked> {
    let said = |client: &Client| {
        let own = format!("clients.{}.deadline.misses", client.id);
        expect.iter().any(|expectation| expectation.metric == "deadline.misses" || expectation.metric == own)
            || circle_is_said(expect, findings, &client.id)
    };
    let missed = findings.clients.iter().filter(|client| client.deadline_misses > 0 && !said(client));
    let who: Vec<String> = missed.map(|client| format!("{} {}", client.id, client.deadline_misses)).collect();
    failed("deadline.misses == 0", &who)
}

/// The same of the products beside the clients.
fn products_miss(expect: &[Expectation], findings: &Findings) -> Option<Checked> {
    let of_misses = |expectation: &Expectation| expectation.metric == "external.misses";
    let said = |name: &String| expect.iter().any(of_misses) || circle_is_said(expect, findings, name);
    let missed = findings.outside.as_ref().map(Outside::missed_by).unwrap_or_default();
    let who = missed.iter().filter(|(name, _)| !said(name));
    failed("external.misses == 0", &who.map(|(name, misses)| format!("{name} {misses}")).collect::<Vec<_>>())
}

/// Who expects a circle expects what it costs its members.
fn circle_is_said(expect: &[Expectation], findings: &Findings, member: &String) -> bool {
    let in_circle = findings.wait_cycles.iter().any(|cycle| cycle.members.contains(member));
    in_circle && expect.iter().any(|expectation| {
        let metric = expectation.metric.as_str();
        let deadlocked =
            matches!(&expectation.value, Expected::Word(word) if metric == "outcome" && word == "deadlocked");
        metric == "wait_cycles" || deadlocked
    })
}

fn ends(expect: &[Expectation], findings: &Findings) -> Option<Checked> {
    if expect.iter().any(|expectation| expectation.metric == "ends.unplanned") {
        return None;
    }
    // Who says how many products end speaks of them.
    let of_products = expect.iter().any(|expectation| expectation.metric == "external.ended");
    let is_product = |end: &&UnplannedEnd| {
        findings.outside.iter().flat_map(|outside| &outside.products).any(|product| product.id == end.name)
    };
    let unsaid = findings.unplanned_ends.iter().filter(|end| !of_products || !is_product(end));
    let words = |end: &UnplannedEnd| format!("{}: {}", end.name, end.end);
    failed("ends.unplanned == 0", &unsaid.map(words).collect::<Vec<_>>())
}

fn outcome(expect: &[Expectation], findings: &Findings) -> Option<Checked> {
    let of_it: &[&str] = match findings.outcome {
        Outcome::Deadlocked => &["outcome", "wait_cycles"],
        Outcome::Divergent => &["outcome", "loop_gain", "drain"],
        Outcome::Stable | Outcome::Saturated | Outcome::Unknown => return None,
    };
    let speaks = |metric: &str| of_it.contains(&metric.split('.').next().unwrap_or_default());
    if expect.iter().any(|expectation| speaks(&expectation.metric)) {
        return None;
    }
    failed("outcome == stable", &[findings.outcome.name().to_owned()])
}

/// It took place with these.
fn failed(condition: &str, who: &[String]) -> Option<Checked> {
    let text = format!("{condition} (`expect` says nothing of it)");
    (!who.is_empty()).then(|| Checked { text, held: Some(false), observed: who.join(", ") })
}
