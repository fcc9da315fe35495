//! Labs that run for real: the laws that a person relies on when reading a report, by exact numbers.
//!
//! They need `CAP_SYS_ADMIN` and fanotify permission events. Where those are missing each test says so and
//! counts as ignored.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read the reports of the labs that they run"
)]

mod rig;

use std::{fs, process::ExitCode};

use lab_analysis::findings::{
    ApprovalWay, CycleEnd, FaultMarkKind, Findings, NotifySummary, Outcome, ProcessEnd, ReportSection, Word,
};
use lab_model::{Approval, NotifyEvent};
use lab_testing::found::{client, phase, storm};
use libtest_mimic::Arguments;
use rig::{Live, Rig, live, scanners, sums_add_up};

/// Short phases, and a load that ends by itself.
fn open_storm(operations: u64) -> String {
    format!(
        "phases: {{ baseline: 50ms, control: 50ms, storm: 20s, drain: 5s }}\n\
         workload:\n  - open_storm: {{ workers: 2, files: 50, operations_max: {operations} }}\n"
    )
}

fn main() -> ExitCode {
    let mut tests: Vec<Live> = vec![
        live("noop_clients_decide_once_for_each_open", noop_clients),
        live("a_pathological_neighbour_by_arithmetic", pathological),
        live("an_exec_is_two_five_or_eight_events_for_each_client", execs),
        live("programs_that_clients_run_are_theirs_whoever_can_tell", spawned),
        live("reacting_to_the_workload_only_ends_at_the_law_also_after_the_answer", asynchronous_law),
        live("an_open_loop_keeps_its_plan", open_loop),
        live("every_program_of_a_tree_is_explained", trees),
        live("what_a_command_does_is_explained_by_its_processes", command),
        live("a_mix_and_a_list_are_told_apart_by_what_is_kept", mix_and_list),
        live("deadlock_pair_stands_still_until_the_deadline", deadlock_pair),
        live("echo_chamber_never_becomes_calm", echo_chamber),
        live("a_helper_makes_its_peers_work", helpers),
        live("a_client_asks_its_helper_and_nobody_else_reacts", helper_law),
        live("a_shared_daemon_launders_by_arithmetic", laundering),
        live("a_daemon_feeds_even_one_client_unless_it_is_muted", daemon_echo),
        live("two_clients_with_helpers_feed_each_other", helpers_echo),
        live("a_client_that_waits_for_its_helper_waits_for_itself", helper_waits_for_itself),
        live("who_is_only_told_keeps_nobody_waiting", observer),
        live("what_is_done_when_told_is_work_for_all", observer_acts),
        live("names_that_come_and_go_are_told_once_each", names),
        live("what_a_kernel_does_not_tell_is_refused", unsupported_notify),
        live("forty_eight_clients_work", forty_eight),
        live("two_labs_at_once_do_not_see_each_other", two_at_once),
        live("the_same_run_can_be_reported_again", reported_again),
    ];
    for (name, count) in [
        ("exact_law_1_scanner", 1),
        ("exact_law_2_scanners", 2),
        ("exact_law_3_scanners", 3),
        ("exact_law_6_scanners", 6),
    ] {
        tests.push(live(name, move || exact_law(count)));
    }
    rig::main(Arguments::from_args(), tests)
}

/// Two scanners and a client that is only told.
fn observed(observer: &str, load: &str) -> String {
    format!(
        "defaults:\n  behavior: scanner\nclients:\n  - {{ id: alpha }}\n  - {{ id: bravo }}\n  - id: observer\n    \
         behavior: {{ preset: noop, subscribe: none, {observer} }}\n{load}"
    )
}

/// The part of the third client, and what must hold of it whatever it listens to.
fn notices_of_names(report: &Findings) -> NotifySummary {
    let told = report.clients[2].told.clone().unwrap();
    let sum: u64 = told.by_author.iter().map(|(_, notices)| notices).sum();
    assert_eq!(sum, told.notices, "who did it adds up");
    assert_eq!((told.lost, told.unread), (Some(0), 0));
    told
}

/// The same of a client that listens to opens, and what must hold of it whatever was merged.
fn notices(report: &Findings) -> NotifySummary {
    let told = notices_of_names(report);
    // Every open is told of or known not to be told apart: none is missing from the sum.
    let opens = told.by_event.get(&NotifyEvent::Open.into()).copied().unwrap_or(0);
    assert_eq!(Some(opens + told.opens_not_told_apart.unwrap()), told.opens, "{told:?}");
    told
}

fn observer() {
    let rig = Rig::new("observer");
    rig.lab("observer", &observed("notify: [open, close]", &open_storm(1000)));
    let report = rig.report("observer");
    nothing_went_wrong(&report);
    assert_eq!(report.outcome, Outcome::Stable);
    assert_eq!(report.storm.decisions, 6 * 1000, "as two scanners alone");
    assert_eq!(report.clients[2].decisions, 0);
    assert_eq!(report.clients[2].approvals.hidden, [(ApprovalWay::NotSubscribed.into(), 3 * 1000)].into());
    let told = notices(&report);
    assert_eq!(told.opens, Some(3 * 1000), "the workload's and both scanners'");
    assert!(told.notices > 0);
    assert_eq!((told.reacted, told.operations), (0, 0));
    let names: Vec<&str> = told.by_author.iter().map(|(name, _)| name.as_str()).collect();
    assert!(["alpha", "bravo", "workload"].iter().all(|name| names.contains(name)), "{names:?}");
    assert!(names.len() == 3, "everything that it was told of is explained: {names:?}");
}

/// Both scanners decide about each open that the observer makes; nobody reacts to it.
fn observer_acts() {
    let rig = Rig::new("observer-acts");
    rig.lab("acts", &observed("notify: [open], on_notify: { reopen: true }", &open_storm(500)));
    let report = rig.report("acts");
    nothing_went_wrong(&report);
    // Nobody waits for the observer, so on a busy machine its work may pile up as long as the storm lasts.
    let outcome = report.outcome;
    // Of a storm below 100 ms it is not told whether it would have gone on to.
    let short = storm(&report).seconds < 0.1 && outcome == Outcome::Unknown;
    assert!(short || [Outcome::Stable, Outcome::Saturated].contains(&outcome), "{}", report.outcome_rule);
    let told = notices(&report);
    let made = told.operations;
    assert!(made > 0);
    assert_eq!(made, told.reacted, "one reopen for each notice that sets it off");
    assert_eq!(told.inflicted, 2 * made);
    assert_eq!(report.storm.operations, 3 * 500 + made, "all of it belongs to a root's cascade");
    assert_eq!(report.storm.decisions, 6 * 500 + 2 * made);
    assert_eq!(report.clients[2].decisions, 0);
    assert_eq!(report.clients[2].operations, made);
    assert_eq!(report.loop_gain.unwrap().value, 0.0, "its own opens do not set it off");
    let cascades = report.cascades.count + report.cascades.unfinished;
    assert_eq!((cascades, report.cascades.unfinished), (500, 0));
}

/// Every file that the driver makes it removes again; each is another inode, so no merging hides one.
fn names() {
    let rig = Rig::new("names");
    let load = "phases: { baseline: 0s, control: 0s, storm: 30s, drain: 30s }\nworkload:\n  \
                - file_mix: { workers: 2, files: 9, read: 0, write: 0, create: 1, operations_max: 300 }\n";
    rig.lab("names", &observed("notify: [create, rename, unlink]", load));
    let report = rig.report("names");
    nothing_went_wrong(&report);
    let told = notices_of_names(&report);
    let made = report.storm.root_ops;
    assert!(made >= 300);
    assert_eq!(
        told.by_event,
        [(NotifyEvent::Create.into(), made), (NotifyEvent::Unlink.into(), made)].into()
    );
    assert_eq!(told.by_author, [("workload".to_owned(), told.notices)], "all explained");
    assert_eq!(told.notices + told.mixed, 2 * made, "a merged one is both");
    assert_eq!(report.clients[2].decisions, 0);
}

fn unsupported_notify() {
    let rig = Rig::new("untold");
    rig.lab("untold", &observed("notify: [open, fork]", &open_storm(10)));
    let finished = rig.run(&["up", "untold"]);
    assert_eq!(finished.code, Some(64));
    let words = finished.stderr;
    assert!(
        words.contains("observer subscribes to NOTIFY `fork` events, and fanotify tells of files"),
        "{words}"
    );
    let judging = "clients: [{ id: alpha, behavior: { verdict: { deny: [{ team_id: T }] } } }]\n";
    rig.lab("signed", &format!("{judging}{}", open_storm(10)));
    let finished = rig.run(&["up", "signed"]);
    assert_eq!(finished.code, Some(64));
    let words = finished.stderr;
    assert!(words.contains("alpha denies by signature, and fanotify does not say who signed"), "{words}");
}

/// What must hold of every lab in which nothing went wrong.
fn nothing_went_wrong(report: &Findings) {
    sums_add_up(report);
    for totals in [&report.totals, &report.storm] {
        assert_eq!((totals.unexplained, totals.lost, totals.damaged), (0, 0, 0), "{totals:?}");
        assert_eq!((totals.unanswered, totals.denied, totals.operations_unfinished), (0, 0, 0), "{totals:?}");
    }
    assert_eq!(report.faults, []);
    for client in &report.clients {
        assert_eq!(client.end, ProcessEnd::Clean, "{client:?}");
        assert_eq!(client.deadline_misses, 0);
    }
}

fn exact_law(count: usize) {
    let (rig, clients) = (Rig::new(&format!("law-{count}")), count as u64);
    rig.lab("law", &(scanners(count) + &open_storm(1000)));
    let report = rig.report("law");
    nothing_went_wrong(&report);
    assert_eq!(report.outcome, Outcome::Stable);
    let (roots, decisions) = (report.storm.root_ops, report.storm.decisions);
    assert_eq!(roots, 1000);
    assert_eq!(decisions, clients * (clients + 1) * roots);
    assert_eq!(report.amplification, Some((clients * (clients + 1)) as f64));
    assert_eq!(report.storm.own_process, clients * roots);
    assert_eq!(report.storm.operations, (clients + 1) * roots);
    // N for the workload, the rest for the clients: each row has the same number in each column.
    let columns = report.causes.columns.len();
    assert_eq!(columns, count + 1);
    let expected = vec![vec![roots; columns]; count];
    assert_eq!(report.causes.decisions, expected);
    let sizes = &report.cascades.size.histogram;
    assert_eq!(*sizes, [(clients * (clients + 1), roots)], "every single cascade");
}

fn noop_clients() {
    let rig = Rig::new("noop");
    rig.lab("noop", &("clients: { count: 3, behavior: noop }\n".to_owned() + &open_storm(2000)));
    let report = rig.report("noop");
    nothing_went_wrong(&report);
    assert_eq!(report.outcome, Outcome::Stable);
    assert_eq!(report.storm.root_ops, 2000);
    assert_eq!(report.storm.decisions, 3 * 2000);
    assert_eq!(report.storm.own_process, 0);
    assert_eq!(report.storm.operations, 2000);
    let controlled = phase(&report, "control").root_ops;
    assert!(controlled > 0);
    assert_eq!(report.totals.decisions, 3 * (2000 + controlled), "no client in the baseline");
}

/// Two scanners open 1 each; the pathological one opens the target and 4 more: 1 + 2 + 5 operations for each
/// root, and each of them is asked about by 3 clients.
fn pathological() {
    let rig = Rig::new("pathological");
    let clients = "clients:\n  - { id: alpha, behavior: scanner }\n  - { id: bravo, behavior: scanner }\n  \
                   - { id: mallory, behavior: pathological }\n";
    rig.lab("bad", &(clients.to_owned() + &open_storm(500)));
    let report = rig.report("bad");
    nothing_went_wrong(&report);
    assert_eq!(report.storm.root_ops, 500);
    assert_eq!(report.storm.operations, (1 + 2 + 5) * 500);
    assert_eq!(report.storm.decisions, 3 * (1 + 2 + 5) * 500);
    assert_eq!(report.storm.own_process, (1 + 1 + 5) * 500);
    let row = vec![500, 500, 500, 5 * 500];
    assert_eq!(report.causes.decisions, vec![row; 3]);
}

fn execs() {
    for (program, events) in [("static", 2), ("dynamic", 5), ("script", 8)] {
        let rig = Rig::new(&format!("exec-{program}"));
        let load = format!(
            "phases: {{ baseline: 50ms, control: 50ms, storm: 20s, drain: 5s }}\n\
             workload:\n  - exec_storm: {{ workers: 2, program: {program}, operations_max: 200 }}\n"
        );
        rig.lab("exec", &("clients: { count: 3, behavior: noop }\n".to_owned() + &load));
        let report = rig.report("exec");
        nothing_went_wrong(&report);
        assert_eq!(report.storm.root_ops, 200, "{program}");
        assert_eq!(report.storm.decisions, 3 * events * 200, "{program}");
    }
}

/// For each open of the workload alpha runs a script (8 events), bravo opens the target and, taking the script for
/// the workload's, what each of the 8 events is about: 1 + 1 + 9 operations with 1 + 8 + 9 questions to each of 2.
fn spawned() {
    let rig = Rig::new("spawned");
    let alpha = "{ id: alpha, behavior: { on_open: { via: descriptor, hash: true, spawn: script }, \
                 delay: { exponential: 50us }, cpu: { uniform: [0s, 50us] } } }";
    let clients = format!("clients:\n  - {alpha}\n  - {{ id: bravo, behavior: scanner }}\n");
    rig.lab("spawned", &(clients + &open_storm(100)));
    let report = rig.report("spawned");
    nothing_went_wrong(&report);
    assert_eq!(report.outcome, Outcome::Stable);
    assert_eq!(report.storm.operations, 11 * 100);
    let row = vec![100, 8 * 100, 9 * 100];
    assert_eq!(report.causes.decisions, vec![row; 2]);
    assert_eq!(report.cascades.size.histogram, [(36, 100)]);
}

/// Two clients that answer first and open afterwards, as in the echo chamber, but for the workload only: each open
/// of the workload ends at exactly N(N+1) decisions.
fn asynchronous_law() {
    let rig = Rig::new("asynchronous");
    let defaults = "defaults: { behavior: { concurrency: 1, react_to: workload, \
                    on_open: { reopen: true, read: true, when: after } } }\n";
    rig.lab("quiet", &(defaults.to_owned() + "clients: { count: 2 }\n" + &open_storm(1000)));
    let report = rig.report("quiet");
    nothing_went_wrong(&report);
    // A closed loop does not wait for what follows the answers, so these may pile up; but they end.
    assert!([Outcome::Stable, Outcome::Saturated].contains(&report.outcome), "{}", report.outcome_rule);
    assert_eq!(report.storm.decisions, 6 * 1000);
    assert_eq!(report.cascades.size.histogram, [(6, 1000)]);
    let drain = report.drain.unwrap();
    assert_eq!((drain.quiet, drain.in_flight), (true, 0));
}

fn open_loop() {
    let rig = Rig::new("open-loop");
    let load = "phases: { baseline: 0s, control: 0s, storm: 1s, drain: 5s }\n\
                workload:\n  - open_storm: { workers: 2, files: 50, rate: 500 }\n";
    rig.lab("paced", &(scanners(2) + load));
    let report = rig.report("paced");
    nothing_went_wrong(&report);
    assert_eq!(report.storm.root_ops, 500);
    assert_eq!(report.storm.decisions, 6 * 500);
}

/// A tree of 7 programs, each 2 AUTH events a client; the scanner opens what each of them is about.
fn trees() {
    let rig = Rig::new("trees");
    let load = "phases: { baseline: 50ms, control: 50ms, storm: 20s, drain: 5s }\n\
                workload:\n  - exec_tree: { workers: 2, fanout: 2, depth: 2, operations_max: 10 }\n";
    let clients = "clients:\n  - { id: alpha, behavior: scanner }\n  - { id: bravo, behavior: noop }\n";
    rig.lab("trees", &(clients.to_owned() + load));
    let report = rig.report("trees");
    nothing_went_wrong(&report);
    assert_eq!(report.storm.root_ops, 7 * 10);
    // Each of ten trees: a root, its two, and their four; every one told who had started it.
    let trees = report.trees.as_ref().unwrap();
    assert_eq!([trees.trees, trees.execs, trees.detached], [10, 70, 0]);
    let levels = &trees.levels;
    let execs: Vec<u64> = levels.iter().map(|level| level.execs).collect();
    assert_eq!(execs, [10, 20, 40]);
    let steps = &trees.slowest;
    let own = steps.iter().map(|step| step.before_ns + step.after_ns);
    assert_eq!((steps.len(), own.sum::<u64>()), (3, steps[0].lasted_ns), "{trees:?}");
    assert_eq!(trees.lasted_ns.max, steps[0].lasted_ns);
    let row = vec![2 * 70, 2 * 70, 0];
    assert_eq!(report.causes.decisions, vec![row; 2]);
}

/// Five files written, five read by programs from outside the arena, one program of the arena run twice: 5 + 5 + 1
/// opens, and 2 AUTH events for each of the two execs, on each client.
fn command() {
    let rig = Rig::new("command");
    let script =
        "for i in 1 2 3 4 5; do echo $i > f$i; cat f$i; done; cp /bin/true t; ./t; ./t & wait; /bin/true";
    let load = format!(
        "phases: {{ baseline: 0s, control: 0s, storm: 20s, drain: 5s }}\n\
         workload:\n  - run: {{ command: [sh, -c, \"{script}\"], directory: work }}\n"
    );
    rig.lab("command", &("clients: { count: 2, behavior: noop }\n".to_owned() + &load));
    let report = rig.report("command");
    nothing_went_wrong(&report);
    assert_eq!(report.storm.decisions, 2 * (5 + 5 + 1 + 2 * 2));
    // The shell, five of `cat`, `cp`, two of the program, and one that opens nothing of the arena.
    assert_eq!(report.storm.root_ops, 10);
    let storm = storm(&report);
    assert_eq!([storm.processes.as_ref().unwrap().ended, storm.root_ops], [10, 0]);
    assert_eq!(storm.op_latency_ns.count, 0, "how long a process lives is no latency of an open");
    assert_eq!(report.approvals.hidden[&Word::Known(ApprovalWay::OutOfScope)], 2, "{:?}", report.approvals);
    let row = vec![15, 0, 0];
    assert_eq!(report.causes.decisions, vec![row; 2]);
}

/// One open of any kind is one event; a kept answer is asked for once, and again after a write.
fn mix_and_list() {
    let rig = Rig::new("mix-and-list");
    let recorded = "# what was recorded\n/etc/hosts\n/usr/lib/one.so\n\n/etc/hosts\n";
    fs::write(rig.configs().join("recorded.txt"), recorded).unwrap();
    let load = "phases: { baseline: 0s, control: 0s, storm: 20s, drain: 5s }\n\
                workload:\n  - open_list: { list: recorded.txt, operations_max: 300 }\n  \
                - file_mix: { workers: 1, files: 9, read: 1, write: 1, create: 1, operations_max: 300 }\n";
    let clients = "clients:\n  - { id: alpha, behavior: noop }\n  - { id: bravo, behavior: { cache: on } }\n";
    rig.lab("mixed", &(clients.to_owned() + load));
    let report = rig.report("mixed");
    nothing_went_wrong(&report);
    assert_eq!(report.storm.root_ops, 600);
    assert_eq!(client(&report, "alpha").decisions, 600, "one event for every open");
    // Two files of the list once each; of the mix what is new each time, and what was written to since.
    let asked = client(&report, "bravo").decisions;
    assert!((2 + 100 - 60..2 + 300).contains(&asked), "{asked}");
}

/// Copies a lab that ships, with shorter phases, and runs it.
fn shipped(rig: &Rig, name: &str, storm: &str) -> Findings {
    let file = format!("{}/../../lab-configs/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().map(|line| match line.split_once(':') {
        Some(("phases", _)) => {
            format!("phases: {{ baseline: 50ms, control: 50ms, storm: {storm}, drain: 2s }}\n")
        }
        _ => format!("{line}\n"),
    });
    fs::write(rig.configs().join(format!("{name}.yaml")), lines.collect::<String>()).unwrap();
    rig.report(name)
}

fn deadlock_pair() {
    let rig = Rig::new("deadlock-pair");
    let report = shipped(&rig, "deadlock-pair", "3s");
    sums_add_up(&report);
    assert_eq!(report.outcome, Outcome::Deadlocked, "{}", report.outcome_rule);
    assert_eq!(report.totals.lost, 0);
    let cycle = &report.wait_cycles[0];
    let mut members = cycle.members.clone();
    members.sort_unstable();
    assert_eq!(members, ["alpha", "bravo"]);
    assert_eq!(cycle.ended_by, CycleEnd::DeadlineKill);
    assert!(!cycle.evidence.is_empty());
    // The circle closes a moment after the first decision of it was read, and the deadline counts from there.
    let deadline = report.deadline_ns;
    let lasted = cycle.lasted_ns.unwrap();
    assert!(lasted.abs_diff(deadline) <= deadline / 10, "{lasted} ns against a deadline of {deadline} ns");
    let kills = report.faults.iter().filter(|fault| fault.kind == FaultMarkKind::DeadlineKill);
    assert!(kills.count() >= 1);
    let ends: Vec<_> = report.clients.iter().map(|client| client.end.clone()).collect();
    assert!(ends.contains(&ProcessEnd::DeadlineKill.into()), "{ends:?}");
}

fn echo_chamber() {
    let rig = Rig::new("echo-chamber");
    let report = shipped(&rig, "echo-chamber", "1s");
    sums_add_up(&report);
    assert_eq!(report.outcome, Outcome::Divergent, "{}", report.outcome_rule);
    assert_eq!(report.totals.lost, 0);
    assert_eq!(report.totals.unexplained, 0);
    let drain = report.drain.as_ref().unwrap();
    assert!(!drain.quiet && drain.in_flight > 0, "{drain:?}");
    let gain = report.loop_gain.unwrap().value;
    assert!((gain - 1.0).abs() < 0.05, "each event brings one more: {gain}");
}

/// The decisions of each client by the column of this name.
fn column(report: &Findings, name: &str) -> Vec<u64> {
    let columns = &report.causes.columns;
    let place = columns.iter().position(|column| column.name == name);
    let place = place.unwrap_or_else(|| panic!("{name} is a column: {columns:?}"));
    report.causes.decisions.iter().map(|row| row[place]).collect()
}

/// The root open, the helper's open, and what the two scanners open about either: 3 · (1 + 1 + 2 + 2).
fn helpers() {
    let rig = Rig::new("helpers");
    let clients = "defaults:\n  behavior: scanner\nclients:\n  - { id: alpha, behavior: { on_open: { reopen: false }, \
                   mute: { helpers: true }, helpers: { count: 2, read: true } } }\n  - { id: bravo }\n  - { id: charlie }\n";
    rig.lab("helped", &(clients.to_owned() + &open_storm(500)));
    let report = rig.report("helped");
    nothing_went_wrong(&report);
    assert_eq!(report.outcome, Outcome::Stable);
    assert_eq!(report.storm.root_ops, 500);
    assert_eq!(report.storm.decisions, 18 * 500);
    assert_eq!(report.storm.operations, (1 + 1 + 4) * 500);
    assert_eq!(column(&report, "alpha's helpers"), [500; 3]);
    assert_eq!(column(&report, "bravo"), [1000; 3], "half of it because of the helper");
    // To its own client a helper is known, to the others it is the workload.
    assert_eq!(report.causes.observed[0], [0, 500, 2000, 500]);
    assert_eq!(report.causes.observed[1], [1000, 0, 1000, 1000]);
    assert_eq!(report.causes.misattributed, 2 * 500);
    assert_eq!(report.clients[0].by_approval[&Word::Known(ApprovalWay::By(Approval::Mute))], 500);
}

/// Of N scanners one asks a helper besides: N(2N + 1) decisions for each open instead of N(N + 1).
fn helper_law() {
    for (count, wait) in [(1, true), (2, false), (3, true)] {
        let rig = Rig::new(&format!("helper-law-{count}"));
        let more: String = (1..count).map(|nth| format!("  - {{ id: peer-{nth} }}\n")).collect();
        let clients = format!(
            "defaults:\n  behavior: scanner\nclients:\n  - {{ id: alpha, behavior: {{ helpers: {{ count: 3, wait: {wait} }} }} }}\n{more}"
        );
        rig.lab("law", &(clients + &open_storm(300)));
        let report = rig.report("law");
        nothing_went_wrong(&report);
        assert_eq!(report.storm.root_ops, 300);
        assert_eq!(report.storm.decisions, count * (2 * count + 1) * 300, "{count} clients");
        assert_eq!(column(&report, "alpha's helpers"), vec![300; usize::try_from(count).unwrap()]);
    }
}

/// A run of the static program is two events for each of N clients, and each client makes the daemon open once,
/// about which all N are asked: N(2 + N). No client can tell.
fn laundering() {
    for count in [1, 3, 5] {
        let rig = Rig::new(&format!("laundering-{count}"));
        let behavior = "{ ignore_es_clients: true, mute: { helpers: true }, daemons: [{ ask: indexer, on: exec, wait: false }] }";
        let lab = format!(
            "daemons: [{{ id: indexer, workers: 2 }}]\nclients: {{ count: {count}, behavior: {behavior} }}\n\
             phases: {{ baseline: 50ms, control: 50ms, storm: 20s, drain: 5s }}\n\
             workload:\n  - exec_storm: {{ workers: 2, program: static, operations_max: 200 }}\n"
        );
        rig.lab("laundered", &lab);
        let report = rig.report("laundered");
        nothing_went_wrong(&report);
        assert_eq!(report.storm.root_ops, 200);
        assert_eq!(report.storm.decisions, count * (2 + count) * 200, "{count} clients");
        assert_eq!(column(&report, "indexer"), vec![count * 200; usize::try_from(count).unwrap()]);
        assert_eq!(report.causes.misattributed, count * count * 200, "all of it");
        for place in 0..count {
            let looks = &report.causes.brought_about[usize::try_from(place).unwrap()];
            assert_eq!(*looks, [0, 0, 0, count * 200], "each client's part of it");
        }
        let own = report.findings.iter().find(|finding| finding.section == ReportSection::Causes).unwrap();
        let advice = own.advice.as_deref().unwrap();
        assert!(advice.contains("by name") && !advice.contains("at once"), "{advice}");
        let observed = vec![[0, 0, 0, (2 + count) * 200]; usize::try_from(count).unwrap()];
        assert_eq!(report.causes.observed, observed);
    }
}

/// One client that has a daemon open what it is asked about is asked about that again: a gain of 1, alone. Two
/// that mute it make exactly N + N · N decisions.
fn daemon_echo() {
    let rig = Rig::new("daemon-echo");
    let lab = |clients: &str, load: &str| format!("daemons: [{{ id: indexer }}]\n{clients}\n{load}");
    let load = "phases: { baseline: 50ms, control: 50ms, storm: 1s, drain: 1s }\n\
                workload:\n  - open_storm: { workers: 1, files: 10, operations_max: 10 }\n";
    let alone = "clients: { count: 1, behavior: { daemons: [{ ask: indexer, wait: false }] } }";
    rig.lab("alone", &lab(alone, load));
    let report = rig.report("alone");
    sums_add_up(&report);
    assert_eq!(report.outcome, Outcome::Divergent, "{}", report.outcome_rule);
    assert_eq!(report.totals.unexplained, 0);
    let gain = report.loop_gain.unwrap().value;
    assert!((gain - 1.0).abs() < 0.05, "each event brings one more: {gain}");
    let muting =
        "clients: { count: 2, behavior: { mute: { processes: [indexer] }, daemons: [{ ask: indexer }] } }";
    rig.lab("muted", &lab(muting, &open_storm(300)));
    let report = rig.report("muted");
    nothing_went_wrong(&report);
    assert_eq!(report.storm.decisions, (2 + 2 * 2) * 300);
    assert_eq!(report.storm.by_approval[&Word::Known(ApprovalWay::By(Approval::Mute))], 2 * 2 * 300);
}

fn helpers_echo() {
    let rig = Rig::new("helpers-echo");
    let report = shipped(&rig, "helpers-echo", "1s");
    sums_add_up(&report);
    assert_eq!(report.outcome, Outcome::Divergent, "{}", report.outcome_rule);
    assert_eq!(report.totals.unexplained, 0);
    assert!(!report.drain.as_ref().unwrap().quiet);
    assert_eq!(report.clients[0].operations, 0, "no client opens anything");
    let report = shipped(&rig, "helpers-echo-fixed", "1s");
    nothing_went_wrong(&report);
    assert_eq!(report.outcome, Outcome::Stable, "{}", report.outcome_rule);
    assert_eq!(report.storm.decisions, 6 * report.storm.root_ops);
}

fn helper_waits_for_itself() {
    let rig = Rig::new("helper-waits-for-itself");
    let report = shipped(&rig, "helper-waits-for-itself", "3s");
    sums_add_up(&report);
    assert_eq!(report.outcome, Outcome::Deadlocked, "{}", report.outcome_rule);
    let cycle = &report.wait_cycles[0];
    assert_eq!(cycle.members, ["alpha"]);
    assert_eq!(cycle.ended_by, CycleEnd::DeadlineKill);
    assert_eq!(report.clients[0].end, ProcessEnd::DeadlineKill);
    assert_eq!(report.totals.unexplained, 0);
}

fn forty_eight() {
    let rig = Rig::new("forty-eight");
    rig.lab("many", &("clients: { count: 48, behavior: noop }\n".to_owned() + &open_storm(200)));
    let report = rig.report("many");
    nothing_went_wrong(&report);
    assert_eq!(report.clients.len(), 48);
    assert_eq!(report.storm.root_ops, 200);
    assert_eq!(report.storm.decisions, 48 * 200);
}

fn two_at_once() {
    let rig = Rig::new("two-at-once");
    rig.lab("one", &(scanners(2) + &open_storm(1000)));
    let reports = std::thread::scope(|scope| {
        let runs = [(); 2].map(|()| scope.spawn(|| rig.run(&["up", "one", "--json"])));
        runs.map(|run| run.join().unwrap())
    });
    for finished in reports {
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let report = finished.report();
        nothing_went_wrong(&report);
        assert_eq!(report.storm.decisions, 6 * 1000);
    }
    assert_eq!(rig.remains(), Vec::<String>::new());
}

fn reported_again() {
    let rig = Rig::new("reported-again");
    rig.lab("again", &(scanners(2) + &open_storm(300)));
    let first = rig.report("again");
    let again = rig.run(&["report", "again", "--json"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(first, again.report());
    let written = fs::read_to_string(rig.latest("again").join("report.json")).unwrap();
    assert_eq!(written, again.stdout, "report.json is what is printed");
    let client = rig.run(&["report", "again", "--client", "client-01"]);
    assert_eq!(client.code, Some(0), "{}", client.stderr);
    assert!(client.stdout.contains("client-01"), "{}", client.stdout);
    let doctor = fs::read(rig.latest("again").join("doctor.json")).unwrap();
    let doctor: serde_json::Value = serde_json::from_slice(&doctor).unwrap();
    assert_eq!((&doctor["clients"], &doctor["blocks"]), (&2.into(), &false.into()), "{doctor}");
}
