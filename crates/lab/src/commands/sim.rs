//! `lab sim`: a lab in virtual time, summed up; and the search for a seed that shows something.

use std::{fs, ops::RangeInclusive};

use lab_model::{Lab, PhaseKind};
use lab_orchestrator::RunFolder;
use lab_report::units;
use lab_sim::{Calibration, Costs, Counting, Histogram, Kernel, Measured, Options, Outcome, Summary};
use lab_trace::{MappedTrace, Trace};
use serde_json::{Value, json};

use super::{Stop, report, up::rules_here};
use crate::{
    arguments::{Find, Rules, Sim},
    labs::{Places, simulable},
    parallel,
    table::Table,
    terminal,
};

/// The most runs of which each has a line.
const SEEDS_MAX: u64 = 100_000;

pub(super) fn sim(places: &Places, arguments: &Sim) -> Result<u8, Stop> {
    let mut lab = simulable(places.read(&arguments.name)?)?;
    lab.seed = arguments.seed.unwrap_or(lab.seed);
    let measured =
        arguments.from.as_deref().map(|run| calibrated(places, run, arguments.rules)).transpose()?;
    let kernel = measured.as_ref().map_or_else(|| rules_here(arguments.rules), |found| found.kernel);
    let costs = measured.as_ref().map_or_else(Costs::default, |found| found.calibration.costs);
    let options = Options { costs, ..Options::new(&lab, kernel) };
    match (&arguments.seeds, arguments.find) {
        (Some(seeds), Some(find)) => search(&lab, &options, seeds, find, arguments),
        (Some(seeds), None) => many(&lab, &options, seeds, parallel::threads(arguments.jobs), arguments.json),
        (None, _) => {
            let progress = terminal::Progress::new(&format!("simulating {}", lab.name));
            let summary = lab_sim::simulate(&lab, &options, &mut Counting::default());
            progress.end();
            if arguments.json {
                terminal::print_json(&summary_json(&lab, kernel, &summary, measured.as_ref()))?;
            } else {
                terminal::say(&summary_text(&lab, kernel, &summary))?;
                if let Some(measured) = &measured {
                    terminal::say(&measured_text(measured, &summary))?;
                }
            }
            Ok(0)
        }
    }
}

/// True when a run shows this.
pub(super) fn shows(summary: &Summary, find: Find) -> bool {
    match find {
        Find::Deadlocked => summary.outcome == Outcome::Deadlocked,
        Find::Divergent => summary.outcome == Outcome::Divergent,
        Find::Missed => summary.missed() > 0,
    }
}

/// The word of the command line.
pub(super) const fn named(find: Find) -> &'static str {
    match find {
        Find::Deadlocked => "deadlocked",
        Find::Divergent => "divergent",
        Find::Missed => "missed",
    }
}

/// What a lab does that shows it.
pub(super) const fn in_words(find: Find) -> &'static str {
    match find {
        Find::Deadlocked => "deadlocks",
        Find::Divergent => "diverges",
        Find::Missed => "misses a deadline",
    }
}

fn search(
    lab: &Lab,
    options: &Options,
    seeds: &RangeInclusive<u64>,
    find: Find,
    arguments: &Sim,
) -> Result<u8, Stop> {
    let (threads, as_json) = (parallel::threads(arguments.jobs), arguments.json);
    let count = seeds.end() - seeds.start();
    let count = usize::try_from(count).unwrap_or(usize::MAX).saturating_add(1);
    let progress = terminal::Progress::new(&format!("looking for a seed that {}:", in_words(find)));
    let hit = parallel::lowest(
        seeds.clone(),
        threads,
        |done| progress.at(done, count),
        |seed| {
            let summary = lab_sim::simulate(lab, &Options { seed, ..*options }, &mut Counting::default());
            shows(&summary, find).then_some(summary)
        },
    );
    progress.end();
    let kernel = options.kernel;
    match hit {
        Some((seed, summary)) if as_json => {
            let found = summary_json(lab, kernel, &summary, None);
            terminal::print_json(&json!({ "schema": 1, "find": named(find), "seed": seed, "run": found }))?;
            Ok(0)
        }
        None if as_json => {
            let none = Value::Null;
            terminal::print_json(&json!({ "schema": 1, "find": named(find), "seed": none, "run": none }))?;
            Ok(1)
        }
        Some((seed, summary)) => {
            let how = match &arguments.from {
                Some(run) => format!("lab sim {} --from {run}", arguments.name),
                None => format!("lab up {} --backend sim", arguments.name),
            };
            let replay = format!("{how} --rules {} --seed {seed}", kernel.name());
            let text = summary_text(lab, kernel, &summary);
            terminal::say(&format!(
                "seed {seed} is the first of {count} that {}\n\n{text}\nreplay  {replay}\n",
                in_words(find)
            ))?;
            Ok(0)
        }
        None => {
            terminal::say(&format!("none of {count} seeds {} ({} rules)\n", in_words(find), kernel.name()))?;
            Ok(1)
        }
    }
}

/// One line a seed.
fn many(
    lab: &Lab,
    options: &Options,
    seeds: &RangeInclusive<u64>,
    threads: usize,
    as_json: bool,
) -> Result<u8, Stop> {
    if seeds.end() - seeds.start() >= SEEDS_MAX {
        let message = format!("these are more than {SEEDS_MAX} seeds");
        return Err(Stop::usage(message, "take fewer, or say with --find what to look for"));
    }
    let seeds: Vec<u64> = seeds.clone().collect();
    let progress = terminal::Progress::new(&format!("simulating {} with seed", lab.name));
    // A summary holds whole histograms: only what is shown of it is kept.
    let shown = |&seed: &u64| {
        let summary = lab_sim::simulate(lab, &Options { seed, ..*options }, &mut Counting::default());
        if as_json {
            Shown::Json(summary_json(lab, options.kernel, &summary, None))
        } else {
            Shown::Row(row(&summary))
        }
    };
    let runs = parallel::map(&seeds, threads, |done| progress.at(done, seeds.len()), shown);
    progress.end();
    let mut table = Table::new(["seed", "outcome", "decisions", "open p50", "open p99", "missed"]).words([1]);
    let mut whole = Vec::new();
    for run in runs {
        match run {
            Shown::Json(value) => whole.push(value),
            Shown::Row(row) => table.row(row),
        }
    }
    if as_json {
        terminal::print_json(&json!({ "schema": 1, "runs": whole }))?;
    } else {
        terminal::say(&table.text())?;
    }
    Ok(0)
}

/// One run as it is shown among many.
enum Shown {
    Json(Value),
    Row([String; 6]),
}

fn row(summary: &Summary) -> [String; 6] {
    let storm = summary.phase(PhaseKind::Storm).map(|phase| &phase.root_latency);
    [
        summary.seed.to_string(),
        summary.outcome.name().to_owned(),
        units::count(summary.decisions),
        at(storm, 500),
        at(storm, 990),
        units::count(summary.missed()),
    ]
}

fn at(latency: Option<&Histogram>, permille: u64) -> String {
    let value = latency.and_then(|latency| latency.at(permille));
    value.map_or_else(|| units::UNKNOWN.to_owned(), units::time)
}

fn summary_text(lab: &Lab, kernel: Kernel, summary: &Summary) -> String {
    let mut text = format!(
        "{}: {} (simulated with {} rules, seed {})\n",
        lab.name,
        summary.outcome.name(),
        kernel.name(),
        summary.seed
    );
    if let Some(cycle) = &summary.cycle {
        let names: Vec<&str> =
            cycle.clients.iter().map(|&place| lab.clients[usize::from(place)].id.as_str()).collect();
        text.push_str(&format!(
            "  {} wait for each other, seen at {}\n",
            names.join(" and "),
            units::time(cycle.at)
        ));
    }
    let missed = match summary.missed() {
        0 => "no deadline missed".to_owned(),
        missed => units::counted(missed, "missed deadline"),
    };
    text.push_str(&format!(
        "  {}, {missed}, at most {} pending at once, {} in flight at the end\n\n",
        units::counted(summary.decisions, "decision"),
        units::count(summary.pending_max),
        units::count(summary.in_flight),
    ));
    let mut phases = Table::new(["phase", "lasted", "root ops", "p50", "p99", "max", "decisions"]);
    for phase in &summary.phases {
        let latency = &phase.root_latency;
        phases.row([
            phase.phase.name().to_owned(),
            units::time(phase.span),
            units::count(latency.count()),
            at(Some(latency), 500),
            at(Some(latency), 990),
            latency.max().map_or_else(|| units::UNKNOWN.to_owned(), units::time),
            units::count(phase.decisions),
        ]);
    }
    text.push_str(&phases.text());
    text.push('\n');
    let names = lab.clients.iter().map(|client| client.id.to_string());
    let headings = ["decisions of".to_owned()].into_iter().chain(names).chain(["workload".to_owned()]);
    let mut seen = Table::with(headings.collect());
    for (client, row) in lab.clients.iter().zip(&summary.seen) {
        let counts = row.iter().map(|&count| units::count(count));
        seen.row([client.id.to_string()].into_iter().chain(counts));
    }
    text.push_str("  who made what each client had to decide on, in storm and drain\n");
    text + &seen.text()
}

fn summary_json(lab: &Lab, kernel: Kernel, summary: &Summary, measured: Option<&FromRun>) -> Value {
    let latency = |latency: &Histogram| json!({ "count": latency.count(), "p50": latency.at(500), "p99": latency.at(990), "max": latency.max() });
    let phases: Vec<Value> = summary
        .phases
        .iter()
        .map(|phase| {
            json!({
                "name": phase.phase.name(),
                "lasted_ns": phase.span,
                "decisions": phase.decisions,
                "root_latency_ns": latency(&phase.root_latency),
            })
        })
        .collect();
    let cycle = summary.cycle.as_ref().map(|cycle| {
        let members: Vec<&str> =
            cycle.clients.iter().map(|&place| lab.clients[usize::from(place)].id.as_str()).collect();
        json!({ "at_ns": cycle.at, "members": members })
    });
    let clients: Vec<&str> = lab.clients.iter().map(|client| client.id.as_str()).collect();
    json!({
        "schema": 1,
        "lab": lab.name,
        "backend": "sim",
        "rules": kernel.name(),
        "seed": summary.seed,
        "outcome": summary.outcome.name(),
        "wait_cycle": cycle,
        "decisions": summary.decisions,
        "root_ops": summary.roots_begun,
        "phases": phases,
        "clients": clients,
        "seen": summary.seen,
        "decision_latency_ns": latency(&summary.decision_latency),
        "deadline_misses": summary.missed(),
        "dropped": summary.dropped,
        "pending_max": summary.pending_max,
        "in_flight": summary.in_flight,
        "ended_at_ns": summary.ended_at,
        "calibration": measured.map(calibration_json),
    })
}

/// A machine's costs and where they come from.
struct FromRun {
    run: String,
    kernel: Kernel,
    measured: Measured,
    calibration: Calibration,
}

/// Takes the costs from a live run.
fn calibrated(places: &Places, run: &str, rules: Option<Rules>) -> Result<FromRun, Stop> {
    let folder = report::find(places, Some(run))?;
    let lab = lab_of(&folder)?;
    let kernel = match rules {
        None if lab.backend == lab_model::BackendChoice::EndpointSecurity => Kernel::EndpointSecurity,
        None => Kernel::Fanotify,
        rules => rules_here(rules),
    };
    let unreadable = |error: &dyn std::fmt::Display| {
        Stop::usage(
            format!("cannot take the machine's costs from {run}: {error}"),
            "name a live run that has ended",
        )
    };
    let mut maps = Vec::new();
    for entry in fs::read_dir(folder.traces()).map_err(|error| unreadable(&error))?.flatten() {
        maps.push(MappedTrace::open(&entry.path()).map_err(|error| unreadable(&error))?);
    }
    let bytes: Vec<&[u8]> = maps.iter().map(MappedTrace::bytes).collect();
    let measured = lab_sim::measure(&bytes).map_err(|error| unreadable(&error))?;
    if measured == Measured::default() {
        return Err(unreadable(&"its traces hold no operation"));
    }
    let progress = terminal::Progress::new("fitting the costs");
    let calibration = lab_sim::calibrate(&lab, kernel, Costs::default(), &measured);
    progress.end();
    Ok(FromRun { run: run.to_owned(), kernel, measured, calibration })
}

/// The lab as it ran.
pub(super) fn lab_of(folder: &RunFolder) -> Result<Lab, Stop> {
    Ok(lab_orchestrator::lab_of(folder)?)
}

/// Whose rules a simulated run followed; `None` for a live one.
pub(super) fn simulated_rules(folder: &RunFolder) -> Option<Kernel> {
    let path = fs::read_dir(folder.traces()).ok()?.flatten().next()?.path();
    let map = MappedTrace::open(&path).ok()?;
    let trace = Trace::parse(map.bytes()).ok()?;
    let rules = trace.header.identity.host.kernel.strip_prefix("simulated ")?.to_owned();
    [Kernel::Fanotify, Kernel::EndpointSecurity].into_iter().find(|kernel| kernel.name() == rules)
}

fn measured_text(from: &FromRun, summary: &Summary) -> String {
    let mut text = format!(
        "\ncosts   from {}, a question scaled to {}\n",
        from.run,
        units::share(units::ratio(from.calibration.scale_permille, 1000))
    );
    let storm = summary.phase(PhaseKind::Storm).and_then(|phase| phase.root_latency.at(500));
    if let (Some(measured), Some(simulated)) = (from.measured.storm_open.or(from.measured.storm_exec), storm)
    {
        text.push_str(&format!(
            "storm   p50 {} simulated, {} measured there: {} of it\n",
            units::time(simulated),
            units::time(measured.p50),
            units::share(units::ratio(simulated, measured.p50))
        ));
    }
    text
}

fn calibration_json(from: &FromRun) -> Value {
    json!({
        "run": from.run,
        "scale_permille": from.calibration.scale_permille,
        "control_ratio": from.calibration.control_ratio,
        "costs": from.calibration.costs,
        "measured_storm_open_p50_ns": from.measured.storm_open.map(|spread| spread.p50),
    })
}
