//! The advice, followed for real: each shipped lab runs live in a short form, then the lab that its run's folder has as
//! `mended.yaml`, and what was promised is what comes.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test writes the labs that it runs")]

mod rig;

use std::{fs, process::ExitCode};

use lab_analysis::findings::{Advice, Effect, Findings, Outcome, TriedMitigation};
use lab_model::{Kernel, Lab, Span, Total};
use lab_testing::{found::storm, labs};
use libtest_mimic::Arguments;
use rig::{Live, Rig, live};

/// A storm of this length shows what a lab does, unless it has to outlast its deadline.
const SHORT: Span = Span::from_millis(500);
/// How far a share of decisions may be from the promised one: the last operations of a storm are cut off.
const DECISIONS_WITHIN: f64 = 0.1;
/// A median that is promised to be shorter by at least this share is shorter; by less, it may hide in a machine's noise, as
/// the tail of a short storm does.
const TIME_SEEN: f64 = -0.3;

fn main() -> ExitCode {
    let tests: Vec<Live> = vec![live("the_first_advice_helps_as_promised", every_lab)];
    rig::main(Arguments::from_args(), tests)
}

fn every_lab() {
    let rig = Rig::new("advice");
    let mut followed = Vec::new();
    for lab in labs::gallery().into_iter().filter(runs_here) {
        let lab = short(lab);
        fs::write(rig.configs().join(format!("{}.yaml", lab.name)), lab_config::to_yaml(&lab)).unwrap();
        let before = rig.run(&["up", &lab.name, "--backend", "fanotify", "--json"]).report();
        let advice = before.advice.clone().unwrap_or_else(|| panic!("{}: nothing was tried", lab.name));
        assert_eq!(advice.untried, None, "{}", lab.name);
        let Some(best) = advice.helps.first() else { continue };
        let mended = rig.latest(&lab.name).join("mended.yaml");
        let after = rig.run(&["up", mended.to_str().unwrap(), "--backend", "fanotify", "--json"]).report();
        kept(&lab.name, &advice, best, &before, &after);
        followed.push(lab.name.clone());
    }
    assert!(followed.len() > 15, "only these can be mended: {followed:?}");
    assert!(rig.remains().is_empty(), "{:?}", rig.remains());
}

fn kept(name: &str, advice: &Advice, best: &TriedMitigation, before: &Findings, after: &Findings) {
    let what = format!("{name}, {}: {} -> {}", best.name(), before.outcome.name(), after.outcome.name());
    eprintln!("{what}");
    let ends_well = |outcome| matches!(outcome, Outcome::Stable | Outcome::Saturated);
    // Of a lab of ten operations no outcome is told, but that nothing is left of them.
    let few_and_over = after.outcome == Outcome::Unknown
        && after.totals.operations_unfinished == 0
        && after.drain.as_ref().is_some_and(|drain| drain.in_flight == 0);
    let ended_well = ends_well(after.outcome) || few_and_over;
    assert!(ended_well || !ends_well(best.outcome), "{what}: {}", after.outcome_rule);
    let misses = |run: &Findings| run.clients.iter().map(|client| client.deadline_misses).total();
    assert!(misses(after) <= misses(before), "{what}: {} missed", misses(after));
    if best.missed == 0.0 {
        assert_eq!(misses(after), 0, "{what}");
    }
    // What a run shows that stood still is not what its trial showed.
    if advice.outcome != before.outcome || !ends_well(before.outcome) {
        return;
    }
    let median =
        |effect: Option<Effect>| effect.and_then(|effect| effect.change).map(|[_, median, _]| median);
    if let (Some(promised), Some(was), Some(is)) =
        (median(best.decisions), before.amplification, after.amplification)
    {
        let came = is / was - 1.0;
        // What a kept answer spares depends on how often a file is opened again while a storm lasts: on the machine's speed.
        let by_cache = best.names.iter().any(|name| name == "cache");
        let kept = if by_cache { came < 0.0 } else { (came - promised).abs() < DECISIONS_WITHIN };
        assert!(kept, "{what}: decisions {promised} promised, {came} came");
    }
    // A load with a schedule leaves the machine idle between its operations, and what it takes to wake it is not the lab's.
    let without_pause = storm(before).planned.is_none();
    // Nor is it the lab's which threads share a processor; what spares decisions is faster wherever they are.
    let spares = median(best.decisions).is_some_and(|promised| promised < -DECISIONS_WITHIN);
    if without_pause && spares && median(best.p50_ns).is_some_and(|promised| promised < TIME_SEEN) {
        let [was, is] = [before, after].map(|run| storm(run).op_latency_ns.p50);
        assert!(is < was, "{what}: the median was {was} ns and is {is} ns");
    }
}

/// What the simulator models and this kernel runs. Freezers, daemons and products have tests of their own.
fn runs_here(lab: &Lab) -> bool {
    lab_sim::not_simulated(lab).is_none()
        && lab.unsupported_notify(Kernel::Fanotify).is_none()
        && lab.daemons.is_empty()
}

/// The lab with no more of its phases than it needs. What is planned in a storm has its time there.
fn short(mut lab: Lab) -> Lab {
    lab.phases.baseline = Span::default();
    lab.phases.control = Span::default();
    if lab.faults.is_empty() && lab.clients.iter().all(|client| client.restart.is_none()) {
        let beyond = Span::from_nanos(lab.deadline.nanos() + SHORT.nanos());
        let outlasts = lab.deadline < lab.phases.storm && beyond < Span::from_secs(4);
        let needed = if outlasts { beyond } else { SHORT };
        lab.phases.storm = lab.phases.storm.min(needed);
        lab.phases.drain = lab.phases.drain.min(SHORT);
    }
    lab
}
