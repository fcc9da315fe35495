//! Plans against simulated runs.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

mod common;

use common::{KERNELS, run};
use lab_model::{AuthEvent, Behavior, ExecProgram, Preset, ReactTo, Reaction, When};
use lab_sim::{Costs, Kernel, Outcome, Size, plan};
use lab_testing::labs::{exec_storm, lab, peer_scanner, scanner};

#[test]
fn the_law_is_planned_exactly() {
    for clients in [1, 2, 3, 6, 17, 64] {
        let square = (clients * clients) as u64;
        let on = |kernel| plan(&lab(clients, &scanner(), 20), kernel, Costs::default());
        let fanotify = on(Kernel::Fanotify);
        assert_eq!(fanotify.roots[0].size, Size::Exact(square + clients as u64));
        assert_eq!((fanotify.loop_gain, fanotify.rehearsal.outcome), (0.0, Outcome::Stable));
        assert_eq!(on(Kernel::EndpointSecurity).roots[0].size, Size::Exact(square));
    }
}

/// A chain: the first reacts to the workload, the second also to the first, and nobody to the second.
#[test]
fn uneven_labs_are_planned_as_they_run() {
    for kernel in KERNELS {
        let mut lab = lab(3, &scanner(), 9);
        lab.clients[0].behavior = Behavior { react_to: ReactTo::Peers, ..Preset::Pathological.behavior() };
        lab.clients[1].behavior = Behavior { react_to: ReactTo::Workload, ..scanner() };
        lab.clients[2].behavior.reactions[AuthEvent::Exec] =
            Reaction { extra_opens: 2, ..scanner().reactions[AuthEvent::Exec] };
        for load in
            [lab.workload[0].clone(), exec_storm(ExecProgram::Static, 9), exec_storm(ExecProgram::Dynamic, 9)]
        {
            lab.workload = vec![load];
            let planned = plan(&lab, kernel, Costs::default());
            assert!(planned.circle.is_empty());
            let found = run(&lab, kernel);
            assert_eq!(found.outcome, Outcome::Stable);
            assert_eq!(planned.roots[0].size, Size::Exact(found.decisions / 9), "{kernel:?}");
            assert_eq!(found.decisions % 9, 0);
        }
    }
}

/// A client that runs programs: it knows its own, and to the others they are anybody's.
#[test]
fn programs_of_clients_are_planned_as_they_run() {
    for kernel in KERNELS {
        let mut lab = lab(3, &scanner(), 9);
        let spawn = Some(ExecProgram::Script);
        lab.clients[0].behavior.reactions[AuthEvent::Open] =
            Reaction { spawn, ..scanner().reactions[AuthEvent::Open] };
        let planned = plan(&lab, kernel, Costs::default());
        assert!(planned.circle.is_empty());
        let found = run(&lab, kernel);
        assert_eq!(found.outcome, Outcome::Stable);
        assert_eq!(planned.roots[0].size, Size::Varies);
        assert_eq!(planned.rehearsal.amplification, Some((found.decisions / 9) as f64));
        // Two that do so set each other off for ever.
        lab.clients[1].behavior.reactions[AuthEvent::Open] =
            Reaction { spawn, when: When::After, ..scanner().reactions[AuthEvent::Open] };
        lab.clients[0].behavior.reactions[AuthEvent::Open].when = When::After;
        let planned = plan(&lab, Kernel::Fanotify, Costs::default());
        assert_eq!(planned.circle, ["c0", "c1"]);
        assert!(planned.loop_gain > 1.0, "{}", planned.loop_gain);
    }
}

#[test]
fn what_does_not_end_is_said_so() {
    for kernel in KERNELS {
        let before = plan(&lab(2, &peer_scanner(4, When::Before), 5), kernel, Costs::default());
        assert_eq!(
            (before.circle.as_slice(), before.roots[0].size),
            (["c0".to_owned(), "c1".to_owned()].as_slice(), Size::Endless)
        );
        assert_eq!(before.rehearsal.outcome, Outcome::Deadlocked);
        assert!((before.loop_gain - 1.0).abs() < 1e-6);
        let after = plan(&lab(3, &peer_scanner(4, When::After), 5), kernel, Costs::default());
        assert_eq!(after.rehearsal.outcome, Outcome::Divergent);
        assert!((after.loop_gain - 2.0).abs() < 1e-6, "each open sets off one at each of two peers");
    }
}

#[test]
fn who_sees_whom() {
    let on = |kernel| plan(&lab(2, &scanner(), 1), kernel, Costs::default()).sees;
    assert_eq!(on(Kernel::Fanotify), [[true, true], [true, true]]);
    assert_eq!(on(Kernel::EndpointSecurity), [[false, true], [true, false]]);
}
