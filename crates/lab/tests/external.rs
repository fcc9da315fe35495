//! Labs with products that the lab did not build: what is seen of them from outside, and what happens when they
//! misbehave. Where Debian's fapolicyd is not installed, the tests that need it say so and count as ignored.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start programs and look at what they leave"
)]

mod rig;

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
};

use lab_analysis::findings::{
    ColumnKind, Findings, GroupClass, Outcome, Outside, Product, ProductEnd, ProductGroup,
};
use lab_model::{Approval, PhaseKind};
use lab_testing::found::storm;
use libtest_mimic::Arguments;
use rig::{Finished, LAB, Live, Rig, anywhere, live, sums_add_up};

const FAPOLICYD: &str = "/usr/sbin/fapolicyd";

fn main() -> ExitCode {
    let tests: Vec<Live> = vec![
        with_fapolicyd("a_product_beside_three_scanners", beside),
        with_fapolicyd("a_product_that_denies", denies),
        with_fapolicyd("a_product_whose_queue_is_full_denies", full_queue),
        with_fapolicyd("a_product_that_stops_answering_is_killed_at_the_deadline", stops_answering),
        with_fapolicyd("a_product_that_marks_what_is_not_the_labs_is_ended", marks_outside),
        live("what_a_product_opens_is_its_own", generates),
        live("a_product_that_a_client_mutes", muted),
        live("a_product_that_never_gets_ready", never_ready),
        live("a_product_that_ends_before_it_is_ready", ends_early),
        live("a_product_that_does_not_end_is_killed", does_not_end),
        live("a_product_that_ends_in_the_storm", ends_in_the_storm),
        anywhere("a_product_that_is_not_installed", not_installed),
        anywhere("a_command_that_does_not_exist", no_such_command),
        anywhere("a_product_that_would_hide_the_lab", hides_the_lab),
        anywhere("a_product_is_not_simulated", not_simulated),
    ];
    rig::main(Arguments::from_args(), tests)
}

/// A test that needs fapolicyd beside what a live lab needs.
fn with_fapolicyd(name: &'static str, body: impl FnOnce() + Send + 'static) -> Live {
    let missing = (!Path::new(FAPOLICYD).exists()).then(|| format!("{FAPOLICYD} is not installed"));
    Live { lacks: missing, ..live(name, body) }
}

/// Three clients that answer at once, and an open storm of so many operations.
fn load(operations: u32) -> String {
    format!(
        "clients: {{ count: 3, behavior: noop }}\n\
         phases: {{ baseline: 50ms, control: 100ms, external: 100ms, storm: 10s, drain: 2s }}\n\
         workload:\n  - open_storm: {{ workers: 1, files: 10, rate: max, operations_max: {operations} }}\n"
    )
}

/// A product that is a shell script.
fn script(id: &str, ready: &str, script: &str) -> String {
    let script = serde_json::to_string(script).unwrap();
    format!("external:\n  - {{ id: {id}, start: [/bin/sh, -c, {script}], ready: {ready} }}\n")
}

/// The fapolicyd of a lab that ships, with another way to start it, other settings and another arena.
fn fapolicyd(start: &str, settings: &str, arena: &str) -> String {
    format!(
        "external:\n  - id: fapolicyd\n    start: {start}\n    process: {{ path: {FAPOLICYD} }}\n    arena: {arena}\n    \
         private:\n      - path: /etc/fapolicyd\n        files:\n          fapolicyd.conf: \"uid = 0\\ngid = 0\\n\
         q_size = 800\\ndb_max_size = 5\\ntrust = file\\nwatch_fs = ramfs\\n{settings}\"\n          \
         fapolicyd.trust: \"\"\n          compiled.rules: \"allow perm=any all : all\\n\"\n      \
         - path: /var/lib/fapolicyd\n      - {{ path: /run, folders: [fapolicyd] }}\n"
    )
}

/// Copies a lab that ships, with other phases, and runs it.
fn shipped(rig: &Rig, name: &str, phases: &str) -> Findings {
    let file = format!("{}/../../lab-configs/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().map(|line| match line.split_once(':') {
        Some(("phases", _)) => format!("phases: {{ {phases} }}\n"),
        _ => format!("{line}\n"),
    });
    fs::write(rig.configs().join(format!("{name}.yaml")), lines.collect::<String>()).unwrap();
    rig.report(name)
}

fn outside(report: &Findings) -> &Outside {
    report.outside.as_ref().unwrap()
}

fn product(report: &Findings) -> &Product {
    &outside(report).products[0]
}

/// The group is what `/proc` shows, and the clients' counts are as exact as without a product.
fn beside() {
    let rig = Rig::new("product-beside");
    let phases = "baseline: 50ms, control: 300ms, external: 300ms, storm: 1s, drain: 2s";
    let report = shipped(&rig, "fapolicyd-beside", phases);
    sums_add_up(&report);
    let roots = report.storm.root_ops;
    assert!(roots > 0);
    assert_eq!(report.storm.decisions, 12 * roots);
    assert_eq!(report.totals.unexplained, 0);
    let product = product(&report);
    assert_eq!((product.id.as_str(), product.end.known()), ("fapolicyd", Some(&ProductEnd::Clean)));
    assert_eq!(product.processes, 1);
    assert!(product.threads > 1);
    assert_eq!(product.generated, 0);
    assert!(product.ready_ns.unwrap() > 0);
    let marks = vec!["the arena's mount: ask: open, ask: exec".to_owned()];
    assert_eq!(product.groups, [ProductGroup { class: GroupClass::Content.into(), marks }]);
    let outside = outside(&report);
    let phases: Vec<PhaseKind> = outside.unaccounted.iter().map(|one| one.phase).collect();
    assert_eq!(phases, [PhaseKind::Control, PhaseKind::External, PhaseKind::Storm]);
    assert_eq!(outside.denials.operations, 0);
    // How much longer an open takes depends on the machine; that it is not known without doubt is an answer too.
    let (place, added) = (&outside.place, &outside.added_ns);
    assert_eq!(place.is_none(), added.is_none(), "{place:?} {added:?}");
    if let Some(added) = added {
        assert!(added.low <= added.value && added.value <= added.high, "{added:?}");
    }
    assert_eq!(outside.gaps.len(), 4);
}

/// A client has seen all of what the product denied or none of it, and where a gap shows the product's place, it is
/// the same one.
fn denies() {
    let rig = Rig::new("product-denies");
    let phases = "baseline: 50ms, control: 1s, external: 1s, storm: 10s, drain: 2s";
    let report = shipped(&rig, "fapolicyd-denies", phases);
    sums_add_up(&report);
    assert_eq!(report.storm.root_ops, 2000);
    assert_eq!(report.storm.denied, 0, "no client of the lab denies");
    let denials = &outside(&report).denials;
    assert_eq!((denials.operations, denials.root_ops), (1000, 1000));
    assert_eq!(storm(&report).root_ops_failed, 1000);
    let mut before = Vec::new();
    for (place, client) in report.clients.iter().enumerate() {
        let (asked, not_asked) = (denials.asked[place].1, denials.not_asked[place].1);
        assert!(matches!((asked, not_asked), (1000, 0) | (0, 1000)), "{denials:?}");
        assert_eq!(client.decisions, 1000 + asked, "{client:?}");
        if asked > 0 {
            before.push(client.id.to_owned());
        }
    }
    if let Some(place) = &outside(&report).place {
        let gap = &outside(&report).gaps[before.len()];
        let expected = match (&gap.after, &gap.before) {
            (Some(after), Some(next)) => format!("between {after} and {next}"),
            (None, Some(next)) => format!("before {next}, the first"),
            (Some(after), None) => format!("after {after}, the last"),
            (None, None) => unreachable!("there are clients"),
        };
        assert_eq!(*place, expected, "the denials say so: {denials:?}");
    }
}

/// fapolicyd denies what does not fit its queue, and no rule of it does.
fn full_queue() {
    let rig = Rig::new("product-full");
    let start = format!("[{FAPOLICYD}, --debug-deny]");
    let external = fapolicyd(&start, "", "ramfs").replace("q_size = 800", "q_size = 10");
    let load = load(1280).replace("workers: 1", "workers: 64").replace("external: 100ms", "external: 0s");
    rig.lab("full", &(external + &load));
    let finished = rig.run(&["up", "full", "--json"]);
    let report = finished.report();
    sums_add_up(&report);
    let denials = &outside(&report).denials;
    assert!(denials.operations > 0 && denials.by_kernel.is_empty(), "{denials:#?}");
    let waiting = denials.waiting.unwrap();
    assert!(waiting.least > 10, "it has room for ten: {denials:#?}");
    let kinds: Vec<_> =
        denials.kinds.iter().map(|kind| (kind.kind.as_str(), kind.error.as_str(), kind.of)).collect();
    assert!(kinds.iter().all(|kind| *kind == ("open", "EPERM", 1280)), "{kinds:?}");
    assert_eq!(denials.files.iter().filter(|file| file.operations == file.of).count(), 0, "no file always");
}

/// A product whose processes are stopped holds every open up. No client is to blame, and the warden ends it.
fn stops_answering() {
    let rig = Rig::new("product-stops");
    let start = format!("[/bin/sh, -c, \"{FAPOLICYD} --debug-deny & sleep 1; kill -STOP $!; wait\"]");
    let load = load(100_000_000).replace("storm: 10s", "storm: 4s");
    rig.lab("stops", &(fapolicyd(&start, "", "ramfs") + "deadline: 700ms\n" + &load));
    let finished = rig.run(&["up", "stops", "--json"]);
    assert_eq!(rig.remains(), Vec::<String>::new());
    let report = finished.report();
    sums_add_up(&report);
    let product = product(&report);
    assert_eq!(product.end, ProductEnd::DeadlineKill, "{finished:#?}");
    assert_eq!(product.waiting_max, 1, "one thread opens");
    let waited = product.waited_longest_ns.unwrap();
    assert!((700_000_000..1_200_000_000).contains(&waited), "{waited} ns with a deadline of 700 ms");
    let misses = report.clients.iter().map(|client| client.deadline_misses);
    assert_eq!(misses.sum::<u64>(), 0, "no client held it");
    let mut said = report.findings.iter().map(|finding| &finding.text);
    assert!(said.any(|text| text.contains("waited for fapolicyd")), "{:?}", report.findings);
    // What waited was allowed, and the storm went on.
    assert_eq!(report.storm.operations_unfinished, 0);
    assert!(finished.stderr.contains("fapolicyd missed the lab's deadline and is killed"), "{finished:#?}");
}

/// Asked to mark file systems, fapolicyd marks one that the lab has not made. Here that is one of this test's own, in
/// a mount namespace of its own, so that nobody can be held up.
fn marks_outside() {
    let rig = Rig::new("product-marks");
    let start = format!("[{FAPOLICYD}, --debug-deny]");
    let external = fapolicyd(&start, "allow_filesystem_mark = 1\\n", "tmpfs");
    rig.lab("marks", &(external + &load(1000)));
    let foreign = rig.root.join("foreign");
    let script = format!(
        "mkdir -p {0} && mount -t ramfs none {0} || exit 99\n{LAB} --configs {1} --runs {2} up marks",
        foreign.display(),
        rig.configs().display(),
        rig.runs().display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).env("NO_COLOR", "1").env_remove("RUST_LOG");
    let finished = Finished::of(&command.output().unwrap());
    assert_eq!(finished.code, Some(72), "{finished:#?}");
    let said = "error: fapolicyd has marked a file system that is not the lab's";
    assert!(finished.stderr.contains(said), "{}", finished.stderr);
    assert_eq!(rig.remains(), Vec::<String>::new());
}

/// A product that opens 200 files itself, without a process in between, after a second, beside a slow workload.
fn reader(clients: &str) -> String {
    let opens = "sleep 1; i=0; while [ $i -lt 200 ]; do read -r x < \"$LAB_ARENA/files/$FILE\"; i=$((i+1)); done; sleep 99";
    let lab = script("reader", "started", opens).replace(
        ", ready: started",
        ", ready: started, environment: { LAB_ARENA: \"{arena}\", FILE: f000000 }",
    );
    let load = load(0).replace(", operations_max: 0", "").replace("rate: max", "rate: 200");
    let load = load.replace("external: 100ms", "external: 0s").replace("storm: 10s", "storm: 3s");
    lab + &load.replace("clients: { count: 3, behavior: noop }", clients)
}

fn generates() {
    let rig = Rig::new("product-generates");
    rig.lab("reads", &reader("clients: { count: 3, behavior: noop }"));
    let report = rig.report("reads");
    sums_add_up(&report);
    assert_eq!(report.storm.root_ops, 600);
    assert_eq!(report.totals.unexplained, 0, "{:?}", report.not_observed);
    assert_eq!(product(&report).generated, 3 * 200);
    let columns = &report.causes.columns;
    let place = columns.iter().position(|column| column.name == "reader").unwrap();
    assert_eq!(columns[place].kind, ColumnKind::External);
    for row in &report.causes.decisions {
        assert_eq!(row[place], 200);
    }
    assert_eq!(product(&report).groups, []);
    assert_eq!(report.outcome, Outcome::Stable, "{}", report.outcome_rule);
}

/// The clients are told of the product's threads: one allows what it does at once, one denies it.
fn muted() {
    let rig = Rig::new("product-muted");
    let clients = "clients:\n  - { id: deaf, behavior: { preset: noop, mute: { processes: [reader] } } }\n  \
                   - { id: strict, behavior: { preset: noop, verdict: { deny: [{ process: reader }] } } }";
    rig.lab("reads", &reader(clients));
    let report = rig.report("reads");
    sums_add_up(&report);
    let [deaf, strict] = [0, 1].map(|place| &report.clients[place]);
    assert_eq!(strict.decisions, 600 + 200, "{strict:?}");
    assert_eq!(report.storm.denied, 200);
    // A denial ends the pass: the other client saw all of it or nothing, as the kernel asks it first or not.
    let seen = deaf.decisions - 600;
    assert!([0, 200].contains(&seen), "{deaf:?}");
    let by_mute = deaf.by_approval.get(&Approval::Mute.into()).copied().unwrap_or(0);
    assert_eq!(by_mute, seen, "{deaf:?}");
}

/// Runs a lab that fails for its product: exit code 72, one sentence, and nothing is left.
fn fails(rig: &Rig, name: &str, sentence: &str) {
    let finished = rig.run(&["up", name]);
    assert_eq!(finished.code, Some(72), "{finished:#?}");
    assert_eq!(rig.remains(), Vec::<String>::new());
    let errors: Vec<&str> = finished.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors, [format!("error: {sentence}")], "{}", finished.stderr);
}

fn never_ready() {
    let rig = Rig::new("product-never-ready");
    let lab = script("idle", "mark, ready_within: 300ms", "echo nothing to do >&2; sleep 99");
    rig.lab("idle", &(lab + &load(1000)));
    let sentence = "idle was not ready after 300ms: it has set no fanotify mark on the arena; its last words: \
                    nothing to do";
    fails(&rig, "idle", sentence);
}

fn ends_early() {
    let rig = Rig::new("product-ends");
    let lab = script("brief", "{ line: listening }", "echo cannot listen; exit 3");
    rig.lab("brief", &(lab + &load(1000)));
    fails(&rig, "brief", "brief ended before it was ready, exit 3: cannot listen");
}

fn does_not_end() {
    let rig = Rig::new("product-stays");
    let lab = script("stubborn", "{ line: here }", "trap '' TERM; echo here; while :; do sleep 1; done");
    rig.lab("stays", &(lab + &load(500)));
    let finished = rig.run(&["up", "stays", "--json"]);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    assert!(finished.stderr.contains("stubborn did not end when asked and is killed"), "{}", finished.stderr);
    assert_eq!(rig.remains(), Vec::<String>::new());
    let report = finished.report();
    assert_eq!(report.storm.root_ops, 500);
    assert_eq!(product(&report).end, ProductEnd::Signal(9));
    assert!(product(&report).processes >= 2, "the shell and what it runs");
}

fn ends_in_the_storm() {
    let rig = Rig::new("product-ends-later");
    let load = load(0).replace(", operations_max: 0", "").replace("rate: max", "rate: 100");
    let load = load.replace("storm: 10s", "storm: 2s");
    rig.lab("ends", &(script("brief", "started", "sleep 1; exit 4") + &load));
    let finished = rig.run(&["up", "ends", "--json"]);
    finished.failed_for("ends.unplanned == 0");
    assert!(finished.stderr.contains("brief has ended, exit 4"), "{}", finished.stderr);
    let report = finished.report();
    assert_eq!(product(&report).end, ProductEnd::Exit(4));
    assert_eq!(report.storm.root_ops, 200);
}

fn not_installed() {
    let rig = Rig::new("product-missing");
    let lab = "external:\n  - { id: absent, start: [/usr/sbin/no-such-product, --run] }\n";
    rig.lab("missing", &(lab.to_owned() + &load(1000)));
    if rig::obstacle().is_none() {
        fails(&rig, "missing", "absent cannot be started: there is no program /usr/sbin/no-such-product");
        assert!(!rig.runs().join("missing").exists(), "nothing was written");
    }
    let doctor = rig.run(&["doctor", "missing"]);
    assert!(doctor.stdout.contains("there is no program /usr/sbin/no-such-product"), "{doctor:#?}");
    let plan = rig.run(&["plan", "missing"]);
    assert!(plan.stdout.contains("absent: as root: /usr/sbin/no-such-product --run"), "{plan:#?}");
    assert!(plan.stdout.contains("there is no program"), "{plan:#?}");
}

fn no_such_command() {
    let rig = Rig::new("command-missing");
    let lab = |command: &str| {
        format!(
            "clients:\n  - {{ id: alpha }}\nphases: {{ storm: 1s }}\nworkload:\n  - run: {{ command: [{command}] }}\n"
        )
    };
    rig.lab("unknown", &lab("no-such-command, -j2"));
    rig.lab("absent", &lab("/usr/bin/no-such-command"));
    let sentences = [
        ("unknown", "no-such-command cannot be run: no folder of PATH has it"),
        ("absent", "/usr/bin/no-such-command cannot be run: there is no such program"),
    ];
    for (name, sentence) in sentences {
        if rig::obstacle().is_none() {
            fails(&rig, name, sentence);
            assert!(!rig.runs().join(name).exists(), "nothing was written");
        }
        let doctor = rig.run(&["doctor", name]);
        assert!(doctor.stdout.contains(sentence), "{doctor:#?}");
    }
}

fn hides_the_lab() {
    let rig = Rig::new("product-hides");
    let root = rig.root.display();
    let lab = format!("external:\n  - {{ id: greedy, start: [/bin/true], private: [{{ path: {root} }}] }}\n");
    rig.lab("greedy", &(lab + &load(1000)));
    if rig::obstacle().is_none() {
        let finished = rig.run(&["up", "greedy"]);
        assert_eq!(finished.code, Some(72), "{finished:#?}");
        assert!(finished.stderr.contains("that holds what the lab needs"), "{finished:#?}");
        assert!(!rig.runs().join("greedy").exists(), "nothing was written");
    }
}

fn not_simulated() {
    let rig = Rig::new("product-simulated");
    rig.lab("real", &(script("real", "started", "sleep 99") + &load(1000)));
    for arguments in [&["sim", "real"][..], &["up", "real", "--backend", "sim"]] {
        let finished = rig.run(arguments);
        assert_eq!(finished.code, Some(64), "{finished:#?}");
        assert!(finished.stderr.contains("does not model external products"), "{finished:#?}");
    }
}
