//! What clients are told of after it has happened, and what they make of it: exactly as the kernels tell.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

mod common;

use common::run;
use lab_model::{
    AuthEvent, AuthEvents, Behavior, DenyRule, ExecProgram, FaultAction, Lab, NotifyEvent, PlannedFault,
    Rate, ReactTo, Reaction, Span,
};
use lab_sim::{Costs, Kernel, Options, Outcome, Size, check_determinism, not_simulated, plan};
use lab_testing::{
    labs::{exec_storm, lab, mix, open_storm, scanner},
    simulated::analysed,
};
use proptest::prelude::*;

fn observer(notify: &[NotifyEvent], on_notify: Reaction) -> Behavior {
    let notify = notify.iter().copied().collect();
    Behavior { subscribe: AuthEvents::NONE, notify, on_notify, ..Behavior::noop() }
}

fn reopen() -> Reaction {
    Reaction { reopen: true, ..Reaction::none() }
}

/// Two scanners and this observer, under a load that leaves it time.
fn beside_scanners(observer: Behavior, operations: u64) -> Lab {
    let mut lab = lab(3, &scanner(), operations);
    lab.clients[2].behavior = observer;
    lab.workload = vec![open_storm(2, Rate::PerSecond(500), Some(operations))];
    lab
}

#[test]
fn who_is_only_told_keeps_nobody_waiting() {
    for kernel in common::KERNELS {
        let lab = beside_scanners(observer(&[NotifyEvent::Open], Reaction::none()), 300);
        let (summary, findings) = analysed(&lab, kernel);
        let each = if kernel == Kernel::Fanotify { 6 } else { 4 };
        assert_eq!(summary.decisions, each * summary.roots_begun, "{kernel:?}");
        let opens = summary.told[2].opens;
        assert_eq!((opens.happened, opens.notices), (900, 900), "its own scanners' opens among them");
        assert_eq!(findings.clients[2].decisions, 0);
        let told = findings.clients[2].told.as_ref().unwrap();
        assert_eq!((told.notices, told.opens, told.opens_not_told_apart), (900, Some(900), Some(0)));
        assert_eq!(plan(&lab, kernel, Costs::default()).roots[0].size, Size::Exact(each));
    }
}

#[test]
fn what_is_done_when_told_is_work_for_all() {
    for (kernel, each) in [(Kernel::Fanotify, 8), (Kernel::EndpointSecurity, 6)] {
        let lab = beside_scanners(observer(&[NotifyEvent::Open], reopen()), 300);
        let (summary, findings) = analysed(&lab, kernel);
        assert_eq!(summary.decisions, each * summary.roots_begun, "{kernel:?}");
        assert_eq!(findings.totals.unexplained, 0);
        assert_eq!(findings.cascades.depth.max, 2, "its opens lie in the cascade that it was told of");
        let planned = plan(&lab, kernel, Costs::default());
        assert_eq!(planned.roots[0].size, Size::Exact(each));
        assert_eq!(planned.merges, kernel == Kernel::Fanotify);
        assert!(!planned.sees[2][0] && planned.hears[2][0]);
    }
}

#[test]
fn an_observer_that_acts_on_its_own_opens_does_not_end() {
    let behavior = Behavior { react_to: ReactTo::All, ..observer(&[NotifyEvent::Open], reopen()) };
    let mut lab = beside_scanners(behavior, 20);
    lab.phases.drain = Span::from_millis(50);
    let kernel = Kernel::EndpointSecurity;
    assert_eq!(plan(&lab, kernel, Costs::default()).roots[0].size, Size::Endless);
    assert_eq!(run(&lab, kernel).outcome, Outcome::Divergent, "nothing is merged there");
}

/// A stopped observer reads nothing, so that fanotify merges what each thread does on each file, and Endpoint Security
/// queues it all and drops what comes beyond.
#[test]
fn what_lies_unread_is_merged_or_dropped() {
    let mut lab = lab(1, &observer(&[NotifyEvent::Open, NotifyEvent::Close], Reaction::none()), 4_000);
    let action = FaultAction::Stall { span: Span::from_secs(1) };
    lab.faults = vec![PlannedFault { at: Span::default(), on: "c0".to_owned(), action }];
    lab.phases.storm = Span::from_secs(2);
    let summary = run(&lab, Kernel::Fanotify);
    let told = summary.told[0];
    assert_eq!((told.events.happened, told.opens.happened), (8_000, 4_000));
    assert!(told.events.notices <= 100, "two threads on fifty files: {told:?}");
    assert_eq!(told.opens.merged, 4_000 - told.opens.notices);
    assert_eq!(told.events.lost, 0, "its queue has no end");

    let (summary, findings) = analysed(&lab, Kernel::EndpointSecurity);
    let told = summary.told[0];
    assert_eq!((told.events.happened, told.events.merged), (8_000, 0));
    assert_eq!(told.events.lost, 8_000 - 3_072);
    let heard = findings.clients[0].told.as_ref().unwrap();
    assert_eq!((heard.notices, heard.lost), (3_072, Some(8_000 - 3_072)), "the loss is counted");
}

#[test]
fn a_denied_open_is_not_told() {
    let mut lab = beside_scanners(observer(&[NotifyEvent::Open], Reaction::none()), 100);
    let rule = DenyRule {
        path: Some("files".to_owned()),
        process: None,
        signature: None,
        on: AuthEvents::of(AuthEvent::Open),
    };
    lab.clients[0].behavior.deny = vec![rule];
    lab.clients[1].behavior = Behavior::noop();
    for kernel in common::KERNELS {
        assert_eq!(run(&lab, kernel).told[2].opens.happened, 0, "{kernel:?}");
    }
}

#[test]
fn an_exec_is_told_as_each_kernel_does() {
    use NotifyEvent::{Close, Exec, Exit, Fork, Open};
    let told = |kernel, program, kinds: &[NotifyEvent]| {
        let mut lab = lab(1, &observer(kinds, Reaction::none()), 10);
        lab.workload = vec![exec_storm(program, 10)];
        let told = run(&lab, kernel).told[0];
        (told.events.happened, told.opens.happened)
    };
    let (fanotify, es) = (Kernel::Fanotify, Kernel::EndpointSecurity);
    assert_eq!(told(fanotify, ExecProgram::Static, &[Open, Exec]), (10, 10), "one event says both");
    assert_eq!(told(fanotify, ExecProgram::Dynamic, &[Open]), (30, 30), "program, loader, library");
    assert_eq!(told(fanotify, ExecProgram::Dynamic, &[Exec]), (20, 0));
    assert_eq!(told(fanotify, ExecProgram::Static, &[Close]), (10, 0));
    assert_eq!(told(es, ExecProgram::Dynamic, &[Open, Close]), (0, 0));
    assert_eq!(told(es, ExecProgram::Dynamic, &[Fork, Exec, Exit]), (30, 0));
}

#[test]
fn an_observer_that_dies_and_comes_back_is_told_again() {
    let mut lab = beside_scanners(observer(&[NotifyEvent::Open], reopen()), 500);
    let action = FaultAction::Restart { after: Span::from_millis(100) };
    lab.faults = vec![PlannedFault { at: Span::from_millis(200), on: "c2".to_owned(), action }];
    for kernel in common::KERNELS {
        let (summary, findings) = analysed(&lab, kernel);
        let opens = summary.told[2].opens;
        // 2,000 without the 100 ms: three opens of each of the workload's, and its own.
        assert!((1_500..2_000).contains(&opens.happened), "{opens:?}");
        assert_eq!(opens.happened, opens.notices + opens.merged + opens.lost + opens.unread);
        assert_eq!((findings.totals.unexplained, summary.in_flight), (0, 0), "{kernel:?}");
        check_determinism(&lab, &Options::new(&lab, kernel)).unwrap();
    }
}

/// A scanner, or a client that is told of some kinds of event and does something about it.
fn somebody() -> impl Strategy<Value = Behavior> {
    use NotifyEvent::{Close, Exec, Exit, Fork, Open};
    let kinds = prop::sample::select(vec![
        vec![Open],
        vec![Close],
        vec![Exec],
        vec![Open, Exec],
        vec![Open, Close],
        vec![Fork, Exit],
    ]);
    let react_to = prop::sample::select(vec![ReactTo::Workload, ReactTo::Peers]);
    (kinds, 0_u32..3, any::<bool>(), react_to, 0_u8..3).prop_map(
        |(kinds, extra_opens, reopen, react_to, who)| {
            let on_notify = Reaction { reopen, extra_opens, ..Reaction::none() };
            let told = Behavior { react_to, ..observer(&kinds, on_notify) };
            match who {
                0 => scanner(),
                1 => told,
                _ => Behavior { notify: told.notify, on_notify, react_to, ..scanner() },
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Where nothing is merged or lost, a planned size is the size; otherwise it is the most.
    #[test]
    fn labs_with_observers_are_planned_as_they_run(
        behaviors in prop::collection::vec(somebody(), 1..4),
        program in prop::option::of(prop::sample::select(vec![ExecProgram::Static, ExecProgram::Dynamic])),
        fanotify in any::<bool>(),
    ) {
        let kernel = if fanotify { Kernel::Fanotify } else { Kernel::EndpointSecurity };
        let mut lab = lab(behaviors.len(), &scanner(), 1);
        for (client, behavior) in lab.clients.iter_mut().zip(behaviors) {
            client.behavior = behavior;
        }
        let opens = open_storm(2, Rate::PerSecond(500), Some(20));
        lab.workload = vec![program.map_or(opens, |program| exec_storm(program, 20))];
        lab.deadline = Span::from_secs(50);
        let Size::Exact(each) = plan(&lab, kernel, Costs::default()).roots[0].size else { return Ok(()) };
        let (summary, findings) = analysed(&lab, kernel);
        prop_assert_eq!((summary.in_flight, findings.totals.unexplained), (0, 0));
        let most = each * summary.roots_begun;
        if summary.told.iter().any(|told| told.events.merged + told.events.lost > 0) {
            prop_assert!(summary.decisions <= most, "{} of {}", summary.decisions, most);
        } else {
            prop_assert_eq!(summary.decisions, most);
        }
    }
}

/// A mix of opens that write and that make a file, by one thread after another.
#[test]
fn files_that_are_written_and_made_are_told_as_each_kernel_does() {
    use NotifyEvent::{Close, Create, Open, Unlink, Write};
    let told = |kernel, kinds: &[NotifyEvent]| {
        let mut lab = lab(1, &observer(kinds, Reaction::none()), 1);
        lab.workload = vec![mix(1, 1, 1)];
        assert_eq!(not_simulated(&lab), None);
        run(&lab, kernel).told[0].events.happened
    };
    let (fanotify, es) = (Kernel::Fanotify, Kernel::EndpointSecurity);
    assert_eq!([told(fanotify, &[Open]), told(fanotify, &[Close])], [300, 300]);
    let (written, made) = (told(es, &[Write]), told(es, &[Create]));
    assert_eq!(told(fanotify, &[Write]), written, "a kernel does not choose what is written");
    assert!(written > 20 && made > 20 && written + made < 280, "{written} written, {made} made");
    assert_eq!(told(es, &[Unlink]), made, "each is taken away again");
    assert_eq!(told(es, &[Open, Close, Write, Create, Unlink]), 600 + written + 2 * made);
}
