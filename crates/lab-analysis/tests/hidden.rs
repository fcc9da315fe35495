//! Operations that clients were not asked about, counted from the other side.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{collections::BTreeMap, path::Path};

use lab_analysis::findings::{ApprovalWay, Approvals, Findings, ProcessEnd, Word};
use lab_model::{
    Approval, AuthEvent, AuthEvents, Behavior, Cache, Kernel, Lab, OperationKind, PhaseKind, SubjectClass,
    Verdict,
};
use lab_testing::sums::sums_hold;
use lab_testing::synthetic::{Builder, Dec, MS, Op, analyse_on, lab};
use lab_trace::ThreadPurpose;

/// `EPERM`, as a denied open ends.
const EPERM: u32 = 1;
/// `ENOENT`.
const ENOENT: u32 = 2;

fn with(clients: usize, change: impl Fn(usize, &mut Behavior)) -> Lab {
    let mut lab = lab(clients);
    for (place, client) in lab.clients.iter_mut().enumerate() {
        client.behavior = Behavior::noop();
        change(place + 1, &mut client.behavior);
    }
    lab
}

fn builder(name: &str, lab: Lab) -> Builder {
    let clients = lab.clients.len();
    let mut builder = Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), name, lab);
    for client in 1..=clients {
        builder.thread(client, 10_000 + client as u64, ThreadPurpose::Reader);
    }
    builder.phase(PhaseKind::Storm, 500, 900 * MS);
    builder
}

fn analyse(builder: Builder) -> Findings {
    let findings = builder.finish().analyse();
    sums_hold(&findings);
    findings
}

/// A root open of 900 ticks, and the decision of each of these clients about it.
fn open(builder: &mut Builder, at: u64, inode: u64, asked: &[usize]) {
    let driver = builder.driver();
    builder.operation(driver, Op { inode, ..Op::root(at, at + 900, 900) });
    for (place, &client) in (0_u64..).zip(asked) {
        let dec = Dec::at_once(at + 10 + 50 * place, 900, SubjectClass::Workload);
        builder.decision(client, Dec { inode, ..dec });
    }
}

fn counts(pairs: &[(ApprovalWay, u64)]) -> BTreeMap<Word<ApprovalWay>, u64> {
    pairs.iter().map(|&(way, count)| (way.into(), count)).collect()
}

#[track_caller]
fn check(approvals: &Approvals, asked: &[(ApprovalWay, u64)], hidden: &[(ApprovalWay, u64)], unknown: u64) {
    assert_eq!(
        (&approvals.asked, &approvals.hidden, approvals.unknown),
        (&counts(asked), &counts(hidden), unknown)
    );
}

#[test]
fn a_kept_answer_hides_what_follows() {
    let caches = |client: usize, behavior: &mut Behavior| {
        behavior.cache = if client == 1 { Cache::On } else { Cache::Off };
    };
    let mut builder = builder("kept", with(2, caches));
    open(&mut builder, 1000, 7, &[1, 2]);
    open(&mut builder, 3000, 7, &[2]);
    open(&mut builder, 5000, 7, &[2]);
    // Nobody was asked about another file before, so nothing explains this one.
    open(&mut builder, 7000, 8, &[2]);
    let findings = analyse(builder);
    check(
        &findings.clients[0].approvals,
        &[(ApprovalWay::By(Approval::Rule), 1)],
        &[(ApprovalWay::By(Approval::CacheHit), 2)],
        1,
    );
    check(&findings.clients[1].approvals, &[(ApprovalWay::By(Approval::Rule), 4)], &[], 0);
    check(
        &findings.approvals,
        &[(ApprovalWay::By(Approval::Rule), 5)],
        &[(ApprovalWay::By(Approval::CacheHit), 2)],
        1,
    );
    assert!(findings.not_observed.iter().any(|note| note.contains("cannot tell why")));
}

#[test]
fn a_tail_that_the_kernel_dropped_is_noticed() {
    let mut builder = builder("tail", with(2, |_, _| {}));
    for place in 0..5 {
        let asked: &[usize] = if place < 3 { &[1, 2] } else { &[1] };
        open(&mut builder, 1000 + 2000 * place, 7 + place, asked);
    }
    // No later event of the second client shows a jump in its numbers. What the driver recorded does.
    let findings = analyse(builder);
    check(&findings.clients[0].approvals, &[(ApprovalWay::By(Approval::Rule), 5)], &[], 0);
    check(&findings.clients[1].approvals, &[(ApprovalWay::By(Approval::Rule), 3)], &[], 2);
    assert!(findings.not_observed.iter().any(|note| note.contains("cannot tell why")));
}

#[test]
fn a_muted_path_and_a_missing_subscription_are_certain() {
    let behaviors = |client: usize, behavior: &mut Behavior| match client {
        1 => behavior.mute.paths = vec!["files/quiet".into()],
        2 => behavior.subscribe = AuthEvents::of(AuthEvent::Exec),
        _ => {}
    };
    let mut builder = builder("muted", with(3, behaviors));
    let driver = builder.driver();
    for (at, inode, path) in [(1000, 7, "files/quiet/f1"), (3000, 8, "files/quieter/f2")] {
        let path = builder.path(driver, format!("/arena/{path}").as_bytes());
        builder.operation(driver, Op { inode, path, ..Op::root(at, at + 900, 900) });
        for client in [1, 3].into_iter().filter(|&client| client == 3 || inode == 8) {
            let dec = Dec::at_once(at + 10 * client as u64, 900, SubjectClass::Workload);
            builder.decision(client, Dec { inode, ..dec });
        }
    }
    // Which file this was about is not known, so it may have been a muted one: the only explanation.
    builder.operation(driver, Op { inode: 0, ..Op::root(5000, 5900, 900) });
    builder.decision(3, Dec { inode: 0, ..Dec::at_once(5010, 900, SubjectClass::Workload) });
    let findings = analyse(builder);
    check(
        &findings.clients[0].approvals,
        &[(ApprovalWay::By(Approval::Rule), 1)],
        &[(ApprovalWay::By(Approval::Mute), 2)],
        0,
    );
    check(&findings.clients[1].approvals, &[], &[(ApprovalWay::NotSubscribed, 3)], 0);
    check(&findings.clients[2].approvals, &[(ApprovalWay::By(Approval::Rule), 3)], &[], 0);
}

#[test]
fn a_denial_ends_the_pass_on_fanotify_only() {
    let run = || {
        let mut builder = builder("denied", with(2, |_, _| {}));
        let driver = builder.driver();
        builder.operation(driver, Op { error: EPERM, ..Op::root(1000, 1900, 900) });
        let dec = Dec::at_once(1010, 900, SubjectClass::Workload);
        builder.decision(1, Dec { verdict: Verdict::Deny, ..dec });
        builder.operation(driver, Op { error: ENOENT, inode: 0, ..Op::root(3000, 3900, 900) });
        builder.finish()
    };
    let findings = run().analyse();
    sums_hold(&findings);
    check(
        &findings.clients[0].approvals,
        &[(ApprovalWay::By(Approval::Rule), 1)],
        &[(ApprovalWay::FailedBefore, 1)],
        0,
    );
    check(
        &findings.clients[1].approvals,
        &[],
        &[(ApprovalWay::DeniedBefore, 1), (ApprovalWay::FailedBefore, 1)],
        0,
    );
    let on_a_mac = analyse_on(&run(), Kernel::EndpointSecurity);
    check(&on_a_mac.clients[1].approvals, &[], &[(ApprovalWay::FailedBefore, 1)], 1);
}

#[test]
fn a_denial_and_a_kept_answer_cannot_be_told_apart() {
    let caches = |_: usize, behavior: &mut Behavior| behavior.cache = Cache::On;
    let mut builder = builder("denied-or-kept", with(2, caches));
    open(&mut builder, 1000, 7, &[1, 2]);
    let driver = builder.driver();
    builder.operation(driver, Op { inode: 7, error: EPERM, ..Op::root(3000, 3900, 900) });
    let dec = Dec::at_once(3010, 900, SubjectClass::Workload);
    builder.decision(1, Dec { inode: 7, verdict: Verdict::Deny, ..dec });
    let findings = analyse(builder);
    check(&findings.clients[1].approvals, &[(ApprovalWay::By(Approval::Rule), 1)], &[], 1);
}

#[test]
fn what_a_dead_client_was_not_asked_is_counted_as_such() {
    let mut builder = builder("dead", with(2, |_, _| {}));
    open(&mut builder, 1000, 7, &[1, 2]);
    // It dies with one event pending, another unread, and is gone for the third.
    let driver = builder.driver();
    builder.operation(driver, Op::root(3000, 3900, 900));
    builder.decision(1, Dec::never(3010, 900, SubjectClass::Workload));
    builder.operation(driver, Op::root(3100, 3950, 901));
    for tid in [900, 901] {
        builder.decision(2, Dec::at_once(3800 + tid % 2, tid, SubjectClass::Workload));
    }
    builder.ended(1, 3700, 9);
    open(&mut builder, 5000, 7, &[2]);
    let findings = analyse(builder);
    check(
        &findings.clients[0].approvals,
        &[(ApprovalWay::By(Approval::DeadClient), 1), (ApprovalWay::By(Approval::Rule), 1)],
        &[(ApprovalWay::By(Approval::DeadClient), 2)],
        0,
    );
    check(&findings.clients[1].approvals, &[(ApprovalWay::By(Approval::Rule), 4)], &[], 0);
    assert_eq!(findings.clients[0].end, ProcessEnd::Signal(9));
}

#[test]
fn an_exec_is_one_operation_whatever_it_raises() {
    let mut builder = builder("exec-once", with(1, |_, _| {}));
    let driver = builder.driver();
    builder.operation(driver, Op { kind: OperationKind::Exec, ..Op::root(1000, 1900, 900) });
    for event in 0..5 {
        builder.decision(1, Dec::at_once(1010 + event * 100, 900, SubjectClass::Workload));
    }
    builder.decision(1, Dec::at_once(2500, 4444, SubjectClass::Workload));
    let findings = analyse(builder);
    let approvals = &findings.clients[0].approvals;
    check(approvals, &[(ApprovalWay::By(Approval::Rule), 1)], &[], 0);
    assert_eq!((approvals.operations, approvals.further, approvals.elsewhere), (1, 4, 1));
}
