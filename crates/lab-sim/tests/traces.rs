//! The traces of a simulated run: the same bytes every time, and whole.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

mod common;

use std::collections::BTreeMap;

use common::KERNELS;
use lab_model::{Actor, Cause, ExecProgram, Lab, Span, When};
use lab_sim::{Costs, Kernel, Options, Outcome, TraceFile, Traces, check_determinism, search, simulate};
use lab_testing::labs::{exec_storm, lab, peer_scanner, scanner};
use lab_trace::{Decision, Entry, FaultKind, Operation, ProcessMarkKind, Record, Trace};

fn files(lab: &Lab, options: &Options) -> Vec<TraceFile> {
    let mut traces = Traces::new(lab.safety.trace_bytes_max);
    simulate(lab, options, &mut traces);
    traces.into_files()
}

fn records(file: &TraceFile) -> Vec<Record> {
    let trace = Trace::parse(&file.bytes).unwrap();
    assert_eq!((trace.lost, trace.tail().cut_bytes, trace.metadata_whole), (0, 0, true));
    trace
        .entries()
        .map(|entry| match entry {
            Entry::Record { record, .. } => record,
            Entry::Damaged { index, damage } => panic!("{} {index}: {damage:?}", file.name),
        })
        .collect()
}

fn small_lab() -> Lab {
    let mut lab = lab(3, &scanner(), 40);
    lab.phases.baseline = Span::from_millis(50);
    lab.phases.control = Span::from_millis(50);
    lab.workload.push(exec_storm(ExecProgram::Dynamic, 5));
    lab
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for kernel in KERNELS {
        let lab = small_lab();
        let options = Options::new(&lab, kernel);
        let first = files(&lab, &options);
        assert!(first == files(&lab, &options), "{kernel:?}");
        assert!(check_determinism(&lab, &options).is_ok());
        assert!(first != files(&lab, &Options { seed: 43, ..options }), "{kernel:?}: the seed matters");
    }
}

#[test]
fn every_decision_belongs_to_exactly_one_operation_under_way() {
    for kernel in KERNELS {
        let lab = small_lab();
        let files = files(&lab, &Options::new(&lab, kernel));
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["orchestrator", "c0", "c1", "c2", "driver"]);
        let mut operations = BTreeMap::<u64, Vec<Operation>>::new();
        let mut decisions = Vec::<(Actor, Decision)>::new();
        for file in &files {
            let actor = Trace::parse(&file.bytes).unwrap().header.actor;
            for record in records(file) {
                match record {
                    Record::Operation(operation) => {
                        operations.entry(operation.begin.subject.tid).or_default().push(operation);
                    }
                    Record::Decision(decision) => decisions.push((actor, decision)),
                    _ => {}
                }
            }
        }
        assert!(decisions.len() > 500);
        for (actor, decision) in &decisions {
            let end = decision.end.present().unwrap();
            let target = decision.target.present().unwrap();
            assert!(decision.begin.read <= end.answered);
            assert!(
                end.started.is_none_or(|started| decision.begin.read <= started && started <= end.answered)
            );
            let around: Vec<&Operation> = operations[&decision.begin.subject.tid]
                .iter()
                .filter(|operation| {
                    let ended = operation.end.present().unwrap().ended;
                    operation.begin.started <= decision.begin.read && end.answered <= ended
                })
                .collect();
            assert_eq!(around.len(), 1, "{kernel:?} {actor:?} {decision:?}");
            let exec = decision.begin.actor == Actor::UNKNOWN;
            let same = around[0].target.present().unwrap().inode == target.inode;
            assert!(same || exec, "an open is asked about itself");
        }
    }
}

#[test]
fn causes_name_decisions_that_were_under_way() {
    let lab = small_lab();
    let files = files(&lab, &Options::new(&lab, Kernel::Fanotify));
    let of = |actor: Actor| records(&files[usize::from(actor.0)]);
    let all: Vec<Vec<Record>> = (0..5).map(|actor| of(Actor(actor))).collect();
    let mut caused = 0;
    for record in all.iter().flatten() {
        let Record::Operation(operation) = record else { continue };
        let Cause::Decision { client, record } = operation.begin.cause else { continue };
        let Record::Decision(parent) = &all[usize::from(client.0)][usize::try_from(record).unwrap()] else {
            panic!("the cause is a decision")
        };
        let answered = parent.end.present().unwrap().answered;
        let ended = operation.end.present().unwrap().ended;
        assert!(
            parent.begin.read <= operation.begin.started && ended <= answered,
            "scanned before the answer"
        );
        caused += 1;
    }
    // Storm: 40 opens over both loads' limits, and 5 dynamic execs, each client reacting to every question.
    assert_eq!(caused, (40 + 5 * 5) * 3);
}

#[test]
fn a_deadline_kill_is_marked() {
    let mut lab = lab(2, &peer_scanner(1, When::Before), 10);
    lab.deadline = Span::from_millis(50);
    let files = files(&lab, &Options::new(&lab, Kernel::Fanotify));
    let marks = records(&files[0]);
    let kills: Vec<_> = marks
        .iter()
        .filter_map(|record| match record {
            Record::Fault(fault) if fault.kind == FaultKind::DeadlineKill => Some(*fault),
            _ => None,
        })
        .collect();
    assert!(!kills.is_empty());
    for kill in kills {
        let file = &files[usize::from(kill.actor.0)];
        assert_eq!(Trace::parse(&file.bytes).unwrap().closed, None, "the killed close nothing");
        let Record::Decision(overdue) = &records(file)[usize::try_from(kill.detail).unwrap()] else {
            panic!("the detail is the overdue decision")
        };
        assert!(overdue.end.present().is_none() && overdue.begin.deadline == Some(kill.at));
        let ended = marks.iter().any(|record| {
            matches!(record, Record::Process(mark) if mark.actor == kill.actor
                && mark.kind == ProcessMarkKind::Ended && mark.status == 9
                && (200_000..400_000).contains(&mark.at.since(kill.at)))
        });
        assert!(ended, "as soon as its queue has gone");
    }
    assert!(Trace::parse(&files[0].bytes).unwrap().closed.is_some());
}

#[test]
fn phases_follow_each_other() {
    let lab = small_lab();
    let files = files(&lab, &Options::new(&lab, Kernel::EndpointSecurity));
    let marks: Vec<_> = records(&files[0])
        .into_iter()
        .filter_map(|record| match record {
            Record::Phase(mark) => Some(mark),
            _ => None,
        })
        .collect();
    let order: Vec<_> = marks.iter().map(|mark| (mark.phase, mark.begins)).collect();
    let expected: Vec<_> =
        lab.phases.iter().flat_map(|phase| [(phase.kind, true), (phase.kind, false)]).collect();
    assert_eq!(order, expected);
    assert!(marks.windows(2).all(|pair| pair[0].at <= pair[1].at));
    let drain = marks[7].at.since(marks[6].at);
    assert_eq!(drain, 100_000_000, "a calm drain ends early");
}

#[test]
fn a_search_finds_a_seed_that_replays() {
    // One opener and two clients that scan each other: with room for two tasks each, some interleavings lock.
    let mut lab = lab(2, &peer_scanner(1, When::Before), 2);
    lab.deadline = Span::from_millis(50);
    let options = Options {
        costs: Costs { jitter_percent: 50, ..Costs::default() },
        ..Options::new(&lab, Kernel::Fanotify)
    };
    let hit = search(&lab, &options, 1..100, |summary| summary.outcome == Outcome::Deadlocked).unwrap();
    let again = simulate(&lab, &Options { seed: hit.seed, ..options }, &mut Traces::default());
    assert_eq!(again, hit.summary, "whatever the sink");
    assert_eq!(search(&lab, &options, 1..20, |summary| summary.outcome == Outcome::Divergent), None);
}
