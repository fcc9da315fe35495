//! What is advised is worth following: in virtual time, for every shipped lab.
#![allow(clippy::unwrap_used, reason = "a lab that cannot be read fails the test")]

use lab_config::{BehaviorChange, Limits, behavior_changes};
use lab_model::{Kernel, Lab, Span};
use lab_sim::{Advice, Mitigation, Options, Outcome, Trials, advice, trials};
use lab_testing::labs;

const SEEDS: [u64; 2] = [1, 2];

fn advised(lab: &Lab, kernel: Kernel) -> Advice {
    let options = Options::new(lab, kernel);
    advice(lab, &options, &SEEDS, &|labs| labs.iter().map(|lab| trials(lab, &options, &SEEDS)).collect())
}

fn lab(name: &str) -> Lab {
    labs::gallery().into_iter().find(|lab| lab.name == name).unwrap()
}

fn best(advice: &Advice) -> &[Mitigation] {
    advice.helps.first().map_or(&[], |(rung, _)| &rung.with)
}

#[test]
fn what_is_set_already_is_never_advised() {
    // Its clients answer each other at once, and mute nobody whose events reach them.
    let found = advised(&lab("three-clients"), Kernel::Fanotify);
    assert_eq!(best(&found), [Mitigation::ReadThroughDescriptor]);
    let tried = found.helps.iter().map(|(rung, _)| rung).chain(&found.idle);
    assert!(tried.clone().all(|rung| !rung.with.contains(&Mitigation::PeerCheck)), "react_to: workload");
    // Read through the descriptor, nobody makes an event: of twelve decisions three are left.
    let (rung, mended) = &found.helps[0];
    assert_eq!(found.base.amplification.map(|range| range.median), Some(12.0));
    assert_eq!(rung.trials.amplification.map(|range| range.median), Some(3.0));
    let again = advised(mended, Kernel::Fanotify);
    let tried = again.helps.iter().map(|(rung, _)| rung).chain(&again.idle);
    assert!(
        tried.clone().all(|rung| !rung.with.contains(&Mitigation::ReadThroughDescriptor)),
        "it is set now"
    );
}

#[test]
fn what_a_kernel_has_not_is_never_advised() {
    let found = advised(&lab("three-clients"), Kernel::EndpointSecurity);
    let tried = found.helps.iter().map(|(rung, _)| rung).chain(&found.idle);
    assert!(tried.clone().count() > 0);
    assert!(tried.clone().all(|rung| !rung.with.contains(&Mitigation::ReadThroughDescriptor)));
}

#[test]
fn a_deadlock_is_mended_by_what_ends_well() {
    let found = advised(&lab("deadlock-pair"), Kernel::Fanotify);
    assert_eq!(found.base.worst(), Some(Outcome::Deadlocked));
    // To answer first makes it diverge, which is no help.
    assert_eq!(best(&found), [Mitigation::ReadThroughDescriptor]);
    assert!(found.idle.iter().any(|rung| rung.with == [Mitigation::AnswerFirst]));
    for (rung, _) in &found.helps {
        assert!(matches!(rung.trials.worst(), Some(Outcome::Stable | Outcome::Saturated)), "{:?}", rung.with);
    }
}

#[test]
fn where_no_single_change_is_enough_two_are_tried() {
    let found = advised(&lab("worst-enemy"), Kernel::Fanotify);
    assert_eq!(best(&found).len(), 2);
    assert_eq!(found.helps[0].0.trials.worst(), Some(Outcome::Stable));
}

/// The beginning of a storm promises what the whole of it keeps: for every shipped lab the first advice is written out as a
/// lab file's lines, read back, and run whole.
#[test]
fn the_first_advice_for_every_shipped_lab_holds() {
    let mut advised_for = 0;
    for lab in labs::gallery() {
        if lab_sim::not_simulated(&lab).is_some() || lab.unsupported_notify(Kernel::Fanotify).is_some() {
            continue;
        }
        let found = advised(&lab, Kernel::Fanotify);
        let Some((rung, mended)) = found.helps.first() else { continue };
        advised_for += 1;
        let pasted = pasted(&lab, &behavior_changes(&lab, mended));
        assert_eq!(pasted, *mended, "{}: what is to be pasted makes the lab that was tried", lab.name);
        // A second of storm is many times what was tried.
        let options = Options::new(&lab, Kernel::Fanotify);
        let [before, after] =
            [one_second(&lab), one_second(mended)].map(|lab| trials(&lab, &options, &SEEDS[..1]));
        assert!(not_worse(&before, &after), "{}: {:?} made it worse", lab.name, rung.with);
        assert_eq!(after.worst(), rung.trials.worst(), "{}: {:?}", lab.name, rung.with);
    }
    assert!(advised_for > 15, "only {advised_for} labs can be mended");
}

fn one_second(lab: &Lab) -> Lab {
    let mut lab = lab.clone();
    let second = Span::from_secs(1);
    if lab.faults.is_empty() {
        lab.phases.storm = lab.phases.storm.min(second);
    }
    lab.phases.baseline = Span::default();
    lab.phases.control = Span::default();
    lab
}

fn not_worse(before: &Trials, after: &Trials) -> bool {
    let missed = |trials: &Trials| trials.missed.map_or(0.0, |range| range.high);
    after.worst() <= before.worst() && missed(after) <= missed(before)
}

/// The lab whose file has these fields in the place of its own.
fn pasted(lab: &Lab, changes: &[BehaviorChange]) -> Lab {
    let mut whose = String::new();
    let mut text = String::new();
    for line in lab_config::to_yaml(lab).lines() {
        if let Some(id) = line.strip_prefix("  - id: ") {
            whose = id.trim_matches('"').to_owned();
        }
        let key = line.trim_start().split(':').next().unwrap_or_default();
        let is_field = line.starts_with("      ") && !line.starts_with("       ");
        let change = changes.iter().find(|change| is_field && change.clients.contains(&whose));
        let changed = change.and_then(|change| {
            change.yaml.lines().find(|line| line.trim_start().split(':').next() == Some(key))
        });
        text.push_str(&changed.map_or_else(|| line.to_owned(), |line| format!("    {line}")));
        text.push('\n');
    }
    lab_config::parse("pasted.yaml", text.as_bytes(), &Limits::default()).unwrap()
}
