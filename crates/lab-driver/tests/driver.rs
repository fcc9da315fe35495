//! The real driver on a scratch arena, without any client: what it is told, it does and records.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "the test plays the orchestrator")]
#![allow(clippy::unwrap_used, reason = "helpers of a test")]

mod rig;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
};

use lab_model::{Cause, ExecProgram, OperationKind, PhaseKind, Rate, Role, Span};
use lab_protocol::{Order, PhaseOrder, Reply};
use lab_trace::{RecordPart, ThreadPurpose};
use rig::{Rig, command, exec, mix, open, tree};

fn order(phase: PhaseKind, span: Span, operations_max: Option<u64>) -> PhaseOrder {
    PhaseOrder { phase, span, operations_max }
}

#[test]
fn a_closed_loop_makes_exactly_as_many_operations_as_allowed() {
    let mut rig = Rig::new("closed", vec![open(2, 20, Rate::Max, None), open(1, 5, Rate::Max, Some(7))]);
    let threads = rig.ready();
    assert_eq!(threads.len(), 5, "control, housekeeper and three workers");
    assert_eq!(rig.drive(order(PhaseKind::Baseline, Span::from_secs(3600), Some(3000))), 3000);
    assert_eq!(rig.drive(order(PhaseKind::Storm, Span::from_secs(3600), Some(1000))), 1000);
    let record = rig.finish();

    assert_eq!(record.header.role, Role::Driver);
    assert!(record.closed && record.lost == 0 && !record.header.identity.host.cpus.is_empty());
    assert_eq!(record.operations.len(), 4000);
    let of = |phase| record.operations.iter().filter(|one| one.begin.phase == Some(phase)).count();
    assert_eq!((of(PhaseKind::Baseline), of(PhaseKind::Storm)), (3000, 1000));
    let third = record.operations.iter().filter(|one| one.begin.worker == 2).count();
    assert_eq!(third, 14, "seven in each phase");
    record.check_each_operation(&rig);
    record.check_threads(&threads);
    let workers: BTreeSet<u64> = record.operations.iter().map(|one| one.begin.subject.tid).collect();
    let marked = record.threads.iter().filter(|mark| mark.purpose == ThreadPurpose::Worker);
    assert_eq!(workers, marked.map(|mark| mark.tid).collect());
    assert!(record.operations.iter().all(|one| {
        one.begin.kind == OperationKind::Open
            && one.begin.cause == Cause::Workload
            && one.begin.planned.is_none()
            && one.begin.subject.pid == rig.pid()
            && one.end.present().is_some_and(|end| end.error == 0)
    }));
    // Both loads open the same folder: 20 files, each path once.
    assert_eq!(record.paths.len(), 20);
    assert_eq!(record.paths.values().collect::<BTreeSet<_>>().len(), 20);
}

#[test]
fn a_closed_loop_ends_with_its_span() {
    let mut rig = Rig::new("span", vec![open(2, 20, Rate::Max, None)]);
    rig.ready();
    let made = rig.drive(order(PhaseKind::Storm, Span::from_millis(50), None));
    let record = rig.finish();
    assert!(made > 0);
    assert_eq!(record.operations.len() as u64, made);
    record.check_each_operation(&rig);
}

#[test]
fn an_open_loop_makes_every_planned_operation() {
    let mut rig = Rig::new("open_loop", vec![open(3, 50, Rate::PerSecond(500), None)]);
    rig.ready();
    assert_eq!(rig.drive(order(PhaseKind::Storm, Span::from_secs(1), None)), 500);
    let record = rig.finish();
    assert_eq!((record.operations.len(), record.losses), (500, 0));
    record.check_each_operation(&rig);
    let mut planned: Vec<u64> = record.operations.iter().map(|one| one.begin.planned.unwrap().0).collect();
    planned.sort_unstable();
    assert!(planned.windows(2).all(|pair| pair[1] - pair[0] == 2_000_000), "{planned:?}");
    assert!(record.operations.iter().all(|one| Some(one.begin.started) >= one.begin.planned));
}

#[test]
fn programs_record_their_own_beginning() {
    let workload = vec![exec(2, ExecProgram::Static, Some(30)), exec(1, ExecProgram::Dynamic, Some(20))];
    let mut rig = Rig::new("exec", workload);
    let threads = rig.ready();
    assert_eq!(rig.drive(order(PhaseKind::Storm, Span::from_secs(3600), None)), 50);
    let record = rig.finish();
    assert_eq!(record.operations.len(), 50);
    record.check_each_operation(&rig);
    record.check_threads(&threads);
    for one in &record.operations {
        let end = one.end.present().unwrap();
        assert_eq!((one.begin.kind, end.error, end.status), (OperationKind::Exec, 0, 0), "{one:?}");
        let subject = one.begin.subject;
        assert!(subject.tid == u64::from(subject.pid) && subject.pid != rig.pid(), "{subject:?}");
        let expected = if one.begin.worker < 2 { "bin/static" } else { "bin/dynamic" };
        let target = one.target.present().unwrap();
        assert!(record.paths[&target.path].ends_with(expected), "{one:?}");
    }
    let pids: BTreeSet<u32> = record.operations.iter().map(|one| one.begin.subject.pid).collect();
    assert_eq!(pids.len(), 50, "each was a process of its own");
}

#[test]
fn failures_are_recorded_with_their_error() {
    let mut rig =
        Rig::new("failures", vec![open(1, 1, Rate::Max, Some(3)), exec(1, ExecProgram::Static, Some(2))]);
    rig.ready();
    fs::remove_file(rig.root().join("files/f000000")).unwrap();
    fs::remove_file(rig.root().join("bin/static")).unwrap();
    assert_eq!(rig.drive(order(PhaseKind::Storm, Span::from_secs(3600), None)), 5);
    let record = rig.finish();
    assert_eq!(record.operations.len(), 5);
    for one in &record.operations {
        assert_eq!(one.end.present().unwrap().error, 2, "ENOENT: {one:?}");
        assert_eq!(one.target, RecordPart::Absent);
    }
}

#[test]
fn a_halt_ends_a_phase_that_would_go_on() {
    // The open loop's second operation is planned for an hour from now.
    let slow = open(1, 3, Rate::PerSecond(1), None);
    let mut rig = Rig::new("halt", vec![open(1, 3, Rate::Max, None), slow]);
    rig.ready();
    rig.send(&Order::Drive(order(PhaseKind::Storm, Span::from_secs(3600), None)));
    assert_eq!(rig.receive(), Reply::Done);
    rig.wait_for_operations(1000);
    rig.send(&Order::Halt);
    // The last operation may end before or after the order is answered.
    let replies = [rig.receive(), rig.receive()];
    assert!(replies.contains(&Reply::Done), "{replies:?}");
    let made = replies.iter().find_map(|reply| match reply {
        Reply::PhaseEnded { operations, .. } => Some(*operations),
        _ => None,
    });
    let record = rig.finish();
    assert_eq!(made, Some(record.operations.len() as u64));
    let planned = record.operations.iter().filter(|one| one.begin.planned.is_some()).count() as u64;
    assert_eq!(planned + record.halted, 3600, "what was halted is told of");
    assert_eq!(record.losses, record.halted, "and nothing was lost");
    record.check_each_operation(&rig);
}

#[test]
fn finishing_in_a_phase_closes_a_whole_trace() {
    let mut rig =
        Rig::new("finishing", vec![open(2, 3, Rate::Max, None), exec(1, ExecProgram::Static, None)]);
    rig.ready();
    rig.send(&Order::Drive(order(PhaseKind::Storm, Span::from_secs(3600), None)));
    assert_eq!(rig.receive(), Reply::Done);
    rig.wait_for_operations(1000);
    rig.send(&Order::Finish);
    assert!(matches!(rig.receive(), Reply::PhaseEnded { .. }));
    assert_eq!(rig.receive(), Reply::Closed { lost: 0 });
    assert_eq!(rig.wait(), Some(0));
    let record = rig.read();
    assert!(record.closed && record.operations.len() >= 1000);
    record.check_each_operation(&rig);
}

#[test]
fn a_lost_connection_ends_the_driver_and_keeps_what_it_recorded() {
    let mut rig = Rig::new("lost", vec![open(2, 20, Rate::Max, None), exec(1, ExecProgram::Static, None)]);
    rig.ready();
    assert_eq!(rig.drive(order(PhaseKind::Baseline, Span::from_secs(3600), Some(300))), 300);
    rig.send(&Order::Drive(order(PhaseKind::Storm, Span::from_secs(3600), None)));
    assert_eq!(rig.receive(), Reply::Done);
    rig.wait_for_operations(1300);
    rig.hang_up();
    assert_eq!(rig.wait(), Some(0));
    let record = rig.read();
    assert!(!record.closed);
    assert!(record.operations.len() >= 1300);
    let ended = record.operations.iter().filter(|one| one.end.present().is_some()).count();
    assert!(record.operations.len() - ended <= 3, "each of three workers was in one looked at the most");
}

#[test]
fn an_overloaded_open_loop_says_what_it_left_out() {
    // A program takes far longer than the 10 us that this rate leaves for it.
    let mut workload = exec(1, ExecProgram::Static, None);
    workload.rate = Rate::PerSecond(100_000);
    let mut rig = Rig::new("overloaded", vec![workload]);
    rig.ready();
    let made = rig.drive(order(PhaseKind::Storm, Span::from_secs(1), None));
    let record = rig.finish();
    assert_eq!(record.operations.len() as u64, made);
    assert_eq!(made + record.losses, 100_000);
    assert!(record.losses > 0);
}

#[test]
fn what_cannot_be_done_is_said_and_ends_the_driver() {
    let mut rig = Rig::new("first_order", vec![open(1, 1, Rate::Max, None)]);
    rig.send(&Order::Halt);
    assert!(matches!(rig.receive(), Reply::Failed { .. }));
    assert_eq!(rig.wait(), Some(1));

    let mut rig = Rig::new("arena", vec![open(1, 1, Rate::Max, None)]);
    fs::remove_file(rig.root().join("files/f000000")).unwrap();
    rig.welcome();
    let Reply::Failed { message, .. } = rig.receive() else { panic!("no failure") };
    assert!(message.contains("f000000"), "{message}");
    assert_eq!(rig.wait(), Some(1));

    let mut rig = Rig::new("twice", vec![open(1, 1, Rate::Max, None)]);
    fs::write(rig.trace(), b"there already").unwrap();
    rig.welcome();
    let Reply::Failed { message, mend, .. } = rig.receive() else { panic!("no failure") };
    assert!(message.contains("cannot create the trace"), "{message}");
    assert_eq!(mend.as_deref(), Some("give each run a folder of its own"));
    assert_eq!(rig.wait(), Some(1));
}

#[test]
fn programs_inherit_nothing() {
    let mut rig = Rig::new("inherit", vec![exec(1, ExecProgram::Static, Some(1))]);
    let listing = rig.root().join("descriptors");
    let script = format!("#!/bin/sh\n/bin/ls -l /proc/$$/fd > {}\n/usr/bin/env >> {0}\n", listing.display());
    rig.replace_program(script.as_bytes());
    rig.ready();
    assert_eq!(rig.drive(order(PhaseKind::Storm, Span::from_secs(3600), None)), 1);
    rig.finish();
    let seen = fs::read_to_string(&listing).unwrap();
    assert_eq!(seen.matches("-> /dev/null").count(), 3, "{seen}");
    for foreign in ["socket:", ".trace", "inherited-file"] {
        assert!(!seen.contains(foreign), "{seen}");
    }
    assert!(!seen.contains("PATH=/usr/local"), "the environment is empty: {seen}");
}

#[test]
fn a_copy_of_the_driver_is_a_program_that_ends_at_once() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_lab-driver"));
    let status = command.env_clear().stdin(std::process::Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn the_target_is_the_file_that_was_opened() {
    let mut rig = Rig::new("target", vec![open(1, 1, Rate::Max, Some(1))]);
    rig.ready();
    assert_eq!(rig.drive(order(PhaseKind::Storm, Span::from_secs(3600), None)), 1);
    let record = rig.finish();
    let facts = fs::metadata(rig.root().join("files/f000000")).unwrap();
    let target = record.operations[0].target.present().unwrap();
    assert_eq!((target.inode, u64::from(target.device)), (facts.ino(), facts.dev()));
}

/// Prints what the driver achieves; run it in a release build on an idle machine:
/// `cargo test --release -p lab-driver --test driver -- --ignored --nocapture --test-threads 1`
#[test]
#[ignore = "a measurement, not a check"]
fn measure() {
    for (name, workload) in [
        ("open, 1 worker", open(1, 500, Rate::Max, None)),
        ("open, 2 workers", open(2, 500, Rate::Max, None)),
        ("exec static, 1 worker", exec(1, ExecProgram::Static, None)),
        ("exec static, 2 workers", exec(2, ExecProgram::Static, None)),
        ("exec dynamic, 1 worker", exec(1, ExecProgram::Dynamic, None)),
    ] {
        let mut rig = Rig::new("measure", vec![workload]);
        rig.ready();
        let made = rig.drive(order(PhaseKind::Storm, Span::from_secs(3), None));
        let record = rig.finish();
        let mut latencies: Vec<u64> = record
            .operations
            .iter()
            .filter_map(|one| Some(one.end.present()?.ended.since(one.begin.started)))
            .collect();
        latencies.sort_unstable();
        let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
        println!("{name:24} {:8} a second, latency p50 {} ns, p99 {} ns", made / 3, at(50), at(99));
    }
}

/// Every program of a tree is recorded with its own beginning and end, and as a child of the one that ran it.
#[test]
fn every_program_of_a_tree_is_recorded() {
    let mut rig = Rig::new("tree", vec![tree(2, 3, 2, 5)]);
    rig.ready();
    assert_eq!(rig.drive(order(PhaseKind::Storm, Span::from_secs(3600), None)), 5 * 13);
    let record = rig.finish();
    assert_eq!((record.operations.len(), record.losses), (5 * 13, 0));
    let pids: BTreeSet<u32> = record.operations.iter().map(|one| one.begin.subject.pid).collect();
    assert_eq!(pids.len(), 5 * 13, "each was a process of its own");
    for one in &record.operations {
        let end = one.end.present().unwrap();
        assert_eq!((one.begin.kind, end.error, end.status), (OperationKind::Exec, 0, 0), "{one:?}");
        assert!(one.begin.started <= end.ended && one.begin.phase == Some(PhaseKind::Storm));
        assert!(record.paths[&one.target.present().unwrap().path].ends_with("bin/tree"), "{one:?}");
    }
    // Who made whom: each process names the record of the one that started it, and lies inside it.
    let mut children: BTreeMap<u64, u64> = BTreeMap::new();
    for (one, place) in record.operations.iter().zip(&record.places) {
        children.entry(*place).or_default();
        let Some(parent) = one.begin.parent else { continue };
        *children.entry(parent).or_default() += 1;
        let at = record.places.iter().position(|other| *other == parent).unwrap();
        let parent = &record.operations[at];
        assert!(parent.begin.started < one.begin.started, "{one:?}");
        assert!(one.end.present().unwrap().ended <= parent.end.present().unwrap().ended, "{one:?}");
    }
    let with = |count| children.values().filter(|other| **other == count).count();
    assert_eq!(
        (children.len(), with(3), with(0)),
        (5 * 13, 5 * 4, 5 * 9),
        "a root, three, and nine without any"
    );
    let roots = record.operations.iter().filter(|one| one.begin.parent.is_none()).count();
    assert_eq!(roots, 5);
    // A root lasts as long as all that it has run.
    let lasted = |one: &&lab_trace::Operation| one.end.present().unwrap().ended.0 - one.begin.started.0;
    let longest = record.operations.iter().max_by_key(lasted).unwrap();
    let inside = |one: &&lab_trace::Operation| {
        one.begin.started >= longest.begin.started
            && one.end.present().unwrap().ended <= longest.end.present().unwrap().ended
            && one.begin.worker == longest.begin.worker
    };
    assert_eq!(record.operations.iter().filter(inside).count(), 13);
}

#[test]
fn a_program_of_a_tree_that_cannot_be_run_is_recorded_as_such() {
    let mut rig = Rig::new("no_tree", vec![tree(1, 3, 2, 2)]);
    rig.ready();
    fs::remove_file(rig.root().join("bin/tree")).unwrap();
    assert_eq!(rig.drive(order(PhaseKind::Storm, Span::from_secs(3600), None)), 2);
    let record = rig.finish();
    assert!(record.operations.iter().all(|one| one.end.present().unwrap().error == 2), "ENOENT");
    assert_eq!(record.operations.len(), 2);
}

#[test]
fn a_mix_reads_writes_and_creates() {
    let mut rig = Rig::new("mix", vec![mix(2, 400)]);
    rig.ready();
    let before = fs::read(rig.root().join("mix/d0/d0/f000000.txt")).unwrap();
    assert_eq!(rig.drive(order(PhaseKind::Storm, Span::from_secs(3600), None)), 400);
    let names = |folder: &str| fs::read_dir(rig.root().join(folder)).unwrap().count();
    assert_eq!(names("mix"), 2, "what was created is gone again");
    let after: Vec<u8> = fs::read(rig.root().join("mix/d0/d0/f000000.txt")).unwrap();
    assert_eq!(after.len(), before.len());
    let record = rig.finish();
    assert_eq!(record.operations.len(), 400);
    assert!(record.operations.iter().all(|one| one.end.present().unwrap().error == 0));
    let created =
        |one: &&lab_trace::Operation| record.paths[&one.target.present().unwrap().path].contains("/new-");
    let created = record.operations.iter().filter(created).count();
    // A quarter of 400, six standard deviations (9) around.
    assert!(created.abs_diff(100) < 54, "{created}");
    let folders: BTreeSet<&str> =
        record.paths.values().filter_map(|path| Some(path.rsplit_once('/')?.0)).collect();
    assert_eq!(folders.len(), 4 + 1, "four folders, and the one of the new files: {folders:?}");
}

#[test]
fn a_burst_starts_together() {
    let rate = Rate::Burst { operations: 20, every: Span::from_millis(100) };
    let mut rig = Rig::new("burst", vec![open(2, 10, rate, None)]);
    rig.ready();
    assert_eq!(rig.drive(order(PhaseKind::Storm, Span::from_millis(300), None)), 60);
    let record = rig.finish();
    let planned: BTreeSet<u64> = record.operations.iter().map(|one| one.begin.planned.unwrap().0).collect();
    let planned: Vec<u64> = planned.into_iter().collect();
    assert_eq!(planned.len(), 3);
    assert!(planned.windows(2).all(|pair| pair[1] - pair[0] == 100_000_000), "{planned:?}");
}

/// The first process, its children and theirs: each from birth to end, also those that nobody waits for.
#[test]
fn every_process_of_a_command_is_recorded() {
    let script = "echo here > file; (cat file; cat file; true) & cat file; wait; exit 3";
    let mut rig = Rig::new("command", vec![command(&["sh", "-c", script], 2)]);
    rig.ready();
    // The shell, the one in the background with two programs, and one more: twice.
    assert_eq!(rig.drive(order(PhaseKind::Storm, Span::from_secs(3600), None)), 2 * 5);
    assert_eq!(fs::read_to_string(rig.root().join("work/file")).unwrap(), "here\n");
    let record = rig.finish();
    assert_eq!((record.operations.len(), record.losses), (2 * 5, 0));
    let mut statuses: Vec<i32> = Vec::new();
    for one in &record.operations {
        let end = one.end.present().unwrap();
        assert_eq!((one.begin.kind, end.error), (OperationKind::Process, 0), "{one:?}");
        assert!(one.begin.started <= end.ended && one.begin.subject.tid > 0);
        statuses.push(end.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [0, 0, 0, 0, 0, 0, 0, 0, 3 << 8, 3 << 8]);
}

#[test]
fn a_command_that_goes_on_is_ended_with_its_phase() {
    let endless = "sleep 1000 & setsid sleep 1000; sleep 1000";
    let mut rig = Rig::new("endless", vec![command(&["sh", "-c", endless], 1)]);
    rig.ready();
    let made = rig.drive(order(PhaseKind::Storm, Span::from_millis(300), None));
    assert!((3..=4).contains(&made), "{made}");
    let record = rig.finish();
    let killed = |one: &&lab_trace::Operation| one.end.present().unwrap().status == 9;
    assert_eq!(record.operations.iter().filter(killed).count() as u64, made);
}

#[test]
fn a_command_that_is_not_there_fails_with_its_error() {
    let mut rig = Rig::new("no_command", vec![command(&["no-such-program-anywhere"], 1)]);
    rig.ready();
    assert_eq!(rig.drive(order(PhaseKind::Storm, Span::from_secs(3600), None)), 1);
    let record = rig.finish();
    let end = record.operations[0].end.present().unwrap();
    assert_eq!((record.operations.len(), end.error), (1, 2), "ENOENT");
}
