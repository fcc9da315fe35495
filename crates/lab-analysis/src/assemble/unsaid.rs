//! What a run must not do unless its lab file speaks of it: miss deadlines, lose processes, deadlock and diverge.

use lab_model::{Expectation, Expected};

use crate::findings::{Client, Expectation as Checked, Findings, Outcome, UnplannedEnd};

/// A failed expectation for each such thing that took place and that the lab's own say nothing about.
pub(super) fn unsaid(expect: &[Expectation], findings: &Findings) -> Vec<Checked> {
    let all = [misses(expect, findings), ends(expect, findings), outcome(expect, findings)];
    all.into_iter().flatten().collect()
}

fn misses(expect: &[Expectation], findings: &Findings) -> Option<Checked> {
    let said = |client: &Client| {
        let own = format!("clients.{}.deadline.misses", client.id);
        // Who expects a circle expects what it costs its members.
        let in_circle = findings.wait_cycles.iter().any(|cycle| cycle.members.contains(&client.id));
        expect.iter().any(|expectation| {
            let metric = expectation.metric.as_str();
            let deadlocked =
                matches!(&expectation.value, Expected::Word(word) if metric == "outcome" && word == "deadlocked");
            metric == "deadline.misses"
                || metric == own
                || in_circle && (metric == "wait_cycles" || deadlocked)
        })
    };
    let missed = findings.clients.iter().filter(|client| client.deadline_misses > 0 && !said(client));
    let who: Vec<String> = missed.map(|client| format!("{} {}", client.id, client.deadline_misses)).collect();
    failed("deadline.misses == 0", &who)
}

fn ends(expect: &[Expectation], findings: &Findings) -> Option<Checked> {
    if expect.iter().any(|expectation| expectation.metric == "ends.unplanned") {
        return None;
    }
    let words = |end: &UnplannedEnd| format!("{}: {}", end.name, end.end);
    failed("ends.unplanned == 0", &findings.unplanned_ends.iter().map(words).collect::<Vec<_>>())
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
