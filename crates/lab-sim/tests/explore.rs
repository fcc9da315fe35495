//! Sweeps, ladders and the smallest lab.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

mod common;

use std::collections::BTreeSet;

use common::{KERNELS, run};
use lab_model::{AuthEvent, FaultAction, Lab, PlannedFault, Preset, Rate, Span, When};
use lab_sim::{
    Axis, Costs, Kernel, Ladder, Mitigation, Options, Outcome, cells, ladder, minimize, run_cell,
    search_swarm, swarm, trials,
};
use lab_testing::labs::{lab, open_storm, peer_scanner, scanner};

const SEEDS: [u64; 3] = [1, 2, 3];

#[test]
fn a_sweep_has_every_combination() {
    let axes = [Axis::Clients(vec![1, 2, 5]), Axis::Concurrency(vec![1, 8])];
    let lab = lab(2, &scanner(), 6);
    let cells = cells(&lab, &axes);
    let settings: Vec<String> = cells
        .iter()
        .map(|cell| cell.settings.iter().map(|(name, value)| format!("{name}={value} ")).collect())
        .collect();
    assert_eq!(cells.len(), 6);
    assert_eq!(settings[0], "clients=1 concurrency=1 ");
    assert_eq!(settings[5], "clients=5 concurrency=8 ");
    for cell in &cells {
        let clients = cell.lab.clients.len();
        let ids: BTreeSet<_> = cell.lab.clients.iter().map(|client| &client.id).collect();
        let bundles: BTreeSet<_> = cell.lab.clients.iter().map(|client| &client.bundle_id).collect();
        assert_eq!((ids.len(), bundles.len()), (clients, clients), "every client has names of its own");
        let result = run_cell(cell, &Options::new(&lab, Kernel::Fanotify), &SEEDS);
        let law = (clients * (clients + 1)) as f64;
        let amplification = result.amplification.unwrap();
        assert_eq!((amplification.low, amplification.high), (law, law));
        assert_eq!(result.worst(), Some(Outcome::Stable));
    }
    assert!(lab_sim::cells(&lab, &[Axis::Workers(Vec::new())]).is_empty());
}

#[test]
fn a_sweep_shows_where_a_lab_deadlocks() {
    let mut lab = lab(2, &scanner(), 20);
    lab.deadline = Span::from_millis(100);
    lab.phases.drain = Span::from_millis(500);
    let react = Axis::ReactTo(vec![lab_model::ReactTo::Workload, lab_model::ReactTo::Peers]);
    let axes = [react, Axis::When(vec![When::Before, When::After])];
    for kernel in KERNELS {
        let worst = |cell| run_cell(cell, &Options::new(&lab, kernel), &SEEDS).worst().unwrap();
        let outcomes: Vec<Outcome> = cells(&lab, &axes).iter().map(worst).collect();
        let expected = [Outcome::Stable, Outcome::Stable, Outcome::Deadlocked, Outcome::Divergent];
        assert_eq!(outcomes, expected, "{kernel:?}");
    }
}

fn ladder_of(lab: &Lab, kernel: Kernel) -> Ladder {
    let options = Options::new(lab, kernel);
    ladder(lab, &options, &SEEDS, &|labs| labs.iter().map(|lab| trials(lab, &options, &SEEDS)).collect())
}

#[test]
fn a_ladder_breaks_a_deadlock_first() {
    for kernel in KERNELS {
        let mut lab = lab(2, &peer_scanner(2, When::Before), 30);
        lab.deadline = Span::from_millis(100);
        lab.phases.drain = Span::from_millis(500);
        let ladder = ladder_of(&lab, kernel);
        assert_eq!(ladder.base.worst(), Some(Outcome::Deadlocked));
        // No client has a helper to mute, and Endpoint Security hands no descriptor over.
        let left_out = if kernel == Kernel::Fanotify { 1 } else { 2 };
        assert_eq!(ladder.alone.len(), Mitigation::ALL.len() - left_out);
        assert_eq!(ladder.mutes[0].processes, ["c1"]);
        assert!(ladder.muted.iter().all(|(all, muted)| muted <= all));
        let worst = |mitigation| {
            let rung = ladder.alone.iter().find(|rung| rung.with == [mitigation]).unwrap();
            rung.trials.worst().unwrap()
        };
        assert_eq!(worst(Mitigation::MoreConcurrency), Outcome::Deadlocked, "no pool is large enough");
        assert_eq!(worst(Mitigation::AnswerFirst), Outcome::Divergent);
        assert_eq!(worst(Mitigation::PeerCheck), Outcome::Stable);
        assert_eq!(worst(Mitigation::PeerMute), Outcome::Stable);
        if kernel == Kernel::Fanotify {
            assert_eq!(worst(Mitigation::ReadThroughDescriptor), Outcome::Stable);
        }
        let first = ladder.climb.first().unwrap();
        assert_eq!(first.trials.worst(), Some(Outcome::Stable), "{:?}", first.with);
        let last = ladder.climb.last().unwrap();
        assert!(last.trials.open_p99.unwrap().median <= first.trials.open_p99.unwrap().median);
    }
}

#[test]
fn a_ladder_leaves_out_what_changes_nothing() {
    let noop = lab(2, &Preset::Noop.behavior(), 5);
    let ladder = ladder_of(&noop, Kernel::Fanotify);
    let alone: Vec<_> = ladder.alone.iter().map(|rung| rung.with[0]).collect();
    assert_eq!(alone, [Mitigation::Cache, Mitigation::MoreConcurrency, Mitigation::AutoAnswer]);
    let p50 = |trials: &lab_sim::Trials| trials.open_p50.unwrap().median;
    let more = &ladder.alone[1].trials;
    assert_eq!(
        lab_sim::change(&ladder.base, more, |run| run.open_p50_ns).map(|change| change.median),
        Some(0.0)
    );
    assert_eq!(p50(&ladder.base), p50(more), "threads without work change nothing");
}

#[test]
fn the_smallest_deadlock_is_two_clients_and_one_open() {
    for kernel in KERNELS {
        let mut lab = lab(4, &peer_scanner(8, When::Before), 500);
        lab.deadline = Span::from_millis(100);
        lab.phases.baseline = Span::from_millis(10);
        lab.phases.storm = Span::from_secs(3);
        lab.workload.push(open_storm(4, Rate::PerSecond(100), None));
        lab.clients[2].behavior = scanner();
        let options =
            Options { costs: Costs { jitter_percent: 0, ..Costs::default() }, ..Options::new(&lab, kernel) };
        let deadlocked = |summary: &lab_sim::Summary| summary.outcome == Outcome::Deadlocked;
        let smallest = minimize(&lab, &options, deadlocked, 2000).unwrap();
        assert!(smallest.complete, "{:?}", smallest.steps);
        let lab = &smallest.lab;
        assert_eq!((lab.clients.len(), lab.workload.len()), (2, 1), "{:?}", smallest.steps);
        for client in &lab.clients {
            assert_eq!(
                (client.behavior.concurrency.get(), client.behavior.reactions[AuthEvent::Open].read),
                (1, false)
            );
        }
        assert_eq!(run(lab, kernel).outcome, Outcome::Deadlocked, "and it still does, with chance in it");
        let limited = minimize(&smallest.lab, &options, deadlocked, 1).unwrap();
        assert_eq!((limited.runs, limited.complete, &limited.lab), (1, false, lab));
    }
}

#[test]
fn what_is_not_there_cannot_be_minimised() {
    let lab = lab(2, &scanner(), 5);
    let options = Options::new(&lab, Kernel::Fanotify);
    assert_eq!(minimize(&lab, &options, |summary| summary.kills > 0, 100), None);
    assert_eq!(trials(&lab, &options, &[]).worst(), None);
}

#[test]
fn a_swarm_finds_what_the_lab_itself_does_not_show() {
    let mut lab = lab(3, &scanner(), 20);
    lab.deadline = Span::from_millis(100);
    lab.phases.drain = Span::from_millis(300);
    for kernel in KERNELS {
        let options = Options { decisions_max: 50_000, ..Options::new(&lab, kernel) };
        let deadlocked = |summary: &lab_sim::Summary| summary.outcome == Outcome::Deadlocked;
        assert_eq!(lab_sim::search(&lab, &options, 1..20, deadlocked), None);
        let found = search_swarm(&lab, &options, 1..200, deadlocked).unwrap();
        assert_eq!(found.lab, swarm(&lab, found.hit.seed));
        let again = Options { seed: found.hit.seed, ..options };
        let summary = lab_sim::simulate(&found.lab, &again, &mut lab_sim::Counting::default());
        assert_eq!(summary, found.hit.summary, "the seed replays it");
    }
}

#[test]
fn what_is_left_of_a_disturbed_lab_is_the_fault_that_matters() {
    let fault = |on: &str, at, action| PlannedFault { at: Span::from_millis(at), on: on.to_owned(), action };
    let stall = |span| FaultAction::Stall { span: Span::from_millis(span) };
    for kernel in KERNELS {
        let mut lab = lab(3, &scanner(), 50);
        lab.deadline = Span::from_millis(200);
        lab.phases.storm = Span::from_secs(2);
        lab.workload = vec![open_storm(2, Rate::PerSecond(100), None)];
        lab.clients[2].restart = Some(Span::from_millis(50));
        lab.faults = vec![
            fault("c0", 100, FaultAction::Kill),
            fault("c1", 205, stall(1600)),
            fault("c2", 300, stall(50)),
            fault("machine", 900, FaultAction::CpuLoad { threads: 2, span: Span::from_millis(100) }),
        ];
        let options = Options::new(&lab, kernel);
        let smallest = minimize(&lab, &options, |summary| summary.missed() > 0, 2000).unwrap();
        let dropped = "without the cpu_load of machine at 900ms";
        assert!(
            smallest.complete && smallest.steps.iter().any(|step| step == dropped),
            "{:?}",
            smallest.steps
        );
        let lab = &smallest.lab;
        assert_eq!(lab.clients.len(), 1, "{kernel:?}: {:?}", smallest.steps);
        assert_eq!((lab.clients[0].id.as_str(), lab.clients[0].restart), ("c1", None));
        let [only] = lab.faults.as_slice() else { panic!("{:?}", lab.faults) };
        let FaultAction::Stall { span } = only.action else { panic!("{only:?}") };
        let enough = Span::from_millis(200)..=Span::from_millis(400);
        assert!(only.on == "c1" && enough.contains(&span), "half of it would miss no deadline: {span}");
        assert!(only.at < Span::from_millis(205), "and sooner");
        assert!(only.at < lab.phases.storm);
    }
}

#[test]
fn a_sweep_keeps_the_faults_of_the_clients_that_are_there() {
    let mut lab = lab(3, &scanner(), 6);
    let kill =
        |on: &str| PlannedFault { at: Span::from_millis(1), on: on.to_owned(), action: FaultAction::Kill };
    lab.faults = vec![kill("c0"), kill("c2")];
    let counts: Vec<usize> =
        cells(&lab, &[Axis::Clients(vec![1, 2, 3, 5])]).iter().map(|cell| cell.lab.faults.len()).collect();
    assert_eq!(counts, [1, 1, 2, 2]);
}
