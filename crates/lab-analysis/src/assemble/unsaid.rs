//! What nobody who does not say so expects of a run: that deadlines are missed, and that clients end by themselves.

use lab_model::{Expected, PlannedKind};

use super::Assembly;
use crate::findings::{Client, Expectation, Findings};

impl Assembly<'_> {
    /// A failed expectation for each such thing that took place and that the lab's own say nothing about.
    pub(super) fn unsaid(&self, findings: &Findings) -> Vec<Expectation> {
        self.misses(findings).into_iter().chain(self.ends(findings)).collect()
    }

    fn misses(&self, findings: &Findings) -> Option<Expectation> {
        let said = |client: &Client| {
            let own = format!("clients.{}.deadline.misses", client.id);
            self.context.lab.expect.iter().any(|expectation| {
                let metric = expectation.metric.as_str();
                // Who expects a circle expects what it costs.
                let circle = matches!(&expectation.value, Expected::Word(word) if word == "deadlocked");
                metric == "deadline.misses" || metric == own || metric == "wait_cycles" || circle
            })
        };
        let missed = findings.clients.iter().filter(|client| client.deadline_misses > 0 && !said(client));
        let who: Vec<String> =
            missed.map(|client| format!("{} {}", client.id, client.deadline_misses)).collect();
        failed(&who, "no client misses a deadline")
    }

    /// Clients that ended before the run did, and neither as planned nor at a deadline.
    fn ends(&self, findings: &Findings) -> Option<Expectation> {
        let closing = self.timeline.closing.saturating_sub(self.timeline.origin);
        let early = |client: &Client| {
            let lives = client.lives.iter().filter(|life| life.ended_ns.is_some_and(|ended| ended < closing));
            let own = lives.filter(|life| !matches!(life.end.as_str(), "deadline kill" | "unknown")).count();
            let planned = findings.faults.iter().filter(|fault| {
                let kills = [PlannedKind::Kill, PlannedKind::Restart].map(PlannedKind::name);
                fault.planned && fault.actor == client.id && kills.contains(&fault.kind.as_str())
            });
            own > planned.count()
        };
        let who = findings.clients.iter().filter(|client| early(client));
        let who: Vec<String> = who.map(|client| format!("{}: {}", client.id, client.end)).collect();
        failed(&who, "no client ends before the run does")
    }
}

/// What nobody expects took place with these.
fn failed(who: &[String], text: &str) -> Option<Expectation> {
    let text = format!("{text} (`expect` says nothing of it)");
    (!who.is_empty()).then(|| Expectation { text, held: Some(false), observed: who.join(", ") })
}
