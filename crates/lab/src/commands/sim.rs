//! `lab sim`: a lab in virtual time, summed up; and the search for a seed that shows something.

use std::ops::RangeInclusive;

use lab_analysis::findings::Findings;
use lab_bundle::quoted;
use lab_model::units;
use lab_model::{AuthEvent, BackendChoice, Kernel, Lab, PhaseKind};
use lab_orchestrator::{Recorded, RunFolder};
use lab_sim::{Costs, Counting, Histogram, Options, Outcome, Summary};
use serde_json::{Value, json};

use super::{
    ExitError, advice,
    calibration::{Calibrated, Gathered},
    report,
    up::{refuse_what_is_not_simulated, rules_here},
    virtual_run,
};
use crate::{
    arguments::{EsCacheOf, Find, Sim},
    labs::{CALIBRATION, Places, is_for_calibration, relative},
    output, parallel,
    table::Table,
    terminal,
};

/// The most runs of which each has a line.
const SEEDS_MAX: u64 = 100_000;

pub(super) fn sim(places: &Places, arguments: &Sim) -> Result<u8, ExitError> {
    let mut lab = places.read(&arguments.name)?;
    lab.seed = arguments.seed.unwrap_or(lab.seed);
    let (kernel, measured) = match arguments.from.as_slice() {
        [] => (rules_here(arguments.rules), None),
        runs => calibrated(places, runs, arguments.rules).map(|(kernel, found)| (kernel, Some(found)))?,
    };
    refuse_what_is_not_simulated(&lab, kernel)?;
    let costs = measured.as_ref().map_or_else(Costs::default, |found| found.calibration.costs);
    let es_cache = arguments.es_cache.into();
    let options = Options { costs, es_cache, ..Options::new(&lab, kernel) };
    match (&arguments.seeds, arguments.find) {
        (Some(seeds), Some(find)) => search(places, &lab, &options, seeds, find, arguments),
        (Some(seeds), None) => many(&lab, &options, seeds, parallel::threads(arguments.jobs), arguments.json),
        (None, _) => {
            let progress = terminal::Progress::new(&format!("simulating {}", lab.name));
            let (summary, mut findings) = virtual_run::analysed(&lab, &options)?;
            progress.end();
            if arguments.full {
                advice::tried(&mut findings, &lab);
                findings.replay = again(places, kernel, lab.seed, arguments);
                terminal::print_painted(&lab_report::text::run(&findings, &terminal::style()))?;
            } else if arguments.json {
                let mut json = summary_json(&lab, kernel, &summary, measured.as_ref());
                json["outcome"] = json!(findings.outcome.name());
                json["wait_cycle"] = json!(findings.wait_cycles.first());
                json["expectations"] = json!(findings.expectations);
                json["judgement"] = json!(findings.judgement());
                terminal::print_json(&json)?;
            } else {
                let outcome = findings.outcome.name();
                terminal::say(&summary_text(&lab, kernel, &summary, outcome, &findings_text(&findings)))?;
                if let Some(measured) = &measured {
                    terminal::say(&measured_text(measured, &summary))?;
                }
            }
            Ok(report::exit_code(&findings))
        }
    }
}

/// The line that shows a run again, whole.
fn again(places: &Places, kernel: Kernel, seed: u64, arguments: &Sim) -> String {
    let from: String = arguments.from.iter().map(|run| format!(" --from {}", quoted(run))).collect();
    let cache = if arguments.es_cache == EsCacheOf::Shared { " --es-cache shared" } else { "" };
    let name = quoted(&arguments.name);
    let where_else = places.call(&arguments.name).places();
    format!("lab sim {name}{where_else} --seed {seed} --rules {}{from}{cache} --full", kernel.name())
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

/// Looks for the lowest seed that shows something, runs it again and reports that run.
fn search(
    places: &Places,
    lab: &Lab,
    options: &Options,
    seeds: &RangeInclusive<u64>,
    find: Find,
    arguments: &Sim,
) -> Result<u8, ExitError> {
    let of_seed = |seed| if arguments.swarm { lab_sim::swarm(lab, seed) } else { lab.clone() };
    let decisions_max = arguments.decisions_max;
    let run = |lab: &Lab, seed| {
        lab_sim::simulate(lab, &Options { seed, decisions_max, ..*options }, &mut Counting::default())
    };
    let count = seeds.end() - seeds.start();
    let count = usize::try_from(count).unwrap_or(usize::MAX).saturating_add(1);
    let progress = terminal::Progress::new(&format!("looking for a seed that {}:", in_words(find)));
    let hit = parallel::lowest(
        seeds.clone(),
        parallel::threads(arguments.jobs),
        |done| progress.at(done, count),
        |seed| Some(run(&of_seed(seed), seed)).filter(|summary| shows(summary, find)),
    );
    progress.end();
    let Some((seed, first)) = hit else {
        if arguments.json {
            let none = Value::Null;
            terminal::print_json(&json!({ "schema": 1, "find": named(find), "seed": none, "run": none }))?;
        } else {
            let rules = options.kernel.name();
            terminal::say(&format!(
                "none of {} {} ({rules} rules)\n",
                units::counted(units::count_of(count), "seed"),
                in_words(find)
            ))?;
        }
        return Ok(1);
    };
    let found = Lab { seed, ..of_seed(seed) };
    if run(&found, seed) != first {
        return Err(ExitError::bug(format!("seed {seed} did not show the same run again")));
    }
    let hit = Hit { lab: &found, summary: &first, find, count };
    report_hit(places, options, &hit, arguments)?;
    Ok(0)
}

/// The first seed that showed what was looked for.
struct Hit<'a> {
    /// The lab, with this seed.
    lab: &'a Lab,
    /// What it showed.
    summary: &'a Summary,
    find: Find,
    /// Among how many seeds it was looked for.
    count: usize,
}

/// Says which seed showed what was looked for, and how to see it again.
fn report_hit(places: &Places, options: &Options, hit: &Hit<'_>, arguments: &Sim) -> Result<(), ExitError> {
    let &Hit { lab: found, summary, find, count } = hit;
    let (kernel, seed) = (options.kernel, found.seed);
    let yaml = arguments.swarm.then(|| lab_config::to_yaml(found));
    if let (Some(path), Some(yaml)) = (&arguments.output, &yaml) {
        let what = format!("cannot write {}", path.display());
        output::replace(places, path, yaml).map_err(|error| ExitError::output(&what, &error))?;
    }
    if arguments.json {
        let run = summary_json(found, kernel, summary, None);
        return terminal::print_json(
            &json!({ "schema": 1, "find": named(find), "seed": seed, "run": run, "lab": yaml }),
        );
    }
    let name = match &arguments.output {
        Some(path) => path.display().to_string(),
        None => arguments.name.clone(),
    };
    let how = match (arguments.from.as_slice(), arguments.swarm && arguments.output.is_none()) {
        (_, true) => format!("lab sim {name} --swarm --find {} --seeds {seed}..{seed}", named(find)),
        ([_, ..], false) => {
            format!("lab sim {name} --from {} --seed {seed}", arguments.from.join(" --from "))
        }
        ([], false) => format!("lab up {name} --backend sim --seed {seed}"),
    };
    let how = how + &places.call(&arguments.name).places();
    let text = summary_text(found, kernel, summary, summary.outcome.name(), &cycle_text(found, summary));
    let switches = if arguments.swarm { thrown(found) } else { String::new() };
    terminal::say(&format!(
        "seed {seed} is the first of {count} that {}; it was run again and shows the same\n\n{text}{switches}\n\
         replay  {how} --rules {}\n",
        in_words(find),
        kernel.name()
    ))
}

/// How a swarm's switches stood.
fn thrown(lab: &Lab) -> String {
    let mut table = Table::new(["switches of", "concurrency", "extra opens", "reacts to", "when", "budget"]);
    for client in &lab.clients {
        let behavior = &client.behavior;
        let budget = behavior.answer_by_percent;
        table.row([
            client.id.to_string(),
            behavior.concurrency.get().to_string(),
            behavior.reactions[AuthEvent::Open].extra_opens.to_string(),
            word(&behavior.react_to),
            word(&behavior.reactions[AuthEvent::Open].when),
            budget.map_or_else(|| "none".to_owned(), |percent| format!("{percent}%")),
        ]);
    }
    format!("\n{}", table.text())
}

/// A setting as a lab file writes it.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// One line a seed.
fn many(
    lab: &Lab,
    options: &Options,
    seeds: &RangeInclusive<u64>,
    threads: usize,
    as_json: bool,
) -> Result<u8, ExitError> {
    if seeds.end() - seeds.start() >= SEEDS_MAX {
        let message = format!("these are more than {SEEDS_MAX} seeds");
        return Err(ExitError::usage(message, "take fewer, or say with --find what to look for"));
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

/// What the analysis finds in a run, and whether what its lab expects held.
fn findings_text(findings: &Findings) -> String {
    let mut text: String = findings.findings.iter().map(|finding| format!("  {}\n", finding.text)).collect();
    if findings.expectations.is_empty() {
        return text;
    }
    let mut table = Table::new(["expected", "held", "observed"]).words([0, 1, 2]);
    for expectation in &findings.expectations {
        let held = match expectation.held {
            Some(true) => "yes",
            Some(false) => "no",
            None => "cannot be told",
        };
        table.row([expectation.text.clone(), held.to_owned(), expectation.observed.clone()]);
    }
    text.push('\n');
    text + &table.text() + "\n"
}

/// Who waited for whom in a run that was only counted.
fn cycle_text(lab: &Lab, summary: &Summary) -> String {
    let Some(cycle) = &summary.cycle else { return String::new() };
    let names: Vec<&str> =
        cycle.clients.iter().map(|&place| lab.clients[usize::from(place)].id.as_str()).collect();
    let seen = units::time(cycle.at);
    match names.as_slice() {
        [alone] => format!("  {alone} waits for itself, seen at {seen}\n"),
        several => format!("  {} wait for each other, seen at {seen}\n", several.join(" and ")),
    }
}

fn summary_text(lab: &Lab, kernel: Kernel, summary: &Summary, outcome: &str, found: &str) -> String {
    let mut text =
        format!("{}: {outcome} (simulated with {} rules, seed {})\n", lab.name, kernel.name(), summary.seed);
    text.push_str(found);
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

fn summary_json(lab: &Lab, kernel: Kernel, summary: &Summary, measured: Option<&Calibrated>) -> Value {
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
        "unanswered": summary.decisions.saturating_sub(summary.decision_latency.count()),
        "deadline_misses": summary.missed(),
        "dropped": summary.dropped,
        "pending_max": summary.pending_max,
        "in_flight": summary.in_flight,
        "ended_at_ns": summary.ended_at,
        "calibration": measured.map(Calibrated::json),
    })
}

/// Takes the costs from live runs: the median of each figure over the runs of one lab.
fn calibrated(
    places: &Places,
    runs: &[String],
    rules: Option<Kernel>,
) -> Result<(Kernel, Calibrated), ExitError> {
    let mut groups: Vec<(Lab, Vec<RunFolder>)> = Vec::new();
    let mut folders = Vec::new();
    for run in runs {
        if run == CALIBRATION {
            folders.extend(calibration_runs(places)?);
        } else {
            folders.push(report::find(places, Some(run))?);
        }
    }
    for folder in folders {
        let lab = lab_of(&folder)?;
        // Another seed is another run of one machine; another setting would be another lab.
        let alike = |other: &Lab| Lab { seed: lab.seed, ..other.clone() } == lab;
        match groups.iter_mut().find(|(other, _)| alike(other)) {
            Some((_, folders)) => folders.push(folder),
            None => groups.push((lab, vec![folder])),
        }
    }
    let kernel = match (rules, groups.first()) {
        (None, Some((Lab { backend: BackendChoice::Live(kernel), .. }, _))) => *kernel,
        (None, _) => Kernel::DEFAULT_RULES,
        (rules, _) => rules_here(rules),
    };
    let mut gathered = Gathered::default();
    for (lab, folders) in &groups {
        gathered.add(lab, &folders.iter().collect::<Vec<_>>())?;
    }
    Ok((kernel, gathered.calibrated(kernel)))
}

/// All runs that the store holds of labs that only show what this machine costs.
fn calibration_runs(places: &Places) -> Result<Vec<RunFolder>, ExitError> {
    let mut folders = Vec::new();
    for run in RunFolder::all(&places.runs)?.into_iter().filter(|run| is_for_calibration(&run.lab())) {
        folders.extend(run.open()?);
    }
    if folders.is_empty() {
        let files: Vec<String> =
            places.calibration_labs()?.iter().map(|file| relative(file).display().to_string()).collect();
        return Err(ExitError::usage(
            format!("{} holds no run of a lab for calibration", relative(places.runs.path()).display()),
            format!("run each of them once or more with `lab up`: {}", files.join(", ")),
        ));
    }
    Ok(folders)
}

/// The lab as it ran.
pub(super) fn lab_of(folder: &RunFolder) -> Result<Lab, ExitError> {
    Ok(lab_orchestrator::lab_of(folder)?)
}

/// Whose rules a simulated run followed; `None` for a live one.
pub(super) fn simulated_rules(folder: &RunFolder) -> Result<Option<Kernel>, ExitError> {
    let recorded = Recorded::open(folder)?;
    let (traces, _) = recorded.traces();
    let rules = lab_orchestrator::simulated_rules(&traces);
    recorded.check()?;
    Ok(rules)
}

fn measured_text(from: &Calibrated, summary: &Summary) -> String {
    let mut text = format!(
        "\ncosts   from {}, a question scaled to {}\n",
        from.from(),
        units::share(units::ratio(from.calibration.scale_permille, 1000))
    );
    let storm = summary.phase(PhaseKind::Storm).and_then(|phase| phase.root_latency.at(500));
    let measured = from.evidence.first().map(|runs| &runs.measured);
    let measured = measured.and_then(|measured| measured.storm_open.or(measured.storm_exec));
    if let (Some(measured), Some(simulated)) = (measured, storm) {
        text.push_str(&format!(
            "storm   p50 {} simulated, {} measured there: {} of it\n",
            units::time(simulated),
            units::time(measured.p50),
            units::share(units::ratio(simulated, measured.p50))
        ));
    }
    let spread = from.spread_text();
    if spread.is_empty() { text } else { format!("{text}\n{spread}") }
}
