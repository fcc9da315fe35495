//! Whatever a run shows: the first screen, the page and `report.json` say the same of it, and no sentence of the screen says
//! another thing than the tables. For drawn labs, simulated, and for what is left of their traces.
#![allow(clippy::unwrap_used, reason = "a report that cannot be read fails the test")]

use lab_analysis::findings::{Findings, Judgement, RunWord};
use lab_model::{
    Kernel, Lab, Span, Total,
    units::{count, counted, share, share_at_most},
};
use lab_report::{html, json, text};
use lab_sim::{Options, TraceFile};
use lab_testing::{labs, simulated, sums};
use serde_json::Value;

/// Drawn labs.
const LABS: u64 = 40;

/// Wide enough that nothing is left out.
const STYLE: text::Style = text::Style { color: false, width: 300, unicode: true };

/// One that is drawn: clients of all kinds, some of which wait for each other, and what is expected of them.
fn drawn(seed: u64) -> (Lab, Kernel) {
    let clients = 1 + usize::try_from(seed % 4).unwrap();
    let mut lab = lab_sim::swarm(&labs::lab(clients, &labs::scanner(), 40), seed);
    lab.phases.storm = Span::from_millis(300);
    lab.phases.drain = Span::from_millis(500);
    lab.deadline = Span::from_millis(200);
    lab.expect = match seed % 3 {
        0 => Vec::new(),
        1 => vec![labs::none_of("lost")],
        _ => vec![labs::none_of("lost"), labs::none_of("deadline.misses"), labs::none_of("wait_cycles")],
    };
    let kernel = if seed.is_multiple_of(5) { Kernel::EndpointSecurity } else { Kernel::Fanotify };
    (lab, kernel)
}

#[test]
fn what_was_recorded_whole_is_said_alike_everywhere() {
    let mut seen = [0; 3];
    for seed in 0..LABS {
        let (lab, kernel) = drawn(seed);
        let files = simulated::traced(&lab, &Options::new(&lab, kernel)).1;
        let findings = simulated::findings(&lab, kernel, &files);
        sums::decisions_add_up(&findings);
        fit(&findings, kernel, seed);
        agree(&findings, seed);
        seen[findings.judgement() as usize] += 1;
        let unanswered = findings.clients.iter().any(|client| client.deadline_misses > 0);
        assert!(!unanswered || findings.judgement() != Judgement::Good, "{seed}: a miss is not good");
    }
    assert!(seen[Judgement::Good as usize] > 5, "{seen:?}");
    assert!(seen[Judgement::Failed as usize] > 5, "{seen:?}");
}

#[test]
fn what_is_left_of_a_run_is_said_alike_everywhere_and_is_never_good() {
    for seed in 0..LABS / 3 {
        let (lab, kernel) = drawn(seed);
        let mut files = simulated::traced(&lab, &Options::new(&lab, kernel)).1;
        let place = usize::try_from(seed).unwrap() % files.len();
        if seed.is_multiple_of(2) {
            files.remove(place);
        } else {
            let TraceFile { bytes, .. } = &mut files[place];
            bytes.truncate(bytes.len() * 2 / 3);
        }
        let findings = simulated::findings(&lab, kernel, &files);
        assert_ne!(findings.state.word, RunWord::Whole, "{seed}");
        assert_ne!(findings.judgement(), Judgement::Good, "{seed}");
        agree(&findings, seed);
    }
}

/// What every rendering owes the findings.
fn agree(findings: &Findings, seed: u64) {
    let screen = text::screen(findings, &STYLE).to_string();
    let words = screen.split_whitespace().collect::<Vec<_>>().join(" ");
    let page = html::run(findings);
    let stored: Value = serde_json::from_str(&json::to_string(findings)).unwrap();
    let says = |what: &str| assert!(words.contains(what), "{seed}: the screen lacks \"{what}\"\n{screen}");
    let shows = |what: &str| assert!(page.contains(what), "{seed}: the page lacks \"{what}\"");

    // The state, the outcome and the judgement, as `status` reads them.
    assert_eq!(stored["state"]["word"], findings.state.word.name(), "{seed}");
    assert_eq!(stored["outcome"], findings.outcome.name(), "{seed}");
    let verdict = format!("{} · {}", findings.state.word.name(), findings.outcome.name());
    says(&verdict);
    shows(&verdict);
    let (first, last) = (screen.trim_start().lines().next().unwrap(), answer(&screen, "Verdict"));
    let mark = |line: &str| line.trim_start().chars().next().unwrap();
    let good = findings.judgement() == Judgement::Good;
    for line in [first, &last] {
        assert_eq!(mark(line) == '✗', findings.judgement() == Judgement::Failed, "{seed}: {line}");
        assert!(good || mark(line) != '✓', "{seed}: {line}");
    }

    // Deadlines: the answer is the sum of the table, client by client.
    let misses: u64 = findings.clients.iter().map(|client| client.deadline_misses).total();
    let missed = answer(&screen, "Missed");
    if misses > 0 {
        assert!(missed.contains(&counted(misses, "deadline")), "{seed}: {missed}");
        shows(&counted(misses, "deadline"));
        for client in findings.clients.iter().filter(|client| client.deadline_misses > 0).take(4) {
            let part = format!("{} {}", client.id, count(client.deadline_misses));
            assert!(missed.contains(&part), "{seed}: {missed}");
        }
    } else {
        assert!(missed.contains("no deadline") || missed.contains("not known"), "{seed}: {missed}");
    }

    // Headroom: what is said is the lowest of the table.
    let closest = answer(&screen, "Closest");
    let lowest = findings.clients.iter().filter_map(|client| client.headroom.min).reduce(f64::min);
    match lowest.filter(|lowest| lowest.is_finite()) {
        Some(lowest) => {
            let said = [share(lowest), share_at_most(lowest)].iter().any(|text| closest.contains(text));
            assert!(said, "{seed}: {lowest} is not in {closest}");
        }
        None => assert!(closest.contains("not known"), "{seed}: {closest}"),
    }
    if misses > 0 {
        assert!(!closest.contains("> 99"), "{seed}: {closest}");
    }

    // Who made the events: the shares are those of the matrix, and come to all of it.
    let answers = findings.answers();
    if let Some(events) = &answers.events {
        assert_eq!(events.by.iter().map(|(_, decisions)| *decisions).total(), events.decisions, "{seed}");
        assert_eq!(events.decisions, findings.causes.total, "{seed}");
    }

    // A circle is named wherever there is one, and nowhere else; where one is, not every cascade ended.
    let circle =
        words.contains("in a circle") || words.contains("waited for itself") || words.contains("for itself,");
    assert_eq!(circle, !findings.wait_cycles.is_empty(), "{seed}: {screen}");
    let in_flight = findings.drain.as_ref().map_or(0, |drain| drain.in_flight);
    if in_flight > 0 || !findings.wait_cycles.is_empty() {
        let full = text::run(findings, &STYLE).to_string();
        assert!(!full.contains("every cascade ends"), "{seed}");
        assert!(!page.contains("every cascade ends"), "{seed}");
    }

    // Expectations: as many failed as the headline says.
    let failed = findings.expectations.iter().filter(|expectation| expectation.held == Some(false)).count();
    if failed > 0 && findings.state.word != RunWord::Running {
        let failed = lab_model::units::count_of(failed);
        let all = counted(lab_model::units::count_of(findings.expectations.len()), "expectation");
        says(&format!("{} of {all} failed", count(failed)));
        let text = &findings.findings[0].text;
        assert!(text.contains("failed") || text.contains("nobody watched"), "{seed}: {text}");
    }
}

/// What the numbers owe each other.
fn fit(findings: &Findings, kernel: Kernel, seed: u64) {
    for client in &findings.clients {
        let latency = &client.latency_ns;
        let rising = [latency.min, latency.p50, latency.p90, latency.p99, latency.p999, latency.max];
        assert!(rising.is_sorted(), "{seed}: {rising:?}");
        let own = client.own_operations;
        assert!(own.operations <= client.operations, "{seed}: {own:?}");
        // fanotify asks one client after the other: the time that peers held its operations is that of its table of peers.
        if kernel == Kernel::Fanotify {
            let waited: u64 = client.peers.iter().map(|peer| peer.waited_ns).total();
            assert_eq!(own.peers_ns, waited, "{seed}: {}", client.id);
        }
    }
}

/// The line of an answer.
fn answer(screen: &str, label: &str) -> String {
    let line = screen.lines().rev().find(|line| line.split_whitespace().nth(1) == Some(label));
    line.unwrap_or_else(|| panic!("no {label} in\n{screen}")).to_owned()
}
