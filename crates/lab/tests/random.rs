//! Labs that nobody thought of: drawn from a seed, run on the kernel and in virtual time, and held to what must be true
//! of every lab.
//!
//! `cargo test -p lab --test random -- --labs 200 --lab-seed 1000` runs two hundred others. A failure names the lab's
//! seed; `--labs 1 --lab-seed N` runs it alone, and its file stays in the test's folder.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run labs and read their reports")]

mod rig;

use std::process::ExitCode;

use lab_analysis::findings::{Findings, Outcome};
use lab_model::mix;
use libtest_mimic::Arguments;
use rig::{Live, Rig, live, sums_add_up};

/// Labs without `--labs`.
const LABS: u64 = 12;
/// The simulator's seeds: what comes out alike with all of them does not hang on the moment.
const SEEDS: u64 = 2;
const IDS: [&str; 4] = ["alpha", "bravo", "charlie", "delta"];

fn main() -> ExitCode {
    let (arguments, labs, first) = arguments();
    let tests: Vec<Live> =
        vec![live("random_labs_hold_the_laws", move || (first..first + labs).for_each(holds))];
    rig::main(arguments, tests)
}

/// The harness's arguments, and this program's own.
fn arguments() -> (Arguments, u64, u64) {
    let (mut labs, mut seed, mut rest) = (LABS, 1, Vec::new());
    let mut given = std::env::args();
    while let Some(argument) = given.next() {
        let number =
            |text: Option<String>| text.and_then(|text| text.parse().ok()).expect("a number follows");
        match argument.as_str() {
            "--labs" => labs = number(given.next()),
            "--lab-seed" => seed = number(given.next()),
            _ => rest.push(argument),
        }
    }
    (Arguments::from_iter(rest), labs, seed)
}

fn holds(seed: u64) {
    let rig = Rig::new(&format!("random-{seed}"));
    let name = format!("random-{seed}");
    rig.lab(&name, &Draw(seed).lab());
    let report = |arguments: &[&str]| -> Findings {
        let finished = rig.run(&[&["up", &name, "--json"], arguments].concat());
        assert!(matches!(finished.code, Some(0..=2)), "lab {seed} ended well: {finished:#?}");
        finished.report()
    };
    let live = report(&[]);
    let simulated: Vec<Findings> = (1..=SEEDS)
        .map(|seed| report(&["--backend", "sim", "--rules", "fanotify", "--seed", &seed.to_string()]))
        .collect();
    let outcomes: Vec<Outcome> = simulated.iter().map(|report| report.outcome).collect();
    let outcome = live.outcome;
    eprintln!("lab {seed}: {outcome:?} with {} decisions, simulated {outcomes:?}", live.storm.decisions);
    for report in simulated.iter().chain([&live]) {
        is_exact(seed, report);
    }
    // Whether clients lock each other up can hang on the moment; where it never does, the kernel agrees.
    if outcomes.iter().all(|outcome| *outcome == Outcome::Deadlocked) {
        assert_eq!(outcome, Outcome::Deadlocked, "lab {seed} locks up whatever the moment");
    }
    assert_eq!(rig.remains(), Vec::<String>::new(), "nothing is left of lab {seed}");
    std::fs::remove_dir_all(rig.runs()).unwrap();
}

/// Nothing is lost, every decision has its cause, the sums add up, and nobody misses a deadline in a stable lab.
fn is_exact(seed: u64, report: &Findings) {
    let (backend, totals) = (&report.backend, &report.totals);
    sums_add_up(report);
    let missing = (totals.lost, totals.damaged, totals.unexplained);
    assert_eq!(missing, (0, 0, 0), "lab {seed}, {backend}: lost, damaged, unexplained");
    let misses: u64 = report.clients.iter().map(|client| client.deadline_misses).sum();
    assert!(
        misses == 0 || report.outcome != Outcome::Stable,
        "lab {seed}, {backend}: {misses} deadlines missed, and stable"
    );
}

/// A stream of choices (SplitMix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        usize::try_from(mix(self.0) % bound as u64).unwrap()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// True so many times out of a hundred.
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn lab(mut self) -> String {
        let clients = 1 + self.below(4);
        let daemon = self.chance(25);
        let mut text = "deadline: 500ms\nclients:\n".to_owned();
        for (place, id) in IDS.iter().take(clients).enumerate() {
            // A daemon that nobody asks is refused.
            let asks = daemon && (place == 0 || self.chance(40));
            text.push_str(&format!("  - {{ id: {id}, behavior: {{ {} }} }}\n", self.behavior(clients, asks)));
        }
        if daemon {
            text.push_str("daemons: [{ id: indexer, open: true }]\n");
        }
        text.push_str("phases: { baseline: 20ms, control: 20ms, storm: 1s, drain: 500ms }\nworkload:\n");
        let workers = self.pick(&["1", "2"]);
        text.push_str(&format!("  - open_storm: {{ workers: {workers}, files: 20, operations_max: 100 }}\n"));
        if self.chance(30) {
            let program = self.pick(&["static", "dynamic", "script"]);
            text.push_str(&format!(
                "  - exec_storm: {{ workers: 1, program: {program}, operations_max: 20 }}\n"
            ));
        }
        if self.chance(15) {
            text.push_str("  - exec_tree: { fanout: 2, depth: 1, operations_max: 5 }\n");
        }
        text
    }

    fn behavior(&mut self, clients: usize, asks: bool) -> String {
        let mut parts = vec![format!(
            "preset: {}",
            self.pick(&["noop", "scanner", "sample", "pathological", "well-behaved"])
        )];
        let mut put = |given: bool, part: String| {
            if given {
                parts.push(part);
            }
        };
        put(self.chance(40), format!("concurrency: {}", self.pick(&["1", "2", "8"])));
        put(self.chance(60), format!("on_open: {{ {} }}", self.reaction()));
        put(self.chance(30), format!("on_exec: {{ {} }}", self.reaction()));
        put(true, format!("react_to: {}", self.pick(&["workload", "workload", "workload", "peers", "self"])));
        put(self.chance(30), format!("ignore_es_clients: {}", self.pick(&["true", "false"])));
        put(self.chance(25), format!("mute: {{ {} }}", self.mute(clients)));
        put(self.chance(20), "cache: on".to_owned());
        put(self.chance(20), format!("subscribe: {}", self.pick(&["open", "exec", "all"])));
        put(self.chance(15), format!("delay: {}", self.pick(&["50us", "300us"])));
        let rule = if self.chance(50) {
            "path: files/f000003".to_owned()
        } else {
            format!("process: {}", self.client(clients))
        };
        put(self.chance(15), format!("verdict: {{ deny: [{{ {rule} }}] }}"));
        let (count, wait) = (self.pick(&["1", "2"]), self.pick(&["true", "true", "false"]));
        put(self.chance(25), format!("helpers: {{ count: {count}, open: true, wait: {wait} }}"));
        put(asks, format!("daemons: [{{ ask: indexer, wait: {wait} }}]"));
        parts.join(", ")
    }

    fn reaction(&mut self) -> String {
        let mut parts = vec![match self.below(5) {
            0 | 1 => format!("reopen: true, read: {}", self.pick(&["true", "false"])),
            2 => "via: descriptor, hash: true".to_owned(),
            _ => format!("extra_opens: {}", self.pick(&["0", "1", "2", "5"])),
        }];
        if self.chance(15) {
            parts.push("spawn: static".to_owned());
        }
        if self.chance(30) {
            parts.push("when: after".to_owned());
        }
        parts.join(", ")
    }

    fn mute(&mut self, clients: usize) -> String {
        match self.below(3) {
            0 => format!("paths: [{}]", self.pick(&["files/f000001", "files"])),
            1 => format!("processes: [{}]", if self.chance(30) { "workload" } else { self.client(clients) }),
            _ => "helpers: true".to_owned(),
        }
    }

    fn client(&mut self, clients: usize) -> &'static str {
        IDS[self.below(clients)]
    }
}
