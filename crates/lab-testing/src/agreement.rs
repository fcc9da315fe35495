//! What every rendering of a run owes its findings: the first screen, the page and `report.json` say the same, and no sentence
//! of the screen says another thing than the tables.

use std::fmt::Display;

use lab_analysis::findings::{Findings, Judgement, RunWord};
use lab_model::{
    Total,
    units::{count, count_of, counted, share, share_at_most},
};
use lab_report::{html, json, text};
use serde_json::Value;

/// Wide enough that nothing is left out.
pub const STYLE: text::Style = text::Style { color: false, width: 300, unicode: true };

/// The first screen of a run.
pub fn screen(findings: &Findings) -> String {
    text::screen(findings, &STYLE).to_string()
}

/// Checks a first screen, and the page and `report.json` that belong to it, against the findings of run `run`.
pub fn agree(findings: &Findings, screen: &str, run: &impl Display) {
    let words = screen.split_whitespace().collect::<Vec<_>>().join(" ");
    let page = html::run(findings);
    let stored: Value = serde_json::from_str(&json::to_string(findings)).unwrap();
    let says = |what: &str| assert!(words.contains(what), "{run}: the screen lacks \"{what}\"\n{screen}");
    let shows = |what: &str| assert!(page.contains(what), "{run}: the page lacks \"{what}\"");

    // The state, the outcome and the judgement, as `status` reads them.
    assert_eq!(stored["state"]["word"], findings.state.word.name(), "{run}");
    assert_eq!(stored["outcome"], findings.outcome.name(), "{run}");
    let verdict = format!("{} · {}", findings.state.word.name(), findings.outcome.name());
    says(&verdict);
    shows(&verdict);
    let (first, last) = (screen.trim_start().lines().next().unwrap(), answer(screen, "Verdict"));
    let mark = |line: &str| line.trim_start().chars().next().unwrap();
    let good = findings.judgement() == Judgement::Good;
    for line in [first, &last] {
        assert_eq!(mark(line) == '✗', findings.judgement() == Judgement::Failed, "{run}: {line}");
        assert!(good || mark(line) != '✓', "{run}: {line}");
    }

    // Deadlines: the answer is the sum of the table, client by client.
    let misses: u64 = findings.clients.iter().map(|client| client.deadline_misses).total();
    let missed = answer(screen, "Missed");
    if misses > 0 {
        assert!(missed.contains(&counted(misses, "deadline")), "{run}: {missed}");
        shows(&counted(misses, "deadline"));
        for client in findings.clients.iter().filter(|client| client.deadline_misses > 0).take(4) {
            let part = format!("{} {}", client.id, count(client.deadline_misses));
            assert!(missed.contains(&part), "{run}: {missed}");
        }
    } else {
        assert!(missed.contains("no deadline") || missed.contains("not known"), "{run}: {missed}");
    }

    // Headroom: what is said is the lowest of the table.
    let closest = answer(screen, "Closest");
    let lowest = findings.clients.iter().filter_map(|client| client.headroom.min).reduce(f64::min);
    match lowest.filter(|lowest| lowest.is_finite()) {
        Some(lowest) => {
            let said = [share(lowest), share_at_most(lowest)].iter().any(|text| closest.contains(text));
            assert!(said, "{run}: {lowest} is not in {closest}");
        }
        None => assert!(closest.contains("not known"), "{run}: {closest}"),
    }
    if misses > 0 {
        assert!(!closest.contains("> 99"), "{run}: {closest}");
    }

    // Who made the events: the shares are those of the matrix, and come to all of it.
    let answers = findings.answers();
    if let Some(events) = &answers.events {
        assert_eq!(events.by.iter().map(|(_, decisions)| *decisions).total(), events.decisions, "{run}");
        assert_eq!(events.decisions, findings.causes.total, "{run}");
    }

    // A circle is named wherever there is one, and nowhere else; where one is, not every cascade ended.
    let circle =
        words.contains("in a circle") || words.contains("waited for itself") || words.contains("for itself,");
    assert_eq!(circle, !findings.wait_cycles.is_empty(), "{run}: {screen}");
    let in_flight = findings.drain.as_ref().map_or(0, |drain| drain.in_flight);
    if in_flight > 0 || !findings.wait_cycles.is_empty() {
        let full = text::run(findings, &STYLE).to_string();
        assert!(!full.contains("every cascade ends"), "{run}");
        assert!(!page.contains("every cascade ends"), "{run}");
    }

    // Expectations: as many failed as the headline says.
    let failed = findings.expectations.iter().filter(|expectation| expectation.held == Some(false)).count();
    if failed > 0 && findings.state.word != RunWord::Running {
        let failed = count_of(failed);
        let all = counted(count_of(findings.expectations.len()), "expectation");
        says(&format!("{} of {all} failed", count(failed)));
        let text = &findings.findings[0].text;
        assert!(text.contains("failed") || text.contains("nobody watched"), "{run}: {text}");
    }
}

/// The line of an answer.
pub fn answer(screen: &str, label: &str) -> String {
    let line = screen.lines().rev().find(|line| line.split_whitespace().nth(1) == Some(label));
    line.unwrap_or_else(|| panic!("no {label} in\n{screen}")).to_owned()
}
