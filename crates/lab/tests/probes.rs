//! The probe labs, whose answers are known for fanotify and for the simulator's two sets of rules: they tell the
//! difference, so what they will say on a Mac is worth something.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read the reports of the labs that they run"
)]

mod rig;

use std::{path::Path, process::ExitCode};

use lab_analysis::findings::{AfterDeny, DeliveryOrder, Findings, KeptAnswers, Word};
use lab_model::EventKind;
use lab_testing::found::storm;
use libtest_mimic::Arguments;
use rig::{Rig, anywhere, live, sums_add_up};

fn main() -> ExitCode {
    let tests = vec![
        live("the_probes_tell_what_fanotify_does", || {
            probed("fanotify", &["--backend", "fanotify"], &SERIAL)
        }),
        anywhere("the_probes_tell_what_simulated_fanotify_does", || {
            probed("sim-fanotify", &["--backend", "sim", "--rules", "fanotify"], &SERIAL);
        }),
        anywhere("the_probes_tell_what_simulated_endpoint_security_does", || {
            probed("sim-es", &["--backend", "sim", "--rules", "endpoint-security"], &PARALLEL);
        }),
    ];
    rig::main(Arguments::from_args(), tests)
}

/// What a kernel is known to do.
struct Known {
    delivery: DeliveryOrder,
    after_deny: AfterDeny,
    /// A median open that two clients hold for 200 ms each, in nanoseconds.
    held: std::ops::Range<u64>,
    /// It says when an event was made, so that what was left of the deadline is known.
    says_when: bool,
}

const SERIAL: Known = Known {
    delivery: DeliveryOrder::Serial,
    after_deny: AfterDeny::Spared,
    held: 400_000_000..600_000_000,
    says_when: false,
};

const PARALLEL: Known = Known {
    delivery: DeliveryOrder::Parallel,
    after_deny: AfterDeny::Waited,
    held: 200_000_000..400_000_000,
    says_when: true,
};

fn probed(name: &str, kernel: &[&str], known: &Known) {
    let rig = Rig::new(&format!("probes-{name}"));
    let report = |lab: &str| -> Findings {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../lab-configs/{lab}.yaml"));
        let arguments = [&["up", file.to_str().unwrap(), "--json"], kernel].concat();
        let finished = rig.run(&arguments);
        assert_eq!(finished.code, Some(0), "{lab}: {finished:#?}");
        let report = finished.report();
        sums_add_up(&report);
        report
    };
    let delivery = report("probe-delivery");
    assert_eq!(delivery.rules.delivery, Some(known.delivery));
    let counts = [delivery.rules.serial, delivery.rules.parallel];
    assert_eq!(counts, if known.delivery == DeliveryOrder::Serial { [24, 0] } else { [0, 24] });
    let median = storm(&delivery).op_latency_ns.p50;
    assert!(known.held.contains(&median), "{median} ns");

    let deny = report("probe-deny");
    assert_eq!(deny.rules.after_deny, Some(known.after_deny), "{:?}", deny.rules);
    assert_eq!(deny.storm.denied, 24, "every operation was denied, once");

    let cache = report("probe-cache");
    assert_eq!(cache.rules.kept_answers, Some(KeptAnswers::Own), "{:?}", cache.rules);

    let deadlines = report("probe-deadlines");
    for event in [EventKind::AUTH_OPEN, EventKind::AUTH_EXEC] {
        let length = &deadlines.rules.deadlines[&Word::Known(event)];
        assert_eq!(length.min_ns, 10_000_000_000, "the lab's own deadline stands in: {length:?}");
        assert_eq!(length.max_ns, 10_000_000_000, "{length:?}");
        let left = length.left_at_read.p50;
        assert_eq!(left.is_some(), known.says_when, "{length:?}");
        assert!(left.is_none_or(|left| left > 0.9 && left <= 1.0), "{length:?}");
    }

    let slots = report("probe-slots");
    assert_eq!(slots.storm.decisions, 4_900);
}
