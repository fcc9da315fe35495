//! Kills at random moments: one process of a lab, of a kind drawn from a seed, at a moment drawn from the seed. Whoever it
//! was and whatever it was doing, nothing is left, and what was recorded until then can be read.
//!
//! `cargo test -p lab --test campaign -- --kills 75 --kill-seed 7` kills seventy-five times in each lab; by default it is
//! two, for the minutes that CI has. A failure names the round; the same seed draws the same victims and moments.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests run labs, end their processes and read what is left"
)]

mod rig;

use std::{collections::BTreeMap, fs, path::PathBuf, process::ExitCode, thread, time::Duration};

use lab_model::{Span, mix};
use lab_trace::{Damage, Entry, StoredTrace, Trace};
use libtest_mimic::Arguments;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rig::{Live, Rig, Running, descendants, host_opens_are_free, live, sums_add_up, wait_until};

/// Kills in each lab without `--kills`.
const KILLS: u64 = 2;
/// A process of the drawn kind must have appeared within this time; a first run builds client and driver.
const APPEARS_WITHIN: Span = Span::from_secs(300);
/// What is left after the end must be gone within this time: the kernel ends a namespace on its own.
const GONE_WITHIN: Span = Span::from_secs(20);
/// A kill comes at most so many milliseconds after its victim has appeared; the labs take about as long.
const MOMENTS_MS: u64 = 2000;
/// Exit codes of `lab up` that the guide documents, but for those of a wrong use.
const EXIT_CODES: [i32; 7] = [0, 1, 2, 70, 72, 75, 130];

/// Which process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Launcher,
    Controller,
    Driver,
    Client,
    /// A helper or a daemon.
    Worker,
    Product,
}

use Victim::{Client, Controller, Driver, Launcher, Product, Worker};

const PHASES: &str = "deadline: 1s\n\
                      phases: { baseline: 100ms, control: 200ms, storm: 1500ms, drain: 1s }\n\
                      workload:\n  - open_storm: { workers: 2, files: 50, rate: 300 }\n";

fn main() -> ExitCode {
    let (arguments, kills, seed) = arguments();
    let scanners = "defaults:\n  behavior: { preset: scanner, react_to: workload }\nclients: { count: 3 }\n";
    let asking = "daemons: [{ id: indexer, workers: 2 }]\n\
                  clients: { count: 3, behavior: { concurrency: 4, mute: { helpers: true, processes: [client-01/helpers, \
                  client-02/helpers, client-03/helpers, indexer] }, helpers: { count: 2 }, daemons: [{ ask: indexer }] } }\n";
    let product = "external:\n  - { id: product, start: [/bin/sh, -c, 'while :; do sleep 0.05; done'], ready: started }\n\
                   clients: { count: 2, behavior: noop }\n";
    let deadlock = "clients: [{ id: alpha, behavior: { concurrency: 2, react_to: all, \
                    helpers: { count: 2, wait: true } } }]\n";
    let labs: [(&'static str, &'static str, &'static [Victim]); 4] = [
        ("scanners", scanners, &[Launcher, Controller, Driver, Client]),
        ("asking", asking, &[Launcher, Controller, Driver, Client, Worker]),
        ("product", product, &[Launcher, Controller, Driver, Client, Product]),
        ("deadlock", deadlock, &[Launcher, Controller, Driver, Client, Worker]),
    ];
    let tests: Vec<Live> = labs
        .into_iter()
        .map(|(name, lab, victims)| live(name, move || campaign(name, lab, victims, kills, seed)))
        .collect();
    rig::main_beside(2, arguments, tests)
}

/// The harness's arguments, and this program's own.
fn arguments() -> (Arguments, u64, u64) {
    let (mut kills, mut seed, mut rest) = (KILLS, 42, Vec::new());
    let mut given = std::env::args();
    while let Some(argument) = given.next() {
        let number =
            |text: Option<String>| text.and_then(|text| text.parse().ok()).expect("a number follows");
        match argument.as_str() {
            "--kills" => kills = number(given.next()),
            "--kill-seed" => seed = number(given.next()),
            _ => rest.push(argument),
        }
    }
    (Arguments::from_iter(rest), kills, seed)
}

fn campaign(name: &str, lab: &str, victims: &[Victim], kills: u64, seed: u64) {
    let rig = Rig::new(&format!("campaign-{name}"));
    rig.lab(name, &format!("{lab}{PHASES}"));
    let (mut killed, mut over) = (BTreeMap::<Victim, u64>::new(), 0);
    let mut round = 0_u64;
    while killed.values().sum::<u64>() < kills {
        let draw = |what: u64| mix(seed ^ mix(round.wrapping_mul(4).wrapping_add(what)));
        // By turns, so that each kind has its share; which one is killed first depends on the seed.
        let turn = usize::try_from(seed.wrapping_add(round) % victims.len() as u64).unwrap();
        let (victim, moment) = (victims[turn], draw(1) % MOMENTS_MS);
        eprintln!("{name}, round {round}: {victim:?}, {moment} ms after it has appeared");
        let running = Running::start(&rig, name);
        let mut found = None;
        let appeared = wait_until(APPEARS_WITHIN, || {
            found = process(&running, victim, draw(2));
            found.is_some() || running.has_ended()
        });
        assert!(appeared, "{victim:?} appears: {}", running.stderr());
        thread::sleep(Duration::from_millis(moment));
        // Which of several it is was drawn among those that are there by now.
        let pid = process(&running, victim, draw(2)).map(|pid| Pid::from_raw(pid.try_into().unwrap()));
        match pid.map(|pid| kill(pid, Signal::SIGKILL)) {
            Some(Ok(())) => *killed.entry(victim).or_default() += 1,
            // It has just ended by itself, which is a moment as well.
            Some(Err(_)) | None => over += 1,
        }
        assert!(over <= 3 * kills, "some of the moments lie within the lab's life");
        ends_well(&rig, running, victim);
        fs::remove_dir_all(rig.runs()).ok();
        round += 1;
    }
    eprintln!("{name}: {killed:?} killed, {over} had ended by themselves");
}

/// A process of that kind which lives, if there is one.
fn process(running: &Running, victim: Victim, draw: u64) -> Option<u32> {
    let program = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let launcher = running.launcher();
    if victim == Launcher {
        return (!running.has_ended()).then_some(launcher);
    }
    let below = descendants(launcher);
    let own = program(launcher);
    let controller = below.iter().copied().find(|&pid| program(pid) == own);
    let named = |name: &str| -> Vec<u32> {
        below.iter().copied().filter(|&pid| program(pid).to_string_lossy().contains(name)).collect()
    };
    let found = match victim {
        Launcher => Vec::new(),
        Controller => controller.into_iter().collect(),
        Driver => named("/bundles/lab-driver"),
        Client => named(".app/").into_iter().filter(|&pid| !is_worker(&program(pid))).collect(),
        Worker => named("lab-worker"),
        Product => named("/sh").into_iter().chain(named("/dash")).collect(),
    };
    let nth = usize::try_from(draw % found.len().max(1) as u64).unwrap();
    found.get(nth).copied()
}

fn is_worker(program: &std::path::Path) -> bool {
    program.ends_with("lab-worker")
}

/// Nothing is left of the lab, and all that it recorded can be read.
fn ends_well(rig: &Rig, running: Running, victim: Victim) {
    let finished = running.finish();
    match finished.code {
        Some(code) => assert!(EXIT_CODES.contains(&code), "{victim:?}: {finished:#?}"),
        None => assert_eq!(victim, Launcher, "{finished:#?}"),
    }
    host_opens_are_free(&rig.root);
    assert!(wait_until(GONE_WITHIN, || rig.remains().is_empty()), "{victim:?}: {:?}", rig.remains());
    let down = rig.run(&["down"]);
    assert_eq!(down.code, Some(0), "{victim:?}: {down:#?}");
    let again = rig.run(&["down"]);
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), "nothing was left behind\n"), "{again:#?}");
    for run in runs(rig) {
        assert!(!run.join("bundles").exists() && !run.join("active.json").exists(), "{}", run.display());
        readable(rig, &run);
    }
}

fn runs(rig: &Rig) -> Vec<PathBuf> {
    let below = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        entries.map(|entry| entry.path()).filter(|path| !path.is_symlink() && path.is_dir())
    };
    below(rig.runs()).flat_map(below).collect()
}

fn readable(rig: &Rig, run: &std::path::Path) {
    let mut traces = 0;
    for entry in fs::read_dir(run.join("traces")).unwrap() {
        let path = entry.unwrap().path();
        let stored = StoredTrace::open(&path).unwrap();
        let trace = Trace::of(&stored).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(trace.metadata_whole, "{}", path.display());
        let damaged = |entry: &Entry| matches!(entry, Entry::Damaged { damage: Damage::Check, .. });
        assert!(!trace.entries().any(|entry| damaged(&entry)), "{}", path.display());
        traces += 1;
    }
    assert!(traces > 0, "a run that has recorded nothing is gone");
    let finished = rig.run(&["report", run.to_str().unwrap(), "--json"]);
    assert!(matches!(finished.code, Some(0..=2)), "{finished:#?}");
    let report = finished.report();
    sums_add_up(&report);
}
