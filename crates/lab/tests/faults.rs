//! Labs that run for real and are disturbed by their own plan: what a fault does, what the report says of it, and
//! what is said when it never came.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read the reports of the labs that they run"
)]

mod rig;

use std::{fs, path::Path, process::ExitCode};

use lab_analysis::findings::{ApprovalWay, FaultMark, FaultMarkKind, Findings, ProcessEnd, Requests};
use lab_model::{Approval, PlannedKind};
use lab_testing::found::{approved, ends, expected, lasted_ns, storm, the_fault};
use lab_trace::Trace;
use libtest_mimic::Arguments;
use rig::{Finished, Live, Rig, live, sums_add_up};

fn main() -> ExitCode {
    let tests: Vec<Live> = vec![
        live("a_client_that_crashes_comes_back_as_itself", crash_and_return),
        live("a_client_that_misses_its_deadline_comes_back", kill_and_return),
        live("a_restart_needs_no_setting_of_the_client", planned_restart),
        live("a_stall_shorter_than_the_deadline_costs_no_client", short_stall),
        live("a_stall_longer_than_the_deadline_is_a_deadline_kill", long_stall),
        live("a_stalled_driver_makes_no_operations", stalled_driver),
        live("a_client_denies_for_a_while", denies),
        live("a_behaviour_changes_for_a_while", behaves),
        live("a_slow_client_is_slow_for_a_while", slows),
        live("a_client_without_descriptors_denies_by_exhaustion", exhausted),
        live("a_client_goes_on_without_a_killed_helper", helper_killed),
        live("a_stalled_helper_is_waited_for_until_its_client_misses_its_deadline", helper_stalled),
        live("a_client_comes_back_with_its_helpers", helpers_come_back),
        live("a_helper_is_restarted_alone", helper_restarted),
        live("a_helper_comes_back_alone_and_then_with_its_client", helper_and_client_restarted),
        live("a_daemon_that_is_restarted_is_asked_again", daemon_restarted),
        live("a_killed_daemon_fails_what_it_is_asked", daemon_killed),
        live("a_stalled_daemon_holds_up_those_who_wait", daemon_stalled),
        live("a_slow_helper_is_slow_for_a_while", helper_slow),
        live("a_slow_daemon_is_slow_for_all_who_ask_it", daemon_slow),
        live("a_helper_does_more_for_each_request_for_a_while", helper_behaves),
        live("a_daemon_works_on_fewer_requests_for_the_rest_of_the_run", daemon_behaves),
        live("a_fault_of_a_dead_helper_fails_the_run", slow_on_the_dead),
        live("a_load_on_the_processors_leaves_nothing_behind", loaded),
        live("a_fault_that_never_came_fails_the_run", never_came),
        live("a_fault_on_a_dead_client_fails_the_run", on_the_dead),
        live("a_run_that_is_cut_short_fails", cut_short),
    ];
    rig::main(Arguments::from_args(), tests)
}

/// Two clients that answer at once, and an open loop of so many opens at 500 a second.
fn noops(clients: &str, operations: u64, rest: &str) -> String {
    format!(
        "deadline: 1s\ndefaults:\n  behavior: {{ preset: noop }}\nclients:\n{clients}\
         phases: {{ baseline: 0s, control: 0s, storm: 20s, drain: 2s }}\n\
         workload:\n  - open_storm: {{ workers: 1, files: 10, rate: 500, operations_max: {operations} }}\n{rest}"
    )
}

const PAIR: &str = "  - { id: alpha }\n  - { id: bravo }\n";

fn run(name: &str, body: &str) -> (Finished, Findings) {
    let rig = Rig::new(&format!("faults-{name}"));
    rig.lab(name, body);
    let finished = rig.run(&["up", name, "--json"]);
    assert_eq!(rig.remains(), Vec::<String>::new(), "nothing is left of {name}");
    let report = finished.report();
    sums_add_up(&report);
    (finished, report)
}

fn good(name: &str, body: &str) -> Findings {
    let (finished, report) = run(name, body);
    assert_eq!(finished.code, Some(0), "{}{}", finished.stderr, report.outcome_rule);
    report
}

/// How long a fault lasted, in milliseconds.
fn lasted(fault: &FaultMark) -> u64 {
    lasted_ns(fault) / 1_000_000
}

fn crash_and_return() {
    let clients = "  - { id: alpha }\n  - { id: bravo, restart: 300ms }\n";
    let faults = "faults:\n  - kill: { on: bravo, at: 500ms }\n";
    let report = good("crash", &noops(clients, 1000, faults));
    assert_eq!(report.clients.len(), 2, "both processes are one client");
    assert_eq!(ends(&report, 1), [ProcessEnd::Signal(9), ProcessEnd::Clean]);
    assert_eq!((approved(&report, 0, Approval::Rule), report.approvals.unknown), (1000, 0));
    let (decided, dead) = (approved(&report, 1, Approval::Rule), approved(&report, 1, Approval::DeadClient));
    assert_eq!(decided + dead, 1000, "asked, or approved by its death");
    // At 500 a second the hole of 300 ms and what a process needs to start is 150 opens and more.
    assert!((100..600).contains(&dead), "{dead} while it was away");
    assert!(decided > 300, "{decided}");
    assert_eq!(report.totals.unexplained, 0);
    assert_eq!(the_fault(&report, PlannedKind::Kill).actor, "bravo");
}

fn kill_and_return() {
    let clients = "  - { id: alpha }\n  - { id: bravo, restart: 100ms }\n";
    let faults = "faults:\n  - stall: { on: bravo, at: 300ms, for: 10s }\nexpect: [clients.bravo.deadline.misses == 1]\n";
    let report = good("kill", &noops(clients, 1500, faults));
    assert_eq!(ends(&report, 1), [ProcessEnd::DeadlineKill, ProcessEnd::Clean]);
    assert_eq!(report.clients[1].deadline_misses, 1);
    assert!(approved(&report, 1, Approval::Rule) > 200 && approved(&report, 1, Approval::DeadClient) > 20);
    let kill = the_fault(&report, FaultMarkKind::DeadlineKill).at_ns;
    let stall = the_fault(&report, PlannedKind::Stall);
    // The warden notices a process that stands still within a few looks, and waits for the deadline from then on.
    let waited = (kill - stall.at_ns) / 1_000_000;
    assert!((1000..1500).contains(&waited), "killed {waited} ms after the stall began");
    assert!(lasted(stall) >= waited && lasted(stall) < 2000, "its end is the stall's: {} ms", lasted(stall));
}

fn planned_restart() {
    let faults = "faults:\n  - restart: { on: bravo, at: 300ms, after: 50ms }\n  \
                  - restart: { on: bravo, at: 900ms, after: 50ms }\n";
    let report = good("restart", &noops(PAIR, 800, faults));
    assert_eq!(ends(&report, 1), [ProcessEnd::Signal(9), ProcessEnd::Signal(9), ProcessEnd::Clean]);
    assert_eq!(approved(&report, 1, Approval::Rule) + approved(&report, 1, Approval::DeadClient), 800);
}

fn short_stall() {
    let faults = "faults:\n  - stall: { on: bravo, at: 300ms, for: 700ms }\n";
    let report = good("short-stall", &noops(PAIR, 800, faults));
    assert_eq!(
        (approved(&report, 0, Approval::Rule), approved(&report, 1, Approval::Rule)),
        (800, 800),
        "nobody was killed"
    );
    assert_eq!(ends(&report, 1), [ProcessEnd::Clean]);
    let ms = lasted(the_fault(&report, PlannedKind::Stall));
    assert!((690..1000).contains(&ms), "{ms} ms");
    let storm = storm(&report);
    assert!(storm.op_latency_ns.max >= 600_000_000, "the workload waited for it");
}

fn long_stall() {
    let faults = "faults:\n  - stall: { on: bravo, at: 300ms, for: 3s }\nexpect: [clients.bravo.deadline.misses == 1]\n";
    let report = good("long-stall", &noops(PAIR, 1200, faults));
    assert_eq!(ends(&report, 1), [ProcessEnd::DeadlineKill]);
    assert_eq!(approved(&report, 1, Approval::Rule) + approved(&report, 1, Approval::DeadClient), 1200);
    assert!(report.findings[0].text.contains("deadline was missed"), "{:?}", report.findings);
}

fn stalled_driver() {
    let faults = "faults:\n  - stall: { on: driver, at: 300ms, for: 500ms }\n";
    let report = good("stalled-driver", &noops(PAIR, 600, faults));
    assert_eq!(approved(&report, 1, Approval::Rule), 600);
    let storm = storm(&report);
    assert!(storm.op_latency_ns.max >= 400_000_000, "planned opens came late");
}

fn denies() {
    let faults = "faults:\n  - deny: { on: bravo, at: 300ms, for: 400ms }\n";
    let report = good("denies", &noops(PAIR, 700, faults));
    let denied = report.storm.denied;
    assert!((100..400).contains(&denied), "{denied} denied");
    let storm = storm(&report);
    assert_eq!(storm.root_ops_failed, denied);
    assert_eq!(approved(&report, 1, Approval::Rule), 700, "bravo was asked each time");
    // Whether alpha is asked before bravo is the kernel's business, and the same for all of them.
    let before = approved(&report, 0, ApprovalWay::DeniedBefore);
    assert!(before == 0 || before == denied, "{before} of {denied}");
    assert_eq!(approved(&report, 0, Approval::Rule), 700 - before);
    assert_eq!(report.approvals.unknown, 0);
}

fn behaves() {
    let faults = "faults:\n  - behave: { on: bravo, at: 300ms, for: 500ms, set: { cache: on } }\n";
    let report = good("behaves", &noops(PAIR, 800, faults));
    let (rule, kept) = (approved(&report, 1, Approval::Rule), approved(&report, 1, Approval::CacheHit));
    assert_eq!(rule + kept, 800, "each open was asked about or answered by a kept answer");
    assert!((100..400).contains(&kept), "{kept} kept");
    assert_eq!((approved(&report, 0, Approval::Rule), report.approvals.unknown), (800, 0));
}

fn slows() {
    let body = noops(PAIR, 800, "faults:\n  - slow: { on: bravo, at: 300ms, for: 400ms, by: 5ms }\n");
    let report = good("slows", &body);
    assert!(report.clients[1].latency_ns.max >= 5_000_000);
    assert!(report.clients[1].latency_ns.p50 < 5_000_000, "before and after it is as it was");
    assert_eq!(approved(&report, 1, Approval::Rule), 800);
}

fn exhausted() {
    let faults = "faults:\n  - descriptors: { on: bravo, at: 300ms, for: 400ms, limit: 0 }\n";
    // The events that bravo could not read are missing from its trace: too many for a word about stability.
    let (finished, report) = run("exhausted", &noops(PAIR, 700, faults));
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    let denied = approved(&report, 1, ApprovalWay::Exhausted);
    assert!((100..400).contains(&denied), "{denied} denied by the kernel");
    let storm = storm(&report);
    assert_eq!(storm.root_ops_failed, denied);
    assert_eq!(report.storm.denied, 0, "no client denied anything");
    assert_eq!(approved(&report, 1, Approval::Rule), 700 - denied);
    let before = approved(&report, 0, ApprovalWay::DeniedBefore);
    assert!(before == 0 || before == denied, "{before} of {denied}");
}

/// Requests to helpers and daemons, of all clients.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    carried_out: u64,
    failed: u64,
    unheard: u64,
}

fn asked(report: &Findings) -> Asked {
    let rows = || report.clients.iter().flat_map(|client| &client.requests);
    let sum = |end: fn(&Requests) -> u64| rows().map(end).sum::<u64>();
    assert_eq!(sum(|row| row.refused), 0, "the queue is never full");
    Asked {
        carried_out: sum(|row| row.carried_out),
        failed: sum(|row| row.failed),
        unheard: sum(|row| row.unheard),
    }
}

/// One client that has its helper open what the workload opens and waits for it.
fn helped(more: &str, rest: &str) -> String {
    let helpers = "behavior: { mute: { helpers: true }, helpers: { count: 1, wait: true } }";
    noops(&format!("  - {{ id: alpha, {more}{helpers} }}\n"), 600, rest)
}

fn helper_killed() {
    let report = good("helper-kill", &helped("", "faults:\n  - kill: { on: alpha.helper-1, at: 400ms }\n"));
    assert_eq!(the_fault(&report, PlannedKind::Kill).actor, "alpha.helper-1");
    assert_eq!(ends(&report, 0), [ProcessEnd::Clean], "the client goes on");
    assert_eq!((approved(&report, 0, Approval::Rule), report.totals.unexplained), (600, 0));
    let asked = asked(&report);
    assert_eq!((asked.carried_out + asked.failed, asked.unheard), (600, 0), "each request is over");
    assert!(asked.carried_out > 100 && asked.failed > 100, "{asked:?}");
    let all = &report.findings;
    let expected = format!("{} of alpha's 600 requests to its helpers were never carried out", asked.failed);
    assert!(all.iter().any(|one| one.text.starts_with(&expected)), "{all:?}");
    // What the helper opened was asked about; the kill may have caught it in one open more.
    let muted = approved(&report, 0, Approval::Mute);
    assert!((asked.carried_out..=asked.carried_out + 1).contains(&muted), "{muted} of {asked:?}");
}

fn helper_stalled() {
    let stall =
        |span: &str| format!("faults:\n  - stall: {{ on: alpha.helper-1, at: 300ms, for: {span} }}\n");
    let report = good("helper-stall", &helped("", &stall("500ms")));
    assert_eq!(ends(&report, 0), [ProcessEnd::Clean], "nobody was killed");
    assert!((490..900).contains(&lasted(the_fault(&report, PlannedKind::Stall))));
    assert!(report.clients[0].latency_ns.max >= 400_000_000, "the client waited for it");
    assert_eq!(asked(&report), Asked { carried_out: 600, ..Asked::default() });
    let report =
        good("helper-hangs", &helped("", &(stall("3s") + "expect: [clients.alpha.deadline.misses == 1]\n")));
    assert_eq!(ends(&report, 0), [ProcessEnd::DeadlineKill]);
    // The storm ends when its last client is dead.
    approved_at_opens(&report, report.storm.root_ops, 1);
    assert_eq!(report.approvals.unknown, 0);
    assert!(asked(&report).unheard >= 1, "who asked is dead");
}

/// Each of the workload's opens was approved by the client's rule or its death, and each of its helper's by a mute: but
/// the one that a helper is in when its client dies, by that death, too.
fn approved_at_opens(report: &Findings, opens: u64, deaths: u64) {
    let (rule, dead, mute) = (
        approved(report, 0, Approval::Rule),
        approved(report, 0, Approval::DeadClient),
        approved(report, 0, Approval::Mute),
    );
    assert_eq!(rule + dead + mute, report.storm.operations);
    assert!((opens..=opens + deaths).contains(&(rule + dead)), "{rule} by its rule, {dead} by its death");
}

fn helpers_come_back() {
    let faults =
        "faults:\n  - kill: { on: alpha, at: 300ms }\n  - restart: { on: alpha, at: 700ms, after: 50ms }\n";
    let report = good("helpers-back", &helped("restart: 100ms, ", faults));
    assert_eq!(ends(&report, 0), [ProcessEnd::Signal(9), ProcessEnd::Signal(9), ProcessEnd::Clean]);
    approved_at_opens(&report, 600, 2);
    assert_eq!(report.totals.unexplained, 0);
    let traces =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults-helpers-back/runs/helpers-back/latest/traces");
    for file in ["alpha.helper-1.trace", "alpha.helper-1.2.trace", "alpha.helper-1.3.trace"] {
        let bytes = fs::read(traces.join(file)).unwrap();
        let opens = Trace::parse(&bytes).unwrap().causes().count();
        assert!(opens > 20, "{file} has {opens} opens");
    }
}

fn helper_restarted() {
    let faults = "faults:\n  - restart: { on: alpha.helper-1, at: 400ms, after: 200ms }\n";
    let report = good("helper-back", &helped("", faults));
    assert_eq!(the_fault(&report, PlannedKind::Restart).actor, "alpha.helper-1");
    assert_eq!(ends(&report, 0), [ProcessEnd::Clean], "the client goes on");
    assert_eq!((approved(&report, 0, Approval::Rule), report.approvals.unknown), (600, 0));
    assert_eq!((report.totals.unexplained, report.totals.lost), (0, 0));
    let asked = asked(&report);
    assert_eq!((asked.carried_out + asked.failed, asked.unheard), (600, 0), "each request is over");
    // 200 ms and the start of a process at 500 opens a second.
    assert!((80..400).contains(&asked.failed), "{asked:?}");
    let (before, after) =
        (opens_of("helper-back", "alpha.helper-1.trace"), opens_of("helper-back", "alpha.helper-1.2.trace"));
    assert!(before > 100 && after > 50, "{before} before, {after} after");
    // An open that the kill has caught was begun and not replied to.
    let opens = before + after;
    assert!((asked.carried_out..=asked.carried_out + 1).contains(&opens), "{opens} {asked:?}");
    // Its client knows the second process for its helper, too. That one open may have ended before it was asked about.
    let muted = approved(&report, 0, Approval::Mute);
    assert!((opens - 1..=opens).contains(&muted), "{muted} of {opens}");
}

fn helper_and_client_restarted() {
    let faults = "faults:\n  - restart: { on: alpha.helper-1, at: 200ms, after: 50ms }\n  \
                  - restart: { on: alpha, at: 700ms, after: 50ms }\n";
    let report = good("helper-and-client-back", &helped("", faults));
    assert_eq!(ends(&report, 0), [ProcessEnd::Signal(9), ProcessEnd::Clean]);
    approved_at_opens(&report, 600, 1);
    assert_eq!(report.totals.unexplained, 0);
    for file in ["alpha.helper-1.trace", "alpha.helper-1.2.trace", "alpha.helper-1.3.trace"] {
        let opens = opens_of("helper-and-client-back", file);
        assert!(opens > 20, "{file} has {opens} opens");
    }
}

/// Two clients that have a daemon open what the workload opens, and wait for it.
fn with_daemon(rest: &str) -> String {
    let behavior = "behavior: { mute: { processes: [indexer] }, daemons: [{ ask: indexer, wait: true }] }";
    let clients = format!("  - {{ id: alpha, {behavior} }}\n  - {{ id: bravo, {behavior} }}\n");
    format!("daemons: [{{ id: indexer, workers: 2 }}]\n{}", noops(&clients, 600, rest))
}

fn daemon_restarted() {
    let faults = "faults:\n  - restart: { on: indexer, at: 400ms, after: 200ms }\n";
    let report = good("daemon-back", &with_daemon(faults));
    assert_eq!(the_fault(&report, PlannedKind::Restart).actor, "indexer");
    assert_eq!((approved(&report, 0, Approval::Rule), approved(&report, 1, Approval::Rule)), (600, 600));
    assert_eq!(report.totals.unexplained, 0);
    let asked = asked(&report);
    assert_eq!((asked.carried_out + asked.failed, asked.unheard), (1200, 0));
    // 200 ms and the start of a process at 500 opens a second, of two clients.
    assert!((150..800).contains(&asked.failed), "{asked:?}");
    let traces =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults-daemon-back/runs/daemon-back/latest/traces");
    let opens =
        |file: &str| Trace::parse(&fs::read(traces.join(file)).unwrap()).unwrap().causes().count() as u64;
    let (before, after) = (opens("indexer.trace"), opens("indexer.2.trace"));
    assert!(before > 100 && after > 100, "{before} before, {after} after");
    // An open that the kill has caught was begun and not replied to.
    assert!(
        (asked.carried_out..=asked.carried_out + 2).contains(&(before + after)),
        "{before} {after} {asked:?}"
    );
}

fn daemon_killed() {
    let report = good("daemon-kill", &with_daemon("faults:\n  - kill: { on: indexer, at: 400ms }\n"));
    assert_eq!(
        (approved(&report, 0, Approval::Rule), approved(&report, 1, Approval::Rule)),
        (600, 600),
        "the clients go on"
    );
    let asked = asked(&report);
    assert_eq!((asked.carried_out + asked.failed, asked.unheard), (1200, 0));
    assert!(asked.carried_out > 200 && asked.failed > 200, "{asked:?}");
}

fn daemon_stalled() {
    let faults = "faults:\n  - stall: { on: indexer, at: 300ms, for: 500ms }\n";
    let report = good("daemon-stall", &with_daemon(faults));
    assert_eq!(ends(&report, 0), [ProcessEnd::Clean]);
    // There is one opener, and the kernel asks one client after the other: the first of them waits.
    let waited = report.clients.iter().map(|client| client.latency_ns.max);
    assert!(waited.max().unwrap() >= 400_000_000, "a client waited for it");
    assert_eq!(asked(&report), Asked { carried_out: 1200, ..Asked::default() });
}

fn helper_slow() {
    let faults = "faults:\n  - slow: { on: alpha.helper-1, at: 300ms, for: 400ms, by: 5ms }\n";
    let report = good("helper-slow", &helped("", faults));
    let slow = the_fault(&report, PlannedKind::Slow);
    assert_eq!((slow.actor.as_str(), slow.detail.as_str()), ("alpha.helper-1", "by 5ms"));
    assert!((390..900).contains(&lasted(slow)), "{slow:?}");
    assert_eq!(asked(&report), Asked { carried_out: 600, ..Asked::default() });
    let latency = &report.clients[0].requests[0].latency_ns;
    assert!(latency.max >= 5_000_000, "{latency:?}");
    assert!(latency.p50 < 5_000_000, "before and after it is as it was: {latency:?}");
    // The fault is in the worker's own work, and nowhere else.
    let times = &report.clients[0].requests[0].times;
    assert_eq!((times.told, times.not_told_ns), (600, 0), "{times:?}");
    assert!(times.working.p99_ns >= 5_000_000, "{times:?}");
    assert!(times.queued.p99_ns < 5_000_000, "it is asked one request at a time: {times:?}");
    assert!(times.operating.total_ns > 0, "{times:?}");
}

fn daemon_slow() {
    let report = good(
        "daemon-slow",
        &with_daemon("faults:\n  - slow: { on: indexer, at: 300ms, for: 400ms, by: 5ms }\n"),
    );
    assert_eq!(asked(&report), Asked { carried_out: 1200, ..Asked::default() });
    for client in 0..2 {
        let latency = &report.clients[client].requests[0].latency_ns;
        assert!(latency.max >= 5_000_000 && latency.p50 < 5_000_000, "{latency:?}");
    }
}

/// The operations in a trace of a run.
fn opens_of(name: &str, file: &str) -> u64 {
    let traces =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{name}/runs/{name}/latest/traces"));
    Trace::parse(&fs::read(traces.join(file)).unwrap()).unwrap().causes().count() as u64
}

fn helper_behaves() {
    let faults =
        "faults:\n  - behave: { on: alpha.helper-1, at: 300ms, for: 400ms, errand: { extra_opens: 3 } }\n";
    let report = good("helper-behaves", &helped("", faults));
    assert_eq!(asked(&report), Asked { carried_out: 600, ..Asked::default() });
    let opens = opens_of("helper-behaves", "alpha.helper-1.trace");
    // One for each request, and three more for those of 400 ms at 500 a second.
    assert_eq!((opens - 600) % 3, 0, "each request is served in one way or the other: {opens}");
    assert!((100..400).contains(&((opens - 600) / 3)), "{opens}");
    assert_eq!(
        approved(&report, 0, Approval::Mute),
        opens,
        "each open of the helper is an event of its client"
    );
    assert_eq!(report.totals.unexplained, 0);
    assert!((390..900).contains(&lasted(the_fault(&report, PlannedKind::Behave))));
}

fn daemon_behaves() {
    let faults =
        "faults:\n  - behave: { on: indexer, at: 400ms, errand: { workers: 1, open: false, delay: 1ms } }\n";
    let report = good("daemon-behaves", &with_daemon(faults));
    assert_eq!(asked(&report), Asked { carried_out: 1200, ..Asked::default() });
    let opens = opens_of("daemon-behaves", "indexer.trace");
    assert!((200..800).contains(&opens), "{opens} before the fault, none after it");
    assert_eq!(the_fault(&report, PlannedKind::Behave).actor, "indexer");
    assert_eq!(report.totals.unexplained, 0);
}

fn slow_on_the_dead() {
    let faults = "faults:\n  - kill: { on: alpha.helper-1, at: 200ms }\n  \
                  - slow: { on: alpha.helper-1, at: 400ms, for: 100ms, by: 5ms }\n";
    let (finished, report) = run("slow-dead", &helped("", faults));
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let (held, observed) = expected(&report).pop().unwrap();
    assert_eq!(held, Some(false));
    assert!(observed.starts_with("never came: alpha.helper-1 was gone at "), "{observed}");
}

fn loaded() {
    let faults = "faults:\n  - cpu_load: { threads: 2, at: 200ms, for: 300ms }\n";
    let report = good("loaded", &noops(PAIR, 400, faults));
    let load = the_fault(&report, PlannedKind::CpuLoad);
    assert!((290..900).contains(&lasted(load)), "{load:?}");
    assert_eq!((load.actor.as_str(), load.detail.as_str()), ("machine", "2 threads"));
}

fn never_came() {
    let faults = "faults:\n  - kill: { on: bravo, at: 15s }\n";
    let (finished, report) = run("never", &noops(PAIR, 100, faults));
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let (held, observed) = expected(&report).pop().unwrap();
    assert_eq!(held, Some(false));
    assert!(observed.starts_with("never came: the storm was over after"), "{observed}");
    assert_eq!(report.faults, []);
}

fn on_the_dead() {
    let faults =
        "faults:\n  - kill: { on: bravo, at: 200ms }\n  - stall: { on: bravo, at: 500ms, for: 1s }\n";
    let (finished, report) = run("dead", &noops(PAIR, 500, faults));
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let (held, observed) = expected(&report).pop().unwrap();
    assert_eq!(held, Some(false));
    assert!(observed.starts_with("never came: bravo was gone at"), "{observed}");
}

fn cut_short() {
    let body = "clients: { count: 2, behavior: noop }\n\
                phases: { baseline: 0s, control: 0s, storm: 1s, drain: 0s }\n\
                workload:\n  - open_storm: { workers: 1, files: 10, rate: 100 }\n\
                safety: { run_max: 1s }\n";
    let (finished, report) = run("cut-short", body);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let (held, observed) = expected(&report).pop().unwrap();
    assert_eq!(held, Some(false));
    assert!(observed.starts_with("ended after"), "{observed}");
}
