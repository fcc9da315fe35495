//! What must come out of runs whose answer is known.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use lab_analysis::findings::{ApprovalWay, Findings, Outcome, ProcessEnd, WhyShown, Word};
use lab_model::{
    Approval, AuthEvent, Cause, EventKind, External, Kernel, LifeStep, OperationKind, PhaseKind, Preset,
    ProcessId, ProcessLife, ReactTo, Recognized, SignedBy, SubjectClass, Ticks,
};
use lab_testing::sums::sums_hold;
use lab_testing::synthetic::{self, Builder, Dec, MS, Op, Run, actor, analyse_on, lab, one_at_a_time};

fn builder(name: &str, clients: usize) -> Builder {
    Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), name, lab(clients))
}

fn check(run: &Run, expect: impl FnOnce(&Findings)) {
    let findings = run.analyse();
    sums_hold(&findings);
    expect(&findings);
    let (first, second) = (serde_json::to_vec(&findings), serde_json::to_vec(&run.analyse()));
    assert_eq!(first.unwrap(), second.unwrap(), "the same traces give the same bytes");
}

/// A storm of `roots` scanned opens and a quiet drain.
fn storm(name: &str, clients: usize, roots: u64) -> Run {
    let mut builder = builder(name, clients);
    let mut now = 1000;
    for root in 0..roots {
        now = builder.scanned_open(now, 900, 100 + root % 10) + 50;
    }
    builder.phase(PhaseKind::Storm, 500, now);
    builder.phase(PhaseKind::Drain, now, now + 1000);
    for client in 1..=clients {
        builder.ended(client, now + 2000, 0);
    }
    builder.finish()
}

#[test]
fn each_root_open_costs_n_times_n_plus_one_decisions() {
    for clients in [1, 2, 3, 6] {
        let n = clients as u64;
        check(&storm(&format!("law-{clients}"), clients, 60), |findings| {
            let storm = &findings.storm;
            assert_eq!(storm.root_ops, 60);
            assert_eq!(storm.decisions, 60 * n * (n + 1), "N = {n}");
            assert_eq!((storm.unexplained, storm.lost, storm.unanswered), (0, 0, 0));
            assert_eq!(storm.operations, 60 * (n + 1));
            assert_eq!(storm.own_process, 60 * n);
            assert_eq!(findings.amplification, Some((n * (n + 1)) as f64));
            let prediction = findings.prediction.as_ref().unwrap();
            assert_eq!(prediction.observed_size, (n * (n + 1)) as f64);
            assert!((prediction.predicted_size.unwrap() - prediction.observed_size).abs() < 1e-9);
            assert_eq!(findings.loop_gain.unwrap().value, 0.0);
            assert_eq!(findings.drive, vec![vec![1.0; clients]; clients]);
            assert_eq!(findings.cascades.depth.max, 2);
            assert_eq!((findings.cascades.count, findings.cascades.unfinished), (60, 0));
            assert_eq!(findings.outcome, Outcome::Stable, "{}", findings.outcome_rule);
            for row in &findings.causes.decisions {
                assert_eq!(row, &vec![60; clients + 1], "1/(N+1) workload, the rest own and peers");
            }
            assert_eq!(findings.causes.misattributed, 0);
            assert_eq!(findings.pipeline.serial_percent, Some(100.0).filter(|_| n > 1));
            assert_eq!(findings.clients[0].end, ProcessEnd::Clean);
        });
    }
}

#[test]
fn three_scanners_tell_their_story() {
    check(&storm("story", 3, 60), |findings| {
        let text = &findings.findings[0].text;
        assert!(text.starts_with("9 of 12 decisions") && text.contains("(75%)"), "{text}");
        assert_eq!(findings.cascades.worst[0].nodes.len(), 16, "4 operations and 12 decisions");
        assert_eq!(findings.cascades.worst[0].omitted, 0);
        let reasons: Vec<_> = findings.cascades.worst.iter().map(|tree| &tree.why).collect();
        assert_eq!(reasons, [&WhyShown { largest: true, deepest: true, longest: true }]);
        let flame = &findings.cascades.flame;
        assert_eq!(flame[0].decisions, 60 * 12);
        assert_eq!(flame.iter().map(|frame| frame.own).sum::<u64>(), 60 * 12);
        let client = &findings.clients[0];
        assert_eq!(client.costliest[0].inflicted, 3);
        assert_eq!(client.closest_calls[0].chain, ["driver open", "client-1 decides"]);
        assert_eq!(client.blame_out[1].exclusive, 60);
        assert_eq!(client.blame_out[1].inclusive, 60);
        assert_eq!(client.peers[0].received, 60);
        assert!(client.peers[0].waited_ns > 0);
        let (queue, work) = (client.queue_ns.mean, client.work_ns.mean);
        assert_eq!(queue + work + client.blocked_ns.mean, 500, "the parts sum up to the decision");
        assert_eq!(client.blocked_ns.mean, 470, "the whole of its operation");
    });
}

#[test]
fn an_exec_owns_all_decisions_of_its_process() {
    let mut builder = builder("exec", 2);
    let exec =
        |at: u64, tid: u64| Op { kind: OperationKind::Exec, inode: 500, ..Op::root(at, at + 900, tid) };
    for (at, tid, events) in [(1000, 70, 2), (3000, 71, 5)] {
        let driver = builder.driver();
        builder.operation(driver, exec(at, tid));
        for event in 0..events {
            for client in [1, 2] {
                let kind = if event == 0 { EventKind::AUTH_EXEC } else { EventKind::AUTH_OPEN };
                let read = at + 10 + event * 50 + client as u64 * 20;
                let dec = Dec::at_once(read, tid, SubjectClass::Workload);
                builder.decision(client, Dec { event: kind, inode: 500 + event, ..dec });
            }
        }
    }
    check(&builder.finish(), |findings| {
        assert_eq!((findings.totals.decisions, findings.totals.unexplained), (14, 0));
        assert_eq!(findings.cascades.size.histogram, [(4, 1), (10, 1)]);
        assert_eq!(findings.clients[0].latency_by_event_ns[&Word::Known(EventKind::AUTH_EXEC)].count, 2);
        assert_eq!(findings.causes.decisions, [[7, 0, 0], [7, 0, 0]]);
    });
}

#[test]
fn what_no_operation_accounts_for_is_counted_apart() {
    let mut builder = builder("unexplained", 1);
    builder.phase(PhaseKind::Storm, 500, 9000);
    let end = builder.scanned_open(1000, 900, 100);
    builder.thread(1, 55, lab_trace::ThreadPurpose::Housekeeper);
    builder.decision(1, Dec::at_once(end + 10, 900, SubjectClass::Workload));
    builder.decision(1, Dec::at_once(end + 30, 55, SubjectClass::Own));
    builder.decision(1, Dec::at_once(end + 50, 4444, SubjectClass::Workload));
    let driver = builder.driver();
    builder.operation(driver, Op::root(5000, 6000, 900));
    builder.decision(1, Dec { inode: 101, ..Dec::at_once(5100, 900, SubjectClass::Workload) });
    check(&builder.finish(), |findings| {
        let totals = &findings.totals;
        assert_eq!((totals.decisions, totals.explained, totals.unexplained), (6, 2, 4));
        let kinds: Vec<&str> = findings.causes.columns.iter().map(|column| column.kind.name()).collect();
        assert_eq!(kinds, ["workload", "client", "external", "unexplained"]);
        assert_eq!(findings.causes.decisions, [[1, 1, 3, 1]]);
        assert!(findings.not_observed.iter().any(|note| note.contains("another file")));
    });
}

/// Two clients of `workers` workers each open what the other asks about.
fn locked(name: &str, workers: u16) -> Builder {
    let mut lab = lab(2);
    for client in &mut lab.clients {
        client.behavior = one_at_a_time(workers);
    }
    Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), name, lab)
}

#[test]
fn two_clients_that_wait_for_each_other_are_a_deadlock() {
    deadlock(locked("deadlock", 1));
}

/// Whoever judges by path has to look at every event before it answers, also at those that it does not react to.
#[test]
fn clients_that_judge_by_path_deadlock_though_they_react_to_the_workload_only() {
    let mut builder = locked("judges", 1);
    for client in &mut builder.lab.clients {
        client.behavior.react_to = ReactTo::Workload;
        client.behavior.deny = Preset::Sample.behavior().deny;
    }
    deadlock(builder);
}

fn deadlock(mut builder: Builder) {
    let kill = 1000 * MS + 1000;
    let open_ended = |op: Op| Op { end: None, ..op };
    let driver = builder.driver();
    builder.operation(driver, Op::root(1000, kill + MS, 900));
    builder.operation(driver, Op::root(1001, kill + 3 * MS, 901));
    let first = builder.decision(1, Dec::never(1010, 900, SubjectClass::Workload));
    let second = builder.decision(2, Dec::worked(1012, 901, kill + 2 * MS));
    builder.operation(1, open_ended(Op::child(1020, 0, 11, 1, first)));
    let of_second = builder.operation(2, Op::child(1022, kill + MS / 3, 21, 2, second));
    builder.decision(1, Dec::at_once(1023, 11, SubjectClass::Own));
    builder.decision(2, Dec::at_once(1024, 21, SubjectClass::Own));
    let queued = Dec { approval: Approval::Rule, ..Dec::worked(1030, 11, kill + 3 * MS) };
    builder.decision(2, Dec { started: Some(kill + 2 * MS), class: SubjectClass::Peer, ..queued });
    let overdue = builder.decision(1, Dec::never(1031, 21, SubjectClass::Peer));
    builder.kill(1, kill, first);
    builder.phase(PhaseKind::Storm, 500, 1500 * MS);
    builder.phase(PhaseKind::Drain, 1500 * MS, 1600 * MS);
    builder.ended(2, 1700 * MS, 0);
    check(&builder.finish(), |findings| {
        assert_eq!(findings.outcome, Outcome::Deadlocked, "{}", findings.outcome_rule);
        assert_eq!(findings.wait_cycles.len(), 1, "{:?}", findings.wait_cycles);
        let cycle = &findings.wait_cycles[0];
        assert_eq!(cycle.members, ["client-1", "client-2"]);
        assert_eq!(cycle.ended_by.name(), "deadline kill");
        assert_eq!(cycle.began_ns, 1031 - 500, "when the last edge closed");
        assert_eq!(cycle.lasted_ns, Some(kill - 1031));
        assert!(cycle.evidence[1].contains(&format!("record {}", of_second.0)), "{:?}", cycle.evidence);
        assert!(cycle.evidence[1].contains(&format!("record {}", overdue.0)), "{:?}", cycle.evidence);
        assert_eq!(findings.clients[0].deadline_misses, 1);
        assert_eq!(findings.clients[0].end, ProcessEnd::DeadlineKill);
        assert_eq!(findings.clients[0].unanswered, 2);
        assert_eq!(findings.drain.as_ref().unwrap().in_flight, 0);
    });
}

#[test]
fn a_long_wait_that_resolves_itself_is_no_deadlock() {
    // The same waits, but each client has a second worker that takes the other's event in the end.
    let mut builder = locked("transient", 2);
    let late = 400 * MS;
    let driver = builder.driver();
    builder.operation(driver, Op::root(1000, late + 5000, 900));
    builder.operation(driver, Op::root(1001, late + 5000, 901));
    let first = builder.decision(1, Dec::worked(1010, 900, late + 2000));
    let second = builder.decision(2, Dec::worked(1012, 901, late + 2000));
    builder.operation(1, Op::child(1020, late + 1000, 11, 1, first));
    builder.operation(2, Op::child(1022, late + 1000, 21, 2, second));
    builder.decision(2, Dec { class: SubjectClass::Peer, ..Dec::worked(1030, 11, late) });
    builder.decision(1, Dec { class: SubjectClass::Peer, ..Dec::worked(1031, 21, late) });
    builder.phase(PhaseKind::Storm, 500, 1500 * MS);
    check(&builder.finish(), |findings| {
        assert_eq!(findings.wait_cycles, []);
        assert_eq!(findings.outcome, Outcome::Unknown, "two cascades are too few: {}", findings.outcome_rule);
    });
}

#[test]
fn a_deadlock_nobody_breaks_lasts_to_the_end() {
    let mut builder = locked("for-ever", 1);
    let open_ended = |op: Op| Op { end: None, ..op };
    let driver = builder.driver();
    for (client, tid, worker) in [(1, 900, 11), (2, 901, 21)] {
        let at = 1000 + client as u64;
        builder.operation(driver, open_ended(Op::root(at, 0, tid)));
        let decision = builder.decision(client, Dec::never(at + 10, tid, SubjectClass::Workload));
        builder.operation(client, open_ended(Op::child(at + 20, 0, worker, client, decision)));
    }
    builder.decision(2, Dec::never(1100, 11, SubjectClass::Peer));
    builder.decision(1, Dec::never(1101, 21, SubjectClass::Peer));
    builder.phase(PhaseKind::Storm, 500, 2000);
    builder.phase(PhaseKind::Drain, 2000, 3000);
    for process in 1..=3 {
        builder.ended(process, 4000, 9);
    }
    check(&builder.finish(), |findings| {
        assert_eq!(findings.outcome, Outcome::Deadlocked);
        assert_eq!(findings.wait_cycles[0].ended_by.name(), "end of run");
        assert_eq!(findings.wait_cycles[0].lasted_ns, None);
        assert_eq!(findings.drain.as_ref().unwrap().in_flight, 4);
        assert_eq!(findings.cascades.unfinished, 2);
    });
}

#[test]
fn an_echo_is_divergent() {
    // Two clients answer first and open later, whenever the other opened something.
    let mut lab = lab(2);
    for client in &mut lab.clients {
        client.behavior = one_at_a_time(1);
        client.behavior.reactions[AuthEvent::Open].when = lab_model::When::After;
    }
    let mut builder = Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), "echo", lab);
    let driver = builder.driver();
    builder.operation(driver, Op::root(1000, 1100, 900));
    let mut last = builder.decision(1, Dec::at_once(1010, 900, SubjectClass::Workload));
    builder.decision(2, Dec::at_once(1030, 900, SubjectClass::Workload));
    let (mut client, mut now) = (1, 2000);
    for _ in 0..400 {
        let (other, tid) = (3 - client, client as u64 * 10);
        builder.operation(client, Op::child(now, now + 90, tid, client, last));
        builder.decision(client, Dec::at_once(now + 20, tid, SubjectClass::Own));
        last = builder.decision(other, Dec::at_once(now + 50, tid, SubjectClass::Peer));
        (client, now) = (other, now + 100);
    }
    builder.operation(client, Op { end: None, ..Op::child(now, 0, client as u64 * 10, client, last) });
    builder.phase(PhaseKind::Storm, 500, 5000);
    builder.phase(PhaseKind::Drain, 5000, now - 250);
    for process in 1..=3 {
        builder.ended(process, now, 9);
    }
    check(&builder.finish(), |findings| {
        assert_eq!(findings.outcome, Outcome::Divergent, "{}", findings.outcome_rule);
        let gain = findings.loop_gain.unwrap().value;
        assert!((gain - 1.0).abs() < 0.02, "{gain}");
        assert!(findings.drain.as_ref().unwrap().in_flight > 0);
        assert_eq!(findings.totals.unexplained, 0);
        assert_eq!(findings.cascades.worst[0].depth, 402);
        assert_eq!((findings.cascades.count, findings.cascades.unfinished), (0, 1));
        let below =
            |client: usize| findings.clients[client].blame_out.iter().map(|line| line.inclusive).sum::<u64>();
        assert_eq!((below(0), below(1)), (800, 798), "all below the first, all but two below its echo");
        assert_eq!(findings.prediction.as_ref().and_then(|prediction| prediction.predicted_size), None);
    });
}

#[test]
fn a_client_killed_in_mid_storm_leaves_counts_that_add_up() {
    let mut builder = builder("killed", 2);
    let mut now = 1000;
    for _ in 0..30 {
        now = builder.scanned_open(now, 900, 100) + 50;
    }
    let driver = builder.driver();
    builder.operation(driver, Op::root(now, now + 900, 900));
    builder.decision(1, Dec::at_once(now + 10, 900, SubjectClass::Workload));
    builder.decision(2, Dec::never(now + 30, 900, SubjectClass::Workload));
    builder.ended(2, now + 800, 9);
    builder.phase(PhaseKind::Storm, 500, now + 5000);
    builder.phase(PhaseKind::Drain, now + 5000, now + 9000);
    check(&builder.finish(), |findings| {
        assert_eq!(findings.clients[1].end, ProcessEnd::Signal(9));
        assert_eq!(findings.totals.unanswered, 1);
        assert_eq!(findings.clients[1].deadline_misses, 0, "nobody killed it for a deadline");
        assert_eq!(findings.outcome, Outcome::Stable, "{}", findings.outcome_rule);
        assert_eq!(findings.cascades.unfinished, 0);
    });
}

/// A program that a client runs is a process of its own: it goes on when the client is killed, and what the others are
/// asked about it then is still the client's doing.
#[test]
fn a_program_outlives_the_client_that_ran_it() {
    let mut builder = builder("orphan", 2);
    let mut now = 1000;
    for _ in 0..30 {
        now = builder.scanned_open(now, 900, 100) + 50;
    }
    let driver = builder.driver();
    builder.operation(driver, Op::root(now, now + 900, 900));
    let first = builder.decision(1, Dec::never(now + 10, 900, SubjectClass::Workload));
    let (tid, pid) = (77, 77);
    let spawned = Op::child(now + 20, 0, tid, 1, first);
    builder.operation(1, Op { end: None, pid, kind: OperationKind::Exec, ..spawned });
    builder.ended(1, now + 500, 9);
    builder.decision(2, Dec::at_once(now + 510, 900, SubjectClass::Workload));
    builder.decision(2, Dec::at_once(now + 600, tid, SubjectClass::Workload));
    builder.phase(PhaseKind::Storm, 500, now + 5000);
    builder.phase(PhaseKind::Drain, now + 5000, now + 9000);
    check(&builder.finish(), |findings| {
        assert_eq!(findings.totals.unexplained, 0);
        assert_eq!(findings.causes.decisions[1][1], 31, "its 30 opens and its program");
        assert_eq!(findings.totals.operations_unfinished, 1);
        assert_eq!(findings.drain.as_ref().map(|drain| drain.in_flight), Some(0), "nobody waits for it");
        assert_eq!(findings.outcome, Outcome::Stable, "{}", findings.outcome_rule);
    });
}

#[test]
fn late_answers_are_misses() {
    let mut builder = builder("late", 1);
    let driver = builder.driver();
    builder.operation(driver, Op::root(1000, 1500 * MS + 1000, 900));
    builder.decision(1, Dec::worked(1010, 900, 1500 * MS));
    builder.phase(PhaseKind::Storm, 500, 2000 * MS);
    check(&builder.finish(), |findings| {
        assert_eq!(findings.clients[0].deadline_misses, 1);
        assert!(findings.clients[0].headroom.min.unwrap() < -0.49);
        assert_eq!(findings.findings[0].section.name(), "clients");
        assert_eq!(findings.findings[0].text, "`deadline.misses == 0` failed: client-1 1; of 1 decision.");
    });
}

#[test]
fn an_empty_run_is_unknown() {
    check(&builder("empty", 3).finish(), |findings| {
        assert_eq!(findings.outcome, Outcome::Unknown);
        assert_eq!(findings.totals.decisions, 0);
        assert_eq!(findings.clients.len(), 3);
        assert_eq!((findings.amplification, findings.loop_gain), (None, None));
    });
    let findings = synthetic::analyse_bytes(&lab(2), &[]);
    sums_hold(&findings);
    assert!(findings.not_observed.iter().any(|note| note.contains("no trace of client-2")));
}

#[test]
fn records_out_of_order_are_put_right() {
    let mut builder = builder("disorder", 1);
    let driver = builder.driver();
    // The driver's thread was interrupted between reading the clock and claiming its place.
    builder.decision(1, Dec::at_once(1050, 900, SubjectClass::Workload));
    for root in 1..1000 {
        let at = 1000 + root * 1000;
        builder.operation(driver, Op::root(at, at + 500, 901));
        builder.decision(1, Dec::at_once(at + 50, 901, SubjectClass::Workload));
    }
    builder.operation(driver, Op::root(1000, 1500, 900));
    builder.phase(PhaseKind::Storm, 500, 3 * MS);
    check(&builder.finish(), |findings| {
        assert_eq!((findings.totals.decisions, findings.totals.unexplained), (1000, 0));
    });
}

#[test]
fn a_cause_that_is_not_there_makes_an_orphan() {
    let mut builder = builder("orphan", 1);
    let cause = Cause::Decision { client: actor(1), record: u64::MAX };
    builder.operation(1, Op { cause, ..Op::root(1000, 1500, 11) });
    builder.decision(1, Dec::at_once(1050, 11, SubjectClass::Own));
    check(&builder.finish(), |findings| {
        assert_eq!((findings.totals.explained, findings.cascades.count), (1, 0));
        assert!(findings.not_observed.iter().any(|note| note.contains("a cause that is not in the traces")));
    });
}

#[test]
fn paths_show_as_themselves() {
    let mut builder = builder("paths", 1);
    let driver = builder.driver();
    let name = b"/arena/files/a \"<b>\"\n\xff.txt";
    let number = builder.path(driver, name);
    let id = builder.operation(driver, Op::root(1000, 1500, 900));
    let target = lab_trace::Target { inode: 100, device: synthetic::DEVICE, path: number };
    builder.writers[driver].operation_target(id, &target);
    builder.decision(1, Dec::at_once(1050, 900, SubjectClass::Workload));
    builder.phase(PhaseKind::Storm, 500, 2000);
    check(&builder.finish(), |findings| {
        let client = &findings.clients[0];
        assert_eq!(client.top_paths[0].name, "files/a \"<b>\"\n\\xff.txt");
        assert_eq!(client.top_extensions[0].name, "txt");
        assert_eq!(findings.pipeline.slowest[0].path.as_deref(), Some("files/a \"<b>\"\n\\xff.txt"));
    });
}

#[test]
fn a_fallback_that_breaks_a_circle_is_named_as_an_answer() {
    let mut builder = locked("fallback", 1);
    let fallback = 800 * MS;
    let driver = builder.driver();
    builder.operation(driver, Op::root(1000, fallback + MS, 900));
    builder.operation(driver, Op::root(1001, fallback + MS, 901));
    let late = |dec: Dec, started| Dec { approval: Approval::DeadlineFallback, started, ..dec };
    let first = builder.decision(1, late(Dec::worked(1010, 900, fallback + 10), Some(1015)));
    let second = builder.decision(2, Dec::worked(1012, 901, fallback + 500));
    builder.operation(1, Op::child(1020, fallback + 900, 11, 1, first));
    builder.operation(2, Op::child(1022, fallback + 300, 21, 2, second));
    let peer = |read, tid, answered| Dec { class: SubjectClass::Peer, ..Dec::worked(read, tid, answered) };
    builder.decision(2, Dec { started: Some(fallback + 600), ..peer(1030, 11, fallback + 800) });
    // Queued to the last, then answered by the budget: that lets client-2 go on.
    builder.decision(1, late(peer(1031, 21, fallback + 200), None));
    builder.phase(PhaseKind::Storm, 500, 1500 * MS);
    builder.phase(PhaseKind::Drain, 1500 * MS, 1600 * MS);
    check(&builder.finish(), |findings| {
        assert_eq!(findings.outcome, Outcome::Deadlocked);
        assert_eq!(findings.wait_cycles.len(), 1);
        assert_eq!(findings.wait_cycles[0].ended_by.name(), "answer");
        assert_eq!(findings.wait_cycles[0].lasted_ns, Some(fallback + 300 - 1031));
        assert_eq!(findings.clients[0].deadline_misses, 0);
        assert_eq!(
            findings.clients[0].by_approval[&Word::Known(ApprovalWay::By(Approval::DeadlineFallback))],
            2
        );
        assert_eq!(findings.clients[0].queue_ns.max, fallback + 200 - 1031, "queued until the fallback");
    });
}

#[test]
fn a_reader_that_opens_waits_for_itself() {
    for (kernel, deadlock) in [(Kernel::Fanotify, true), (Kernel::EndpointSecurity, false)] {
        let mut builder = builder(&format!("reader-{}", kernel.name()), 1);
        builder.thread(1, 5, lab_trace::ThreadPurpose::Reader);
        let driver = builder.driver();
        builder.operation(driver, Op { end: None, ..Op::root(1000, 0, 900) });
        let decision = builder.decision(1, Dec::never(1010, 900, SubjectClass::Workload));
        builder.operation(1, Op { end: None, ..Op::child(1020, 0, 5, 1, decision) });
        builder.phase(PhaseKind::Storm, 500, 2000);
        let run = builder.finish();
        let findings = synthetic::analyse_on(&run, kernel);
        sums_hold(&findings);
        assert_eq!(findings.wait_cycles.len(), usize::from(deadlock), "{kernel:?}");
        if deadlock {
            assert_eq!(findings.wait_cycles[0].members, ["client-1"]);
            assert!(findings.wait_cycles[0].evidence[0].contains("has not read the event"));
            assert!(findings.findings[0].text.starts_with("`outcome == stable` failed: deadlocked"));
            assert!(findings.findings[1].text.starts_with("client-1 waited for itself"));
        }
    }
}

#[test]
fn every_metric_of_the_lab_file_is_known_to_a_full_run() {
    use lab_analysis::Measured;
    use lab_model::MetricUnit;
    let mut builder = builder("metrics", 2);
    let driver = builder.driver();
    let mut now = 1000;
    for (phase, roots) in [(PhaseKind::Baseline, 5), (PhaseKind::Control, 5)] {
        for _ in 0..roots {
            builder.operation(driver, Op { phase: Some(phase), ..Op::root(now, now + 90, 900) });
            now += 100;
        }
    }
    let began = now;
    for _ in 0..30 {
        now = builder.scanned_open(now, 900, 100) + 50;
    }
    builder.phase(PhaseKind::Storm, began, now - 20_000);
    builder.phase(PhaseKind::Drain, now - 20_000, now + 50_000);
    let findings = builder.finish().analyse();
    let paths = lab_analysis::metric_paths("client-1", "control");
    assert!(paths.len() >= lab_model::METRICS.len(), "{paths:?}");
    for (path, metric) in paths {
        let unit = metric.unit;
        let measured = lab_analysis::metric(&findings, &path);
        let owners = lab_analysis::MEASURES.iter().map(|measure| measure.name);
        for owner in owners.chain([lab_analysis::VERDICT]) {
            let own = lab_analysis::metric_of(owner, &findings, &path);
            let expected = if owner == metric.measure { measured.clone() } else { None };
            assert_eq!(own, expected, "{path} belongs to {}, and {owner} was asked", metric.measure);
        }
        let fits = matches!(
            (&measured, unit),
            (Some(Measured::Word(_)), MetricUnit::Word(_))
                | (Some(Measured::Count(_)), MetricUnit::Count)
                | (Some(Measured::Number(_)), MetricUnit::Ratio | MetricUnit::Share)
                | (Some(Measured::Time(_)), MetricUnit::Time)
        );
        // These are known to labs that are made to tell them: a search for the knee, the probe labs, and labs with a product of others.
        let probed = ["knee.", "delivery.", "deadline.open.", "deadline.exec.", "outside.", "external."]
            .iter()
            .any(|of| path.starts_with(of));
        assert!(fits || (probed && measured.is_none()), "{path}: {measured:?} is no {unit:?}");
    }
}

#[test]
fn expectations_are_checked_against_the_findings() {
    let mut run = storm("expect", 3, 40);
    let expectation = |metric: &str, comparison, value: &str, sometimes| {
        let number = value.parse::<lab_model::Decimal>().ok();
        lab_model::Expectation {
            text: format!("{metric} ? {value}"),
            metric: metric.into(),
            comparison,
            value: number.map_or(Expected::Word(value.into()), Expected::Number),
            sometimes,
            abort: false,
            after: lab_model::Span::default(),
        }
    };
    use lab_model::{Comparison::*, Expected};
    run.lab.expect = vec![
        expectation("deadline.misses", Equal, "0", false),
        expectation("loop_gain", Below, "1", false),
        expectation("cascade.depth", AtLeast, "2", true),
        expectation("cascade.depth", AtLeast, "3", true),
        expectation("outcome", Equal, "deadlocked", false),
        expectation("amplification", Below, "12", false),
        expectation("op_latency.control.p50", Below, "1000000", false),
        expectation("decisions", Below, "100", true),
        expectation("loop_gain", Above, "0.5", true),
    ];
    let findings = run.analyse();
    let held: Vec<Option<bool>> = findings.expectations.iter().map(|one| one.held).collect();
    let expected = [Some(true), Some(true), Some(true), Some(false), Some(false), Some(false), None];
    assert_eq!(held[..7], expected, "{:?}", findings.expectations);
    assert_eq!(held[7..], [Some(true), None], "{:?}", findings.expectations);
    assert_eq!(findings.expectations[2].text, "sometimes: cascade.depth ? 2");
    assert_eq!(findings.expectations[4].observed, "stable");
}

#[test]
fn a_stopped_client_is_named() {
    let mut builder = builder("stopped", 2);
    let mut now = 1000;
    for _ in 0..30 {
        now = builder.scanned_open(now, 900, 100) + 50;
    }
    let driver = builder.driver();
    builder.operation(driver, Op { end: None, ..Op::root(now, 0, 900) });
    builder.decision(1, Dec::at_once(now + 10, 900, SubjectClass::Workload));
    builder.phase(PhaseKind::Storm, 500, now + 500 * MS);
    builder.phase(PhaseKind::Drain, now + 500 * MS, now + 900 * MS);
    for process in 1..=3 {
        builder.ended(process, now + 950 * MS, 9);
    }
    check(&builder.finish(), |findings| {
        assert_eq!(
            findings.findings[0].text,
            "1 operation hung when the run ended: client-2 had not read its event."
        );
        assert_eq!(findings.outcome, Outcome::Unknown, "{}", findings.outcome_rule);
        assert_eq!(findings.drain.as_ref().unwrap().in_flight, 1);
    });
}

#[test]
fn queues_that_grow_are_saturated() {
    // One client with one worker, asked twice as fast as it answers; all is answered in the end.
    let mut builder = builder("saturated", 1);
    let driver = builder.driver();
    let mut free = 0;
    for root in 0..400 {
        let at = 1000 + root * MS / 2;
        free = free.max(at + 10) + MS;
        builder.operation(driver, Op::root(at, free + 10, 900 + root));
        builder.decision(1, Dec { started: Some(free - MS), ..Dec::worked(at + 10, 900 + root, free) });
    }
    builder.phase(PhaseKind::Storm, 500, 201 * MS);
    builder.phase(PhaseKind::Drain, 201 * MS, 2000 * MS);
    check(&builder.finish(), |findings| {
        assert_eq!(findings.outcome, Outcome::Saturated, "{}", findings.outcome_rule);
        let drain = findings.drain.as_ref().unwrap();
        assert!(drain.quiet && drain.half_life_ns.is_none(), "nothing was read after the storm");
        assert!(findings.clients[0].queue_ns.p50 > 50 * MS);
        assert_eq!(findings.series.pending_max[0].iter().max(), Some(&201));
    });
}

#[test]
fn a_circle_with_a_way_out_is_no_deadlock() {
    // client-1 and client-2 wait for each other, but client-2's other worker waits for client-3, whose only
    // worker waits for client-4, which is slow and will answer: then everything goes on.
    let mut lab = lab(4);
    for (client, workers) in lab.clients.iter_mut().zip([1, 2, 1, 1]) {
        client.behavior = one_at_a_time(workers);
    }
    let mut builder = Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), "way-out", lab);
    let slow = 400 * MS;
    let driver = builder.driver();
    for (place, client, answered, until) in
        [(0, 1, 5700, 5500), (1, 2, 7500, 7000), (2, 2, 4500, 4000), (3, 3, 2500, 2000)]
    {
        let (at, tid) = (1000 + place, 900 + place);
        builder.operation(driver, Op::root(at, slow + 20_000, tid));
        let decision = builder.decision(client, Dec::worked(at + 10, tid, slow + answered));
        builder.operation(client, Op::child(at + 20, slow + until, place, client, decision));
    }
    let peer = |read, tid, started, answered| Dec {
        class: SubjectClass::Peer,
        started: Some(started),
        ..Dec::worked(read, tid, answered)
    };
    builder.decision(4, peer(1050, 3, 1060, slow));
    builder.decision(3, peer(1051, 2, slow + 2600, slow + 3000));
    builder.decision(1, peer(1052, 1, slow + 6000, slow + 6500));
    builder.decision(2, peer(1053, 0, slow + 4600, slow + 5000));
    builder.phase(PhaseKind::Storm, 500, 1500 * MS);
    check(&builder.finish(), |findings| {
        assert_eq!(findings.wait_cycles, []);
        assert_eq!(findings.totals.decisions, 8);
    });
}

#[test]
fn reactions_after_the_answer_find_their_cause_each() {
    for reactions in [2, 200, 300] {
        let mut builder = builder(&format!("several-{reactions}"), 1);
        let driver = builder.driver();
        builder.operation(driver, Op::root(1000, 1100, 900));
        let decision = builder.decision(1, Dec::at_once(1010, 900, SubjectClass::Workload));
        for step in 0..reactions {
            let at = 50_000 + step * 1000;
            builder.operation(1, Op::child(at, at + 100, 11, 1, decision));
            builder.decision(1, Dec::at_once(at + 10, 11, SubjectClass::Own));
        }
        builder.phase(PhaseKind::Storm, 500, MS);
        check(&builder.finish(), |findings| {
            assert_eq!(findings.cascades.size.max, 1 + reactions);
            assert_eq!(findings.clients[0].costliest[0].inflicted, reactions);
            assert!(!findings.not_observed.iter().any(|note| note.contains("cause")));
        });
    }
}

#[test]
fn a_decision_waits_for_the_whole_of_its_own_operation() {
    // As Endpoint Security delivers: both peers are asked at the same time.
    let mut builder = builder("parallel", 3);
    let driver = builder.driver();
    builder.operation(driver, Op::root(1000, 2000, 900));
    let decision = builder.decision(1, Dec::worked(1010, 900, 1900));
    builder.operation(1, Op::child(1100, 1800, 11, 1, decision));
    let peer = |read, answered| Dec { class: SubjectClass::Peer, ..Dec::worked(read, 11, answered) };
    builder.decision(2, peer(1200, 1500));
    builder.decision(3, peer(1300, 1700));
    builder.phase(PhaseKind::Storm, 500, 3000);
    check(&builder.finish(), |findings| {
        let client = &findings.clients[0];
        assert_eq!(client.blocked_ns.max, 700, "however many answer at the same time");
        assert_eq!((client.queue_ns.max, client.work_ns.max), (5, 185));
        assert_eq!((client.peers[0].waited_ns, client.peers[1].waited_ns), (300, 400), "each by itself");
    });
}

#[test]
fn a_driver_that_dies_leaves_its_cascade_unfinished() {
    let mut builder = builder("driver-dies", 1);
    let end = builder.scanned_open(1000, 900, 100);
    let driver = builder.driver();
    builder.operation(driver, Op { end: None, ..Op::root(end + 50, 0, 900) });
    builder.decision(1, Dec::at_once(end + 60, 900, SubjectClass::Workload));
    builder.ended(driver, end + 500, 9);
    builder.phase(PhaseKind::Storm, 500, end + 1000);
    builder.phase(PhaseKind::Drain, end + 1000, end + 2000);
    check(&builder.finish(), |findings| {
        assert_eq!((findings.cascades.count, findings.cascades.unfinished), (1, 1));
        assert_eq!(findings.phases[0].root_ops_unfinished, 1);
        assert_eq!(findings.drain.as_ref().unwrap().in_flight, 0, "what is dead is not in flight");
        assert_eq!(findings.amplification, Some(2.0), "over the one that completed");
    });
}

#[test]
fn a_program_whose_exec_gave_it_a_new_thread_is_known_by_its_process() {
    let mut builder = builder("new-thread", 1);
    let driver = builder.driver();
    let exec = Op { kind: OperationKind::Exec, pid: 77, inode: 5, ..Op::root(1000, 1900, 900) };
    builder.operation(driver, exec);
    // The exec itself is asked about on the thread that called it, what its loader opens on a thread of its own.
    let asked = |read, tid, pid| Dec { pid, ..Dec::at_once(read, tid, SubjectClass::Workload) };
    builder.decision(1, Dec { inode: 5, ..asked(1100, 900, 77) });
    builder.decision(1, Dec { inode: 6, ..asked(1200, 901, 77) });
    // Another process, the same one after its end, and one of which the kernel names no process are not its.
    for dec in [asked(1300, 902, 78), asked(2000, 901, 77), asked(1400, 903, 0)] {
        builder.decision(1, dec);
    }
    let findings = builder.finish().analyse();
    assert_eq!((findings.totals.explained, findings.totals.unexplained), (2, 3));
}

/// A program that starts another, told as Endpoint Security tells it: a fork, an exec, and who signed what.
fn grandchild(name: &str, lives: bool, external: Vec<External>) -> Run {
    let mut builder = builder(name, 2);
    builder.lab.external = external;
    let driver = builder.driver();
    let exec = Op { kind: OperationKind::Exec, pid: 77, inode: 5, ..Op::root(1000, 9000, 900) };
    builder.operation(driver, exec);
    let id = |pid, version| ProcessId { pid, version };
    let told = |at, step, process, from, signer: Option<&str>| ProcessLife {
        at: Ticks(at),
        step,
        process,
        from,
        signed: signer.map(|id| {
            let cdhash = [u8::try_from(id.len()).unwrap(); 20];
            SignedBy::new(id.as_bytes(), b"ABCDE12345", cdhash, id == "com.example.tool")
        }),
        status: 0,
    };
    let seen = told(1100, LifeStep::Seen, id(77, 3), None, Some("com.example.shell"));
    let forked = told(2000, LifeStep::Forked, id(78, 4), Some(id(77, 3)), None);
    let became = told(2100, LifeStep::Became, id(78, 5), Some(id(78, 4)), Some("com.example.tool"));
    let ended = told(5000, LifeStep::Ended, id(78, 5), None, None);
    for client in 1..=2 {
        let guard = told(1000, LifeStep::Seen, id(50, 1), None, Some("com.example.guard"));
        for life in [seen, forked, became, ended, guard].iter().filter(|_| lives) {
            builder.writers[client].life(life);
        }
        let mut asked = |read, tid, pid, generation| {
            let dec = Dec { pid, generation, inode: 6, ..Dec::at_once(read, tid, SubjectClass::Workload) };
            builder.decision(client, dec);
        };
        // The program itself, its child before and after the child's exec, and a stranger.
        asked(1200, 901, 77, 3);
        asked(2050, 902, 78, 4);
        asked(2200, 903, 78, 5);
        asked(3000, 904, 99, 9);
        asked(3100, 905, 50, 1);
    }
    builder.phase(PhaseKind::Storm, 500, 10_000);
    builder.finish()
}

#[test]
fn what_a_program_starts_in_turn_belongs_to_its_operation() {
    let without = analyse_on(&grandchild("tree-untold", false, Vec::new()), Kernel::EndpointSecurity);
    assert_eq!((without.totals.explained, without.totals.unexplained), (2, 8), "nobody told of the child");
    assert_eq!(without.programs, []);
    let findings = analyse_on(&grandchild("tree-told", true, Vec::new()), Kernel::EndpointSecurity);
    sums_hold(&findings);
    assert_eq!((findings.totals.explained, findings.totals.unexplained), (6, 4));
    let told: Vec<_> = findings
        .programs
        .iter()
        .map(|program| {
            let id = program.signing_id.as_deref().unwrap();
            (id, program.processes, program.decisions, program.under.clone(), program.started_by.clone())
        })
        .collect();
    let workload = |count| vec![("workload".to_owned(), count)];
    // Between its fork and its exec the child runs its parent's program.
    let shell = ("com.example.shell", 2, 4, workload(4), Vec::new());
    let tool = ("com.example.tool", 1, 2, workload(2), vec!["com.example.shell".to_owned()]);
    let guard = ("com.example.guard", 1, 2, vec![("external".to_owned(), 2)], Vec::new());
    assert_eq!(told, [shell, tool, guard]);
    assert_eq!(findings.programs[1].team_id.as_deref(), Some("ABCDE12345"));
    assert!(findings.programs[1].is_es_client && !findings.programs[0].is_es_client);
    let strangers = "2 decisions were about processes whose program no client was told of";
    assert!(
        findings.not_observed.iter().any(|note| note.starts_with(strangers)),
        "{:?}",
        findings.not_observed
    );
}

#[test]
fn a_product_is_known_by_its_signature() {
    let product = |process: Recognized| {
        let start = vec!["/Applications/Guard.app".to_owned()];
        let (environment, ready_within) = (Vec::new(), lab_model::Span::from_secs(1));
        vec![External {
            id: "guard".parse().unwrap(),
            start,
            environment,
            ready: lab_model::Ready::Started,
            ready_within,
            process,
            arena: None,
            private: Vec::new(),
        }]
    };
    let signed = |id: &str, team: &str| Recognized {
        path: None,
        signing_id: Some(id.to_owned()),
        team_id: Some(team.to_owned()),
    };
    let of = |name: &str, process| {
        let findings = analyse_on(&grandchild(name, true, product(process)), Kernel::EndpointSecurity);
        sums_hold(&findings);
        let column = findings.causes.columns.iter().position(|column| column.name == "guard");
        column.map_or(0, |column| findings.causes.decisions.iter().map(|row| row[column]).sum())
    };
    assert_eq!(of("product-signed", signed("com.example.guard", "ABCDE12345")), 2_u64);
    assert_eq!(of("product-other-team", signed("com.example.guard", "ZZZZZ12345")), 0);
}
