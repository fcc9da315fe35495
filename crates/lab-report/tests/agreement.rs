//! Whatever a run shows: the first screen, the page and `report.json` say the same of it, and no sentence of the screen says
//! another thing than the tables. For drawn labs, simulated, and for what is left of their traces.
#![allow(clippy::unwrap_used, reason = "a report that cannot be read fails the test")]

use lab_analysis::findings::{Findings, Judgement, RunWord};
use lab_model::{Kernel, Lab, Span, Total};
use lab_sim::{Options, TraceFile};
use lab_testing::{
    agreement::{agree, screen},
    labs, simulated, sums,
};

/// Drawn labs.
const LABS: u64 = 40;

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
        agree(&findings, &screen(&findings), &seed);
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
        agree(&findings, &screen(&findings), &seed);
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
