//! The analysis of live runs reads simulated ones, finds nothing missing, and comes to the same outcome.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

mod common;

use common::KERNELS;
use lab_analysis::findings::{Broken, Outcome};
use lab_model::{AuthEvent, ExecProgram, Lab, Preset, Rate, Span, When, units::count};
use lab_sim::Kernel;
use lab_testing::{
    labs::{self, exec_storm, lab, peer_scanner, scanner},
    simulated::analysed,
};

fn phased(mut lab: Lab) -> Lab {
    lab.phases.baseline = Span::from_millis(20);
    lab.phases.control = Span::from_millis(20);
    lab.phases.storm = Span::from_secs(1);
    lab.phases.drain = Span::from_secs(1);
    lab
}

#[test]
fn every_decision_is_explained_and_the_law_holds() {
    for (kernel, law) in [(Kernel::Fanotify, 12.0), (Kernel::EndpointSecurity, 9.0)] {
        let (summary, findings) = analysed(&phased(lab(3, &scanner(), 200)), kernel);
        let totals = &findings.totals;
        assert_eq!(totals.decisions, summary.decisions);
        assert_eq!((totals.explained, totals.unexplained), (totals.decisions, 0), "{kernel:?}");
        assert_eq!((totals.unanswered, totals.lost, totals.damaged, totals.targets_unknown), (0, 0, 0, 0));
        assert_eq!(findings.amplification, Some(law), "{kernel:?}");
        assert_eq!(findings.causes.misattributed, 0);
        let serial = findings.pipeline.serial_percent.unwrap();
        match kernel {
            Kernel::Fanotify => assert!(serial > 99.0, "{serial}"),
            Kernel::EndpointSecurity => assert!(serial < 1.0, "{serial}"),
        }
    }
}

#[test]
fn analysis_and_simulator_agree_on_the_outcome() {
    let mut late = lab(3, &scanner(), 1);
    late.workload = vec![labs::open_storm(2, Rate::PerSecond(20_000), None)];
    let mut deadlock = lab(2, &peer_scanner(4, When::Before), 200);
    deadlock.deadline = Span::from_millis(100);
    let labs = [
        ("scanners", lab(3, &scanner(), 200)),
        ("pathological", lab(2, &Preset::Pathological.behavior(), 200)),
        ("noop", lab(4, &Preset::Noop.behavior(), 200)),
        ("late", late),
        ("deadlock", deadlock),
        ("divergent", lab(2, &peer_scanner(2, When::After), 200)),
    ];
    for (name, lab) in labs {
        for kernel in KERNELS {
            let (summary, findings) = analysed(&phased(lab.clone()), kernel);
            let found = serde_json::to_value(findings.outcome).unwrap();
            let rule = &findings.outcome_rule;
            assert_eq!(found.as_str(), Some(summary.outcome.name()), "{name} {kernel:?}: {rule}");
        }
    }
}

#[test]
fn the_drain_waits_for_what_was_put_off_until_after_the_answer() {
    let mut behavior = scanner();
    behavior.reactions[AuthEvent::Open].when = When::After;
    let mut lab = phased(lab(3, &behavior, 1));
    lab.phases.storm = Span::from_millis(50);
    lab.workload = vec![labs::open_storm(2, Rate::Max, None)];
    for (kernel, law) in [(Kernel::Fanotify, 12.0), (Kernel::EndpointSecurity, 9.0)] {
        for seed in 0..5 {
            lab.seed = seed;
            let (summary, findings) = analysed(&lab, kernel);
            assert_eq!(summary.in_flight, 0, "{kernel:?} {seed}");
            assert_eq!(findings.amplification, Some(law), "{kernel:?} {seed}");
            let outcome = serde_json::to_value(findings.outcome).unwrap();
            assert_eq!(outcome, "stable", "{kernel:?} {seed}: {}", findings.outcome_rule);
        }
    }
}

#[test]
fn execs_are_explained_by_the_processes_they_start() {
    for kernel in KERNELS {
        for program in [ExecProgram::Static, ExecProgram::Dynamic] {
            let mut lab = lab(2, &scanner(), 1);
            lab.workload = vec![exec_storm(program, 40)];
            let (summary, findings) = analysed(&phased(lab), kernel);
            assert_eq!(findings.totals.decisions, summary.decisions);
            assert_eq!(findings.totals.unexplained, 0, "{kernel:?} {program:?}");
        }
    }
}

/// The rate is raised until one processor is not enough: the steps before hold, and what they say adds up.
#[test]
fn a_knee_is_where_the_clients_no_longer_keep_up() {
    let mut lab = lab(3, &scanner(), 1);
    lab.phases.storm = Span::from_millis(1200);
    let knee = lab_model::Knee { from: 500, to: 16_000, steps: 6 };
    lab.workload = vec![exec_storm(ExecProgram::Static, 1), labs::open_storm(4, Rate::Knee(knee), None)];
    let (_, findings) = analysed(&lab, Kernel::Fanotify);
    let found = findings.knee.unwrap();
    assert_eq!((&*found.load.text(), found.steps.len()), ("open_storm", 6));
    let rates: Vec<u32> = found.steps.iter().map(|step| step.rate).collect();
    assert_eq!(rates, [500, 1000, 2000, 4000, 8000, 16_000]);
    let (held, broke) = (found.held.unwrap(), found.broke.unwrap());
    assert!((1000..16_000).contains(&held) && broke == 2 * held, "{held} {broke}");
    for step in found.steps.iter().filter(|step| step.rate <= held) {
        let of_rate = u64::from(step.rate) / 5;
        assert_eq!((step.planned, step.begun, step.completed), (of_rate, of_rate, of_rate), "{step:?}");
        assert_eq!((step.op_latency_ns.count, step.held), (of_rate, Some(true)));
        assert!(step.headroom.min.unwrap() > 0.9);
    }
    let first = found.steps.iter().find(|step| step.held == Some(false)).unwrap();
    assert_eq!(first.rate, broke);
    assert!(first.broken[0].fell_behind(), "{:?}", first.broken);
    let said = format!("Up to {} operations a second every condition held; at ", count(held.into()));
    assert!(
        findings.findings.iter().any(|finding| finding.text.starts_with(&said)),
        "{:?}",
        findings.findings
    );
    assert_eq!(findings.outcome, Outcome::Saturated);
    let from = format!("from {} operations a second on it did not keep up", count(broke.into()));
    assert!(findings.outcome_rule.contains(&from), "{}", findings.outcome_rule);
    assert!(found.steps.iter().map(|step| step.begun).sum::<u64>() <= findings.storm.root_ops);
    // A condition can break it earlier than the machine does.
    let strict = |p99: &str| {
        let mut lab = lab.clone();
        lab.hold = below(p99);
        analysed(&lab, Kernel::Fanotify).1.knee.unwrap()
    };
    let never = strict("1ns");
    assert_eq!((never.held, never.broke), (None, Some(500)));
    let Broken::Condition(broken) = &never.steps[0].broken[0] else { panic!("{:?}", never.steps[0]) };
    assert_eq!(broken.condition.as_deref(), Some("op_latency.storm.p99 < 1ns"));
    assert_eq!(broken.observed, never.steps[0].op_latency_ns.p99 as f64);
    assert!(never.sentence().contains("`op_latency.storm.p99 < 1ns` failed: "), "{}", never.sentence());
    assert_eq!(strict("1h").held, Some(held));
}

fn below(p99: &str) -> Vec<lab_model::Expectation> {
    let nanoseconds: lab_model::Span = p99.parse().unwrap();
    vec![lab_model::Expectation {
        text: format!("op_latency.storm.p99 < {p99}"),
        metric: "op_latency.storm.p99".to_owned(),
        comparison: lab_model::Comparison::Below,
        value: lab_model::Expected::Number(nanoseconds.nanos().to_string().parse().unwrap()),
        sometimes: false,
        abort: false,
        after: Span::default(),
    }]
}
