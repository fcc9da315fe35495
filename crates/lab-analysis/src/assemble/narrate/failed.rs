//! The first expectation that did not hold, with the numbers that made it fail.

use lab_model::{
    Total,
    units::{at_least, count, count_of, counted, number, time},
};

use crate::findings::{Client, Figure, Finding, Findings, Latency, ReportSection, Weight};

/// What an expectation is about, as far as it has a finding of its own.
pub(super) enum About {
    /// How the storm ended up.
    Outcome,
    /// Deadlines.
    Misses,
    /// Records that are missing.
    Lost,
    /// Something else.
    Other,
}

/// The finding, and what it makes superfluous.
pub(super) fn failed(findings: &Findings) -> Option<(Finding, About)> {
    let mut failed = findings.expectations.iter().filter(|expectation| expectation.held == Some(false));
    let first = failed.next()?;
    let condition = first.text.strip_prefix("sometimes: ").unwrap_or(&first.text);
    let metric = condition.split(' ').next().unwrap_or_default();
    let (numbers, section, about) = behind(metric, findings);
    // What was missed without a word in the lab file is shown by client already.
    let numbers = numbers.map(|numbers| match numbers.split_once(", of ") {
        Some((who, of)) if who == first.observed => format!("of {of}"),
        _ => numbers,
    });
    let numbers = numbers.map(|numbers| format!("; {}", numbers.trim_end_matches('.'))).unwrap_or_default();
    let more = match failed.count() {
        0 => String::new(),
        more => format!(" {} failed, too.", counted(count_of(more), "more expectation")),
    };
    // What the lab file does not speak of says so behind the condition.
    let condition = first.text.split(" (`").next().unwrap_or_default();
    let text = format!("`{condition}` failed: {}{numbers}.{more}", first.observed);
    Some((Finding { text, advice: None, section, weight: Weight::Bad }, about))
}

/// The numbers behind a metric, where they are shown, and what it is about.
fn behind(metric: &str, findings: &Findings) -> (Option<String>, ReportSection, About) {
    let parts: Vec<&str> = metric.split('.').collect();
    let of_client = |id: &str| findings.clients.iter().find(|client| client.id == id);
    match parts.as_slice() {
        ["outcome"] => (Some(findings.outcome_rule.clone()), ReportSection::Drain, About::Outcome),
        ["deadline", "misses"] => (Some(misses(findings)), ReportSection::Clients, About::Misses),
        ["clients", id, "deadline", "misses"] => {
            let of = of_client(id).map(|client| format!("of {}", counted(client.decisions, "decision")));
            (of, ReportSection::Clients, About::Misses)
        }
        ["clients", id, "latency", ..] => {
            let of = of_client(id).map(|client| spread(&client.latency_ns, "decision"));
            (of, ReportSection::Clients, About::Other)
        }
        ["latency", ..] => {
            (Some(spread(&findings.latency_ns, "decision")), ReportSection::Clients, About::Other)
        }
        ["op_latency", phase, ..] => {
            let phase = findings.phases.iter().find(|one| one.kind.name() == *phase);
            let of = phase.map(|phase| spread(&phase.op_latency_ns, "operation"));
            (of, ReportSection::Cost, About::Other)
        }
        ["loop_gain"] => {
            let interval = findings.loop_gain.map(|gain| {
                format!("between {} and {} with 99% certainty", number(gain.low), number(gain.high))
            });
            (interval, ReportSection::Gain, About::Other)
        }
        ["lost"] => {
            let damaged = counted(findings.totals.damaged, "damaged place");
            (Some(format!("beside {damaged} in the traces")), ReportSection::Record, About::Lost)
        }
        ["decisions", "unexplained"] => {
            let of = format!("of {}", counted(findings.totals.decisions, "decision"));
            (Some(of), ReportSection::Record, About::Other)
        }
        _ => (None, ReportSection::Clients, About::Other),
    }
}

/// Who missed how many.
fn misses(findings: &Findings) -> String {
    let missed = |client: &&Client| client.deadline_misses > 0;
    let who = findings.clients.iter().filter(missed);
    let who: Vec<String> =
        who.map(|client| format!("{} {}", client.id, count(client.deadline_misses))).collect();
    let decisions: u64 = findings.clients.iter().map(|client| client.decisions).total();
    format!("{}, of {}", who.join(", "), counted(decisions, "decision"))
}

/// Median, tail and longest of a distribution, and of how many.
fn spread(times: &Latency, noun: &str) -> String {
    let figure = |figure: Figure| {
        let value = time(times.value(figure));
        if times.is_at_least(figure) { at_least(&value) } else { value }
    };
    let all = counted(times.count.saturating_add(times.censored), noun);
    format!(
        "{all} took {} in the median, 99 of 100 up to {}, the longest {}",
        figure(Figure::P50),
        figure(Figure::P99),
        figure(Figure::Max)
    )
}
